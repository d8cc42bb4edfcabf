# The archive of the Helm chart, made by helm/package as without Nix.
{
  pkgs,
  chart,
  version,
  epoch,
}:
pkgs.runCommand "portsyncd-chart-${version}" { SOURCE_DATE_EPOCH = epoch; } ''
  bash ${chart}/helm/package --version ${version} --out "$out"
''
