//! The client of the control socket, against a listener that says just what a test wants, and to the last byte when it wants it.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use portsyncd::alert::model::Suppression;
use portsyncd::api::{PortList, Readiness};
use portsyncd::config::ControlConfig;
use portsyncd::control::{Control, ControlError, Event};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::timeout;

/// A listener that answers the first connection with these pieces, one after the other, and then ends or holds it.
struct Fake {
    _dir: TempDir,
    control: Control,
}

impl Fake {
    fn impatient(&self) -> Control {
        self.control.clone().with_patience(Duration::from_millis(50))
    }
}

fn control(socket: PathBuf) -> Control {
    Control::new(&ControlConfig { socket }).unwrap()
}

fn fake(pieces: &[&str], hold: bool) -> Fake {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        let text = String::from_utf8_lossy(&request[..length]);
        assert!(["GET /", "POST /", "DELETE /"].iter().any(|start| text.starts_with(start)), "{text}");
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        if hold {
            std::future::pending::<()>().await;
        }
    });
    Fake { _dir: dir, control: control(socket) }
}

fn whole(code: &str, body: &str) -> String {
    format!("HTTP/1.1 {code}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn an_answer_is_read_in_the_shape_that_is_wanted() {
    let fake = fake(&[&whole("200 OK", "{\"ports\":[]}")], true);
    assert_eq!(fake.control.get::<PortList>("/api/v1/ports").await.unwrap(), PortList::default());
}

#[tokio::test]
async fn errors_name_the_socket_and_what_to_do_next() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("control.sock");
    let error = control(socket.clone()).fetch("/api/v1/status").await.unwrap_err();
    assert!(error.is_unreachable());
    let text = error.to_string();
    for part in [socket.to_str().unwrap(), "No such file", "is it running", "control.socket"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    drop(UnixListener::bind(&socket).unwrap());
    let error = control(socket).fetch("/api/v1/status").await.unwrap_err();
    assert!(error.is_unreachable() && error.to_string().contains("is gone"), "{error}");
    let off = Control::new(&ControlConfig { socket: PathBuf::new() }).unwrap_err();
    assert!(!off.is_unreachable() && off.to_string().contains("control.socket = \"\""), "{off}");
    let denied = ControlError::Unreachable { socket: "/x".into(), cause: ErrorKind::PermissionDenied.into() };
    assert!(denied.to_string().contains("daemon's user"), "{denied}");
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_is_given_up() {
    for pieces in [&[][..], &["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"p"]] {
        let fake = fake(pieces, true);
        let error = fake.impatient().fetch("/api/v1/ports").await.unwrap_err();
        assert!(matches!(error, ControlError::Silent { .. }), "{error}");
        assert!(error.to_string().contains("/api/v1/ports for 50ms"), "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_no_answer() {
    for pieces in [&[][..], &["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"p"], &["rubbish\r\n\r\n"]] {
        let fake = fake(pieces, false);
        let error = fake.control.fetch("/api/v1/ports").await.unwrap_err();
        assert!(matches!(error, ControlError::BrokenOff { .. }), "{error}");
    }
}

#[tokio::test]
async fn refusals_and_other_shapes_are_told() {
    let refusing = fake(&[&whole("404 Not Found", "no such path\n")], true);
    let error = refusing.control.get::<Readiness>("/readyz").await.unwrap_err();
    assert!(error.to_string().contains("/readyz with 404 Not Found: no such path;"), "{error}");
    let other = fake(&[&whole("200 OK", "{\"ready\":1}")], true);
    let error = other.control.get::<Readiness>("/readyz").await.unwrap_err();
    assert!(matches!(error, ControlError::Format { .. }) && !error.is_unreachable(), "{error}");
}

#[tokio::test]
async fn a_verdict_may_be_no_however_long_its_reasons_are() {
    let reasons = "x".repeat(2000);
    let no = fake(&[&whole("503 Service Unavailable", &reasons)], true);
    assert_eq!(no.control.verdict("/readyz").await.unwrap(), (false, reasons.into_bytes()));
    let yes = fake(&[&whole("200 OK", "ok\n")], true);
    assert_eq!(yes.control.verdict("/livez").await.unwrap(), (true, b"ok\n".to_vec()));
    let neither = fake(&[&whole("404 Not Found", "no such path\n")], true);
    let error = neither.control.verdict("/livez").await.unwrap_err();
    assert!(matches!(error, ControlError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn what_the_daemon_will_not_change_is_told_in_its_words() {
    let made = fake(&[&whole("201 Created", "{}")], true);
    assert_eq!(made.control.post("/api/v1/silences", b"{}".to_vec()).await.unwrap(), b"{}");
    let wrong = fake(&[&whole("400 Bad Request", "silence: rule = \"X\": no\n")], true);
    let error = wrong.control.post("/api/v1/silences", b"{}".to_vec()).await.unwrap_err();
    assert_eq!(error.to_string(), "silence: rule = \"X\": no");
    let missing = fake(&[&whole("404 Not Found", "no silence has the number 7\n")], true);
    let error = missing.control.delete("/api/v1/silences/7").await.unwrap_err();
    assert_eq!(error.to_string(), "no silence has the number 7");
    let old = fake(&[&whole("405 Method Not Allowed", "GET only\n")], true);
    let error = old.control.delete("/api/v1/silences/7").await.unwrap_err();
    assert!(matches!(&error, ControlError::Refused { .. }) && error.to_string().contains("same version"), "{error}");
}

#[tokio::test]
async fn events_come_as_they_are_told_and_unknown_ones_are_left_out() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let fake = fake(
        &[
            head,
            "event: moon\ndata: full\n\nevent: ports\ndata: {\"por",
            "ts\":[]}\n\nevent: change\ndata: {\"ports\":[],\"removed\":[\"Ethernet0\"]}\n\n",
            "event: alerts\ndata: 7\n\nevent: alerts\ndata: [{\"summary\":\"flaps\",\"fingerprint\":\"00000000000000ff\",",
            "\"rule\":\"PortFlapping\",\"state\":\"suppressed\",\"severity\":\"critical\",\"labels\":{},\"annotations\":{},",
            "\"value\":1.5,\"since\":10.0,\"suppressed\":{\"silence\":3},\"notified\":true,\"new\":1}]\n\n",
        ],
        false,
    );
    let mut events = fake.control.events().await.unwrap();
    assert_eq!(events.next().await.unwrap(), Event::Ports(PortList::default()));
    let Event::Change(changes) = events.next().await.unwrap() else { panic!("no change") };
    assert_eq!(changes.removed, ["Ethernet0"]);
    let Event::Alerts(alerts) = events.next().await.unwrap() else { panic!("no alerts") };
    assert_eq!((alerts[0].summary.as_str(), &*alerts[0].alert.rule), ("flaps", "PortFlapping"));
    assert_eq!(alerts[0].alert.suppressed, Some(Suppression::Silence(3)));
    assert!(matches!(events.next().await.unwrap_err(), ControlError::BrokenOff { .. }));
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up_however_often_one_looks() {
    let fake = fake(&["HTTP/1.1 200 OK\r\n\r\n"], true);
    let mut events = fake.impatient().events().await.unwrap();
    let mut looks = 0;
    let error = loop {
        match timeout(Duration::from_millis(10), events.next()).await {
            Ok(outcome) => break outcome.unwrap_err(),
            Err(_) => looks += 1,
        }
    };
    assert!(matches!(error, ControlError::Silent { .. }) && looks > 3, "{error} after {looks} looks");
}
