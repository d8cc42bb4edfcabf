//! Single faults between the daemon and one server.

use std::fs;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portsyncd::lab::redis_server::{APPL_DB, CONFIG_DB, Options, STATE_DB};
use portsyncd::lab::wait;
use redis::Commands;

use super::proxy::{Fault, Proxy};
use crate::fixture::watcher::Watcher;
use crate::fixture::{LIMIT, Rig, http};

/// The daemon reaches its Redis by a proxy, and has no audit.
fn rig(ports: usize) -> (Rig, Proxy) {
    with_server(ports, Options::default())
}

fn with_server(ports: usize, options: Options) -> (Rig, Proxy) {
    let mut rig = Rig::with_server(ports, options);
    let proxy = Proxy::start(&rig.server.socket(), rig.dir().join("proxy.sock"));
    rig.set("PORTSYNCD_REDIS__URL", &proxy.url());
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "0s");
    (rig, proxy)
}

fn set(rig: &Rig, setting: &str, value: &str) {
    redis::cmd("CONFIG").arg("SET").arg(setting).arg(value).exec(&mut rig.db(0)).unwrap();
}

/// What a warm restart leaves in the databases, with a row for each port.
fn warm(rig: &Rig) {
    let mut state = rig.db(STATE_DB);
    let () = state.hset("WARM_RESTART_ENABLE_TABLE|system", "enable", "true").unwrap();
    let () = state.hset("WARM_RESTART_TABLE|portsyncd", "restore_count", "7").unwrap();
    let mut appl = rig.db(APPL_DB);
    let () = appl.hset("PORT_TABLE:PortConfigDone", "count", rig.ports.len()).unwrap();
    for port in &rig.ports {
        let () = appl.hset(format!("PORT_TABLE:{port}"), "admin_status", "up").unwrap();
    }
}

fn restore_count(rig: &Rig) -> Option<String> {
    rig.hash(STATE_DB, "WARM_RESTART_TABLE|portsyncd").remove("restore_count")
}

fn is_ready(rig: &Rig) -> bool {
    http::get(rig.http(), "/readyz").is_ok_and(|answer| answer.code == 200)
}

#[test]
fn a_warm_start_stays_warm_though_the_server_is_loading() {
    // It answers after each kilobyte, so after each key.
    let slowly =
        ["--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024", "--rdbcompression", "no"];
    let args = slowly.map(str::to_owned).to_vec();
    let (mut rig, proxy) = with_server(2, Options { args, ..Options::default() });
    rig.set("PORTSYNCD_LOG__LEVEL", "debug");
    warm(&rig);
    for port in rig.ports.clone() {
        rig.run(rig.links.add_ifb(&port));
        rig.up(&port);
    }
    let mut ballast = redis::pipe();
    for n in 0..600 {
        ballast.set(format!("ballast{n}"), "x".repeat(1100));
    }
    let () = ballast.query(&mut rig.db(3)).unwrap();
    proxy.refuse(true);
    rig.start();
    rig.expect_log("Redis is not reachable");
    let log = rig.dir().join("daemon1.log");
    let (info, server) = (rig.server.connection_info(0).unwrap(), &mut rig.server);
    std::thread::scope(|scope| {
        scope.spawn(|| server.save_and_restart().unwrap());
        let client = redis::Client::open(info).unwrap();
        let is_loading = || {
            let answer = client.get_connection().and_then(|mut db| redis::cmd("GET").arg("a").exec(&mut db));
            answer.is_err_and(|error| error.code() == Some("LOADING"))
        };
        wait::until("the server to load", LIMIT, is_loading).unwrap();
        proxy.refuse(false);
        let heard = || fs::read_to_string(&log).unwrap().contains("LOADING");
        wait::until("the daemon to hear of it", LIMIT, heard).unwrap();
        assert!(is_loading());
        let mut db = client.get_connection().unwrap();
        redis::cmd("CONFIG").arg("SET").arg("key-load-delay").arg("0").exec(&mut db).unwrap();
    });
    rig.run_orchagent();
    rig.until("PortInitDone", || rig.orchagent().count("PortInitDone") == 1);
    rig.expect_in_step(2);
    assert_eq!(restore_count(&rig).as_deref(), Some("8"));
    assert!(rig.orchagent().seen().iter().all(|entry| entry.key == "PortInitDone"), "nothing else is published");
    assert!(rig.ports.iter().all(|port| rig.link(port).admin_up));
    assert_eq!(rig.term(), Some(0));
}

