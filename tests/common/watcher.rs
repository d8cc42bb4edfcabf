//! Every command that a server carries out, in its order: Redis' `MONITOR`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use portsyncd::lab::redis_server::RedisServer;
use portsyncd::lab::wait;

/// Listens until dropped.
pub struct Watcher {
    stream: UnixStream,
    lines: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Sees everything that comes after this call.
    pub fn start(server: &RedisServer) -> Self {
        let mut stream = UnixStream::connect(server.socket()).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut answer = String::new();
        reader.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim(), "+OK");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&lines);
        let thread = thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                // Time and client are of no use, the database's number is.
                let line = line.split_once('[').map_or(line.clone(), |(_, rest)| format!("[{rest}"));
                all.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { stream, lines, thread: Some(thread) }
    }

    /// The commands so far that clients sent, without those that scripts made of them.
    pub fn commands(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| !line.contains(" lua] ")).cloned().collect()
    }

    /// Everything up to now: waits until a command sent now is seen.
    pub fn all(&self, server: &RedisServer, marker: &str) -> Vec<String> {
        redis::cmd("ECHO").arg(marker).exec(&mut server.client(0).unwrap()).unwrap();
        let done = |line: &String| line.contains("\"ECHO\"") && line.contains(marker);
        wait::until("MONITOR", super::LIMIT, || self.commands().iter().any(done)).unwrap();
        self.commands()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Commands that write a row of `STATE_DB`'s `PORT_TABLE`, or publish to `APPL_DB`'s.
pub fn is_write(line: &str) -> bool {
    let row = ["\"HSET\"", "\"DEL\"", "\"HDEL\"", "\"HMSET\""].iter().any(|verb| line.contains(verb));
    (row && line.contains("PORT_TABLE|")) || (line.contains("\"EVALSHA\"") && line.contains("\"G\""))
}
