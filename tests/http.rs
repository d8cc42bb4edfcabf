//! What the daemon tells over HTTP, against the real kernel and a real Redis; and what hostile clients can do to it.
#![allow(clippy::unwrap_used, reason = "a test has nobody else to tell")]
#![allow(clippy::float_cmp, reason = "counts, exact as numbers of JSON and of /metrics")]

mod common;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::http::{self, ask, connect, get};
use common::{LIMIT, Rig};
use portsyncd::api::{PortChanges, PortList, PortState, Readiness, Status};
use portsyncd::lab::{certificates, wait};
use portsyncd::telemetry::catalog::catalog;

fn readiness(rig: &Rig) -> (u16, Readiness) {
    let answer = wait::until_some("/readyz", LIMIT, || get(rig.http(), "/readyz").ok()).unwrap();
    (answer.code, serde_json::from_str(&answer.body).unwrap())
}

fn reason(rig: &Rig, component: &str) -> Option<String> {
    let (_, readiness) = readiness(rig);
    readiness.components.into_iter().find(|one| one.name == component).unwrap().reason
}

#[test]
fn metrics_count_what_happened() {
    let rig = Rig::at_work(4);
    rig.expect_metric("portsyncd_port_init_done", |value| value == 1.0);
    rig.expect_metric("portsyncd_ports_awaited", |value| value == 0.0);
    rig.expect_metric("portsyncd_cold_starts_total", |value| value == 1.0);
    rig.expect_metric("portsyncd_redis_up{db=\"STATE_DB\"}", |value| value == 1.0);
    rig.expect_metric("portsyncd_health_score", |value| value == 100.0);
    rig.expect_metric("portsyncd_resyncs_total{cause=\"start\"}", |value| value == 1.0);
    // The four ports and the two marks.
    rig.expect_metric("portsyncd_redis_writes_total{db=\"APPL_DB\",outcome=\"ok\"}", |value| value == 6.0);
    let ports = rig.ports.clone();
    for port in &ports {
        rig.up(port);
    }
    rig.expect_metric("portsyncd_ports{state=\"up\"}", |value| value == 4.0);
    let flaps = format!("portsyncd_port_flaps_total{{port=\"{}\"}}", ports[1]);
    let before = rig.metric(&flaps).unwrap();
    let latencies = rig.metric("portsyncd_event_latency_seconds_count").unwrap();
    for _ in 0..3 {
        rig.down(&ports[1]);
        rig.expect_row(&ports[1], "down", "down", 1500);
        rig.up(&ports[1]);
        rig.expect_row(&ports[1], "up", "up", 1500);
    }
    rig.expect_metric(&flaps, |value| value - before == 6.0);
    rig.expect_metric("portsyncd_event_latency_seconds_count", |value| value - latencies >= 6.0);
    rig.expect_metric("portsyncd_event_latency_seconds_bucket{le=\"+Inf\"}", |value| value - latencies >= 6.0);
    rig.expect_metric(&format!("portsyncd_port_oper_up{{port=\"{}\"}}", ports[1]), |value| value == 1.0);
    rig.expect_metric("portsyncd_pending_rows", |value| value == 0.0);
    rig.expect_metric("process_resident_memory_bytes", |value| value > 1e6);
}

#[test]
fn every_metric_of_the_catalogue_is_exposed() {
    let rig = Rig::at_work(1);
    rig.expect_metric("portsyncd_port_init_done", |value| value == 1.0);
    let text = get(rig.http(), "/metrics").unwrap().body;
    let typed: HashSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let wanted: HashSet<String> = catalog().iter().map(portsyncd::telemetry::catalog::Metric::full_name).collect();
    let wanted: HashSet<&str> = wanted.iter().map(String::as_str).collect();
    assert_eq!(typed, wanted);
}

#[test]
fn ports_are_as_the_kernel_has_them() {
    let rig = Rig::at_work(3);
    let port = |name: &str| {
        let list: PortList = rig.api("/api/v1/ports");
        list.ports.into_iter().find(|port| port.name == name)
    };
    rig.up("Ethernet0");
    rig.until("the port to be up", || {
        port("Ethernet0").is_some_and(|port| port.oper.as_deref() == Some("up") && port.in_step)
    });
    let seen = port("Ethernet0").unwrap();
    let link = rig.link("Ethernet0");
    assert_eq!(
        (seen.admin.as_deref(), seen.mtu, seen.ifindex),
        (Some("up"), Some(link.mtu.into()), Some(link.ifindex))
    );
    assert!(seen.last_change.is_some() && seen.history.last().unwrap().up);
    rig.run(rig.links.delete("Ethernet0"));
    rig.until("the port to be gone", || port("Ethernet0").is_none());
}