fn old_links(rig: &Rig, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|n| format!("Ethernet{}", 1000 + n)).collect();
    for name in &names {
        rig.run(rig.links.add_ifb(name));
    }
    rig.run(rig.links.set_admin_many(&names, true));
    names
}

fn up(rig: &Rig) -> usize {
    let links = rig.run(rig.links.list());
    links.iter().filter(|link| link.name.starts_with("Ethernet") && link.admin_up).count()
}

#[test]
fn all_old_links_are_set_down_though_redis_is_lost_meanwhile() {
    let (mut rig, proxy) = rig(2);
    old_links(&rig, 512);
    proxy.arm_each(Fault::CutBehind, |command| command.starts_with("HSET WARM_RESTART_TABLE"));
    rig.start();
    rig.expect_log("Redis is not reachable");
    rig.until("all links to be down", || up(&rig) == 0);
    assert!(rig.mark("PortConfigDone").is_empty());
    proxy.pass();
    assert_eq!(rig.expect_config_done(), "2");
    assert_eq!((up(&rig), restore_count(&rig).as_deref()), (0, Some("0")));
}

/// It is lost right after the count is written, before anything is published.
#[test]
fn restore_count_is_written_again_to_a_redis_that_comes_back_without_it() {
    let (mut rig, proxy) = rig(2);
    old_links(&rig, 512);
    proxy.arm_each(Fault::CutBehind, |command| command.starts_with("HSET WARM_RESTART_TABLE"));
    rig.start();
    rig.expect_log("Redis is not reachable");
    let () = rig.db(STATE_DB).del("WARM_RESTART_TABLE|portsyncd").unwrap();
    proxy.pass();
    assert_eq!(rig.expect_config_done(), "2");
    rig.until("restore_count", || restore_count(&rig).as_deref() == Some("0"));
}

#[test]
fn a_listening_connection_that_is_half_open_is_made_anew() {
    let (mut rig, proxy) = rig(2);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "100ms");
    rig.set("PORTSYNCD_REDIS__RESPONSE_TIMEOUT", "300ms");
    let rig = rig.set_to_work();
    rig.expect_in_step(2);
    rig.until("readiness", || is_ready(&rig));
    assert_eq!(proxy.deafen_listening(), 1);
    rig.until("it to be noticed", || rig.log_count("cannot listen to keyspace notifications") > 0);
    rig.expect_log("Redis is back");
    let () = rig.db(STATE_DB).hset("PORT_TABLE|Ethernet0", "mtu", "1").unwrap();
    rig.expect_in_step(2);
    rig.until("orchagent to take it", || rig.exists(APPL_DB, "PORT_TABLE:PortInitDone"));
    let () = rig.db(APPL_DB).del("PORT_TABLE:PortInitDone").unwrap();
    rig.until("PortInitDone again", || rig.orchagent().count("PortInitDone") == 2);
    rig.until("readiness", || is_ready(&rig));
}

#[test]
fn a_late_row_is_found_though_the_listening_connection_is_half_open() {
    let (mut rig, proxy) = rig(2);
    rig.set("PORTSYNCD_REDIS__RESPONSE_TIMEOUT", "300ms");
    let rig = rig.set_to_work();
    rig.expect_in_step(2);
    assert_eq!(proxy.deafen_listening(), 1);
    rig.run(rig.links.add_ifb("Ethernet96"));
    rig.expect_log("Redis is back");
    rig.put_appl_row("Ethernet96");
    rig.expect_row("Ethernet96", "down", "down", 1500);
}

#[test]
fn sigterm_ends_at_once_what_waits_for_a_server_that_hangs() {
    let mut rig = Rig::new(2);
    for setting in ["SHUTDOWN__GRACE", "REDIS__RESPONSE_TIMEOUT", "REDIS__CONNECT_TIMEOUT"] {
        rig.set(&format!("PORTSYNCD_{setting}"), "1h");
    }
    rig.server.pause().unwrap();
    rig.start();
    rig.expect_log("serving HTTP");
    assert_eq!(rig.term(), Some(0));
    rig.server.resume().unwrap();
}

#[test]
fn told_to_end_no_start_begins() {
    let (mut rig, proxy) = rig(2);
    rig.set("PORTSYNCD_SHUTDOWN__GRACE", "1h");
    old_links(&rig, 4);
    proxy.arm_each(Fault::Hold, |command| command.starts_with("HGET WARM_RESTART_TABLE"));
    rig.start();
    rig.until("the start to ask", || proxy.is_holding());
    rig.signal(Signal::SIGTERM);
    rig.expect_log("told to end");
    proxy.pass();
    assert_eq!(rig.exit_status().code(), Some(0));
    assert_eq!((up(&rig), restore_count(&rig)), (4, None));
    let keys: Vec<String> = rig.db(APPL_DB).keys("*").unwrap();
    assert!(keys.is_empty(), "{keys:?}");
}

