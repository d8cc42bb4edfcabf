# A small module system: options with types and defaults, definitions under `mkIf`, and systemd's units as text. What no option
# declares is merged without a type.
{ lib, packages }:
{ modules }:
let
  inherit (builtins)
    attrNames
    concatMap
    filter
    head
    isAttrs
    isFunction
    isList
    isPath
    length
    ;
  unique =
    list:
    attrNames (
      builtins.listToAttrs (
        map (name: {
          inherit name;
          value = null;
        }) list
      )
    );

  load =
    module:
    let
      value = if isPath module then import module else module;
      set =
        if isFunction value then
          value {
            inherit config lib pkgs;
          }
        else
          value;
    in
    concatMap load (set.imports or [ ])
    ++ [
      {
        options = set.options or { };
        config =
          set.config or (removeAttrs set [
            "imports"
            "options"
          ]);
      }
    ];
  loaded = concatMap load modules;

  # Definitions below a name: a condition is looked at only where there is one.
  names =
    definition: attrNames (if definition._type or "" == "if" then definition.content else definition);
  below =
    name: definition:
    if definition._type or "" == "if" then
      map (inner: lib.mkIf definition.condition inner) (below name definition.content)
    else if definition ? ${name} then
      [ definition.${name} ]
    else
      [ ];
  forced =
    definition:
    if definition._type or "" == "if" then
      if definition.condition then forced definition.content else [ ]
    else
      [ definition ];

  untyped =
    definitions:
    let
      values = concatMap forced definitions;
    in
    if length values == 1 then
      head values
    else if builtins.all isAttrs values then
      lib.genAttrs (unique (concatMap attrNames values)) (name: untyped (concatMap (below name) values))
    else if builtins.all isList values then
      builtins.concatLists values
    else
      throw "two definitions: ${builtins.toJSON values}";

  declared =
    path: option: definitions:
    let
      values = concatMap forced definitions;
      value = if values == [ ] then option.default else untyped values;
      where = lib.concatStringsSep "." path;
    in
    if values == [ ] && !(option ? default) then
      throw "${where} has no value"
    else if !option.type.check value then
      throw "${where} is not of type ${option.type.name}: ${builtins.toJSON value}"
    else if option.type ? options then
      lib.mapAttrs (name: inner: declared (path ++ [ name ]) inner (below name value)) option.type.options
    else
      value;

  evaluate =
    path: options: definitions:
    lib.genAttrs (unique (concatMap attrNames options ++ concatMap names definitions)) (
      name:
      let
        inner = concatMap (below name) options;
        found = concatMap (below name) definitions;
        here = path ++ [ name ];
      in
      if inner == [ ] then
        untyped found
      else if (head inner)._type or "" == "option" then
        declared here (head inner) found
      else
        evaluate here inner found
    );
  merged = evaluate [ ] (filter (options: options != { }) (map (module: module.options) loaded)) (
    map (module: module.config) loaded
  );

  text =
    value:
    if value == true then
      "true"
    else if value == false then
      "false"
    else
      toString value;
  section =
    name: settings:
    lib.concatStringsSep "\n" (
      [ "[${name}]" ] ++ lib.mapAttrsToList (key: value: "${key}=${text value}") settings
    );
  unit =
    name: service:
    pkgs.runCommand "unit-${name}"
      {
        content =
          lib.concatStringsSep "\n" [
            (section "Unit" (
              {
                Description = service.description or name;
                Documentation = service.documentation or [ ];
                After = service.after or [ ];
              }
              // service.unitConfig or { }
            ))
            (section "Service" (service.serviceConfig or { Type = "simple"; }))
            (section "Install" { WantedBy = service.wantedBy or [ ]; })
          ]
          + "\n";
      }
      ''
        mkdir -p "$out"
        printf '%s' "$content" > "$out/${name}.service"
      '';

  pkgs = packages config.nixpkgs.hostPlatform;
  config = merged // {
    systemd = merged.systemd // {
      units = builtins.listToAttrs (
        lib.mapAttrsToList (name: service: {
          name = "${name}.service";
          value.unit = unit name service;
        }) merged.systemd.services
      );
    };
  };
in
{
  inherit config;
}
