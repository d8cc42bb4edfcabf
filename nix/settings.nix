# The settings that docs/configuration.md lists, by section, with their types. What they mean and what holds if they are unset
# the program says; nix/check compares the keys with those that it knows.
{ lib }:
let
  inherit (lib.types)
    attrs
    bool
    enum
    ints
    listOf
    str
    ;
  # "5s", "1m 30s", "100ms"
  duration = str;
  # Not types.path: a path in Nix would be copied to the store, and with it what is secret.
  file = str;
in
{
  redis = {
    database_config = file;
    url = str;
    namespace = str;
    username = str;
    password_file = file;
    connect_timeout = duration;
    response_timeout = duration;
  };
  netlink = {
    receive_buffer = ints.unsigned;
    audit_interval = duration;
  };
  ports = {
    prefixes = listOf str;
    lag_prefixes = listOf str;
    follow_config_db = bool;
    management = bool;
  };
  log = {
    format = enum [
      "auto"
      "text"
      "json"
      "syslog"
    ];
    level = enum [
      "error"
      "warn"
      "notice"
      "info"
      "debug"
    ];
    heartbeat = duration;
  };
  telemetry.per_port_limit = ints.unsigned;
  http = {
    listen = str;
    tls_cert = file;
    tls_key = file;
    client_ca = file;
    max_connections = ints.positive;
    hosts = listOf str;
    external_url = str;
    password_file = file;
  };
  control.socket = file;
  state = {
    dir = file;
    save_interval = duration;
  };
  health = {
    initial_sync_timeout = duration;
    window = duration;
    latency_p99 = duration;
  };
  alerts = {
    evaluation_interval = duration;
    rules = listOf str;
    history = ints.unsigned;
    default_rules = bool;
    runbook_base_url = str;
    sink = listOf attrs;
  };
  shutdown.grace = duration;
}
