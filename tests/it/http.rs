//! What the daemon tells over HTTP, against the real kernel and a real Redis; and what hostile clients can do to it.
#![allow(clippy::float_cmp, reason = "counts, exact as numbers of JSON and of /metrics")]

use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::fixture::http::{self, ask, connect, get};
use crate::fixture::{LIMIT, Rig};
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
        ("POST /api/v1/status HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 405),
        ("DELETE / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 405),
        ("GET /etc/passwd HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 404),
        ("GET /../../etc/passwd HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 404),
        ("HEAD /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 200),
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
fn hostile_clients_are_bounded_and_keep_nobody_out() {
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
    // They stay, saying a little; room is for eight.
    let mut idle: Vec<_> = (0..20).map(|_| connect(server).unwrap()).collect();
    for stream in &mut idle {
        // Some are closed by now.
        let _ = stream.write_all(b"GET / HT");
    }
    for path in ["/livez", "/readyz", "/metrics", "/livez"] {
        assert_eq!(get(server, path).unwrap().code, 200, "{path}");
    }
    rig.expect_metric("portsyncd_http_connections_refused_total", |value| value >= 12.0);
    rig.expect_metric("portsyncd_http_connections", |value| value <= 8.0);
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    let began = Instant::now();
    let last = idle.last_mut().unwrap();
    last.set_read_timeout(Some(LIMIT)).unwrap();
    let mut rest = Vec::new();
    let _ = last.read_to_end(&mut rest);
    assert!(began.elapsed() < LIMIT, "a head that does not come ends the connection");
}

#[test]
fn streams_have_a_limit_of_their_own_and_last() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_HTTP__MAX_CONNECTIONS", "8");
    let rig = rig.set_to_work();
    rig.until("readiness", || readiness(&rig).0 == 200);
    let server = rig.http();
    let mut open: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = connect(server).unwrap();
            stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            let mut head = [0; 15];
            stream.read_exact(&mut head).unwrap();
            assert_eq!(&head, b"HTTP/1.1 200 OK");
            stream
        })
        .collect();
    let refused = get(server, "/api/v1/events").unwrap();
    assert_eq!(refused.code, 429);
    assert!(refused.body.contains("http.max_connections"), "{refused:?}");
    for _ in 0..30 {
        assert_eq!(get(server, "/livez").unwrap().code, 200);
    }
    let _idle: Vec<_> = (0..20).map(|_| connect(server).unwrap()).collect();
    assert_eq!(get(server, "/metrics").unwrap().code, 200);
    // A sample comes each second.
    for stream in &mut open {
        let mut some = vec![0; 64 * 1024];
        let mut text = String::new();
        while !text.contains("event: sample") {
            let length = stream.read(&mut some).unwrap();
            assert!(length > 0, "a stream was closed: {text}");
            text.push_str(&String::from_utf8_lossy(&some[..length]));
        }
    }
}

#[test]
fn idle_clients_of_the_control_socket_keep_nobody_out() {
    let rig = Rig::at_work(1);
    let path = rig.control_socket();
    rig.until("the control socket", || path.exists());
    let idle: Vec<_> = (0..200).map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap()).collect();
    let request = "GET /livez HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    assert_eq!(http::over_socket(&path, request).unwrap().code, 200);
    drop(idle);
}

#[test]
fn a_host_that_is_not_ours_is_refused() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_HTTP__HOSTS", "[\"leaf1.example\"]");
    let rig = rig.set_to_work();
    rig.until("readiness", || readiness(&rig).0 == 200);
    let code = |host: &str| {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        ask(rig.http(), &request).unwrap()
    };
    for host in ["localhost:9477", "127.0.0.1", "leaf1.example:1"] {
        assert_eq!(code(host).code, 200, "{host}");
    }
    let refused = code("evil.example");
    assert_eq!(refused.code, 421);
    assert!(refused.body.contains("evil.example") && refused.body.contains("http.hosts"), "{refused:?}");
}

#[test]
fn a_password_is_asked_for_where_there_is_one() {
    let mut rig = Rig::new(1);
    let file = rig.dir().join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    rig.set("PORTSYNCD_HTTP__PASSWORD_FILE", file.to_str().unwrap());
    rig.start();
    let ask = |more: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}connection: close\r\n\r\n");
        ask(rig.http(), &request)
    };
    rig.until("the server", || ask("", "/livez").is_ok_and(|answer| answer.code == 200));
    let refused = ask("", "/metrics").unwrap();
    assert_eq!(refused.code, 401);
    assert!(refused.head.contains("www-authenticate: basic realm="), "{refused:?}");
    // user:s3cret, user:guess
    assert_eq!(ask("authorization: Basic dXNlcjpzM2NyZXQ=\r\n", "/metrics").unwrap().code, 200);
    assert_eq!(ask("authorization: Basic dXNlcjpndWVzcw==\r\n", "/metrics").unwrap().code, 401);
}

#[test]
fn large_answers_are_compressed_for_who_asks_and_metrics_are_sorted() {
    let rig = Rig::at_work(1);
    rig.until("readiness", || readiness(&rig).0 == 200);
    let curl = |more: &[&str]| {
        let url = format!("http://{}/metrics", rig.http());
        let answer = Command::new("curl").args(["--silent", "--show-error", "--include"]).args(more).arg(url).output();
        String::from_utf8(answer.unwrap().stdout).unwrap()
    };
    let packed = curl(&["--compressed"]);
    assert!(packed.contains("content-encoding: gzip") && packed.contains("\nportsyncd_build_info{"), "{packed}");
    let plain = curl(&[]);
    assert!(!plain.contains("content-encoding"), "{plain}");
    let names: Vec<&str> = plain.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert!(names.len() > 50 && names.is_sorted(), "{names:?}");
    let open = curl(&["--header", "accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"]);
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0"), "{open}");
    assert!(open.contains("\n# TYPE portsyncd_port_flaps counter\n") && open.ends_with("\n# EOF\n"), "{open}");
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
    stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
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
    let _ =
        client.stdin.take().unwrap().write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
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
        stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
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
