//! Listening, and what a connection may take of us.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::Service;
use super::connections::Connections;
use super::credentials::Password;
use super::hosts::Hosts;
use super::route::{self, Access, Requester};
use super::tls::{self, TlsError};
use crate::backoff::Backoff;
use crate::config::HttpConfig;
use crate::telemetry::Component;

/// For a request's head to come, also on a connection that was idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// For the client to take in what was written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Of a request's head, and of what is written ahead.
const BUFFER: usize = 16 * 1024;
const HEADERS: usize = 64;
/// Connections of the control socket at once.
const CONTROL_CONNECTIONS: usize = 32;
const RETRY: Backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_secs(30), jitter: 0.0 };

/// Why there is nothing to connect to.
#[derive(Debug, Error)]
enum ListenError {
    #[error("cannot listen on http.listen = {address:?}: {source}")]
    Tcp { address: String, source: io::Error },
    #[error("cannot listen on control.socket = {path:?}: {source}")]
    Unix { path: PathBuf, source: io::Error },
    #[error("control.socket = {path:?}: another daemon answers there")]
    Taken { path: PathBuf },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("http.password_file = {path:?}: cannot be used: {source}")]
    Password { path: PathBuf, source: io::Error },
}

/// Listens on TCP, if it is wanted, and serves whoever comes.
pub(super) async fn tcp(service: &Arc<Service>, config: &HttpConfig) {
    service.telemetry().metrics.http_connections.set_count((), 0);
    if config.listen.is_empty() {
        service.telemetry().readiness.set_ready(Component::Http);
        return;
    }
    let open = async || {
        let acceptor = tls::acceptor(config)?;
        let password = Password::read(&config.password_file)
            .map_err(|source| ListenError::Password { path: config.password_file.clone(), source })?;
        let wrong = |source| ListenError::Tcp { address: config.listen.clone(), source };
        let listener = TcpListener::bind(&config.listen).await.map_err(wrong)?;
        let hosts = Hosts::new(listener.local_addr().map_err(wrong)?, service.reader.host(), &config.hosts);
        Ok((listener, acceptor, Access::Look { hosts, password }))
    };
    let (listener, acceptor, access) = until_open(service, Component::Http, open).await;
    if let Ok(address) = listener.local_addr() {
        info!(address = %address, tls = acceptor.is_some(), "serving HTTP");
    }
    let access = Arc::new(access);
    let mut connections = Connections::new(config.max_connections);
    let count = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                accept_failed(&error).await;
                continue;
            }
        };
        let (access, acceptor) = (Arc::clone(&access), acceptor.clone());
        let open = Open::new(service, &count);
        let serve = |lasting| async move {
            let client = Requester { access: &access, lasting };
            over_tcp(&open.service, &client, stream, acceptor).await;
        };
        if connections.serve(serve) {
            service.telemetry().metrics.http_connections_refused.count(());
        }
    }
}
/// One of the open connections over TCP, for the metric.
struct Open {
    service: Arc<Service>,
    count: Arc<AtomicUsize>,
}

impl Open {
    fn new(service: &Arc<Service>, count: &Arc<AtomicUsize>) -> Self {
        let open = Self { service: Arc::clone(service), count: Arc::clone(count) };
        open.show(count.fetch_add(1, Ordering::Relaxed) + 1);
        open
    }

    fn show(&self, count: usize) {
        self.service.telemetry().metrics.http_connections.set_count((), count);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.show(self.count.fetch_sub(1, Ordering::Relaxed) - 1);
    }
}

async fn over_tcp(service: &Service, client: &Requester<'_>, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
    // Messages of the stream are small and are not to wait for each other.
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => connection(service, client, stream).await,
        Some(acceptor) => match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => connection(service, client, stream).await,
            Ok(Err(error)) => debug!(error = %error, "TLS handshake failed"),
            Err(_) => debug!("TLS handshake took too long"),
        },
    }
}

/// Listens on the control socket, if it is wanted, and serves whoever comes.
pub(super) async fn unix(service: &Arc<Service>, path: &Path) {
    if path.as_os_str().is_empty() {
        service.telemetry().readiness.set_ready(Component::Control);
        return;
    }
    let (listener, _socket) = until_open(service, Component::Control, async || bind(path).await).await;
    debug!(path = %path.display(), "serving the control socket");
    let mut connections = Connections::new(CONTROL_CONNECTIONS);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = Arc::clone(service);
                connections.serve(|lasting| async move {
                    connection(&service, &Requester { access: &Access::Change, lasting }, stream).await;
                });
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

/// A socket in the file system, removed when nobody listens any longer.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The socket is made under another name and renamed once its mode is right, so that nobody else can ever connect.
async fn bind(path: &Path) -> Result<(UnixListener, SocketFile), ListenError> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(ListenError::Taken { path: path.to_owned() });
    }
    let bind = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let new = PathBuf::from(name);
        let _ = std::fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        std::fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        std::fs::rename(&new, path)?;
        Ok(listener)
    };
    let listener = bind().map_err(|source| ListenError::Unix { path: path.to_owned(), source })?;
    Ok((listener, SocketFile(path.to_owned())))
}

/// Tries until it can be listened, ever more seldom, and says why not when the reason changes.
async fn until_open<T>(service: &Service, component: Component, open: impl AsyncFn() -> Result<T, ListenError>) -> T {
    let readiness = &service.telemetry().readiness;
    let (mut pauses, mut said) = (RETRY.pauses(), String::new());
    loop {
        match open().await {
            Ok(opened) => {
                readiness.set_ready(component);
                return opened;
            }
            Err(error) => {
                let reason = error.to_string();
                if reason != said {
                    warn!(reason, "trying again until it works; the ports do not need it");
                    readiness.set_not_ready(component, reason.clone());
                    said = reason;
                }
            }
        }
        sleep(pauses.next_pause()).await;
    }
}

/// As a rule there are no file descriptors left; those that are open end some time.
async fn accept_failed(error: &io::Error) {
    debug!(error = %error, "cannot accept a connection");
    sleep(Duration::from_millis(100)).await;
}

async fn connection<S: AsyncRead + AsyncWrite>(service: &Service, client: &Requester<'_>, stream: S) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let stream = pin!(stream);
    let answer = service_fn(|request| async move {
        Ok::<_, std::convert::Infallible>(route::answer(service, client, request).await)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        debug!(error = %error, "a connection ended early");
    }
}
