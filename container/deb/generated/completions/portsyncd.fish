# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_portsyncd_global_optspecs
    string join \n config= log-level= h/help V/version
end

function __fish_portsyncd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_portsyncd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_portsyncd_using_subcommand
    set -l cmd (__fish_portsyncd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c portsyncd -n "__fish_portsyncd_needs_command" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_needs_command" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_needs_command" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_needs_command" -s V -l version -d 'Print version'
complete -c portsyncd -n "__fish_portsyncd_needs_command" -f -a "run" -d 'Run the daemon in the foreground; so does no command at all'
complete -c portsyncd -n "__fish_portsyncd_needs_command" -f -a "observe" -d 'Hold Redis against the kernel and tell what the daemon would write, without writing anything'
complete -c portsyncd -n "__fish_portsyncd_needs_command" -f -a "check-config" -d 'Read everything that the daemon would read, and print what holds'
complete -c portsyncd -n "__fish_portsyncd_needs_command" -f -a "status" -d 'Ask the running daemon how it stands; 0 if it answers, ready or not, 69 if it does not'
complete -c portsyncd -n "__fish_portsyncd_needs_command" -f -a "healthcheck" -d 'Ask the running daemon whether it is alive; 0 if it is, 1 if it hangs, 69 if it does not answer'
complete -c portsyncd -n "__fish_portsyncd_needs_command" -f -a "ports" -d 'Ask the running daemon about its ports'
complete -c portsyncd -n "__fish_portsyncd_needs_command" -f -a "alerts" -d 'Ask the running daemon about its alerts, and silence some'
complete -c portsyncd -n "__fish_portsyncd_needs_command" -f -a "rules" -d 'Ask the running daemon about its rules, or test rules without it'
complete -c portsyncd -n "__fish_portsyncd_needs_command" -f -a "watch" -d 'Watch the running daemon and its ports, live in the terminal'
complete -c portsyncd -n "__fish_portsyncd_needs_command" -f -a "metrics" -d 'Print every metric that the daemon has; needs no daemon'
complete -c portsyncd -n "__fish_portsyncd_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand run" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand run" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand run" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand observe" -l settle -d 'How long a difference may stand before it is told: whoever writes Redis needs some time' -r
complete -c portsyncd -n "__fish_portsyncd_using_subcommand observe" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand observe" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand observe" -l once -d 'Compare once and end: with 0 if nothing differs, with 1 if something does'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand observe" -l json -d 'A line of JSON whenever something changes'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand observe" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand check-config" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand check-config" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand check-config" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand status" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand status" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand status" -l json -d 'The daemon\'s JSON'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand status" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand healthcheck" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand healthcheck" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand healthcheck" -l ready -d 'Whether it is in service, rather than alive'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand healthcheck" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand ports" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand ports" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand ports" -l json -d 'The daemon\'s JSON'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand ports" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and not __fish_seen_subcommand_from list history silences silence unsilence help" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and not __fish_seen_subcommand_from list history silences silence unsilence help" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and not __fish_seen_subcommand_from list history silences silence unsilence help" -l json -d 'The daemon\'s JSON'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and not __fish_seen_subcommand_from list history silences silence unsilence help" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and not __fish_seen_subcommand_from list history silences silence unsilence help" -f -a "list" -d 'What fires, is suppressed or pending, and the silences; so does no word at all'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and not __fish_seen_subcommand_from list history silences silence unsilence help" -f -a "history" -d 'What went from one state to another, oldest first'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and not __fish_seen_subcommand_from list history silences silence unsilence help" -f -a "silences" -d 'The silences that are in force or begin later'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and not __fish_seen_subcommand_from list history silences silence unsilence help" -f -a "silence" -d 'Tell nobody of some alerts for a while; they go on being looked at and listed'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and not __fish_seen_subcommand_from list history silences silence unsilence help" -f -a "unsilence" -d 'End a silence'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and not __fish_seen_subcommand_from list history silences silence unsilence help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from list" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from list" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from list" -l json -d 'The daemon\'s JSON'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from history" -l last -d 'Only so many, the newest ones' -r
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from history" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from history" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from history" -l json -d 'The daemon\'s JSON'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silences" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silences" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silences" -l json -d 'The daemon\'s JSON'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silences" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l port -d 'The ports, as a name or a pattern [default: all, and alerts without a port]' -r
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l for -d 'For how long, for example 2h or "1h 30m"' -r
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l starts -d 'In how long it begins, for a maintenance window [default: now]' -r
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l comment -d 'Why, for whoever wonders' -r
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l author -d 'Who wants it [default: $SUDO_USER or $USER]' -r
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silence" -l json -d 'The daemon\'s JSON'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from silence" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from unsilence" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from unsilence" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from unsilence" -l json -d 'The daemon\'s JSON'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from unsilence" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from help" -f -a "list" -d 'What fires, is suppressed or pending, and the silences; so does no word at all'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from help" -f -a "history" -d 'What went from one state to another, oldest first'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from help" -f -a "silences" -d 'The silences that are in force or begin later'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from help" -f -a "silence" -d 'Tell nobody of some alerts for a while; they go on being looked at and listed'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from help" -f -a "unsilence" -d 'End a silence'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand alerts; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and not __fish_seen_subcommand_from list test help" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and not __fish_seen_subcommand_from list test help" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and not __fish_seen_subcommand_from list test help" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and not __fish_seen_subcommand_from list test help" -f -a "list" -d 'The rules that the daemon looks at, and how they stand'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and not __fish_seen_subcommand_from list test help" -f -a "test" -d 'Run tests of rules; needs no daemon. 0 if all is as expected, 1 if not, 78 if a file cannot be used'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and not __fish_seen_subcommand_from list test help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and __fish_seen_subcommand_from list" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and __fish_seen_subcommand_from list" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and __fish_seen_subcommand_from list" -l json -d 'The daemon\'s JSON'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and __fish_seen_subcommand_from test" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and __fish_seen_subcommand_from test" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and __fish_seen_subcommand_from help" -f -a "list" -d 'The rules that the daemon looks at, and how they stand'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and __fish_seen_subcommand_from help" -f -a "test" -d 'Run tests of rules; needs no daemon. 0 if all is as expected, 1 if not, 78 if a file cannot be used'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand rules; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand watch" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand watch" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand watch" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand metrics" -l config -d 'Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]' -r -F
complete -c portsyncd -n "__fish_portsyncd_using_subcommand metrics" -l log-level -d 'How much is logged, whatever file and CONFIG_DB say at the start' -r -f -a "error\t''
warn\t''
notice\t''
info\t''
debug\t''"
complete -c portsyncd -n "__fish_portsyncd_using_subcommand metrics" -l markdown -d 'As docs/metrics.md has it'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand metrics" -s h -l help -d 'Print help'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and not __fish_seen_subcommand_from run observe check-config status healthcheck ports alerts rules watch metrics help" -f -a "run" -d 'Run the daemon in the foreground; so does no command at all'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and not __fish_seen_subcommand_from run observe check-config status healthcheck ports alerts rules watch metrics help" -f -a "observe" -d 'Hold Redis against the kernel and tell what the daemon would write, without writing anything'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and not __fish_seen_subcommand_from run observe check-config status healthcheck ports alerts rules watch metrics help" -f -a "check-config" -d 'Read everything that the daemon would read, and print what holds'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and not __fish_seen_subcommand_from run observe check-config status healthcheck ports alerts rules watch metrics help" -f -a "status" -d 'Ask the running daemon how it stands; 0 if it answers, ready or not, 69 if it does not'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and not __fish_seen_subcommand_from run observe check-config status healthcheck ports alerts rules watch metrics help" -f -a "healthcheck" -d 'Ask the running daemon whether it is alive; 0 if it is, 1 if it hangs, 69 if it does not answer'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and not __fish_seen_subcommand_from run observe check-config status healthcheck ports alerts rules watch metrics help" -f -a "ports" -d 'Ask the running daemon about its ports'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and not __fish_seen_subcommand_from run observe check-config status healthcheck ports alerts rules watch metrics help" -f -a "alerts" -d 'Ask the running daemon about its alerts, and silence some'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and not __fish_seen_subcommand_from run observe check-config status healthcheck ports alerts rules watch metrics help" -f -a "rules" -d 'Ask the running daemon about its rules, or test rules without it'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and not __fish_seen_subcommand_from run observe check-config status healthcheck ports alerts rules watch metrics help" -f -a "watch" -d 'Watch the running daemon and its ports, live in the terminal'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and not __fish_seen_subcommand_from run observe check-config status healthcheck ports alerts rules watch metrics help" -f -a "metrics" -d 'Print every metric that the daemon has; needs no daemon'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and not __fish_seen_subcommand_from run observe check-config status healthcheck ports alerts rules watch metrics help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and __fish_seen_subcommand_from alerts" -f -a "list" -d 'What fires, is suppressed or pending, and the silences; so does no word at all'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and __fish_seen_subcommand_from alerts" -f -a "history" -d 'What went from one state to another, oldest first'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and __fish_seen_subcommand_from alerts" -f -a "silences" -d 'The silences that are in force or begin later'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and __fish_seen_subcommand_from alerts" -f -a "silence" -d 'Tell nobody of some alerts for a while; they go on being looked at and listed'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and __fish_seen_subcommand_from alerts" -f -a "unsilence" -d 'End a silence'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and __fish_seen_subcommand_from rules" -f -a "list" -d 'The rules that the daemon looks at, and how they stand'
complete -c portsyncd -n "__fish_portsyncd_using_subcommand help; and __fish_seen_subcommand_from rules" -f -a "test" -d 'Run tests of rules; needs no daemon. 0 if all is as expected, 1 if not, 78 if a file cannot be used'
