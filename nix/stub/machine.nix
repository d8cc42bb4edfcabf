# A machine with the module, evaluated by the stubs: `binaries` has the programs, `portsyncd` what is set of services.portsyncd.
{
  binaries,
  portsyncd,
  system ? builtins.currentSystem,
}:
let
  lib = import ./nixpkgs/lib.nix;
  packages = system: import ./nixpkgs/packages.nix { inherit lib system; };
  package = (packages system).runCommand "portsyncd" { meta.mainProgram = "portsyncd"; } ''
    mkdir -p "$out/bin"
    cp ${binaries}/portsyncd "$out/bin/"
  '';
  machine = import ./nixpkgs/nixos.nix { inherit lib packages; } {
    modules = [
      (import ../module.nix { packages.${system}.portsyncd = package; })
      {
        nixpkgs.hostPlatform = system;
        services.portsyncd = portsyncd // {
          enable = true;
        };
      }
    ];
  };
in
{
  file = machine.config.environment.etc."sonic/portsyncd.toml".source;
  inherit (machine.config.systemd.units."portsyncd.service") unit;
}