fn ends_at_once(mut child: Child) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let ended = wait::until_some("the daemon's end", LIMIT, || child.try_wait().unwrap());
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(ended.unwrap().code(), Some(0));
}

#[test]
fn sigterm_ends_at_once_what_waits_for_a_name_server() {
    let mut rig = Rig::new(0);
    rig.set("PORTSYNCD_SHUTDOWN__GRACE", "1h");
    rig.set("PORTSYNCD_REDIS__CONNECT_TIMEOUT", "1h");
    rig.set("PORTSYNCD_REDIS__URL", "redis://redis.example:6379");
    // Hears, and says nothing.
    let server = UdpSocket::bind("127.0.0.1:53").unwrap();
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let path = rig.dir().join("resolv.conf");
    fs::write(&path, "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n").unwrap();
    let daemon = rig.command();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""]);
    command.arg(&path).arg(daemon.get_program()).args(daemon.get_args()).stdin(Stdio::null()).stdout(Stdio::null());
    let log = fs::File::create(rig.dir().join("log")).unwrap();
    for (name, value) in daemon.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let child = command.stderr(log).spawn().unwrap();
    let mut question = [0; 512];
    let heard = server.recv(&mut question);
    let asked = String::from_utf8_lossy(&question).contains("example");
    ends_at_once(child);
    assert!(heard.is_ok() && asked, "{}", fs::read_to_string(rig.dir().join("log")).unwrap());
}

#[test]
fn sigterm_ends_at_once_what_waits_for_an_address_that_says_nothing() {
    let mut rig = Rig::new(0);
    rig.set("PORTSYNCD_SHUTDOWN__GRACE", "1h");
    rig.set("PORTSYNCD_REDIS__CONNECT_TIMEOUT", "1h");
    rig.set("PORTSYNCD_REDIS__URL", "redis://10.9.9.2:6379");
    rig.run(rig.links.add_ifb("void"));
    rig.up("void");
    for arguments in
        ["address add 10.9.9.1/24 dev void", "neighbour add 10.9.9.2 lladdr 02:00:00:00:00:02 dev void nud permanent"]
    {
        assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success());
    }
    rig.start();
    rig.until("a connection that is being made", || {
        let sockets = fs::read_to_string(format!("/proc/{}/net/tcp", rig.pid())).unwrap();
        // The state behind both addresses: SYN sent.
        sockets.lines().any(|line| line.split_whitespace().nth(3) == Some("02"))
    });
    assert_eq!(rig.term(), Some(0));
}

/// The rows that a start before had published are known to orchagent: no link is awaited, and both marks come at once.
#[test]
fn a_second_cold_start_says_the_marks_in_their_order() {
    let (mut rig, proxy) = rig(2);
    proxy.arm_each(Fault::CutBefore, |command| command.starts_with("EVALSHA") && command.ends_with(":PortConfigDone"));
    rig.start();
    rig.run_orchagent();
    rig.until("a start without its end", || {
        let taken = |port: &String| rig.hash(APPL_DB, &format!("PORT_TABLE:{port}")).contains_key("admin_status");
        !proxy.strikes().is_empty() && rig.ports.iter().all(taken)
    });
    rig.crash();
    rig.stop_orchagent();
    proxy.pass();
    let watcher = Watcher::start(&rig.server);
    rig.start();
    rig.expect_config_done();
    // Nobody takes anything.
    rig.until("PortInitDone", || rig.exists(APPL_DB, "_PORT_TABLE:PortInitDone"));
    assert_eq!(rig.log_count("start kind=Cold"), 1);
    let lines = watcher.all(&rig.server, "the end");
    let looks = lines.iter().filter(|line| line.contains("SISMEMBER") && line.contains("PortConfigDone")).count();
    assert!(looks > 3, "looked whether the first mark was taken: {looks}");
}

/// Of the server, in microseconds.
fn time(rig: &Rig) -> u64 {
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(&mut rig.db(0)).unwrap();
    seconds * 1_000_000 + micros
}

