# Tests in virtual machines: `nix build .#nixosTests.portsyncd`.
{
  self,
  pkgs,
  packages,
  ...
}:
{
  nixosTests.portsyncd = pkgs.testers.runNixOSTest {
    name = "portsyncd";

    nodes.machine = {
      imports = [ self.nixosModules.default ];
      environment.systemPackages = [
        pkgs.jq
        pkgs.redis
      ];
      services.redis.servers.sonic = {
        enable = true;
        port = 6379;
      };
      services.portsyncd = {
        enable = true;
        settings = {
          redis.url = "redis://127.0.0.1:6379";
          alerts.evaluation_interval = "1s";
        };
        rules.test.rule = [
          {
            name = "TestPortDown";
            metric = "port_oper_up";
            ports = "Ethernet0";
            condition.equals = 0;
            severity = "critical";
            annotations.summary = "{{ port }} is down";
            actions = [ "log" ];
          }
        ];
      };
      # The switch around the daemon: ports in CONFIG_DB, and orchagent's side of APPL_DB with veth links as ports.
      systemd.services.switch = {
        wantedBy = [ "multi-user.target" ];
        requires = [ "redis-sonic.service" ];
        after = [ "redis-sonic.service" ];
        path = [ pkgs.iproute2 ];
        script = "exec ${packages.portsyncd}/bin/portsyncd-lab switch --redis-url redis://127.0.0.1:6379 --ports 4";
      };
    };

    testScript = ''
      def oper(port):
          return machine.succeed(f"redis-cli -n 6 HGET 'PORT_TABLE|{port}' netdev_oper_status").strip()

      def alert(state):
          return (
              "portsyncd alerts --json | "
              f"jq -e '[.. | objects | select(.rule? == \"TestPortDown\") | .state] == [\"{state}\"]'"
          )

      machine.wait_for_unit("redis-sonic.service")
      machine.wait_for_unit("portsyncd.service")
      machine.wait_until_succeeds("curl --fail http://127.0.0.1:9477/readyz")
      machine.wait_until_succeeds("redis-cli -n 6 HGET 'PORT_TABLE|Ethernet0' netdev_oper_status | grep -qx up")

      with subtest("a flap reaches STATE_DB, an alert fires and ends"):
          machine.succeed("ip link set Ethernet0 down")
          machine.wait_until_succeeds("redis-cli -n 6 HGET 'PORT_TABLE|Ethernet0' netdev_oper_status | grep -qx down")
          machine.wait_until_succeeds(alert("firing"))
          machine.succeed("ip link set Ethernet0 up")
          machine.wait_until_succeeds("redis-cli -n 6 HGET 'PORT_TABLE|Ethernet0' netdev_oper_status | grep -qx up")
          machine.wait_until_fails(alert("firing"))
          assert oper("Ethernet4") == "up"

      with subtest("a restart touches no link"):
          before = machine.succeed("cat /sys/class/net/Ethernet0/carrier_changes")
          machine.succeed("systemctl restart portsyncd.service")
          machine.wait_until_succeeds("curl --fail http://127.0.0.1:9477/readyz")
          assert machine.succeed("cat /sys/class/net/Ethernet0/carrier_changes") == before

      with subtest("the unit has one capability"):
          pid = machine.succeed("systemctl show --value -p MainPID portsyncd.service").strip()
          effective = machine.succeed(f"grep CapEff /proc/{pid}/status").split()[1]
          assert int(effective, 16) == 1 << 12, effective
    '';
  };
}
