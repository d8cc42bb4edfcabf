//! Webhooks, and what holds for every sink, shown by webhooks.

use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;

use ring::hmac;
use tempfile::TempDir;

use super::server::{Answer, Server};
use super::*;
use portsyncd::lab::certificates;

fn ok() -> Answer {
    Answer::Bytes(OK.to_owned())
}

fn webhook(name: &str, server: &Server, more: &str) -> String {
    format!("[[sink]]\nname = \"{name}\"\ntype = \"webhook\"\nurl = \"http://{}/x?y=1\"\n{more}\n", server.address)
}

/// Port and status of what was received, in the order of hearing.
fn received(server: &Server) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let alerts = |request: &super::server::Request| request.json()["alerts"].as_array().unwrap().clone();
    server.requests().iter().flat_map(alerts).map(|alert| (text(&alert["port"]), text(&alert["status"]))).collect()
}

#[tokio::test]
async fn a_message_is_posted_and_signed_by_the_secret_of_the_moment() {
    let dir = TempDir::new().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "one\n").unwrap();
    let server = Server::start(&[ok()]).await;
    let sinks = sinks(&webhook("noc", &server, &format!("secret_file = {secret:?}")));
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    fs::write(&secret, "two").unwrap();
    sinks.notify(&[resolved(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 2).await;
    for (request, secret) in server.requests().iter().zip(["one", "two"]) {
        assert!(request.head.starts_with("POST /x?y=1 HTTP/1.1\r\n"), "{}", request.head);
        assert_eq!(request.header("content-type"), Some("application/json"));
        let signature = request.header("x-portsyncd-signature").unwrap().strip_prefix("sha256=").unwrap();
        let bytes: Vec<u8> =
            (0..signature.len() / 2).map(|at| u8::from_str_radix(&signature[2 * at..][..2], 16).unwrap()).collect();
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), &request.body, &bytes).unwrap();
        assert_eq!(request.json()["host"], "leaf1");
    }
    assert_eq!(
        received(&server),
        [("Ethernet0", "firing"), ("Ethernet0", "resolved")].map(|(a, b)| (a.into(), b.into()))
    );
}

