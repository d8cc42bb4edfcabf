//! A byte stream to a server: a unix socket, TCP, or TLS over TCP with the system's certificate authorities.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_rustls::TlsConnector;

use crate::db::topology::Address;
use crate::tls_roots;

/// What can be read from and written to.
pub(in crate::db) trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Duplex for S {}

pub(in crate::db) type Transport = Pin<Box<dyn Duplex>>;

pub(in crate::db) async fn connect(address: &Address) -> io::Result<Transport> {
    Ok(match address {
        Address::Unix(path) => Box::pin(UnixStream::connect(path).await?),
        Address::Tcp(host, port) => Box::pin(tcp(host, *port).await?),
        Address::Tls(host, port) => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(Arc::new(tls_roots::of_the_system()?));
            Box::pin(connector.connect(name, tcp(host, *port).await?).await?)
        }
    })
}

/// Tries each address that the name has. What is said if none will do is the first one's: the others may not even be routed.
async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut problem = None;
    for address in lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A row is one small segment, and nothing is to wait for more of them.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => {
                problem.get_or_insert(error);
            }
        }
    }
    Err(problem.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}
