//! systemd's notification socket, which is never waited for.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use sd_notify::NotifyState;
use tracing::debug;

/// Says it if the supervisor has room for it: one that does not read holds nothing up. False if it has no room.
pub fn notify(state: &[NotifyState<'_>]) -> bool {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return true };
    let message = state.iter().fold(String::new(), |message, state| format!("{message}{state}\n"));
    match send(&socket, message.as_bytes()) {
        Ok(()) => true,
        Err(error) => {
            debug!(error = %error, "cannot notify the supervisor");
            error.kind() != io::ErrorKind::WouldBlock
        }
    }
}

/// Sends a datagram without waiting. A path that begins with `@` is a name in the abstract namespace.
fn send(path: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match path.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message, &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_that_does_not_read_holds_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let supervisor = UnixDatagram::bind(&path).unwrap();
        let mut sent = 0;
        let refusal = loop {
            match send(path.as_os_str(), b"WATCHDOG=1\n") {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 100_000, "it has no end");
        };
        assert_eq!(refusal.kind(), io::ErrorKind::WouldBlock);
        let mut message = [0; 64];
        let length = supervisor.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"WATCHDOG=1\n");
        send(path.as_os_str(), b"READY=1\n").unwrap();
    }
}
