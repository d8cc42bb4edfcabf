{
  description = "SONiC's portsyncd in Rust: daemon, static binary, image, .deb, chart, NixOS module";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    crane.url = "github:ipetkov/crane";
  };

  outputs =
    {
      self,
      nixpkgs,
      crane,
    }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      # Calls a file of nix/ for each system.
      each =
        file:
        nixpkgs.lib.genAttrs systems (
          system:
          import file {
            inherit self nixpkgs crane;
            pkgs = nixpkgs.legacyPackages.${system};
            packages = self.packages.${system};
          }
        );
    in
    {
      packages = each ./nix/packages.nix;
      checks = each ./nix/checks.nix;
      apps = each ./nix/apps.nix;
      devShells = each ./nix/shell.nix;
      formatter = nixpkgs.lib.genAttrs systems (system: nixpkgs.legacyPackages.${system}.nixfmt-tree);

      # Virtual machines: built by name, not by `nix flake check`.
      legacyPackages = each ./nix/tests.nix;

      overlays.default = final: _: {
        inherit (self.packages.${final.stdenv.hostPlatform.system}) portsyncd portsyncd-static;
      };

      nixosModules.default = import ./nix/module.nix self;
    };
}
