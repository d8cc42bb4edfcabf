//! Asking the running daemon over its control socket: HTTP/1.1 on a unix socket, the paths of [`http`](crate::http).
//!
//! In: the socket's path. Out: answers as [`api`](crate::api) and [`evaluator`](crate::alert::evaluator) have them, or
//! the stream of events. Nothing takes for
//! ever, nothing that comes is kept without bound, and every error says what was asked, where, and what to do next.

mod events;
mod sse;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::ControlConfig;
pub use events::{Event, Events};

/// How long connecting may take, and how long an answer may.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer or event: several times that of 100,000 ports.
const LONGEST: usize = 256 << 20;
/// As much of an error's text as is shown.
const SHOWN: usize = 1000;

/// Why the daemon could not be asked.
#[derive(Debug, Error)]
pub enum ControlError {
    /// The configuration says that there is no socket.
    #[error(
        "control.socket = \"\": the control socket is turned off, so the daemon cannot be asked; \
         set it to a path, for the daemon and for this command"
    )]
    TurnedOff,
    /// Nobody can be connected to.
    #[error("cannot reach the daemon at {}: {cause}; {}", .socket.display(), hint(.cause))]
    Unreachable { socket: PathBuf, cause: io::Error },
    /// Nothing came for too long.
    #[error(
        "the daemon at {} has not answered {path} for {patience:?}; it hangs or is overloaded, its log says more",
        .socket.display()
    )]
    Silent { socket: PathBuf, path: String, patience: Duration },
    /// The connection ended in the middle of an answer.
    #[error("the daemon at {} broke off while it answered {path}: {cause}; was it ended?", .socket.display())]
    BrokenOff { socket: PathBuf, path: String, cause: String },
    /// An answer that is none of what was asked.
    #[error(
        "the daemon at {} answers {path} with {code}: {message}; \
         daemon and command should be of the same version", .socket.display()
    )]
    Refused { socket: PathBuf, path: String, code: StatusCode, message: String },
    /// The daemon was to change something, and says why it does not.
    #[error("{0}")]
    Declined(String),
    /// An answer of another shape.
    #[error(
        "what the daemon at {} answers to {path} is not understood: {cause}; \
         daemon and command should be of the same version", .socket.display()
    )]
    Format { socket: PathBuf, path: String, cause: serde_json::Error },
    /// An answer beyond all bounds.
    #[error("the daemon at {} answers {path} with more than {} MiB", .socket.display(), LONGEST >> 20)]
    TooLong { socket: PathBuf, path: String },
}

impl ControlError {
    /// Whether there is no daemon that answers, rather than one that answers something else.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Silent { .. } | Self::BrokenOff { .. })
    }
}

fn hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::NotFound => "is it running, and is control.socket the same for it and for this command?",
        ErrorKind::ConnectionRefused => "the daemon that made this socket is gone; is one running?",
        ErrorKind::PermissionDenied => {
            "the socket is its user's alone: run this command as the daemon's user, or as root"
        }
        ErrorKind::WouldBlock => {
            "too many wait to be connected; try again, and look for commands that were left running"
        }
        ErrorKind::TimedOut => "it hangs or is overloaded, its log says more",
        _ => "is control.socket the daemon's?",
    }
}

/// The daemon, as its commands see it. Each question is asked on a connection of its own.
#[derive(Clone, Debug)]
pub struct Control {
    socket: PathBuf,
    patience: Duration,
}

/// An answer whose body is still to come, and what drives its connection; that ends when it is dropped.
struct Answer {
    response: Response<Incoming>,
    connection: JoinSet<()>,
}

impl Control {
    /// Who listens where the configuration says.
    pub fn new(config: &ControlConfig) -> Result<Self, ControlError> {
        if config.socket.as_os_str().is_empty() {
            return Err(ControlError::TurnedOff);
        }
        Ok(Self { socket: config.socket.clone(), patience: PATIENCE })
    }

