# A use of the module, for the checks.
{
  services.portsyncd = {
    enable = true;
    settings = {
      redis = {
        url = "redis://127.0.0.1:6379";
        username = "portsyncd";
        password_file = "/run/secrets/redis";
      };
      netlink.audit_interval = "30s";
      ports.prefixes = [
        "Ethernet"
        "Recirc"
      ];
      http = {
        listen = "[::]:9477";
        tls_cert = "/run/secrets/cert.pem";
        tls_key = "/run/secrets/key.pem";
      };
      health.latency_p99 = "50ms";
      alerts = {
        evaluation_interval = "5s";
        sink = [
          {
            name = "noc";
            type = "webhook";
            url = "https://alerts.example/portsyncd";
            secret_file = "/run/secrets/webhook";
          }
        ];
      };
    };
    rules.flapping.rule = [
      {
        name = "PortFlapsOften";
        metric = "port_flaps_total";
        ports = "Ethernet*";
        condition = {
          rate_above = 0.1;
          window = "60s";
        };
        for = "5s";
        severity = "critical";
        annotations.summary = "{{ port }} flaps";
        actions = [
          "log"
          "noc"
        ];
      }
    ];
  };
}
