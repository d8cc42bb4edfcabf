# Every package of the flake for one system.
{
  self,
  crane,
  pkgs,
  ...
}:
let
  inherit (pkgs) lib;
  crate = pkgs: import ./crate.nix { inherit pkgs crane self; };
  sources = import ./sources.nix { inherit lib; };
  # container/source-date is called by the other scripts, and a build has no /usr/bin/env. What is packed stays as it is.
  container = pkgs.runCommand "container" { } ''
    cp -r ${sources.container} "$out"
    chmod -R u+w "$out"
    patchShebangs --build "$out/container/source-date"
  '';
  inherit ((lib.importTOML ../Cargo.toml).package) version;
  # What is packed bears the time of the commit, as without Nix.
  epoch = toString (self.lastModified or 315532800);

  portsyncd = (crate pkgs).package { };
  portsyncd-static = (crate pkgs.pkgsStatic).package { static = true; };
  portsyncd-armv7 = (crate pkgs.pkgsCross.armv7l-hf-multiplatform.pkgsStatic).package {
    static = true;
  };

  image = import ./image.nix {
    inherit
      self
      pkgs
      container
      version
      epoch
      ;
    binaries = portsyncd-static;
  };
  deb =
    binaries: arch:
    import ./deb.nix {
      inherit
        pkgs
        container
        version
        epoch
        binaries
        arch
        ;
    };
in
{
  inherit portsyncd portsyncd-static portsyncd-armv7;
  default = portsyncd;
  oci-image = image { name = "portsyncd"; };
  oci-image-lab = image {
    name = "portsyncd-lab";
    lab = true;
  };
  deb = deb portsyncd-static (if pkgs.stdenv.hostPlatform.isAarch64 then "arm64" else "amd64");
  deb-armhf = deb portsyncd-armv7 "armhf";
  helm-chart = import ./chart.nix {
    inherit
      pkgs
      sources
      version
      epoch
      ;
  };
}
