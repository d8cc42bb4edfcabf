//! A window into the demonstration's network namespace: the daemon's HTTP server, reachable from where the demonstration was
//! started. A socket stays in the namespace in which it was made, so the window is opened before the namespace is entered.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Where the daemon serves HTTP unless it is told otherwise.
const SERVER: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 9477);

#[derive(Debug)]
pub struct Window {
    listener: TcpListener,
}

impl Window {
    /// Opens it, on the server's own port if that is free.
    pub fn open() -> io::Result<Self> {
        let listener = TcpListener::bind(SERVER).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Hands every connection on, until it is dropped.
    pub async fn serve(self) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let (mut outside, _) = listener.accept().await?;
            connections.spawn(async move {
                // While the daemon is away the connection just ends.
                if let Ok(mut inside) = TcpStream::connect(SERVER).await {
                    let _ = copy_bidirectional(&mut outside, &mut inside).await;
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net;

    use portsyncd::lab::netns;

    use super::*;

    #[test]
    fn what_is_served_inside_is_seen_outside() {
        let window = Window::open().unwrap();
        let address = window.address().unwrap();
        let (seen, told) = tokio::sync::oneshot::channel();
        let inside = std::thread::spawn(move || {
            netns::enter_private().unwrap();
            let server = TcpListener::bind(SERVER).unwrap();
            std::thread::spawn(move || server.accept().unwrap().0.write_all(b"hello").unwrap());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    outcome = window.serve() => outcome.unwrap(),
                    told = told => told.unwrap(),
                }
            });
        });
        let mut said = [0; 5];
        net::TcpStream::connect(address).unwrap().read_exact(&mut said).unwrap();
        assert_eq!(&said, b"hello");
        seen.send(()).unwrap();
        inside.join().unwrap();
    }
}
