{{- define "portsyncd.podMetadata" -}}
labels:
  {{- include "portsyncd.labels" . | nindent 2 }}
  app.kubernetes.io/component: {{ if eq .Values.mode "lab" }}switch{{ else }}node{{ end }}
  {{- with .Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  # The daemon reads its configuration at the start: new files make new pods.
  checksum/config: {{ include "portsyncd.files" . | sha256sum }}
  kubectl.kubernetes.io/default-container: portsyncd
  {{- with .Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What both kinds of pods have. */}}
{{- define "portsyncd.podCommon" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- with .Values.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $placement := get .Values .Values.mode }}
{{- with $placement.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $placement.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $placement.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $placement.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Root, and of root's capabilities only those listed, if any. The kernel gives added capabilities to a user other than root only through
file capabilities or ambient ones; Kubernetes sets no ambient ones, so that NET_ADMIN would not be in effect.
*/}}
{{- define "portsyncd.rootWith" -}}
runAsUser: 0
runAsGroup: 0
runAsNonRoot: false
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  {{- with . }}
  add: {{ toJson . }}
  {{- end }}
{{- end -}}

{{/* A probe: (list arguments settings). The daemon's own socket is asked: whoever fills the HTTP server's connections cannot
     have the daemon restarted, and neither certificate nor password is needed. */}}
{{- define "portsyncd.probe" -}}
exec:
  command: {{ concat (list "/usr/bin/portsyncd" "healthcheck") (index . 0) | toJson }}
{{ toYaml (index . 1) }}
{{- end -}}

{{- define "portsyncd.container" -}}
name: portsyncd
image: {{ include "portsyncd.image" (list . .Values.image) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: ["/usr/bin/portsyncd"]
{{- $observe := eq (include "portsyncd.observes" .) "true" }}
args: [{{ ternary "observe" "run" $observe }}]
{{- if or (eq .Values.http.address "podIP") .Values.extraEnv }}
env:
  {{- if eq .Values.http.address "podIP" }}
  - name: POD_IP
    valueFrom:
      fieldRef:
        fieldPath: status.podIP
  - name: PORTSYNCD_HTTP__LISTEN
    value: "$(POD_IP):{{ .Values.http.port }}"
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- if not $observe }}
ports:
  - name: http
    containerPort: {{ .Values.http.port }}
    protocol: TCP
livenessProbe:
  {{- include "portsyncd.probe" (list list .Values.probes.liveness) | trim | nindent 2 }}
readinessProbe:
  {{- include "portsyncd.probe" (list (list "--ready") .Values.probes.readiness) | trim | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- $capabilities := ternary list (list "NET_ADMIN") $observe }}
  {{- /* The host's socket is open to its owner and the group redis; a root without capabilities is neither. */}}
  {{- if and (eq .Values.mode "node") (kindIs "invalid" .Values.node.redisGroup) }}
  {{- $capabilities = append $capabilities "DAC_OVERRIDE" }}
  {{- end }}
  {{- include "portsyncd.rootWith" $capabilities | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/sonic
    readOnly: true
  - name: redis
    mountPath: /var/run/redis
  - name: run
    mountPath: /run/portsyncd
  - name: state
    mountPath: /var/lib/portsyncd
  {{- if .Values.http.tls.secretName }}
  - name: tls
    mountPath: /etc/portsyncd/tls
    readOnly: true
  {{- end }}
  {{- if .Values.secretName }}
  - name: secrets
    mountPath: /etc/portsyncd/secrets
    readOnly: true
  {{- end }}
{{- end -}}

{{/* The volumes that do not depend on the mode: files stand where the daemon looks for them. */}}
{{- define "portsyncd.volumes" -}}
- name: config
  configMap:
    name: {{ include "portsyncd.fullname" . }}
    items:
      - key: portsyncd.toml
        path: portsyncd.toml
      {{- range $name := keys .Values.alertRules | sortAlpha }}
      - key: {{ $name }}
        path: portsyncd/rules.d/{{ $name }}
      {{- end }}
- name: run
  emptyDir:
    medium: Memory
{{- with .Values.http.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0400
{{- end }}
{{- with .Values.secretName }}
- name: secrets
  secret:
    secretName: {{ . }}
    defaultMode: 0400
{{- end }}
{{- end -}}
