# `nix run` starts the daemon, `nix run .#demo` the demo with a Redis of its own.
{ pkgs, packages, ... }:
let
  inherit (pkgs) lib;
  demo = pkgs.writeShellApplication {
    name = "portsyncd-demo";
    runtimeInputs = [
      pkgs.iproute2
      pkgs.redis
    ];
    text = ''
      exec ${lib.getExe' packages.portsyncd "portsyncd-lab"} demo "$@"
    '';
  };
  app = program: description: {
    type = "app";
    inherit program;
    meta = { inherit description; };
  };
in
{
  default = app (lib.getExe packages.portsyncd) "The daemon";
  demo = app (lib.getExe demo) "A switch at work in namespaces of its own";
}
