# An image: the folder that container/image/rootfs makes, with the configuration of container/image/config.json. There is no
# store in it.
{
  self,
  pkgs,
  container,
  version,
  epoch,
  binaries,
}:
{
  name,
  lab ? false,
}:
let
  inherit (pkgs) lib;
  config = lib.importJSON ../container/image/config.json;
  cargo = (lib.importTOML ../Cargo.toml).package;
in
pkgs.dockerTools.buildLayeredImage {
  inherit name;
  tag = version;
  # The script makes ordinary files here, where it may also set the mode of /tmp, which a store path cannot keep.
  extraCommands = ''
    SOURCE_DATE_EPOCH=${epoch} bash ${container}/container/image/rootfs \
      --binary ${lib.getExe' binaries "portsyncd"} \
      ${lib.optionalString lab "--lab ${lib.getExe' binaries "portsyncd-lab"}"} \
      --ca-bundle ${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt \
      --out root
    mv root/* .
    rmdir root
  '';
  config = config // {
    Labels =
      config.Labels
      // {
        "org.opencontainers.image.version" = version;
        "org.opencontainers.image.revision" = self.rev or self.dirtyRev or "unknown";
      }
      // lib.optionalAttrs (cargo ? repository) {
        "org.opencontainers.image.source" = cargo.repository;
      };
  };
}
