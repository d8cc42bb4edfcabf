# The archive of the Helm chart, made by helm/package as without Nix.
{
  pkgs,
  sources,
  version,
  epoch,
}:
pkgs.runCommand "portsyncd-chart-${version}" { SOURCE_DATE_EPOCH = epoch; } ''
  bash ${sources.chart}/helm/package --version ${version} --out "$out"
''
