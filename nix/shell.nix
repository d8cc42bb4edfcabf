# What the Makefile, .ci/run and a release use, but for Debian's own tools (lintian, mmdebstrap).
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
