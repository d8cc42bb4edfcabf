{{/*
A value as TOML. toToml is no good here: numbers of values are floats to Helm, and 1024 would become 1024.0. JSON's strings,
numbers and truth values are TOML's.
*/}}
{{- define "portsyncd.toml" -}}
{{- if kindIs "map" . -}}
{ {{ range $i, $key := keys . | sortAlpha }}{{ if $i }}, {{ end }}{{ include "portsyncd.tomlKey" $key }} = {{ include "portsyncd.toml" (get $ $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
{{- if and . (kindIs "map" (first .)) -}}
[
{{- range . }}
    {{ include "portsyncd.toml" . }},
{{- end }}
]
{{- else -}}
[{{ range $i, $item := . }}{{ if $i }}, {{ end }}{{ include "portsyncd.toml" $item }}{{ end }}]
{{- end -}}
{{- else -}}
{{- toRawJson . -}}
{{- end -}}
{{- end -}}

{{- define "portsyncd.tomlKey" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toRawJson . }}{{ end -}}
{{- end -}}

{{/* "true" if it only compares: then there is no server, and nothing to probe. */}}
{{- define "portsyncd.observes" -}}
{{- and (eq .Values.mode "node") .Values.node.observe -}}
{{- end -}}

{{/* The address that the server listens on; podIP is left to the environment. */}}
{{- define "portsyncd.address" -}}
{{- default (ternary "0.0.0.0" "127.0.0.1" (eq .Values.mode "lab")) .Values.http.address -}}
{{- end -}}

{{/* "true" if only the pod's own network reaches the server. */}}
{{- define "portsyncd.loopback" -}}
{{- if regexMatch "^(127\\.|::1$)" (include "portsyncd.address" .) }}true{{ end -}}
{{- end -}}

{{- define "portsyncd.listen" -}}
{{- $address := include "portsyncd.address" . -}}
{{- printf "%s:%d" (ternary (printf "[%s]" $address) $address (contains ":" $address)) (int .Values.http.port) -}}
{{- end -}}

{{/* portsyncd.toml: the user's sections, and in them what the chart decides. */}}
{{- define "portsyncd.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $http := dict -}}
{{- if ne .Values.http.address "podIP" -}}
{{- $_ := set $http "listen" (include "portsyncd.listen" .) -}}
{{- end -}}
{{- if .Values.http.tls.secretName -}}
{{- $_ := set $http "tls_cert" "/etc/portsyncd/tls/tls.crt" -}}
{{- $_ := set $http "tls_key" "/etc/portsyncd/tls/tls.key" -}}
{{- if .Values.http.tls.clientCA -}}
{{- $_ := set $http "client_ca" "/etc/portsyncd/tls/ca.crt" -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.mode "lab" -}}
{{- $name := include "portsyncd.fullname" . -}}
{{- $hosts := list -}}
{{- range $i := until (int .Values.lab.replicas) -}}
{{- $hosts = append $hosts (printf "%s-%d.%s" $name $i $name) -}}
{{- end -}}
{{- $_ := set $http "hosts" (concat $hosts (dig "http" "hosts" list $config)) -}}
{{- end -}}
{{- $_ := set $config "http" (merge $http (default dict $config.http)) -}}
{{- range $section := keys $config | sortAlpha -}}
{{- with get $config $section -}}
[{{ $section }}]
{{- range $key := keys . | sortAlpha }}
{{ $key }} = {{ include "portsyncd.toml" (get (get $config $section) $key) }}
{{- end }}

{{ end -}}
{{- end -}}
{{- end -}}

{{/* The ConfigMap's data. */}}
{{- define "portsyncd.files" -}}
portsyncd.toml: |
  {{- include "portsyncd.config" . | trim | nindent 2 }}
{{- range $name := keys .Values.alertRules | sortAlpha }}
{{ $name }}: |
  {{- get $.Values.alertRules $name | trim | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What the schema cannot say. Included once, by the pods. */}}
{{- define "portsyncd.refuse" -}}
{{- $loopback := include "portsyncd.loopback" . -}}
{{- if eq .Values.mode "lab" -}}
{{- if semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version -}}
{{- fail (printf "mode: lab needs Kubernetes 1.29 or later, for containers that start in order; this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if $loopback -}}
{{- fail (printf "http.address: the kubelet's probes do not reach %s of a pod; leave it empty in lab mode" .Values.http.address) -}}
{{- end -}}
{{- range $key := list "database_config" "namespace" "password_file" "url" "username" -}}
{{- if hasKey (default dict $.Values.config.redis) $key -}}
{{- fail (printf "config.redis.%s: a fake switch has its Redis in its pod; leave it out in lab mode" $key) -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- if .Values.networkPolicy.enabled -}}
{{- fail "networkPolicy.enabled: does not hold for pods in the host's network; set it to false in node mode" -}}
{{- end -}}
{{- if .Values.podDisruptionBudget.enabled -}}
{{- fail "podDisruptionBudget.enabled: a DaemonSet's pods are not evicted; node.maxUnavailable bounds updates; set it to false in node mode" -}}
{{- end -}}
{{- if not .Values.node.nodeSelector -}}
{{- fail "node.nodeSelector: must not be empty, for every node of the cluster would be taken for a switch" -}}
{{- end -}}
{{- end -}}
{{- if .Values.podMonitor.enabled -}}
{{- if eq (include "portsyncd.observes" .) "true" -}}
{{- fail "podMonitor.enabled: portsyncd observe has no metrics; set it to false with node.observe" -}}
{{- end -}}
{{- if $loopback -}}
{{- fail (printf "podMonitor.enabled: Prometheus does not reach %s; set http.address to podIP or an address of the node" (include "portsyncd.address" .)) -}}
{{- end -}}
{{- if and .Values.http.tls.secretName (not .Values.podMonitor.tlsConfig) -}}
{{- fail "podMonitor.tlsConfig: needed with http.tls.secretName" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.http.tls.clientCA (not .Values.http.tls.secretName) -}}
{{- fail "http.tls.clientCA: needs http.tls.secretName" -}}
{{- end -}}
{{- end -}}