#[test]
fn a_port_whose_row_is_not_in_appl_db_waits_and_one_without_a_link_is_awaited() {
    let mut rig = Rig::new(2);
    rig.start();
    let state = |rig: &Rig, name: &str| {
        let list: PortList = rig.api("/api/v1/ports");
        list.ports.into_iter().find(|port| port.name == name).map(|port| port.state)
    };
    let ports = rig.ports.clone();
    rig.until("the ports to be awaited", || state(&rig, &ports[1]) == Some(PortState::Awaited));
    rig.run(rig.links.add_veths(&ports[..1]));
    rig.until("the port to wait", || state(&rig, &ports[0]) == Some(PortState::Waiting));
    rig.until("the reason", || {
        reason(&rig, "ports").is_some_and(|reason| reason.contains("2 awaited") && reason.contains(&ports[0]))
    });
    assert_eq!(readiness(&rig).0, 503);
}

#[test]
fn readiness_names_the_component_and_the_reason() {
    let mut rig = Rig::at_work(1);
    rig.until("readiness", || readiness(&rig).0 == 200);
    rig.server.kill();
    rig.until("unreadiness", || readiness(&rig).0 == 503);
    rig.until("the reason", || reason(&rig, "redis").is_some_and(|reason| reason.contains("cannot connect to Redis")));
    rig.until("the rows' reason", || reason(&rig, "rows").is_some());
    assert!(reason(&rig, "kernel").is_none());
    assert_eq!(get(rig.http(), "/livez").unwrap().code, 200, "the core lives without Redis");
    rig.until("the score", || {
        let status: Status = rig.api("/api/v1/status");
        status.health.score <= 60 && status.summary.contains("redis")
    });
    rig.server.restart().unwrap();
    rig.expect_metric("portsyncd_redis_reconnects_total", |value| value == 1.0);
}

#[test]
fn drift_is_found_and_repaired() {
    let mut rig = Rig::new(2);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "100ms");
    let rig = rig.set_to_work();
    rig.expect_row("Ethernet0", "down", "down", 1500);
    let () = redis::Commands::hset(&mut rig.db(6), "PORT_TABLE|Ethernet0", "mtu", "1").unwrap();
    rig.expect_metric("portsyncd_drift_repairs_total", |value| value >= 1.0);
    rig.expect_metric("portsyncd_drift_rows_total", |value| value >= 1.0);
    rig.until("the score", || {
        let status: Status = rig.api("/api/v1/status");
        let drift = status.health.parts.iter().find(|part| part.name == "drift").unwrap();
        drift.reason.is_some() && status.health.score < 100
    });
}

#[test]
fn a_start_that_takes_too_long_is_said_and_goes_on() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_HEALTH__INITIAL_SYNC_TIMEOUT", "50ms");
    rig.start();
    rig.expect_metric("portsyncd_initial_sync_timeouts_total", |value| value == 1.0);
    rig.expect_log("the start takes longer than health.initial_sync_timeout");
    let status: Status = rig.api("/api/v1/status");
    assert!(status.start.timed_out && !status.start.done && status.start.awaited == 1, "{status:?}");
    rig.run_orchagent();
    rig.add_ports();
    rig.expect_init_done();
    rig.expect_metric("portsyncd_initial_syncs_total", |value| value == 1.0);
    rig.expect_metric("portsyncd_initial_sync_history_seconds{stat=\"max\"}", |value| value > 0.05);
}

#[test]
fn events_tell_the_whole_then_each_change() {
    let rig = Rig::at_work(2);
    rig.until("readiness", || readiness(&rig).0 == 200);
    let mut stream = Events::open(&rig);
    let ports: PortList = serde_json::from_str(&stream.next("ports")).unwrap();
    assert_eq!(ports.ports.len(), 2);
    rig.up("Ethernet0");
    stream.until_change(|changes| {
        changes.ports.iter().any(|port| port.name == "Ethernet0" && port.oper.as_deref() == Some("up"))
    });
    rig.run(rig.links.delete("Ethernet0"));
    stream.until_change(|changes| changes.removed.contains(&"Ethernet0".to_owned()));
    let sample = stream.next("sample");
    assert!(sample.contains("events_per_second"), "{sample}");
}

