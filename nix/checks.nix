# What `nix flake check` builds.
{
  self,
  nixpkgs,
  crane,
  pkgs,
  packages,
}:
let
  inherit (pkgs) lib;
  sources = import ./sources.nix { inherit lib; };
  crate = import ./crate.nix { inherit pkgs crane self; };
  system = pkgs.stdenv.hostPlatform.system;

  # A machine with the module, without anything that would be booted.
  machine = nixpkgs.lib.nixosSystem {
    modules = [
      self.nixosModules.default
      ./example.nix
      {
        boot.isContainer = true;
        nixpkgs.hostPlatform = system;
        system.stateVersion = "26.05";
      }
    ];
  };
in
crate.checks
// {
  # Neither a loader nor a library, and it runs. (That it refers to nothing in the store the package itself makes sure of.)
  static-is-static = pkgs.runCommand "static-is-static" { nativeBuildInputs = [ pkgs.binutils ]; } ''
    for program in portsyncd portsyncd-lab; do
      file=${packages.portsyncd-static}/bin/$program
      headers=$(readelf --program-headers --dynamic "$file")
      if grep -E 'INTERP|NEEDED' <<< "$headers"; then
        echo "$program is not static" >&2
        exit 1
      fi
      "$file" --version
    done
    touch "$out"
  '';

  # The rendered configuration went through check-config to be here.
  module =
    pkgs.runCommand "module"
      {
        unit = machine.config.systemd.units."portsyncd.service".unit;
        config = machine.config.environment.etc."sonic/portsyncd.toml".source;
      }
      ''
        grep -q '^\[redis\]' "$config"
        grep -q "^ExecStart=.*/bin/portsyncd run" "$unit/portsyncd.service"
        touch "$out"
      '';

  # Every configuration that image, .deb and documents ship.
  configurations = pkgs.runCommand "configurations" { } ''
    found=0
    for file in $(find ${sources.container} -name 'portsyncd*.toml'); do
      ${lib.getExe packages.portsyncd} --config "$file" check-config > /dev/null
      found=$((found + 1))
    done
    test "$found" -gt 0
    touch "$out"
  '';

  chart = pkgs.runCommand "chart" { nativeBuildInputs = [ pkgs.kubernetes-helm ]; } ''
    for mode in lab node; do
      helm lint --strict --set mode="$mode" ${packages.helm-chart}/*.tgz
      helm template --set mode="$mode" ${packages.helm-chart}/*.tgz > /dev/null
    done
    touch "$out"
  '';

  nixfmt = pkgs.runCommand "nixfmt" { nativeBuildInputs = [ pkgs.nixfmt ]; } ''
    find ${sources.nix} -name '*.nix' -exec nixfmt --check {} +
    touch "$out"
  '';
}
