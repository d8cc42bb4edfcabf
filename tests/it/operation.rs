//! What an operator sees and sets: supervision, reload, log level, check-config, exit codes, ways to reach Redis, rest.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Output;
use std::time::Duration;

use crate::fixture::{Rig, http};
use nix::sys::signal::Signal;
use portsyncd::lab::redis_server::CONFIG_DB;
use portsyncd::lab::wait;
use redis::Commands;

/// A supervisor of our own, as systemd is one.
struct Supervisor {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Supervisor {
    fn listen(rig: &mut Rig) -> Self {
        let path = rig.dir().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(crate::fixture::LIMIT)).unwrap();
        rig.set("NOTIFY_SOCKET", path.to_str().unwrap());
        Self { socket, heard: Vec::new() }
    }

    /// Waits for this line; what came before it is kept.
    fn expect(&mut self, wanted: &str) {
        let mut buffer = [0; 4096];
        loop {
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                // A signal to this process; a socket with a timeout is not restarted by itself.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => panic!("no {wanted} after {:?}: {error}", self.heard),
            };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let found = text.lines().any(|line| line.starts_with(wanted));
            self.heard.push(text);
            if found {
                return;
            }
        }
    }
}

#[test]
fn a_supervisor_hears_ready_status_and_stopping() {
    let mut rig = Rig::new(1);
    let mut supervisor = Supervisor::listen(&mut rig);
    rig.server.kill();
    rig.start();
    supervisor.expect("STATUS=waiting for Redis");
    assert!(!supervisor.heard.iter().any(|text| text.contains("READY=1")));
    if !supervisor.heard.iter().any(|text| text.contains("EXTEND_TIMEOUT_USEC=")) {
        supervisor.expect("EXTEND_TIMEOUT_USEC=");
    }
    rig.server.restart().unwrap();
    supervisor.expect("READY=1");
    assert!(rig.printed(&["status"]).contains("ready"), "the control socket answers");
    http::get(rig.http(), "/livez").expect("HTTP answers");
    rig.signal(Signal::SIGHUP);
    supervisor.expect("RELOADING=1");
    supervisor.expect("READY=1");
    rig.signal(Signal::SIGTERM);
    supervisor.expect("STOPPING=1");
    assert_eq!(rig.exit_status().code(), Some(0));
}

