//! What Alertmanager's API is sent, and when again. The real one is asked in tests/it/alertmanager.rs.

use std::collections::BTreeMap;

use super::server::{Answer, Request, Server};
use super::*;

fn ok() -> Answer {
    Answer::Bytes("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned())
}

fn sink(servers: &[&Server], more: &str) -> String {
    let urls: Vec<_> = servers.iter().map(|server| format!("http://{}/am", server.address)).collect();
    format!("[[sink]]\nname = \"noc\"\ntype = \"alertmanager\"\nurls = {urls:?}\n{more}\n")
}

/// Of each alert of a request whether it is over.
fn over(request: &Request) -> BTreeMap<String, bool> {
    let now = humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string();
    let one = |alert: &serde_json::Value| {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        (text(&alert["labels"]["port"]), text(&alert["endsAt"]) <= now)
    };
    request.json().as_array().unwrap().iter().map(one).collect()
}

async fn until_requests(server: &Server, what: &str, mut enough: impl FnMut(&[Request]) -> bool) {
    wait::until_async(what, LIMIT, || std::future::ready(enough(&server.requests()))).await.unwrap();
}

#[tokio::test]
async fn an_alert_has_the_shape_of_the_api() {
    let dir = tempfile::TempDir::new().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "t0ken\n").unwrap();
    let server = Server::start(&[ok()]).await;
    let sinks = sinks(&sink(&[&server], &format!("bearer_token_file = {token:?}")));
    let mut end = resolved(4);
    // By a clock that was set back meanwhile.
    (end.alert.since, end.ended) = (4_000_000_000.0, Some(1.0));
    end.alert.labels.insert("instance".to_owned(), "spine1".to_owned());
    sinks.notify(&[fires(0), end]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 2).await;
    let request = server.requests().remove(0);
    assert!(request.head.starts_with("POST /am/api/v2/alerts HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("authorization"), Some("Bearer t0ken"));
    let mut alerts = request.json();
    let ends = humantime::parse_rfc3339(alerts[0]["endsAt"].take().as_str().unwrap()).unwrap();
    let ahead = ends.duration_since(std::time::SystemTime::now()).unwrap().as_secs();
    assert!((200..=240).contains(&ahead), "{ahead} s: four times resend_interval");
    let [starts, ends] = ["startsAt", "endsAt"].map(|key| alerts[1][key].take());
    let ended = humantime::parse_rfc3339(ends.as_str().unwrap()).unwrap();
    assert!(ended <= std::time::SystemTime::now() && ended.elapsed().unwrap() < LIMIT, "it ends now: {ends}");
    assert_eq!(starts, ends, "a beginning in the future is lowered");
    let labels = |port, instance| {
        serde_json::json!({"alertname": "PortFlapping", "severity": "critical", "port": port,
            "instance": instance, "team": "net"})
    };
    let url = "http://127.0.0.1:9477/";
    assert_eq!(
        alerts,
        serde_json::json!([
            {"labels": labels("Ethernet0", "leaf1"), "annotations": {"summary": "Ethernet0 flaps"},
             "startsAt": "2026-11-24T19:36:40.250Z", "endsAt": null, "generatorURL": url},
            {"labels": labels("Ethernet4", "spine1"), "annotations": {"summary": "Ethernet4 flaps"},
             "startsAt": null, "endsAt": null, "generatorURL": url},
        ])
    );
}

#[tokio::test]
async fn what_fires_is_sent_again_and_what_ended_too() {
    let server = Server::start(&[ok()]).await;
    let sinks = sinks(&sink(&[&server], "resend_interval = \"1s\""));
    sinks.notify(&[fires(0), fires(4)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 2).await;
    sinks.notify(&[resolved(4)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 3).await;
    let both = BTreeMap::from([("Ethernet0".to_owned(), false), ("Ethernet4".to_owned(), true)]);
    until_requests(&server, "two more", |all| all.iter().filter(|request| over(request) == both).count() >= 2).await;
    assert_eq!(count(&sinks, "noc", DeliveryOutcome::Sent), 3, "what is said again counts once");
}

#[tokio::test]
async fn after_a_restart_what_fires_is_sent_at_once() {
    let server = Server::start(&[ok()]).await;
    let sinks = sinks(&sink(&[&server], "resend_interval = \"1h\""));
    let mut not_told = fires(8);
    not_told.alert.notified = false;
    sinks.set_active(&[fires(0), not_told]);
    let expected = BTreeMap::from([("Ethernet0".to_owned(), false)]);
    until_requests(&server, "what fires", |all| all.iter().any(|request| over(request) == expected)).await;
}

#[tokio::test]
async fn every_server_is_told_by_itself() {
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let alive = Server::start(&[ok()]).await;
    let text = sink(&[&alive], "resend_interval = \"1h\"").replace("urls = [", &format!("urls = [\"http://{down}\", "));
    let sinks = sinks(&text);
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    sinks.notify(&[fires(4)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 2).await;
    assert_eq!(sinks.states().iter().map(|state| state.waiting).collect::<Vec<_>>().len(), 2);
    let back = Server::at(&down.to_string(), &[ok()], None).await;
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 4).await;
    // It may have forgotten everything: it is sent the whole.
    let whole = BTreeMap::from(["Ethernet0", "Ethernet4"].map(|port| (port.to_owned(), false)));
    until_requests(&back, "the whole", |all| all.iter().skip(1).any(|request| over(request) == whole)).await;
}

#[tokio::test]
async fn a_part_that_is_refused_holds_back_no_other() {
    let server = Server::start(&[Answer::code(400)]).await;
    let sinks = sinks(&sink(&[&server], "resend_interval = \"1s\""));
    sinks.notify(&(0..1500).map(fires).collect::<Vec<_>>());
    until_counted(&sinks, "noc", DeliveryOutcome::Failed, 1500).await;
    let sizes =
        |all: &[Request]| all.iter().map(|request| request.json().as_array().unwrap().len()).collect::<Vec<_>>();
    until_requests(&server, "both parts again", |all| sizes(all).starts_with(&[1000, 500, 1000, 500])).await;
    assert_eq!(count(&sinks, "noc", DeliveryOutcome::Failed), 1500, "what is said again is not counted");
}