#[test]
fn what_changes_anything_and_what_is_not_there_is_refused() {
    let rig = Rig::at_work(1);
    rig.until("readiness", || readiness(&rig).0 == 200);
    let server = rig.http();
    for (request, code) in [
        ("POST /api/v1/status HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 405),
        ("DELETE / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n", 405),
        ("GET /etc/passwd HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n", 404),
        ("GET /../../etc/passwd HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n", 404),
        ("HEAD /metrics HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n", 200),
    ] {
        let answer = ask(server, request).unwrap();
        assert_eq!(answer.code, code, "{request:?}: {answer:?}");
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{answer:?}");
    }
    let page = get(server, "/").unwrap();
    assert!(
        page.head.contains("content-security-policy: default-src 'none'") && page.body.contains("<html"),
        "{page:?}"
    );
    rig.expect_metric("portsyncd_http_requests_total{code=\"4xx\"}", |value| value >= 4.0);
}

/// A client that sends a head without end, one that sends nothing, and more of them than there is room for.
#[test]
fn hostile_clients_are_bounded_and_the_core_goes_on() {
    let mut rig = Rig::new(2);
    rig.set("PORTSYNCD_HTTP__MAX_CONNECTIONS", "8");
    let rig = rig.set_to_work();
    rig.until("readiness", || readiness(&rig).0 == 200);
    let server = rig.http();
    let huge = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(64 * 1024));
    match ask(server, &huge) {
        Ok(answer) => assert_eq!(answer.code, 431),
        // Closed while we were still sending.
        Err(error) => assert!(error.to_string().contains("reset") || error.to_string().contains("pipe"), "{error}"),
    }
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(1000));
    assert!(ask(server, &many).map_or(true, |answer| answer.code == 431));
    assert!(ask(server, "\0\u{1}garbage\r\n\r\n").map_or(true, |answer| answer.code == 400));
    // They stay, saying nothing or a little now and then; room is for eight.
    let mut idle: Vec<_> = (0..8).map(|_| connect(server).unwrap()).collect();
    for stream in &mut idle {
        stream.write_all(b"GET / HT").unwrap();
    }
    rig.until("no room", || get(server, "/livez").is_ok_and(|answer| answer.code == 503));
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    let began = Instant::now();
    let stream = &mut idle[0];
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(began.elapsed() < LIMIT, "a head that does not come ends the connection");
    rig.until("room again", || get(server, "/livez").is_ok_and(|answer| answer.code == 200));
    rig.expect_metric("portsyncd_http_connections_refused_total", |value| value >= 1.0);
}

#[test]
fn a_taken_port_is_said_and_tried_again() {
    let mut rig = Rig::new(1);
    let taken = std::net::TcpListener::bind(rig.http()).unwrap();
    rig.start();
    rig.expect_log("cannot listen on http.listen");
    rig.run_orchagent();
    // The core may be behind what runs beside it; links that are there before its start are not those of a cold start.
    rig.expect_config_done();
    rig.add_ports();
    rig.expect_init_done();
    drop(taken);
    rig.until("the server", || get(rig.http(), "/readyz").is_ok_and(|answer| answer.code == 200));
    rig.until("no reason", || reason(&rig, "http").is_none());
}

#[test]
fn the_control_socket_is_ours_alone_and_goes_with_the_daemon() {
    use std::os::unix::fs::PermissionsExt;
    let mut rig = Rig::at_work(1);
    let path = rig.control_socket();
    rig.until("the control socket", || path.exists());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").unwrap();
    let answer = http::read_answer(&mut stream).unwrap();
    let status: Status = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(status.pid, rig.pid());
    rig.crash();
    assert!(path.exists(), "nobody was there to remove it");
    rig.start();
    rig.until("the new daemon", || std::os::unix::net::UnixStream::connect(&path).is_ok());
    assert_eq!(rig.term(), Some(0));
    assert!(!path.exists());
}

#[test]
fn nothing_is_served_where_both_are_turned_off() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_HTTP__LISTEN", "");
    rig.set("PORTSYNCD_CONTROL__SOCKET", "");
    let mut rig = rig.set_to_work();
    assert!(connect(rig.http()).is_err());
    assert!(!rig.control_socket().exists());
    assert_eq!(rig.term(), Some(0));
}

