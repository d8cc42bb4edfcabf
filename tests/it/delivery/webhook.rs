//! Where the daemon's webhook posts to: keeps what comes, or refuses it.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::fixture::http::read_request;

/// Listens until the test's process ends, in the namespace that its thread is in: to be started after the rig.
pub struct Webhook {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    messages: Mutex<Vec<Value>>,
    refuses: AtomicBool,
    refused: AtomicUsize,
}

impl Webhook {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let kept = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                take(stream, &kept);
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers with 503 from now on, or takes what comes.
    pub fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::SeqCst);
    }

    /// How many messages were refused.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// What was taken, in that order: status, rule and port of each alert.
    pub fn heard(&self) -> Vec<String> {
        let messages = self.shared.messages.lock().unwrap();
        let alerts = messages.iter().flat_map(|message| message["alerts"].as_array().unwrap().clone());
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        alerts.map(|alert| [&alert["status"], &alert["rule"], &alert["port"]].map(word).join(" ")).collect()
    }

    /// How often this was heard.
    pub fn count(&self, what: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == what).count()
    }
}

fn take(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let body = read_request(&mut stream)?;
    let refuses = shared.refuses.load(Ordering::SeqCst);
    let code = if refuses { "503 Service Unavailable" } else { "200 OK" };
    // Kept before it is answered: what the daemon knows to be delivered is there for the test.
    if refuses {
        shared.refused.fetch_add(1, Ordering::SeqCst);
    } else {
        shared.messages.lock().unwrap().push(serde_json::from_slice(&body).ok()?);
    }
    let answer = format!("HTTP/1.1 {code}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).ok()
}
