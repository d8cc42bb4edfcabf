# Everything that the Makefile, .ci/run and a release need.
{ pkgs, packages, ... }:
{
  default = pkgs.mkShell {
    inputsFrom = [ packages.portsyncd ];
    packages = with pkgs; [
      cargo-deny
      cargo-nextest
      chromium
      clippy
      dpkg
      iproute2
      kubernetes-helm
      lintian
      openssl
      prometheus
      prometheus-alertmanager
      redis
      rustfmt
      shellcheck
    ];
  };
  # What the release workflow publishes and signs with.
  release = pkgs.mkShell {
    packages = with pkgs; [
      cosign
      gh
      kubernetes-helm
      skopeo
      syft
    ];
  };
}
