# The files that each artifact is made from: a change of any other file rebuilds nothing.
{ lib }:
let
  select =
    files:
    lib.fileset.toSource {
      root = ../.;
      fileset = lib.fileset.unions files;
    };
  # Cargo.toml names benches and tests, so they have to be there.
  crate = [
    ../Cargo.toml
    ../Cargo.lock
    ../src
    ../benches
    ../tests
  ];
in
{
  package = select crate;
  # Tests compare the program with its documents; the tools have their settings in files.
  checked = select (
    crate
    ++ [
      ../container
      ../docs
      ../clippy.toml
      ../deny.toml
      ../rustfmt.toml
    ]
  );
  # Scripts and files of image and .deb, the same that a build without Nix uses.
  container = select [
    ../container
    ../CHANGELOG.md
    ../LICENSE
    ../src/alert/rules/defaults.toml
  ];
  chart = select [
    ../helm
    ../docs/monitoring
  ];
  nix = select [
    ../flake.nix
    ../nix
  ];
}
