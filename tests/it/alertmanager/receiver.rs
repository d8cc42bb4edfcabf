//! Whom Alertmanager tells: keeps what comes.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::fixture::http::read_request;

/// Listens until the test's process ends.
pub struct Receiver {
    pub address: SocketAddr,
    messages: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&messages);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if let Some(message) = take(stream) {
                    kept.lock().unwrap().push(message);
                }
            }
        });
        Self { address, messages }
    }

    /// The ports of which a message said that they are in this state.
    pub fn statuses(&self, status: &str) -> BTreeSet<String> {
        let messages = self.messages.lock().unwrap();
        let alerts = messages.iter().flat_map(|message| message["alerts"].as_array().unwrap());
        let such = alerts.filter(|alert| alert["status"] == status);
        such.map(|alert| alert["labels"]["port"].as_str().unwrap().to_owned()).collect()
    }

    /// How the group stands by the last message.
    pub fn last_status(&self) -> Option<String> {
        Some(self.messages.lock().unwrap().last()?["status"].as_str().unwrap().to_owned())
    }
}

fn take(mut stream: TcpStream) -> Option<Value> {
    let body = read_request(&mut stream)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok()?;
    serde_json::from_slice(&body).ok()
}
