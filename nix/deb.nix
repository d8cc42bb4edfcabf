# The Debian packages, made by container/deb/build as without Nix.
{
  pkgs,
  container,
  version,
  epoch,
  binaries,
  arch,
}:
pkgs.runCommand "sonic-portsyncd-${arch}-${version}"
  {
    nativeBuildInputs = [ pkgs.dpkg ];
    SOURCE_DATE_EPOCH = epoch;
  }
  ''
    bash ${container}/container/deb/build \
      --binary ${binaries}/bin/portsyncd \
      --lab ${binaries}/bin/portsyncd-lab \
      --arch ${arch} \
      --version ${version} \
      --out "$out"
  ''