#[tokio::test]
async fn what_fails_is_tried_again_until_it_works() {
    let cut_answer = Answer::Bytes("HTTP/1.1 200 OK\r\nconten".to_owned());
    let garbage = Answer::Bytes("\0\0 what is this?\r\n\r\n".to_owned());
    let redirect =
        Answer::Bytes("HTTP/1.1 302 x\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned());
    let endless = Answer::Bytes(format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(10_000)));
    for failure in
        [Answer::code(500), Answer::code(404), Answer::code(429), Answer::Cut, cut_answer, garbage, redirect, endless]
    {
        let server = Server::start(&[failure.clone(), failure.clone(), ok()]).await;
        let sinks = sinks(&webhook("noc", &server, ""));
        sinks.notify(&[fires(0), fires(4)]);
        until_counted(&sinks, "noc", DeliveryOutcome::Sent, 2).await;
        assert_eq!(count(&sinks, "noc", DeliveryOutcome::Retried), 4, "{failure:?}");
        assert_eq!(sinks.states()[0].problem, None);
        let last = server.requests().last().unwrap().json();
        assert_eq!(last["alerts"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_after_its_head_is_one() {
    let server =
        Server::start(&[Answer::Bytes("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf".to_owned())]).await;
    let sinks = sinks(&webhook("noc", &server, ""));
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    assert_eq!(count(&sinks, "noc", DeliveryOutcome::Retried), 0);
}

#[tokio::test]
async fn a_message_that_is_refused_for_good_does_not_stop_the_next() {
    let server = Server::start(&[Answer::code(400), ok()]).await;
    let sinks = sinks(&webhook("noc", &server, ""));
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Failed, 1).await;
    assert!(sinks.states()[0].problem.as_deref().unwrap().contains("answered 400: no"), "{:?}", sinks.states());
    sinks.notify(&[fires(4)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
}

#[tokio::test]
async fn a_sink_that_hangs_delays_no_other_and_is_tried_again_after_its_timeout() {
    let hanging = Server::start(&[Answer::Hang, ok()]).await;
    let alive = Server::start(&[ok()]).await;
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = [
        webhook("noc", &hanging, "timeout = \"1s\""),
        webhook("other", &alive, ""),
        format!("[[sink]]\nname = \"dead\"\ntype = \"webhook\"\nurl = \"http://{dead}\"\n"),
    ]
    .concat();
    let sinks = sinks(&text);
    for port in 0..10 {
        sinks.notify(&[fires(port)]);
        until_counted(&sinks, "other", DeliveryOutcome::Sent, port as u64 + 1).await;
    }
    assert_eq!(count(&sinks, "noc", DeliveryOutcome::Sent), 0, "it hangs");
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 10).await;
    assert_eq!(count(&sinks, "noc", DeliveryOutcome::Retried), 1);
}

#[tokio::test]
async fn what_a_sink_missed_is_sent_when_it_returns() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sinks = sinks(&format!("[[sink]]\nname = \"noc\"\ntype = \"webhook\"\nurl = \"http://{address}/\"\n"));
    sinks.notify(&[fires(0), fires(4), fires(8)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Retried, 6).await;
    sinks.notify(&[resolved(4)]);
    let problem = sinks.states()[0].problem.clone().unwrap();
    assert!(problem.contains("cannot connect") && problem.contains(&address.to_string()), "{problem}");
    let server = Server::at(&address.to_string(), &[ok()], None).await;
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 3).await;
    let mut received = received(&server);
    received.sort();
    let expected = [("Ethernet0", "firing"), ("Ethernet4", "resolved"), ("Ethernet8", "firing")];
    assert_eq!(received, expected.map(|(port, status)| (port.to_owned(), status.to_owned())));
    assert_eq!(count(&sinks, "noc", DeliveryOutcome::Replaced), 1);
}

#[tokio::test]
async fn without_room_the_oldest_are_dropped_and_counted() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sinks =
        sinks(&format!("[[sink]]\nname = \"noc\"\ntype = \"webhook\"\nurl = \"http://{address}/\"\nqueue = 10\n"));
    sinks.notify(&(0..25).map(fires).collect::<Vec<_>>());
    assert_eq!(count(&sinks, "noc", DeliveryOutcome::Dropped), 15);
    let server = Server::at(&address.to_string(), &[ok()], None).await;
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 10).await;
    let ports: HashSet<String> = received(&server).into_iter().map(|(port, _)| port).collect();
    assert_eq!(ports, (15..25).map(|port| format!("Ethernet{port}")).collect());
}

#[tokio::test]
async fn what_is_too_old_is_dropped_and_counted() {
    let server = Server::start(&[Answer::code(503)]).await;
    let sinks = sinks(&webhook("noc", &server, "retry_for = \"50ms\""));
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Dropped, 1).await;
    assert_eq!(sinks.states()[0].waiting, 0);
}

#[tokio::test]
async fn a_storm_becomes_few_messages() {
    let server = Server::start(&[ok()]).await;
    let sinks = sinks(&webhook("noc", &server, "").replace("\"5ms\"", "\"50ms\""));
    for part in 0..100 {
        sinks.notify(&(0..100).map(|port| fires(100 * part + port)).collect::<Vec<_>>());
    }
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 10_000).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 10);
    let ports: HashSet<String> = received(&server).into_iter().map(|(port, _)| port).collect();
    assert_eq!(ports.len(), 10_000);
}