#[test]
fn the_watchdog_is_fed_without_traffic() {
    let mut rig = Rig::new(0);
    let mut supervisor = Supervisor::listen(&mut rig);
    rig.set("WATCHDOG_USEC", "100000");
    rig.start();
    supervisor.expect("READY=1");
    for _ in 0..3 {
        supervisor.expect("WATCHDOG=1");
    }
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn a_file_that_is_wrong_is_refused_at_reload_and_the_one_before_stays() {
    let mut rig = Rig::new(0);
    let file = rig.dir().join("portsyncd.toml");
    fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
    rig.argument("--config");
    rig.argument(file.to_str().unwrap());
    rig.start();
    rig.expect_log("PortInitDone published");
    fs::write(&file, "[log]\nlevel = \"loud\"\n").unwrap();
    rig.signal(Signal::SIGHUP);
    rig.expect_log("configuration is wrong, keeping the one before");
    rig.expect_metric("portsyncd_config_last_reload_successful", |usable| usable < 0.5);
    let since = rig.metric("portsyncd_config_last_reload_success_timestamp_seconds").unwrap();
    let log = rig.log();
    let line = log.lines().find(|line| line.contains("configuration is wrong")).unwrap();
    assert!(line.contains("ERROR") && line.contains("portsyncd.toml") && line.contains("loud"), "{line}");
    fs::write(&file, "[log]\nlevel = \"error\"\n").unwrap();
    rig.signal(Signal::SIGHUP);
    // Only errors from here on: a change of a port is none.
    rig.put_appl_row("Ethernet0");
    rig.run(rig.links.add_ifb("Ethernet0"));
    rig.until("the row of Ethernet0", || !rig.row("Ethernet0").is_empty());
    fs::write(&file, "[log]\nlevel = \"notice\"\n").unwrap();
    rig.signal(Signal::SIGHUP);
    rig.expect_log("configuration read again");
    rig.expect_metric("portsyncd_config_last_reload_successful", |usable| usable > 0.5);
    rig.expect_metric("portsyncd_config_last_reload_success_timestamp_seconds", |now| now > since);
    assert!(rig.is_running());
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn the_log_level_follows_config_db_at_run_time() {
    let mut rig = Rig::new(1).set_to_work();
    assert!(rig.log_count(" NOTICE ") > 0);
    assert_eq!(rig.log_count(" INFO "), 0);
    let set = |rig: &Rig, level: &str| {
        let () = rig.db(CONFIG_DB).hset("LOGGER|portsyncd", "LOGLEVEL", level).unwrap();
    };
    set(&rig, "INFO");
    rig.expect_log("log level follows CONFIG_DB");
    rig.run(rig.links.add_ifb("Ethernet96"));
    rig.expect_log(" INFO ");
    set(&rig, "LOUD");
    rig.expect_log("LOGLEVEL is no level");
    set(&rig, "ERROR");
    // The level is followed before the next row is written, or soon after: until a change is no longer logged.
    let mut mtu = 1000;
    rig.until("changes not to be logged", || {
        mtu += 1;
        rig.run(rig.links.set_mtu("Ethernet0", mtu));
        rig.expect_row("Ethernet0", "down", "down", mtu);
        rig.log_count(&format!("mtu={mtu}")) == 0
    });
    assert_eq!(rig.term(), Some(0));
    rig.run(rig.links.set_mtu("Ethernet0", 900));
    rig.start();
    rig.expect_row("Ethernet0", "down", "down", 900);
    assert_eq!(rig.term(), Some(0));
    assert_eq!(rig.log_count("NOTICE start"), 0, "the level of the start is CONFIG_DB's too");
}

fn check_config(rig: &Rig) -> Output {
    let mut command = rig.command();
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command.arg("check-config").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_config_prints_what_holds_and_hides_the_password() {
    let mut rig = Rig::new(0);
    let file = rig.dir().join("password");
    fs::write(&file, "topsecret\n").unwrap();
    rig.set("PORTSYNCD_REDIS__PASSWORD_FILE", file.to_str().unwrap());
    rig.set("PORTSYNCD_REDIS__URL", "redis://user:alsosecret@somewhere:1234");
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "17s");
    let output = check_config(&rig);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(shown.contains("audit_interval = \"17s\"") && shown.contains("somewhere:1234"), "{shown}");
    assert!(shown.contains("CONFIG_DB") && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_wrong_configuration_ends_with_78_and_names_file_key_and_value() {
    let mut rig = Rig::new(0);
    // The environment would win over the file.
    rig.unset("PORTSYNCD_LOG__FORMAT");
    let file = rig.dir().join("portsyncd.toml");
    let wrong = [
        ("[redis]\nport = 1\n", vec!["portsyncd.toml", "port"]),
        ("[netlink]\naudit_interval = \"soon\"\n", vec!["portsyncd.toml", "netlink.audit_interval", "soon"]),
        ("[netlink]\nreceive_buffer = 0\n", vec!["netlink.receive_buffer", "0", "16777216"]),
        ("[log]\nformat = \"xml\"\n", vec!["portsyncd.toml", "log.format", "xml"]),
        ("[ports]\nprefixes = []\n", vec!["ports.prefixes"]),
        ("[redis]\npassword_file = \"/nonexistent\"\n", vec!["redis.password_file", "/nonexistent"]),
        ("[redis]\nurl = \"http://x\"\n", vec!["redis.url", "http://x", "unix://"]),
        ("[redis\n", vec!["portsyncd.toml"]),
    ];
    for (content, parts) in wrong {
        fs::write(&file, content).unwrap();
        for run in [Some("check-config"), None] {
            let mut command = rig.command();
            command.stderr(std::process::Stdio::piped());
            let output = command.arg("--config").arg(&file).args(run).output().unwrap();
            let message = text(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{content}: {message}");
            for part in &parts {
                assert!(message.contains(part), "{content}: {message} lacks {part}");
            }
        }
    }
    let missing = rig.command().args(["--config", "/nonexistent.toml"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(78));
    let broken = rig.dir().join("database_config.json");
    fs::write(&broken, "{}").unwrap();
    let mut command = rig.command();
    command.env("PORTSYNCD_REDIS__DATABASE_CONFIG", &broken).stderr(std::process::Stdio::piped());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("database_config.json"));
}

#[test]
fn wrong_usage_ends_with_64() {
    let rig = Rig::new(0);
    for arguments in [vec!["--nonsense"], vec!["fly"], vec!["--log-level", "loud"]] {
        let output = rig.command().args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(rig.command().arg("--help").output().unwrap().status.code(), Some(0));
}

#[test]
fn an_idle_daemon_makes_no_system_calls() {
    let rig = Rig::new(32).set_to_work();
    rig.run(rig.links.set_admin_many(&rig.ports, true));
    rig.expect_in_step(32);
    let switches = |rig: &Rig| {
        let status = fs::read_to_string(format!("/proc/{}/status", rig.pid())).unwrap();
        let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
        counts.map(|line| line.split_whitespace().last().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    // Two seconds without one switch, somewhen within the limit: whatever the start left to do comes to an end.
    let (mut since, mut count) = (std::time::Instant::now(), switches(&rig));
    wait::until("two quiet seconds", crate::fixture::LIMIT, || {
        let now = switches(&rig);
        if now != count {
            (since, count) = (std::time::Instant::now(), now);
        }
        since.elapsed() > Duration::from_secs(2)
    })
    .unwrap();
}

/// A folder that the daemon takes for `/dev`, and what listens at its `log`.
struct Syslog {
    dev: std::path::PathBuf,
    socket: Option<UnixDatagram>,
    heard: Vec<String>,
}

impl Syslog {
    fn listen(rig: &mut Rig) -> Self {
        rig.unset("PORTSYNCD_LOG__FORMAT");
        let dev = rig.dir().join("dev");
        fs::create_dir(&dev).unwrap();
        rig.run_by(&[
            "unshare",
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$0\" /dev && exec \"$@\"",
            dev.to_str().unwrap(),
        ]);
        let mut syslog = Self { dev, socket: None, heard: Vec::new() };
        syslog.restart();
        syslog
    }

    /// As rsyslogd does it: the socket is another one under the same name.
    fn restart(&mut self) {
        let path = self.dev.join("log");
        self.socket = None;
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        self.socket = Some(socket);
    }

    fn take(&mut self) -> &[String] {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length) = self.socket.as_ref().unwrap().recv(&mut buffer) {
            self.heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        &self.heard
    }
}

#[test]
fn every_line_goes_to_syslog_through_changes_of_logger_and_a_restart_of_syslog() {
    let mut rig = Rig::new(1);
    let mut syslog = Syslog::listen(&mut rig);
    let rig = rig.set_to_work();
    let head = format!(">portsyncd[{}]: ", rig.pid());
    let changed = |rig: &Rig, mtu: u32| {
        rig.run(rig.links.set_mtu("Ethernet0", mtu));
        rig.expect_row("Ethernet0", "down", "down", mtu);
        format!("mtu={mtu} ")
    };
    let output = |rig: &Rig, output: &str| {
        let () = rig.db(CONFIG_DB).hset("LOGGER|portsyncd", "LOGOUTPUT", output).unwrap();
    };
    let mut mtu = 1000;
    // A change of LOGGER is followed soon, not before the next row: until a line goes there.
    let mut until = |syslog: &mut Syslog, what: &str, there: &dyn Fn(&mut Syslog, &str) -> bool| {
        rig.until(what, || {
            mtu += 1;
            let line = changed(&rig, mtu);
            there(syslog, &line)
        });
    };
    let in_syslog = |syslog: &mut Syslog, line: &str| syslog.take().iter().any(|heard| heard.contains(line));
    rig.until("the start", || in_syslog(&mut syslog, "PortInitDone published"));
    assert!(syslog.heard[0].starts_with("<13>portsyncd["), "{:?}", syslog.heard);
    assert_eq!(rig.log(), "", "nothing but syslog has lines");
    output(&rig, "STDERR");
    until(&mut syslog, "standard error to have them", &|_, line| rig.log_count(line) == 1);
    output(&rig, "SYSLOG");
    until(&mut syslog, "syslog to have them again", &in_syslog);
    let on_stderr = rig.log();
    syslog.restart();
    until(&mut syslog, "syslog to have them after its restart", &in_syslog);
    until(&mut syslog, "syslog to have all of them", &in_syslog);
    assert!(syslog.heard.iter().all(|line| line.contains(&head)), "{:?}", syslog.heard);
    assert_eq!(rig.log(), on_stderr, "nothing went there since");
}

/// Rows are written, signals are heard, and what was dropped is counted, whoever does not read.
fn nobody_reads(rig: &mut Rig) {
    let level = "PORTSYNCD_LOG__LEVEL";
    rig.set(level, "debug");
    rig.start();
    rig.run_orchagent();
    rig.expect_config_done();
    rig.add_ports();
    rig.expect_init_done();
    let mut mtu = 1000;
    rig.until("lines to be dropped", || {
        mtu += 1;
        rig.run(rig.links.set_mtu("Ethernet0", mtu));
        rig.expect_row("Ethernet0", "down", "down", mtu);
        rig.metric("portsyncd_log_lines_dropped_total").is_some_and(|lines| lines > 10.0)
    });
    rig.expect_in_step(1);
}

#[test]
fn syslog_that_nobody_reads_costs_lines_and_nothing_else() {
    let mut rig = Rig::new(1);
    let mut syslog = Syslog::listen(&mut rig);
    nobody_reads(&mut rig);
    assert!(!syslog.take().is_empty());
    // There is room now: what was dropped is said with the next line.
    rig.up("Ethernet0");
    rig.until("the number of lines", || syslog.take().iter().any(|line| line.contains("log lines dropped")));
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn pipes_that_nobody_reads_cost_lines_and_nothing_else() {
    let mut rig = Rig::new(1);
    let (errors, standard_error) = std::io::pipe().unwrap();
    let (output, standard_output) = std::io::pipe().unwrap();
    rig.output(standard_output.into(), standard_error.into());
    rig.set("PORTSYNCD_LOG__HEARTBEAT", "1ms");
    nobody_reads(&mut rig);
    let full = |pipe: &std::io::PipeReader| rustix::io::ioctl_fionread(pipe).unwrap() > 60_000;
    rig.until("the heartbeats to fill their pipe", || full(&output));
    rig.up("Ethernet0");
    rig.expect_in_step(1);
    assert_eq!(rig.term(), Some(0));
    drop((errors, output));
}

#[test]
fn supervisords_heartbeat_is_written_if_wanted() {
    let mut rig = Rig::new(0);
    rig.set("PORTSYNCD_LOG__HEARTBEAT", "50ms");
    let path = rig.dir().join("output");
    let mut daemon =
        rig.command().stdout(fs::File::create(&path).unwrap()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let line = "<!--XSUPERVISOR:BEGIN-->heartbeat<!--XSUPERVISOR:END-->\n";
    let waited = wait::until("two heartbeats", crate::fixture::LIMIT, || {
        fs::read_to_string(&path).unwrap().starts_with(&line.repeat(2))
    });
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    waited.unwrap();
}
