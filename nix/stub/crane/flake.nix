{
  description = "A stub of crane: what nix/ uses of it, compiling nothing";

  outputs = _: {
    mkLib =
      pkgs:
      let
        build =
          suffix:
          {
            pname,
            version,
            meta ? { },
            ...
          }@args:
          assert args.strictDeps;
          pkgs.runCommand "${pname}${suffix}-${version}" {
            inherit (args) strictDeps;
            src = args.src or null;
            cargoArtifacts = args.cargoArtifacts or null;
            inherit meta;
          } (args.installed or "echo 'the stub of crane compiles nothing' >&2; exit 1");
        # Programs that were compiled elsewhere, for builds with --impure. Without the variable there are none.
        binaries = builtins.getEnv "PORTSYNCD_STUB_BINARIES";
      in
      {
        crateNameFromCargoToml =
          { cargoToml }:
          {
            pname = (fromTOML (builtins.readFile cargoToml)).package.name;
            inherit ((fromTOML (builtins.readFile cargoToml)).package) version;
          };
        buildPackage =
          args:
          build "" (
            removeAttrs args [ "cargoArtifacts" ]
            // (
              if binaries == "" then
                { }
              else
                {
                  installed = ''
                    mkdir -p "$out/bin"
                    install -m 0755 ${binaries}/portsyncd ${binaries}/portsyncd-lab "$out/bin/"
                  '';
                }
            )
          );
        buildDepsOnly = build "-deps";
        cargoClippy = build "-clippy";
        cargoDeny = build "-deny";
        cargoDoc = build "-doc";
        cargoFmt = build "-fmt";
        cargoNextest = build "-nextest";
      };
  };
}