    /// Waits so long, in place of five seconds.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks, and reads the answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        let body = self.fetch(path).await?;
        serde_json::from_slice(&body).map_err(|cause| self.format(path, cause))
    }

    /// Asks, and gives the answer as it came.
    pub async fn fetch(&self, path: &str) -> Result<Vec<u8>, ControlError> {
        self.whole(path, self.ask(path).await?).await
    }

    /// Asks what can be answered with no: whether it is yes (2xx) or no (503), and what was said about it.
    pub async fn verdict(&self, path: &str) -> Result<(bool, Vec<u8>), ControlError> {
        let answer = self.exchange(Method::GET, path, Bytes::new()).await?;
        if answer.response.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Ok((false, self.whole(path, answer).await?));
        }
        let answer = self.accepted(path, answer).await?;
        Ok((true, self.whole(path, answer).await?))
    }

    /// Has the daemon make something of this JSON; gives the answer as it came.
    pub async fn post(&self, path: &str, body: Vec<u8>) -> Result<Vec<u8>, ControlError> {
        self.whole(path, self.change(Method::POST, path, body.into()).await?).await
    }

    /// Has the daemon remove what is there; gives the answer as it came.
    pub async fn delete(&self, path: &str) -> Result<Vec<u8>, ControlError> {
        self.whole(path, self.change(Method::DELETE, path, Bytes::new()).await?).await
    }

    /// Listens to what happens: the whole first, then each change.
    pub async fn events(&self) -> Result<Events, ControlError> {
        let path = "/api/v1/events";
        let Answer { response, connection } = self.ask(path).await?;
        Ok(Events::new(self.clone(), path, response.into_body(), connection))
    }

    async fn whole(&self, path: &str, answer: Answer) -> Result<Vec<u8>, ControlError> {
        let Answer { response, connection: _connection } = answer;
        self.in_time(path, self.collect(path, response.into_body())).await?
    }

    async fn ask(&self, path: &str) -> Result<Answer, ControlError> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    async fn change(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, ControlError> {
        match self.send(method, path, body).await {
            // These are about what was wanted; whatever else there is, is about daemon and command.
            Err(ControlError::Refused { code: StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND, message, .. }) => {
                Err(ControlError::Declined(message))
            }
            other => other,
        }
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, ControlError> {
        self.accepted(path, self.exchange(method, path, body).await?).await
    }

    /// Whatever the answer is.
    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, ControlError> {
        let connected = timeout(self.patience, UnixStream::connect(&self.socket)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
            .map_err(|cause| ControlError::Unreachable { socket: self.socket.clone(), cause })?;
        let mut connection = JoinSet::new();
        let answer = async {
            let (mut sender, driven) = http1::handshake(TokioIo::new(stream)).await?;
            connection.spawn(async move {
                // Whoever reads the answer is told of its end as well.
                let _ = driven.await;
            });
            // The name says nothing on a unix socket, but HTTP wants one.
            let mut request = Request::new(Full::new(body));
            *request.method_mut() = method;
            request.headers_mut().insert(HOST, hyper::header::HeaderValue::from_static("localhost"));
            *request.uri_mut() = path.parse().unwrap_or_default();
            sender.send_request(request).await
        };
        let response = self.in_time(path, answer).await?.map_err(|cause| self.broken_off(path, &cause))?;
        Ok(Answer { response, connection })
    }

    /// The answer, if it is one of success.
    async fn accepted(&self, path: &str, answer: Answer) -> Result<Answer, ControlError> {
        let code = answer.response.status();
        if code.is_success() {
            return Ok(answer);
        }
        let body = self.whole(path, answer).await?;
        let message = String::from_utf8_lossy(&body).trim().chars().take(SHOWN).collect();
        Err(ControlError::Refused { socket: self.socket.clone(), path: path.to_owned(), code, message })
    }

    async fn collect(&self, path: &str, mut body: Incoming) -> Result<Vec<u8>, ControlError> {
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|cause| self.broken_off(path, &cause))?;
            if let Some(data) = frame.data_ref() {
                if whole.len() + data.len() > LONGEST {
                    return Err(self.too_long(path));
                }
                whole.extend_from_slice(data);
            }
        }
        Ok(whole)
    }

    async fn in_time<T>(&self, path: &str, work: impl Future<Output = T>) -> Result<T, ControlError> {
        timeout(self.patience, work).await.map_err(|_| self.silent(path, self.patience))
    }

    fn silent(&self, path: &str, patience: Duration) -> ControlError {
        ControlError::Silent { socket: self.socket.clone(), path: path.to_owned(), patience }
    }

    fn broken_off(&self, path: &str, cause: &impl ToString) -> ControlError {
        ControlError::BrokenOff { socket: self.socket.clone(), path: path.to_owned(), cause: cause.to_string() }
    }

    fn format(&self, path: &str, cause: serde_json::Error) -> ControlError {
        ControlError::Format { socket: self.socket.clone(), path: path.to_owned(), cause }
    }

    fn too_long(&self, path: &str) -> ControlError {
        ControlError::TooLong { socket: self.socket.clone(), path: path.to_owned() }
    }
}
