//! What the daemon says of itself while something is wrong: the fault itself, in plain words, and readiness that fits.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};
use std::{fs, thread};

use crate::fixture::Rig;
use crate::fixture::wreck::{at_work_without_audit, redis};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portsyncd::api::{ComponentStatus, PortState, Status};
use portsyncd::lab::redis_server::{CONFIG_DB, STATE_DB};
use redis::Commands;

fn status(rig: &Rig) -> Status {
    rig.api("/api/v1/status")
}

fn component(rig: &Rig, name: &str) -> ComponentStatus {
    status(rig).components.into_iter().find(|component| component.name == name).unwrap()
}

#[test]
fn redis_that_refuses_rows_is_said_at_once_and_after_ten_seconds_not_ready() {
    let rig = at_work_without_audit(2);
    rig.expect_in_step(2);
    redis(&rig, "CONFIG SET maxmemory 1");
    rig.up("Ethernet0");
    let refuses = "Redis refuses rows: OOM";
    rig.until("the summary", || status(&rig).summary.starts_with(refuses));
    let health = status(&rig).health;
    let rows = health.parts.iter().find(|part| part.name == "rows").unwrap();
    assert!(rows.points < 1.0 && rows.reason.as_ref().unwrap().starts_with(refuses), "{health:?}");
    rig.until("not ready", || !status(&rig).ready);
    assert!(component(&rig, "rows").reason.unwrap().starts_with(refuses));
    redis(&rig, "CONFIG SET maxmemory 0");
    rig.until("ready again", || status(&rig).ready);
    rig.expect_row("Ethernet0", "up", "up", 1500);
    assert!(status(&rig).summary.starts_with("in service"), "{}", status(&rig).summary);
}

#[test]
fn a_key_of_another_type_blocks_its_port_until_it_is_deleted() {
    let mut rig = Rig::new(2);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "200ms");
    let rig = rig.set_to_work();
    rig.expect_in_step(2);
    let key = "PORT_TABLE|Ethernet0";
    let () = rig.db(STATE_DB).del(key).unwrap();
    let () = rig.db(STATE_DB).set(key, "a string").unwrap();
    let state = || rig.api::<portsyncd::api::PortList>("/api/v1/ports").ports[0].state;
    rig.until("the port to be blocked", || state() == PortState::Blocked);
    let now = status(&rig);
    assert!(!now.ready && now.health.score < 100 && now.ports.blocked == 1, "{now:?}");
    let reason = component(&rig, "ports").reason.unwrap();
    assert!(reason.contains(key) && reason.contains("delete it"), "{reason}");
    rig.expect_metric(r#"portsyncd_ports{state="blocked"}"#, |ports| ports > 0.5);
    let () = rig.db(STATE_DB).del(key).unwrap();
    rig.until("the port in step", || state() == PortState::InStep);
    rig.until("ready", || status(&rig).ready);
}

#[test]
fn a_second_daemon_is_named_and_neither_is_ready_until_one_ends() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "300ms");
    let rig = rig.set_to_work();
    rig.until("ready", || status(&rig).ready);
    let socket = rig.dir().join("second.sock");
    let mut second: Child = rig
        .command()
        .env("PORTSYNCD_CONTROL__SOCKET", &socket)
        .env("PORTSYNCD_STATE__DIR", rig.dir().join("second"))
        .env("PORTSYNCD_HTTP__LISTEN", "")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let names = format!("another portsyncd writes the same rows: process {} on ", second.id());
    rig.until("the first to say so", || {
        component(&rig, "rows").reason.is_some_and(|reason| reason.starts_with(&names))
    });
    assert!(!status(&rig).ready);
    let names = format!("process {} on ", rig.pid());
    rig.until("the second to say so", || {
        let mut status = rig.command();
        let output = status.env("PORTSYNCD_CONTROL__SOCKET", &socket).arg("status").stdout(Stdio::piped()).output();
        String::from_utf8(output.unwrap().stdout).unwrap().contains(&names)
    });
    kill(Pid::from_raw(second.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert!(second.wait().unwrap().success());
    rig.until("ready", || status(&rig).ready);
}

#[test]
fn a_server_that_tells_of_no_changes_is_named_once_and_shown() {
    let mut rig = Rig::new(1);
    redis(&rig, "CONFIG SET notify-keyspace-events ");
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "200ms");
    let rig = rig.set_to_work();
    rig.expect_log("Redis does not tell of changes");
    assert!(!status(&rig).redis.notifies["CONFIG_DB"]);
    assert!(rig.printed(&["status"]).contains("notify-keyspace-events"));
    redis(&rig, "CONFIG SET notify-keyspace-events KEA");
    rig.expect_log("Redis tells of changes");
    assert_eq!(rig.log_count("Redis does not tell of changes"), 1);
    rig.until("status to know it", || !rig.printed(&["status"]).contains("notify-keyspace-events"));
}