#[tokio::test]
async fn what_is_not_severe_enough_is_filtered() {
    let server = Server::start(&[ok()]).await;
    let sinks = sinks(&webhook("noc", &server, "min_severity = \"critical\""));
    let mut warning = fires(0);
    warning.alert.severity = Severity::Warning;
    sinks.notify(&[warning, fires(4)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    assert_eq!(count(&sinks, "noc", DeliveryOutcome::Filtered), 1);
    assert_eq!(received(&server)[0].0, "Ethernet4");
}

#[tokio::test]
async fn tls_trusts_the_authority_of_the_file_and_no_other() {
    let dir = TempDir::new().unwrap();
    certificates::authority(dir.path(), "ca").unwrap();
    certificates::authority(dir.path(), "stranger").unwrap();
    certificates::signed(dir.path(), "ca", "server", "serverAuth").unwrap();
    let server = Server::with_tls(&[ok()], dir.path(), "server").await;
    let [trusting, distrusting] = [("noc", "ca"), ("other", "stranger")].map(|(name, ca)| {
        let ca = dir.path().join(format!("{ca}.crt"));
        webhook(name, &server, &format!("ca_file = {ca:?}")).replace("http://", "https://")
    });
    // Without a file it is the system's, which do not know this one.
    let of_the_system = webhook("system", &server, "").replace("http://", "https://");
    let sinks = sinks(&[trusting, distrusting, of_the_system].concat());
    let mut notification = fires(0);
    let actions = ["noc", "other", "system"].map(|name| Action::Sink(name.into()));
    notification.actions = actions.to_vec().into();
    sinks.notify(&[notification]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    for name in ["other", "system"] {
        until_counted(&sinks, name, DeliveryOutcome::Retried, 1).await;
    }
    let problem = sinks.states()[1].problem.clone().unwrap();
    assert!(problem.contains("certificate") && problem.contains("https://127.0.0.1"), "{problem}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_reload_keeps_what_waits_and_leaves_other_sinks_alone() {
    let alive = Server::start(&[ok()]).await;
    let broken = Server::start(&[Answer::code(500)]).await;
    let (before, other) = (webhook("noc", &broken, ""), webhook("other", &alive, ""));
    let mut sinks = sinks(&[before.as_str(), &other].concat());
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "other", DeliveryOutcome::Sent, 1).await;
    until_counted(&sinks, "noc", DeliveryOutcome::Retried, 1).await;
    let store = nowhere();
    let address = broken.address;
    drop(broken);
    let changed = before.clone() + "queue = 5\n";
    sinks.reload(&config(&[changed.as_str(), &other].concat()), surroundings(&store)).await;
    let back = Server::at(&address.to_string(), &[ok()], None).await;
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    assert_eq!(received(&back).len(), 1);
    sinks.notify(&[fires(4)]);
    until_counted(&sinks, "other", DeliveryOutcome::Sent, 2).await;
    sinks.reload(&[], surroundings(&store)).await;
    sinks.notify(&[fires(8)]);
    assert!(sinks.states().is_empty());
    assert_eq!(count(&sinks, "other", DeliveryOutcome::Sent), 2, "counts stay");
}

#[tokio::test]
async fn the_end_sends_what_waits_and_counts_what_it_cannot() {
    let alive = Server::start(&[ok()]).await;
    let hanging = Server::start(&[Answer::Hang]).await;
    let sinks =
        sinks(&[webhook("noc", &alive, ""), webhook("other", &hanging, "")].concat().replace("\"5ms\"", "\"1m\""));
    let log = Arc::clone(&sinks.log);
    sinks.notify(&[fires(0), fires(4)]);
    sinks.finish(Duration::from_millis(300), false).await;
    assert_eq!(received(&alive).len(), 2, "not gathered any longer");
    let counts = log.metrics.counts();
    let count = |sink: &str, outcome| counts.iter().find(|(name, of, _)| &**name == sink && *of == outcome).unwrap().2;
    assert_eq!((count("noc", DeliveryOutcome::Sent), count("other", DeliveryOutcome::Dropped)), (2, 2));
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_receiver_that_fails() {
    let server = Server::start(&[Answer::code(500)]).await;
    let text = webhook("noc", &server, "").replace("\"5ms\"", "\"1m\"").replace("\"20ms\"", "\"1m\"");
    let sinks = sinks(&text);
    sinks.notify(&[fires(0)]);
    tokio::time::timeout(LIMIT, sinks.finish(LIMIT * 2, true)).await.unwrap();
    assert_eq!(server.requests().len(), 1, "one attempt more, and no pause");
}

/// What is on the disk between two runs, and what fires.
async fn next_run(sinks: Sinks, text: &str, active: &[Notification]) -> Sinks {
    let log = Arc::clone(&sinks.log);
    sinks.finish(Duration::from_millis(200), true).await;
    let json = serde_json::to_string(&log.save()).unwrap();
    let next = super::sinks(text);
    next.log.restore(
        Some(&serde_json::from_str(&json).unwrap()),
        Duration::from_secs(3),
        &fire(active.iter().cloned()),
    );
    next.set_active(active);
    next
}

#[tokio::test]
async fn the_next_run_tells_what_was_not_heard_and_nothing_else() {
    let server = Server::start(&[ok(), Answer::code(500)]).await;
    let address = server.address;
    let text = webhook("noc", &server, "");
    let before = sinks(&text);
    before.notify(&[fires(0), fires(4), fires(12)]);
    until_counted(&before, "noc", DeliveryOutcome::Sent, 3).await;
    before.notify(&[resolved(4), fires(8)]);
    until_counted(&before, "noc", DeliveryOutcome::Retried, 2).await;
    let between = next_run(before, &text, &[fires(0), fires(8), fires(12)]).await;
    // And once more, with nothing delivered meanwhile.
    until_counted(&between, "noc", DeliveryOutcome::Retried, 2).await;
    drop(server);
    let active = [fires(0), fires(8), fires(12)];
    let after = next_run(between, &text, &active).await;
    let back = Server::at(&address.to_string(), &[ok()], None).await;
    until_counted(&after, "noc", DeliveryOutcome::Sent, 2).await;
    after.notify(&[resolved(12)]);
    after.set_active(&active[..2]);
    until_counted(&after, "noc", DeliveryOutcome::Sent, 3).await;
    let mut received = received(&back);
    received.sort();
    let expected = [("Ethernet12", "resolved"), ("Ethernet4", "resolved"), ("Ethernet8", "firing")];
    assert_eq!(received, expected.map(|(port, status)| (port.to_owned(), status.to_owned())));
}

#[tokio::test]
async fn a_state_without_deliveries_counts_as_all_heard() {
    let server = Server::start(&[ok()]).await;
    let sinks = sinks(&webhook("noc", &server, ""));
    sinks.log.restore(None, Duration::ZERO, &fire([fires(0)]));
    sinks.set_active(&[fires(0), fires(4)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    assert_eq!(received(&server), [("Ethernet4".to_owned(), "firing".to_owned())]);
}

#[tokio::test]
async fn a_sink_may_ask_for_rules_that_do_not_name_it() {
    let server = Server::start(&[ok()]).await;
    let unasked = |port: usize, rule: &str| {
        let mut notification = fires(port);
        notification.actions = [Action::Log].into();
        notification.alert.rule = rule.into();
        notification.alert.fingerprint = Fingerprint::new(rule, notification.alert.port.as_ref());
        notification
    };
    let mut sinks = sinks(&webhook("noc", &server, "rules = [\"Redis*\", \"Port*\"]\nmin_severity = \"warning\""));
    let mut info = unasked(8, "RedisSlow");
    info.alert.severity = Severity::Info;
    // The first one is named by its rule and asked for.
    sinks.notify(&[fires(0), unasked(4, "RedisDown"), unasked(4, "DriftFound"), info]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 2).await;
    assert_eq!(count(&sinks, "noc", DeliveryOutcome::Filtered), 1);
    let end = Notification { ended: Some(1e9), ..unasked(4, "RedisDown") };
    sinks.notify(&[end]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 3).await;
    // After a reload it asks for more: it hears of what it did not, and not again of the rest.
    let store = nowhere();
    sinks.reload(&config(&webhook("noc", &server, "rules = [\"*\"]")), surroundings(&store)).await;
    let mut silenced = unasked(16, "DriftFound");
    silenced.alert.state = AlertState::Suppressed;
    sinks.set_active(&[fires(0), unasked(4, "DriftFound"), silenced]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 4).await;
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let alerts: Vec<serde_json::Value> =
        server.requests().iter().flat_map(|request| request.json()["alerts"].as_array().unwrap().clone()).collect();
    let received: Vec<_> = alerts.iter().map(|alert| (text(&alert["rule"]), text(&alert["status"]))).collect();
    let expected =
        [("PortFlapping", "firing"), ("RedisDown", "firing"), ("RedisDown", "resolved"), ("DriftFound", "firing")];
    assert_eq!(received, expected.map(|(rule, status)| (rule.to_owned(), status.to_owned())));
}

#[tokio::test]
async fn what_waits_goes_on_to_another_url_which_may_stand_in_a_file() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("url");
    let broken = Server::start(&[Answer::code(500)]).await;
    let alive = Server::start(&[ok()]).await;
    let mut sinks = sinks(&webhook("noc", &broken, ""));
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Retried, 1).await;
    let text = format!("[[sink]]\nname = \"noc\"\ntype = \"webhook\"\nurl_file = {file:?}\n");
    fs::write(&file, "s3cret\n").unwrap();
    sinks.reload(&config(&text), surroundings(&nowhere())).await;
    let problem = || sinks.states()[0].problem.clone();
    wait::until_async("the problem", LIMIT, || std::future::ready(problem().is_some())).await.unwrap();
    let said = problem().unwrap();
    assert!(said.contains("url_file") && said.contains("has to hold a URL") && !said.contains("s3cret"), "{said}");
    fs::write(&file, format!("http://{}/hooks/s3cret\n", alive.address)).unwrap();
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    assert!(alive.requests()[0].head.starts_with("POST /hooks/s3cret HTTP/1.1\r\n"));
}
