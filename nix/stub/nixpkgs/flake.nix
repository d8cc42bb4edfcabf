{
  description = "A stub of nixpkgs: as much as nix/ uses, over the machine's own programs";

  outputs =
    _:
    let
      lib = import ./lib.nix;
      packages = system: import ./packages.nix { inherit lib system; };
    in
    {
      lib = lib // {
        nixosSystem = import ./nixos.nix { inherit lib packages; };
      };
      legacyPackages = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
      ] packages;
    };
}
