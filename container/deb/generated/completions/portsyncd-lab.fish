# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_portsyncd_lab_global_optspecs
    string join \n h/help V/version
end

function __fish_portsyncd_lab_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_portsyncd_lab_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_portsyncd_lab_using_subcommand
    set -l cmd (__fish_portsyncd_lab_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c portsyncd-lab -n "__fish_portsyncd_lab_needs_command" -s h -l help -d 'Print help'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_needs_command" -s V -l version -d 'Print version'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_needs_command" -f -a "bench" -d 'Measure any portsyncd executables: latency, bursts, starts, restarts, steady load, alert rules, memory'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_needs_command" -f -a "bench-worker" -d 'One measured executable, in namespaces of its own; what `bench` starts'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_needs_command" -f -a "bench-clients" -d 'Clients of a daemon\'s HTTP; what the worker starts'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_needs_command" -f -a "bench-generated" -d 'The daemon\'s parts with messages that are made up, in a process of their own; what `bench` starts'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_needs_command" -f -a "conformance" -d 'Run scenario files against any portsyncd executable and compare what it does to Redis and the links'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_needs_command" -f -a "conformance-one" -d 'One scenario, in namespaces of its own; what `conformance` starts'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_needs_command" -f -a "demo" -d 'One command and no set-up: a fake switch, a real Redis, the real daemon, links going up and down, shown live'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_needs_command" -f -a "floor" -d 'The least that can be between the kernel and Redis; what `bench` compares with'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_needs_command" -f -a "switch" -d 'The fake switch: ports of APPL_DB become veth pairs, as orchagent would make them'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench" -l bin -d 'The executable to measure' -r -F
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench" -l against -d 'Another one to compare it with: the C++ daemon, an older build; can be repeated' -r -F
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench" -l json -d 'Write everything as JSON to this file; - writes it to standard output in place of the tables' -r -F
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench" -l only -d 'Only these measurements' -r -f -a "latency\t'One change at a time, until its row is there'
burst\t'All ports changed at once'
start\t'Cold start until PortConfigDone'
restart\t'Live and warm restart'
load\t'Steady changes, with and without clients of the daemon\'s HTTP'
rules\t'Single changes and bursts with some numbers of alert rules'
memory\t'Memory and wake-ups while idle'
generated\t'Messages that are made up, through the parts of the daemon that this laboratory was built with'"
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench" -l ports -d 'Numbers of ports, for every measurement' -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench" -l events -d 'Events of each latency measurement' -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench" -l rounds -d 'Turns that each executable has: slices of a latency measurement, repetitions of the others' -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench" -l short -d 'Small numbers, to see that everything works: says nothing about speed'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench" -l instructions -d 'Count user instructions for each event too, by valgrind'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench" -l markdown -d 'Print tables in Markdown'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench-worker" -l bin -r -F
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench-worker" -l floor
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench-worker" -s h -l help -d 'Print help'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench-clients" -l count -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench-clients" -s h -l help -d 'Print help'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench-generated" -l ports -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand bench-generated" -s h -l help -d 'Print help'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand conformance" -l bin -d 'The executable: this daemon, the C++ one, any other' -r -F
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand conformance" -l filter -d 'Only scenarios whose file name or title contains this' -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand conformance" -l jobs -d 'Scenarios at once [default: one for each processor]' -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand conformance" -l skip-beyond -d 'Leave out what goes beyond the C++ daemon'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand conformance" -l rewrite -d 'Write what happens into the files as their expectations (or set `PORTSYNCD_REWRITE=1`)'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand conformance" -l json -d 'Print one JSON object instead of text'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand conformance" -s h -l help -d 'Print help'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand conformance-one" -l bin -r -F
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand conformance-one" -l rewrite
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand conformance-one" -s h -l help -d 'Print help'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand demo" -l ports -d 'Ports of the switch' -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand demo" -l seconds -d 'The most that all steps together may take' -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand demo" -l bin -d 'The daemon [default: portsyncd beside this program]' -r -F
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand demo" -l seed -d 'Seed of the flaps' -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand demo" -l hold -d 'Keep everything running after the steps, to play with, until Ctrl-C'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand demo" -s h -l help -d 'Print help'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand floor" -s h -l help -d 'Print help'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l redis-socket -d 'Unix socket of the Redis server' -r -F
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l redis-url -d 'The Redis server as a URL: `unix:///path` or `redis://[user:password@]host:port`' -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l database-config -d '`database_config.json` of the switch: numbers, separators and instances' -r -F
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l ports -d 'Ports that CONFIG_DB is given' -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l flap-rate -d 'Flaps per second over all ports' -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l flap -d 'What flaps' -r -f -a "carrier\t'The cable is pulled and plugged'
admin\t'The port is set down and up'
both\t'Now the one, now the other'"
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l seed -d 'Seed of the flaps: the same gives the same flaps' -r
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l no-seed -d 'Leave CONFIG_DB alone'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l reseed -d 'Replace rows that are in CONFIG_DB'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l seed-only -d 'End once CONFIG_DB has the ports: as on a switch, where it is filled before portsyncd starts'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l intfmgrd -d 'Play intfmgrd too: each write of a port\'s row in STATE_DB gives the port its link-local address if it is up, and its MTU to its sub-interfaces (CONFIG_DB\'s `VLAN_SUB_INTERFACE`)'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l commands -d 'Take commands from standard input, a line each, and answer by lines of JSON: orchagent (what it was handed), orchagent-restart (another one begins; so does SIGUSR1), breakout PORT NUMBER'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -l keep -d 'Leave the links at the end'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand switch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand help; and not __fish_seen_subcommand_from bench bench-worker bench-clients bench-generated conformance conformance-one demo floor switch help" -f -a "bench" -d 'Measure any portsyncd executables: latency, bursts, starts, restarts, steady load, alert rules, memory'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand help; and not __fish_seen_subcommand_from bench bench-worker bench-clients bench-generated conformance conformance-one demo floor switch help" -f -a "bench-worker" -d 'One measured executable, in namespaces of its own; what `bench` starts'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand help; and not __fish_seen_subcommand_from bench bench-worker bench-clients bench-generated conformance conformance-one demo floor switch help" -f -a "bench-clients" -d 'Clients of a daemon\'s HTTP; what the worker starts'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand help; and not __fish_seen_subcommand_from bench bench-worker bench-clients bench-generated conformance conformance-one demo floor switch help" -f -a "bench-generated" -d 'The daemon\'s parts with messages that are made up, in a process of their own; what `bench` starts'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand help; and not __fish_seen_subcommand_from bench bench-worker bench-clients bench-generated conformance conformance-one demo floor switch help" -f -a "conformance" -d 'Run scenario files against any portsyncd executable and compare what it does to Redis and the links'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand help; and not __fish_seen_subcommand_from bench bench-worker bench-clients bench-generated conformance conformance-one demo floor switch help" -f -a "conformance-one" -d 'One scenario, in namespaces of its own; what `conformance` starts'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand help; and not __fish_seen_subcommand_from bench bench-worker bench-clients bench-generated conformance conformance-one demo floor switch help" -f -a "demo" -d 'One command and no set-up: a fake switch, a real Redis, the real daemon, links going up and down, shown live'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand help; and not __fish_seen_subcommand_from bench bench-worker bench-clients bench-generated conformance conformance-one demo floor switch help" -f -a "floor" -d 'The least that can be between the kernel and Redis; what `bench` compares with'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand help; and not __fish_seen_subcommand_from bench bench-worker bench-clients bench-generated conformance conformance-one demo floor switch help" -f -a "switch" -d 'The fake switch: ports of APPL_DB become veth pairs, as orchagent would make them'
complete -c portsyncd-lab -n "__fish_portsyncd_lab_using_subcommand help; and not __fish_seen_subcommand_from bench bench-worker bench-clients bench-generated conformance conformance-one demo floor switch help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
