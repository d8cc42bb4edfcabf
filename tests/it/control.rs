//! The commands that ask the running daemon, against the real daemon, kernel and Redis.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::fixture::Rig;
use crate::fixture::terminal::Terminal;
use nix::sys::signal::Signal;
use portsyncd::api::{Port, PortList, PortState, Status};
use portsyncd::telemetry::catalog;

fn status(rig: &Rig) -> Status {
    serde_json::from_str(&rig.printed(&["status", "--json"])).unwrap()
}

fn port(rig: &Rig, name: &str) -> Port {
    let list: PortList = serde_json::from_str(&rig.printed(&["ports", "--json"])).unwrap();
    list.ports.into_iter().find(|port| port.name == name).unwrap()
}

/// A port's line in the table, word by word.
fn line(rig: &Rig, name: &str) -> Vec<String> {
    let table = rig.printed(&["ports"]);
    let line = table.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

fn watch(rig: &Rig, size: (u16, u16)) -> Terminal {
    let mut command = rig.command();
    Terminal::run(command.arg("watch"), size)
}

#[test]
fn ports_are_told_as_the_kernel_has_them() {
    let rig = Rig::at_work(3);
    rig.until("the socket", || rig.control_socket().exists());
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    // A row is told to be in step once Redis' answer was read, a moment after it can be read.
    rig.until("the port in step", || port(&rig, "Ethernet0").state == PortState::InStep);
    let before = port(&rig, "Ethernet0");
    let link = rig.link("Ethernet0");
    assert_eq!(
        (before.admin.as_deref(), before.oper.as_deref(), before.mtu, before.ifindex),
        (Some("up"), Some("up"), Some(link.mtu.into()), Some(link.ifindex))
    );
    let ifindex = link.ifindex.to_string();
    assert_eq!(line(&rig, "Ethernet0")[..5], ["Ethernet0", "up", "up", "1500", &ifindex]);
    rig.run(rig.links.set_carrier("Ethernet0", false));
    rig.run(rig.links.set_mtu("Ethernet0", 9000));
    rig.expect_row("Ethernet0", "up", "down", 9000);
    rig.until("the line to follow", || line(&rig, "Ethernet0")[1..4] == ["up", "down", "9000"]);
    assert_eq!(port(&rig, "Ethernet0").flaps, before.flaps + 1);
    rig.until("the line in step", || line(&rig, "Ethernet0").last().unwrap() == "yes");
    let table = rig.printed(&["ports"]);
    let names: Vec<&str> = table.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, rig.ports);
    assert!(!table.contains('\x1b'), "no colours where there is no terminal: {table:?}");
    rig.run(rig.links.delete("Ethernet0"));
    rig.until("the line to go", || !rig.printed(&["ports"]).contains("Ethernet0 "));
}

#[test]
fn status_is_told_whether_all_is_well_or_not() {
    let mut rig = Rig::at_work(2);
    rig.until("the socket", || rig.control_socket().exists());
    rig.until("readiness", || status(&rig).ready);
    let seen = status(&rig);
    assert_eq!((seen.pid, seen.ports.total, seen.start.done), (rig.pid(), 2, true));
    let expect = |parts: &[&str]| {
        for part in parts {
            rig.until(&format!("{part:?} in the status"), || rig.printed(&["status"]).contains(part));
        }
    };
    expect(&[
        "portsyncd ",
        "\nready       yes\n",
        "\nhealth      100 of 100\n",
        "\nports       2 in all, ",
        "PortInitDone after",
    ]);
    rig.server.kill();
    rig.until("unreadiness", || !status(&rig).ready);
    rig.until("the reason", || {
        let text = rig.printed(&["status"]);
        text.lines().any(|line| line.starts_with("  redis     not ready for ") && line.contains(": cannot connect"))
    });
    for part in ["\nready       no\n", "STATE_DB down", "\n  redis     0 of 30: "] {
        rig.until(&format!("{part:?} in the status"), || rig.printed(&["status"]).contains(part));
    }
}

#[test]
fn without_a_daemon_they_end_with_69_and_say_where_they_asked() {
    let mut rig = Rig::new(1);
    let socket = rig.control_socket();
    let expect = |rig: &Rig, reason: &str| {
        for arguments in [&["status"][..], &["status", "--json"], &["ports"], &["ports", "--json"]] {
            let output = rig.ask(arguments);
            let message = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(69), 0), "{arguments:?}: {message}");
            assert!(message.contains(socket.to_str().unwrap()) && message.contains(reason), "{message}");
        }
        let mut terminal = watch(rig, (80, 24));
        assert_eq!(terminal.expect_end().code(), Some(69));
        assert!(terminal.text().contains("cannot reach the daemon"), "{}", terminal.text());
    };
    expect(&rig, "is it running");
    rig.start();
    rig.until("an answer", || rig.ask(&["status"]).status.success());
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    rig.crash();
    expect(&rig, "is gone");
}

