//! HTTP POST to one server: a connection for each delivery, plain or TLS, without redirects and without proxies.
//!
//! Deliveries are rare, so that a connection held open would more often be found dead than used. The time of it all is
//! the caller's to bound; what an answer may take of memory is bounded here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::DeliveryError;
use crate::secret::Secret;
use crate::tls_roots;

/// How much is read of an answer's head.
const HEAD: usize = 16 * 1024;
/// How much is read of what a server says of a failure.
const TEXT: usize = 512;
const AGENT: &str = concat!("portsyncd/", env!("CARGO_PKG_VERSION"));

#[derive(Clone, Debug)]
pub(super) struct HttpClient {
    tls: bool,
    host: String,
    port: u16,
    /// For people: the URL without path and query, which may be a secret.
    shown: String,
    authority: String,
    path: String,
    ca_file: PathBuf,
}

/// Headers besides those that every request has.
pub(super) type Headers = Vec<(HeaderName, HeaderValue)>;

impl HttpClient {
    /// The server and path of a URL that the configuration has checked. `below` is appended to the path.
    pub fn new(url: &str, below: &str, ca_file: &Path) -> Self {
        let uri: Uri = url.parse().unwrap_or_default();
        let tls = uri.scheme_str() == Some("https");
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let host = uri.host().unwrap_or_default();
        let path = match uri.query() {
            _ if !below.is_empty() => format!("{}{below}", uri.path().trim_end_matches('/')),
            Some(query) => format!("{}?{query}", uri.path()),
            None => uri.path().to_owned(),
        };
        Self {
            tls,
            // IPv6 addresses stand in brackets.
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            shown: format!("{}://{authority}", if tls { "https" } else { "http" }),
            authority,
            path,
            ca_file: ca_file.to_owned(),
        }
    }

    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Posts JSON. Fine is what the server answers with 2xx.
    pub async fn post(&self, body: Vec<u8>, headers: Headers) -> Result<(), DeliveryError> {
        let mut request = Request::post(&self.path)
            .header(HOST, &self.authority)
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let stream =
            self.connect().await.map_err(|source| DeliveryError::Connect { server: self.shown.clone(), source })?;
        match stream {
            MaybeTlsStream::Plain(stream) => self.exchange(stream, request).await,
            MaybeTlsStream::Tls(stream) => self.exchange(stream, request).await,
        }
    }

    async fn connect(&self) -> std::io::Result<MaybeTlsStream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        if !self.tls {
            return Ok(MaybeTlsStream::Plain(stream));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
        let ca_file = self.ca_file.clone();
        // A hundred files and more, and as many signatures' keys: milliseconds that others need not wait for.
        let trust = move || {
            if ca_file.as_os_str().is_empty() { tls_roots::of_the_system() } else { tls_roots::of_file(&ca_file) }
        };
        let trust = tokio::task::spawn_blocking(trust).await.map_err(std::io::Error::other)??;
        let stream = TlsConnector::from(Arc::new(trust)).connect(name, stream).await?;
        Ok(MaybeTlsStream::Tls(Box::new(stream)))
    }

    async fn exchange<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<(), DeliveryError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let broke = |source| DeliveryError::Exchange { server: self.shown.clone(), source };
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(stream)).await.map_err(broke)?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(broke)?;
            self.judge(answer).await
        };
        tokio::pin!(answer);
        tokio::select! {
            outcome = &mut answer => outcome,
            // The connection has ended, with or without an answer; who asked knows.
            _ = connection => answer.await,
        }
    }

    /// What a server says of success is not read.
    async fn judge(&self, answer: Response<Incoming>) -> Result<(), DeliveryError> {
        let code = answer.status();
        if code.is_success() {
            return Ok(());
        }
        let mut body = answer.into_body();
        let mut text = Vec::new();
        while text.len() < TEXT
            && let Some(Ok(frame)) = body.frame().await
        {
            text.extend_from_slice(frame.data_ref().map_or(&[][..], Bytes::as_ref));
        }
        text.truncate(TEXT);
        let text = String::from_utf8_lossy(&text).trim().escape_debug().to_string();
        Err(DeliveryError::Answer { server: self.shown.clone(), code: code.as_u16(), text })
    }
}

/// Reads it each time, so that one that was replaced holds at once.
pub(super) async fn read_secret(key: &'static str, path: &Path) -> Result<Secret, DeliveryError> {
    let read = path.to_owned();
    let secret = tokio::task::spawn_blocking(move || Secret::read(&read)).await;
    let problem = |source| DeliveryError::File { key, path: path.to_owned(), source };
    secret.map_err(|error| problem(std::io::Error::other(error)))?.map_err(problem)
}

enum MaybeTlsStream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, below, tls, host, port, path, shown) in [
            ("http://h", "", false, "h", 80, "/", "http://h"),
            ("https://h:8443/a/b?t=1", "", true, "h", 8443, "/a/b?t=1", "https://h:8443"),
            ("http://[::1]:9093/", "/api/v2/alerts", false, "::1", 9093, "/api/v2/alerts", "http://[::1]:9093"),
            ("https://h/am", "/api/v2/alerts", true, "h", 443, "/am/api/v2/alerts", "https://h"),
        ] {
            let client = HttpClient::new(url, below, Path::new(""));
            assert_eq!((client.tls, client.host.as_str(), client.port), (tls, host, port), "{url}");
            assert_eq!((client.path.as_str(), client.shown()), (path, shown), "{url}");
        }
    }
}
