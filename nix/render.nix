# The configuration file from the module's settings and rules.
{
  lib,
  pkgs,
  package,
}:
{
  settings,
  rules,
}:
let
  toml = pkgs.formats.toml { };
  written =
    value:
    if lib.isAttrs value then
      lib.mapAttrs (_: written) (lib.filterAttrs (_: inner: inner != null) value)
    else if lib.isList value then
      map written value
    else
      value;

  rulesFolder = pkgs.linkFarm "portsyncd-rules" (
    lib.mapAttrsToList (name: value: {
      name = "${name}.toml";
      path = toml.generate "${name}.toml" (written value);
    }) rules
  );
  complete = written settings;
  withRules =
    complete
    // lib.optionalAttrs (rules != { }) {
      alerts = (complete.alerts or { }) // {
        rules = (complete.alerts.rules or [ "/etc/sonic/portsyncd/rules.d/*.toml" ]) ++ [
          "${rulesFolder}/*.toml"
        ];
      };
    };

  # Files of the machine, most of them secret, are not there when the configuration is built: what names them is left out of
  # what is checked then. The unit checks all of it before it starts.
  ofMachine = [
    "bearer_token_file"
    "ca_file"
    "client_ca"
    "database_config"
    "password_file"
    "secret_file"
    "tls_cert"
    "tls_key"
    "username"
  ];
  # What a sink cannot be without.
  standIns = {
    program = "/bin/sh";
    url_file = "${pkgs.writeText "webhook.url" "https://alerts.example/portsyncd"}";
  };
  checkable =
    value:
    if lib.isAttrs value then
      lib.mapAttrs (name: inner: standIns.${name} or (checkable inner)) (removeAttrs value ofMachine)
    else if lib.isList value then
      map checkable value
    else
      value;
in
pkgs.runCommand "portsyncd.toml"
  {
    configuration = toml.generate "portsyncd.toml" withRules;
    checked = toml.generate "portsyncd-checked.toml" (checkable withRules);
  }
  ''
    ${lib.getExe package} --config "$checked" check-config > /dev/null
    cp "$configuration" "$out"
  ''
