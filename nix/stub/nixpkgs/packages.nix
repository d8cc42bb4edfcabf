# The packages and builders of nixpkgs that nix/ uses. Builders run bash with the programs of the machine.
{ lib, system }:
let
  cpu = builtins.head (builtins.match "([^-]*)-.*" system);
  path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  runCommand =
    name: env: text:
    let
      made = derivation (
        removeAttrs env [ "meta" ]
        // {
          inherit name system;
          builder = "/bin/bash";
          args = [
            "-euo"
            "pipefail"
            "-c"
            # bash becomes its last command where it can; Nix would kill one that closes its output before it ends.
            "patchShebangs() { :; }\n${text}\n:"
          ];
          PATH = path;
        }
      );
    in
    made // { meta = env.meta or { }; };
  writeText =
    name: text:
    runCommand name {
      inherit text;
      passAsFile = [ "text" ];
    } ''cp "$textPath" "$out"'';

  # A program that the machine has, or does not need for what is built with the stub.
  tool = name: runCommand name { meta.mainProgram = name; } ''mkdir -p "$out/bin"'';

  # TOML: sections with a heading, all below them inline.
  inline =
    value:
    if lib.isAttrs value then
      "{ ${
        lib.concatStringsSep ", " (
          lib.mapAttrsToList (name: inner: "${builtins.toJSON name} = ${inline inner}") value
        )
      } }"
    else if lib.isList value then
      "[${lib.concatStringsSep ", " (map inline value)}]"
    else if value == null then
      throw "TOML has no null"
    else
      builtins.toJSON value;
  pairs = set: lib.mapAttrsToList (name: value: "${name} = ${inline value}") set;
  toTOML =
    set:
    lib.concatStringsSep "\n" (
      pairs (lib.filterAttrs (_: value: !lib.isAttrs value) set)
      ++ lib.mapAttrsToList (
        name: section: lib.concatStringsSep "\n" ([ "[${name}]" ] ++ pairs section)
      ) (lib.filterAttrs (_: lib.isAttrs) set)
    )
    + "\n";
in
lib.genAttrs [
  "binutils"
  "cargo-deny"
  "cargo-nextest"
  "chromium"
  "clippy"
  "cosign"
  "dpkg"
  "gh"
  "iproute2"
  "jq"
  "kubernetes-helm"
  "nixfmt"
  "nixfmt-tree"
  "openssl"
  "prometheus"
  "prometheus-alertmanager"
  "redis"
  "rustfmt"
  "shellcheck"
  "skopeo"
  "syft"
] tool
// {
  inherit lib runCommand writeText;
  stdenv.hostPlatform = {
    inherit system;
    isAarch64 = cpu == "aarch64";
  };
  pkgsStatic = import ./packages.nix { inherit lib system; };
  pkgsCross.armv7l-hf-multiplatform.pkgsStatic = import ./packages.nix { inherit lib system; };

  # Its kill is named by the unit.
  coreutils = runCommand "coreutils" { } ''
    install -D -m 0755 /dev/stdin "$out/bin/kill" <<< $'#!/bin/sh\nkill "$@"'
  '';
  cacert = runCommand "cacert" { } ''
    mkdir -p "$out/etc/ssl/certs"
    cp /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/ca-bundle.crt"
  '';
  mkShell =
    {
      packages,
      inputsFrom ? [ ],
    }:
    runCommand "shell" { inherit packages inputsFrom; } ''touch "$out"'';
  linkFarm =
    name: entries:
    runCommand name { } (
      ''
        mkdir -p "$out"
      ''
      + lib.concatStringsSep "" (
        map (entry: ''
          ln -s ${entry.path} "$out/${entry.name}"
        '') entries
      )
    );
  writeShellApplication =
    {
      name,
      runtimeInputs,
      text,
    }:
    runCommand name
      {
        inherit runtimeInputs text;
        meta.mainProgram = name;
      }
      ''
        mkdir -p "$out/bin"
        printf '#!/bin/bash\n%s' "$text" > "$out/bin/${name}"
        chmod +x "$out/bin/${name}"
      '';
  formats.toml = _: {
    type = lib.types.anything;
    generate = name: value: writeText name (toTOML value);
  };

  # One folder: the layer and the configuration.
  dockerTools.buildLayeredImage =
    {
      name,
      tag,
      extraCommands,
      config,
    }:
    runCommand "image-${name}-${tag}"
      {
        inherit extraCommands;
        config = builtins.toJSON config;
      }
      ''
        mkdir -p "$out" layer
        (cd layer && eval "$extraCommands")
        printf '%s' "$config" > "$out/config.json"
        tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1 -C layer -cf "$out/layer.tar" .
      '';

  # Evaluates machines and script; starts none.
  testers.runNixOSTest =
    {
      name,
      nodes,
      testScript,
    }:
    let
      nixosSystem = import ./nixos.nix {
        inherit lib;
        packages = system: import ./packages.nix { inherit lib system; };
      };
      units = map (
        node:
        (nixosSystem {
          modules = [
            node
            { nixpkgs.hostPlatform = system; }
          ];
        }).config.systemd.units."portsyncd.service".unit
      ) (builtins.attrValues nodes);
    in
    runCommand name { inherit units testScript; } ''printf '%s' "$testScript" > "$out"'';
}
