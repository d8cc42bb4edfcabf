# The functions of nixpkgs' lib that nix/ uses.
let
  inherit (builtins)
    all
    any
    attrNames
    concatMap
    elem
    hasAttr
    isAttrs
    isBool
    isInt
    isList
    isString
    listToAttrs
    mapAttrs
    pathExists
    stringLength
    substring
    ;
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  type = name: check: { inherit name check; };
in
rec {
  inherit
    hasPrefix
    isAttrs
    isList
    mapAttrs
    ;
  inherit (builtins) concatStringsSep;
  genAttrs =
    names: f:
    listToAttrs (
      map (name: {
        inherit name;
        value = f name;
      }) names
    );
  optionalAttrs = condition: set: if condition then set else { };
  optionalString = condition: text: if condition then text else "";
  filterAttrs =
    keep: set:
    listToAttrs (
      concatMap (
        name:
        if keep name set.${name} then
          [
            {
              inherit name;
              value = set.${name};
            }
          ]
        else
          [ ]
      ) (attrNames set)
    );
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  importTOML = file: fromTOML (builtins.readFile file);
  importJSON = file: builtins.fromJSON (builtins.readFile file);
  getExe' = package: program: "${package}/bin/${program}";
  getExe = package: getExe' package package.meta.mainProgram;
  licenses.asl20 = {
    spdxId = "Apache-2.0";
  };
  platforms.linux = [
    "x86_64-linux"
    "aarch64-linux"
    "armv7l-linux"
  ];

  fileset = {
    unions = files: files;
    toSource =
      { root, fileset }:
      let
        wanted = map (
          file: if pathExists file then toString file else throw "${toString file} does not exist"
        ) fileset;
        keep =
          path: any (file: path == file || hasPrefix "${file}/" path || hasPrefix "${path}/" file) wanted;
      in
      builtins.path {
        path = root;
        name = "source";
        filter = path: _: keep path;
      };
  };

  mkOption = option: option // { _type = "option"; };
  mkEnableOption =
    description:
    mkOption {
      type = types.bool;
      default = false;
      description = "Whether to enable ${description}.";
    };
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  literalExpression = text: {
    _type = "literalExpression";
    inherit text;
  };
  types = {
    anything = type "anything" (_: true);
    attrs = type "attrs" isAttrs;
    bool = type "bool" isBool;
    str = type "str" isString;
    package = type "package" (value: value.type or "" == "derivation");
    ints.unsigned = type "unsigned" (value: isInt value && value >= 0);
    ints.positive = type "positive" (value: isInt value && value > 0);
    enum = values: type "enum" (value: elem value values);
    nullOr = inner: type "nullOr ${inner.name}" (value: value == null || inner.check value);
    listOf = inner: type "listOf ${inner.name}" (value: isList value && all inner.check value);
    attrsOf =
      inner:
      type "attrsOf ${inner.name}" (
        value: isAttrs value && all (name: inner.check value.${name}) (attrNames value)
      );
    submodule =
      { options }:
      type "submodule" (value: isAttrs value && all (name: hasAttr name options) (attrNames value))
      // {
        inherit options;
      };
  };
}
