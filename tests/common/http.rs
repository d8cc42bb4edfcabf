//! A client of HTTP that does just what it is told: requests that no library would send, answers as they came. And what a
//! server of a test has to read.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Far longer than any answer takes.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: String,
}

/// Asks for a path, on a connection of its own.
pub fn get(server: SocketAddr, path: &str) -> io::Result<Answer> {
    ask(server, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
}

/// Sends this, and reads to the end of the connection.
pub fn ask(server: SocketAddr, request: &str) -> io::Result<Answer> {
    let mut stream = connect(server)?;
    stream.write_all(request.as_bytes())?;
    read_answer(&mut stream)
}

/// As [`ask`] on a unix socket.
pub fn over_socket(path: &Path, request: &str) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(request.as_bytes())?;
    read_answer(&mut stream)
}

/// Reads to the end of the connection.
pub fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("no answer of HTTP: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(wrong)?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(wrong)?;
    Ok(Answer { code, head: head.to_lowercase(), body: body.to_owned() })
}

/// The body of a request whose length is said; nothing if the client went before it was all there.
pub fn read_request(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut part = [0; 8192];
    loop {
        let length = stream.read(&mut part).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&part[..length]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
        if bytes.len() >= end + 4 + length {
            return Some(bytes.split_off(end + 4));
        }
    }
}

/// A connection on which nothing takes for ever.
pub fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}