/// Alert rules and the level of the log are nothing that rows need.
#[test]
fn what_the_user_may_not_read_is_named_and_rows_go_on() {
    let mut rig = Rig::new(1);
    let acl = [
        "SETUSER",
        "sync",
        "on",
        ">secret",
        "+@all",
        "resetchannels",
        "&PORT_TABLE*",
        "&__keyspace@4__:PORT|*",
        "%W~LOGGER*",
        "~PORT*",
        "~_PORT_TABLE*",
        "~DEVICE_METADATA*",
        "~WARM_RESTART*",
    ];
    redis::cmd("ACL").arg(&acl).exec(&mut rig.db(0)).unwrap();
    let () = rig.db(CONFIG_DB).hset("PORTSYNCD_ALERT_RULE|Mine", "metric", "port_oper_up").unwrap();
    // It may be written, and says what the operator wants.
    let logger = "LOGGER|portsyncd";
    let () = rig.db(CONFIG_DB).del(logger).unwrap();
    let () = rig.db(CONFIG_DB).hset(logger, "LOGLEVEL", "DEBUG").unwrap();
    let password = rig.dir().join("password");
    fs::write(&password, "secret").unwrap();
    rig.set("PORTSYNCD_REDIS__USERNAME", "sync");
    rig.set("PORTSYNCD_REDIS__PASSWORD_FILE", password.to_str().unwrap());
    let rig = rig.set_to_work();
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    for denied in ["cannot read LOGGER from CONFIG_DB: NOPERM", "__keyspace@4__:PORTSYNCD_ALERT_RULE"] {
        rig.expect_log(denied);
    }
    assert_eq!(rig.hash(CONFIG_DB, logger), [("LOGLEVEL".to_owned(), "DEBUG".to_owned())].into());
    assert_eq!(rig.log_count("not reachable"), 0);
}

/// Answers every request with the beginning of a reply that never ends.
fn endless(path: &std::path::Path) -> UnixListener {
    let listener = UnixListener::bind(path).unwrap();
    let serving = listener.try_clone().unwrap();
    let answer = |mut stream: UnixStream| {
        let mut buffer = [0; 4096];
        let chunk = vec![b'x'; 64 * 1024];
        if stream.read(&mut buffer).is_ok_and(|read| read > 0) && stream.write_all(b"$500000000\r\n").is_ok() {
            while stream.write_all(&chunk).is_ok() {}
        }
    };
    thread::spawn(move || {
        serving.incoming().map_while(Result::ok).for_each(|stream| drop(thread::spawn(move || answer(stream))));
    });
    listener
}

#[test]
fn a_server_that_answers_without_end_is_left() {
    let mut rig = Rig::new(1);
    let path = rig.dir().join("endless.sock");
    let _listener = endless(&path);
    rig.set("PORTSYNCD_REDIS__URL", &format!("unix://{}", path.display()));
    rig.start();
    rig.expect_log("the server answers more than it was asked for");
    rig.until("several attempts", || {
        rig.metric("portsyncd_redis_connect_failures_total").is_some_and(|times| times > 3.0)
    });
    let process = fs::read_to_string(format!("/proc/{}/status", rig.pid())).unwrap();
    let peak = process.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 150 * 1024, "{kib} KiB");
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn check_config_reads_the_rules_of_config_db() {
    let rig = Rig::new(0);
    let key = "PORTSYNCD_ALERT_RULE|Mine";
    let () = rig.db(CONFIG_DB).hset(key, "metric", "no_such_metric").unwrap();
    let (code, complaint) = rig.complained(&["check-config"]);
    assert!(code == 78 && complaint.contains(key) && complaint.contains("no_such_metric"), "{code} {complaint}");
    let () = rig.db(CONFIG_DB).del(key).unwrap();
    assert!(rig.printed(&["check-config"]).contains("alert rules"));
}

#[test]
fn check_config_says_why_it_did_not_look_at_config_db() {
    let mut rig = Rig::new(0);
    rig.server.kill();
    let text = rig.printed(&["check-config"]);
    let line = text.lines().find(|line| line.contains("alert rules of CONFIG_DB are not looked at")).unwrap();
    assert!(line.contains("unix://") && line.ends_with("cannot connect to Redis: Connection refused"), "{line}");
}

#[test]
fn errors_name_the_address_once_and_in_plain_words() {
    let mut rig = Rig::new(0);
    let socket = rig.server.socket();
    rig.server.kill();
    let wanted = format!("portsyncd: unix://{}: cannot connect to Redis: Connection refused\n", socket.display());
    assert_eq!(rig.complained(&["observe", "--once"]), (69, wanted));
    rig.set("PORTSYNCD_REDIS__URL", "somewhere");
    let (code, complaint) = rig.complained(&["check-config"]);
    let wanted =
        "redis.url = somewhere: is no such URL; right is unix:///path, redis://host:port or rediss://host:port";
    assert!(code == 78 && complaint.contains(wanted), "{code} {complaint}");
}