#[test]
fn healthcheck_tells_life_from_service_and_both_from_absence() {
    let mut rig = Rig::new(1);
    let told = |rig: &Rig, arguments: &[&str]| {
        let output = rig.ask(arguments);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (alive, ready) = (&["healthcheck"][..], &["healthcheck", "--ready"][..]);
    for arguments in [alive, ready] {
        assert_eq!(told(&rig, arguments), (Some(69), String::new()), "there is no daemon");
    }
    rig.start();
    rig.until("an answer", || told(&rig, alive) == (Some(0), "alive\n".to_owned()));
    rig.until("what it waits for", || {
        let (code, text) = told(&rig, ready);
        code == Some(1) && text.starts_with("not ready: ports: ") && text.contains("Ethernet0")
    });
    rig.run_orchagent();
    rig.expect_config_done();
    rig.add_ports();
    rig.until("service", || told(&rig, ready) == (Some(0), "ready\n".to_owned()));
    rig.server.kill();
    rig.until("the reason", || {
        let (code, text) = told(&rig, ready);
        code == Some(1) && text.starts_with("not ready: redis: unix:///") && text.contains("cannot connect")
    });
    assert_eq!(told(&rig, alive).0, Some(0), "it lives without Redis");
}

#[test]
fn a_socket_that_is_turned_off_is_a_matter_of_configuration() {
    let mut rig = Rig::new(0);
    rig.set("PORTSYNCD_CONTROL__SOCKET", "");
    for arguments in [["status"], ["ports"], ["watch"], ["healthcheck"]] {
        let output = rig.ask(&arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{message}");
        assert!(message.contains("control.socket"), "{message}");
    }
}

#[test]
fn metrics_need_neither_daemon_nor_configuration() {
    let mut rig = Rig::new(0);
    rig.argument("--config");
    rig.argument("/nonexistent.toml");
    assert_eq!(rig.printed(&["metrics"]), catalog::text());
    assert_eq!(rig.printed(&["metrics", "--markdown"]), catalog::markdown());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let rig = Rig::new(0);
    for argument in ["metrics", "check-config"] {
        let mut command = rig.command();
        let mut child = command.arg(argument).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{argument}");
    }
}

#[test]
fn watch_needs_a_terminal() {
    let rig = Rig::new(0);
    let output = rig.ask(&["watch"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("status --json"));
}

#[test]
fn watch_shows_what_changes_and_gives_the_terminal_back() {
    let rig = Rig::at_work(4);
    rig.until("the socket", || rig.control_socket().exists());
    rig.run(rig.links.set_admin_many(&rig.ports, true));
    rig.expect_in_step(4);
    let mut terminal = watch(&rig, (80, 24));
    terminal.expect("the alternate screen", vt100::Screen::alternate_screen);
    terminal.expect_line(&["READY", "in service, 4 ports are in step, 4 of them up"]);
    terminal.expect_line(&["Ethernet8", "▲ up", "1500"]);
    assert!(terminal.text().lines().next().unwrap().contains(env!("CARGO_PKG_VERSION")));
    rig.run(rig.links.set_carrier("Ethernet8", false));
    terminal.expect_line(&["Ethernet8", "× down", "1500"]);
    terminal.expect_line(&["Ethernet8 × down"]);
    rig.run(rig.links.set_mtu("Ethernet4", 9000));
    terminal.expect_line(&["Ethernet4", "▲ up", "9000"]);
    terminal.keys("/Ethernet4");
    terminal.expect_line(&["/Ethernet4", "Enter keeps the filter"]);
    terminal.expect_line(&["ports 1 of 4 with \"Ethernet4\""]);
    terminal.keys("\x1b");
    terminal.expect_line(&["q quit"]);
    terminal.keys("\x1b[F");
    terminal.expect_line(&["Ethernet12 admin up, oper up, in step"]);
    terminal.keys("p");
    terminal.expect_line(&["Ethernet0", "▲▲×▲"]);
    terminal.resize((120, 40));
    terminal.expect("the whole width", |screen| {
        screen.contents().lines().nth(3).is_some_and(|line| line.chars().count() == 120)
    });
    terminal.keys("q");
    assert_eq!(terminal.expect_end().code(), Some(0));
}

#[test]
fn watch_waits_for_a_daemon_that_is_restarted() {
    let mut rig = Rig::at_work(2);
    rig.until("the socket", || rig.control_socket().exists());
    let mut terminal = watch(&rig, (100, 30));
    terminal.expect_line(&["Ethernet4", "admin down"]);
    assert_eq!(rig.term(), Some(0));
    terminal.expect_line(&["NO ANSWER", "old, trying again"]);
    terminal.expect_line(&["Ethernet4", "admin down"]);
    rig.up("Ethernet4");
    rig.start();
    terminal.expect_line(&["READY", "in service"]);
    terminal.expect_line(&["Ethernet4", "▲ up"]);
    terminal.keys("\x03");
    assert_eq!(terminal.expect_end().code(), Some(0));
}

#[test]
fn watch_gives_the_terminal_back_when_it_is_told_to_end() {
    let rig = Rig::at_work(1);
    rig.until("the socket", || rig.control_socket().exists());
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let mut terminal = watch(&rig, (80, 24));
        terminal.expect_line(&["Ethernet0", "admin down"]);
        terminal.signal(signal);
        assert_eq!(terminal.expect_end().code(), Some(0), "{signal}");
    }
}

#[test]
fn watch_leaves_out_colours_where_they_are_not_wanted() {
    let mut rig = Rig::at_work(1);
    rig.until("the socket", || rig.control_socket().exists());
    for (no_color, coloured) in [("", true), ("1", false)] {
        rig.set("NO_COLOR", no_color);
        let mut terminal = watch(&rig, (80, 24));
        terminal.expect_line(&["READY"]);
        terminal.expect("the ports", |screen| screen.contents().contains("Ethernet0"));
        assert_eq!(terminal.coloured() > 0, coloured);
        terminal.keys("q");
        assert_eq!(terminal.expect_end().code(), Some(0));
    }
}