/// The answer to a request over TLS, by openssl as a client that trusts `ca.crt`; empty if there is none.
fn over_tls(rig: &Rig, folder: &Path, more: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-quiet", "-verify_return_error", "-CAfile", "ca.crt", "-connect"])
        .arg(rig.http().to_string());
    let spawned =
        command.args(more).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = spawned.spawn().unwrap();
    // Fails if the handshake has failed already.
    let _ = client.stdin.take().unwrap().write_all(b"GET /readyz HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn with_a_certificate_it_speaks_tls_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    certificates::authority(folder.path(), "ca").unwrap();
    certificates::signed(folder.path(), "ca", "server", "serverAuth").unwrap();
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_HTTP__TLS_CERT", folder.path().join("server.crt").to_str().unwrap());
    rig.set("PORTSYNCD_HTTP__TLS_KEY", folder.path().join("server.key").to_str().unwrap());
    let rig = rig.set_to_work();
    rig.until("an answer over TLS", || over_tls(&rig, folder.path(), &[]).starts_with("HTTP/1.1 200"));
    assert!(get(rig.http(), "/readyz").map_or(true, |answer| answer.code != 200), "without TLS there is no answer");
}

#[test]
fn with_an_authority_of_clients_they_need_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    certificates::authority(folder.path(), "ca").unwrap();
    certificates::signed(folder.path(), "ca", "server", "serverAuth").unwrap();
    certificates::signed(folder.path(), "ca", "client", "clientAuth").unwrap();
    certificates::authority(folder.path(), "stranger").unwrap();
    certificates::signed(folder.path(), "stranger", "intruder", "clientAuth").unwrap();
    let mut rig = Rig::new(1);
    for (key, file) in [("TLS_CERT", "server.crt"), ("TLS_KEY", "server.key"), ("CLIENT_CA", "ca.crt")] {
        rig.set(&format!("PORTSYNCD_HTTP__{key}"), folder.path().join(file).to_str().unwrap());
    }
    let rig = rig.set_to_work();
    let known = ["-cert", "client.crt", "-key", "client.key"];
    rig.until("an answer", || over_tls(&rig, folder.path(), &known).starts_with("HTTP/1.1 200"));
    for other in [["-cert", "intruder.crt", "-key", "intruder.key"].as_slice(), &[]] {
        assert_eq!(over_tls(&rig, folder.path(), other), "", "{other:?}");
    }
}

#[test]
fn certificates_that_cannot_be_used_are_refused_by_check_config_and_do_not_stop_the_daemon() {
    let mut rig = Rig::new(1);
    let file = rig.dir().join("server.pem");
    std::fs::write(&file, "nothing of this kind").unwrap();
    rig.set("PORTSYNCD_HTTP__TLS_CERT", file.to_str().unwrap());
    rig.set("PORTSYNCD_HTTP__TLS_KEY", file.to_str().unwrap());
    let output = rig.command().arg("check-config").output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(78) && message.contains("http.tls_cert") && message.contains("server.pem"),
        "{message}"
    );
    let rig = rig.set_to_work();
    rig.expect_log("no certificate in PEM can be read from it");
}

/// A client of `/api/v1/events`.
struct Events {
    stream: std::net::TcpStream,
    unread: String,
}

impl Events {
    fn open(rig: &Rig) -> Self {
        let mut stream = connect(rig.http()).unwrap();
        stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
        Self { stream, unread: String::new() }
    }

    /// The data of the next event of this kind.
    fn next(&mut self, kind: &str) -> String {
        let began = Instant::now();
        while began.elapsed() < LIMIT {
            // Chunks of HTTP stand between; an event is one chunk, and its JSON has no line breaks.
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let found = event
                    .split_once(&format!("event: {kind}\n"))
                    .and_then(|(_, data)| data.strip_prefix("data: "))
                    .map(str::to_owned);
                self.unread = rest.to_owned();
                match found {
                    Some(data) => return data,
                    None => continue,
                }
            }
            let mut bytes = [0; 4096];
            let read = self.stream.read(&mut bytes).unwrap();
            assert!(read > 0, "the stream ended");
            self.unread.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        panic!("no event {kind}");
    }

    fn until_change(&mut self, wanted: impl Fn(&PortChanges) -> bool) {
        let began = Instant::now();
        while began.elapsed() < LIMIT {
            let changes: PortChanges = serde_json::from_str(&self.next("change")).unwrap();
            if wanted(&changes) {
                return;
            }
        }
        panic!("no such change");
    }
}
