# NixOS module: `services.portsyncd`.
self:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.portsyncd;
  toml = (pkgs.formats.toml { }).type;

  section =
    name: keys:
    mkOption {
      default = { };
      description = "`[${name}]` of the configuration file.";
      type = types.submodule {
        options = lib.mapAttrs (
          key: type:
          mkOption {
            type = types.nullOr type;
            default = null;
            description = "`${name}.${key}` in docs/configuration.md; unset, the program's default holds.";
          }
        ) keys;
      };
    };
  configuration = import ./render.nix {
    inherit lib pkgs;
    inherit (cfg) package;
  } { inherit (cfg) settings rules; };
in
{
  options.services.portsyncd = {
    enable = lib.mkEnableOption "portsyncd, which turns the kernel's link events into rows of SONiC's Redis databases";
    package = mkOption {
      type = types.package;
      default = self.packages.${pkgs.stdenv.hostPlatform.system}.portsyncd;
      defaultText = lib.literalExpression "portsyncd.packages.\${system}.portsyncd";
      description = "The package to run.";
    };
    settings = mkOption {
      default = { };
      description = "The configuration file, /etc/sonic/portsyncd.toml. Keys that the program does not know are refused.";
      type = types.submodule {
        options = lib.mapAttrs section (import ./settings.nix { inherit lib; });
      };
    };
    rules = mkOption {
      type = types.attrsOf toml;
      default = { };
      description = "Files of alert rules by name, as in docs/alerts.md.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.etc."sonic/portsyncd.toml".source = configuration;
    environment.systemPackages = [ cfg.package ];

    systemd.services.portsyncd = {
      description = "Link events of the kernel to SONiC's Redis databases";
      documentation = [ "man:portsyncd(8)" ];
      wantedBy = [ "multi-user.target" ];
      after = [ "network-pre.target" ];
      # Rules, sinks, log level and health are read again without a restart; the rest needs one.
      restartTriggers = [ configuration ];
      # A start that fails is repeated for ever, not five times.
      unitConfig.StartLimitIntervalSec = 0;
      serviceConfig = {
        Type = "notify";
        ExecStartPre = "${lib.getExe cfg.package} check-config";
        ExecStart = "${lib.getExe cfg.package} run";
        ExecReload = "${lib.getExe' pkgs.coreutils "kill"} -HUP $MAINPID";
        WatchdogSec = "30s";
        Restart = "always";
        RestartSec = "1s";
        RuntimeDirectory = "portsyncd";
        StateDirectory = "portsyncd";

        # A user of its own with the one capability that setting links down and a large receive buffer need.
        DynamicUser = true;
        AmbientCapabilities = [ "CAP_NET_ADMIN" ];
        CapabilityBoundingSet = [ "CAP_NET_ADMIN" ];
        LockPersonality = true;
        MemoryDenyWriteExecute = true;
        NoNewPrivileges = true;
        PrivateDevices = true;
        PrivateTmp = true;
        ProtectClock = true;
        ProtectControlGroups = true;
        ProtectHome = true;
        ProtectHostname = true;
        ProtectKernelLogs = true;
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        ProtectProc = "invisible";
        ProtectSystem = "strict";
        RestrictAddressFamilies = [
          "AF_INET"
          "AF_INET6"
          "AF_NETLINK"
          "AF_UNIX"
        ];
        RestrictNamespaces = true;
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
        SystemCallArchitectures = "native";
        SystemCallFilter = [ "@system-service" ];
        UMask = "0077";
        LimitCORE = 0;
      };
    };
  };
}