#[test]
fn a_row_that_is_awaited_without_notifications_is_looked_for_seldom() {
    let (rig, proxy) = rig(2);
    set(&rig, "notify-keyspace-events", "");
    let rig = rig.set_to_work();
    rig.expect_in_step(2);
    rig.run(rig.links.add_ifb("Ethernet96"));
    let is_look = |command: &String| command == "EXISTS PORT_TABLE:Ethernet96";
    rig.until("a look", || proxy.seen().iter().any(is_look));
    let (before, began) = (proxy.seen().len(), time(&rig));
    let mut spent = 0;
    let mut mtu = 1000;
    rig.until("a second", || {
        // The switch is not quiet meanwhile.
        if mtu < 1020 {
            mtu += 1;
            rig.run(rig.links.set_mtu("Ethernet0", mtu));
        }
        spent = time(&rig) - began;
        spent > 1_000_000
    });
    let commands = (proxy.seen().len() - before) as u64;
    assert!(commands * 1_000_000 < 100 * spent, "{commands} commands in {spent} us");
    rig.put_appl_row("Ethernet96");
    rig.expect_row("Ethernet96", "down", "down", 1500);
}

#[test]
fn a_server_that_dies_at_each_write_is_tried_ever_more_seldom() {
    let (rig, proxy) = rig(2);
    let rig = rig.set_to_work();
    rig.expect_in_step(2);
    proxy.arm_each(Fault::CutBefore, |command| command.starts_with("HSET PORT_TABLE|"));
    rig.run(rig.links.set_mtu("Ethernet0", 1400));
    rig.until("some attempts", || proxy.strikes().len() >= 7);
    let strikes = proxy.strikes();
    let pauses: Vec<_> = strikes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[5] > pauses[0] * 2, "{pauses:?}");
    proxy.pass();
    rig.expect_in_step(2);
    assert_eq!(rig.log_count("Redis is not reachable"), 1);
    rig.expect_log("Redis is back");
}

#[test]
fn what_config_db_says_while_redis_is_away_is_handed_on_afterwards() {
    let (mut rig, proxy) = rig(2);
    rig.set("PORTSYNCD_PORTS__FOLLOW_CONFIG_DB", "true");
    let rig = rig.set_to_work();
    rig.expect_in_step(2);
    proxy.refuse(true);
    proxy.cut();
    rig.expect_log("Redis is not reachable");
    let () = rig.db(CONFIG_DB).hset("PORT|Ethernet0", "mtu", "4321").unwrap();
    let () = rig.db(CONFIG_DB).hset("PORT|Ethernet96", "mtu", "1234").unwrap();
    proxy.pass();
    for (port, mtu) in [("Ethernet0", "4321"), ("Ethernet96", "1234")] {
        rig.until(&format!("{port} in APPL_DB"), || {
            rig.hash(APPL_DB, &format!("PORT_TABLE:{port}")).get("mtu").is_some_and(|found| found == mtu)
        });
    }
    rig.until("the new count", || rig.hash(APPL_DB, "PORT_TABLE:PortConfigDone")["count"] == "3");
}

#[test]
fn a_late_row_is_found_by_the_audit_once_notifications_are_switched_off() {
    let (mut rig, _proxy) = rig(2);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "100ms");
    rig.set("PORTSYNCD_LOG__LEVEL", "debug");
    let rig = rig.set_to_work();
    rig.expect_in_step(2);
    let await_row = |port: &str| {
        rig.run(rig.links.add_ifb(port));
        rig.until("the link to wait", || {
            rig.log().lines().any(|line| line.contains("waits for its row") && line.contains(port))
        });
    };
    await_row("Ethernet92");
    set(&rig, "notify-keyspace-events", "");
    await_row("Ethernet96");
    for port in ["Ethernet92", "Ethernet96"] {
        rig.put_appl_row(port);
        rig.expect_row(port, "down", "down", 1500);
    }
}

#[test]
fn an_audit_that_is_switched_on_mends_what_differs() {
    let mut rig = Rig::new(2);
    let file = rig.dir().join("portsyncd.toml");
    fs::write(&file, "[netlink]\naudit_interval = \"0s\"\n").unwrap();
    rig.argument("--config");
    rig.argument(file.to_str().unwrap());
    let rig = rig.set_to_work();
    rig.expect_in_step(2);
    let () = rig.db(STATE_DB).hset("PORT_TABLE|Ethernet0", "mtu", "1").unwrap();
    fs::write(&file, "[netlink]\naudit_interval = \"100ms\"\n").unwrap();
    rig.signal(Signal::SIGHUP);
    rig.expect_in_step(2);
    rig.expect_log("audit found rows that differed");
}
