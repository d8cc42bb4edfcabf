# The crate, built by crane for whatever `pkgs` builds for. `checks` and `package` share nothing but their sources: checks are
# compiled without optimisation.
{
  pkgs,
  crane,
  self,
}:
let
  inherit (pkgs) lib;
  craneLib = crane.mkLib pkgs;
  sources = import ./sources.nix { inherit lib; };
  common = {
    inherit (craneLib.crateNameFromCargoToml { cargoToml = ../Cargo.toml; }) pname version;
    strictDeps = true;
  };

  release = common // {
    src = sources.package;
    doCheck = false;
  };

  checked = common // {
    src = sources.checked;
    CARGO_PROFILE = "dev";
  };
  withArtifacts = checked // {
    cargoArtifacts = craneLib.buildDepsOnly checked;
  };

  # Need namespaces, mounts, or signals to another process.
  privileged = lib.concatStringsSep "|" [
    "lab::(batch|links|netns)::"
    "switch::ports::"
    "what_is_served_inside_"
    "a_paused_server_does_not_answer_until_resumed"
    "lab::intfmgrd::"
    "a_redis_that_hangs_"
    "a_program_that_takes_too_long_"
    "a_full_disk_"
    "a_read_only_folder_"
    "no_room_for_another_file_"
    "trouble_with_the_disk_"
  ];
in
{
  package =
    {
      static ? false,
    }:
    craneLib.buildPackage (
      release
      // {
        cargoArtifacts = craneLib.buildDepsOnly release;
        # The daemon by itself, without what only the laboratory depends on.
        buildPhaseCargoCommand = ''
          cargoBuildLog=$(mktemp cargoBuildLogXXXX.json)
          build() { cargoWithProfile build --locked --message-format json-render-diagnostics "$@" >>"$cargoBuildLog"; }
          build --bin portsyncd --no-default-features
          build --bin portsyncd-lab
        '';
        PORTSYNCD_COMMIT =
          if self ? rev then builtins.substring 0 12 self.rev else self.dirtyShortRev or "unknown";
        meta = {
          description = "SONiC's portsyncd in Rust: kernel link events in, rows of SONiC's Redis databases out";
          license = lib.licenses.asl20;
          mainProgram = "portsyncd";
          platforms = lib.platforms.linux;
        };
      }
      // lib.optionalAttrs static {
        stripAllList = [ "bin" ];
        # Nothing of the store is needed to run it, so it may be copied anywhere.
        allowedReferences = [ ];
      }
    );

  checks = {
    clippy = craneLib.cargoClippy (
      withArtifacts // { cargoClippyExtraArgs = "--all-targets -- --deny warnings"; }
    );
    doc = craneLib.cargoDoc (
      withArtifacts
      // {
        cargoDocExtraArgs = "--no-deps --document-private-items";
        RUSTDOCFLAGS = "--deny warnings";
      }
    );
    nextest = craneLib.cargoNextest (
      withArtifacts
      // {
        cargoNextestExtraArgs = "--lib --bins --test it -E 'not test(/${privileged}/) and (not binary(it) or test(/^(model|alert_model|control_client|lab|sinks)::/))'";
        nativeBuildInputs = [ pkgs.redis ];
      }
    );
    fmt = craneLib.cargoFmt (common // { src = sources.checked; });
    deny = craneLib.cargoDeny (
      common
      // {
        src = sources.checked;
        # Advisories need a database from the network.
        cargoDenyChecks = "bans licenses sources";
      }
    );
  };
}
