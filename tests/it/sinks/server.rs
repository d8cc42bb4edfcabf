//! A server that does just what a test wants: what comes is kept, what goes out is bytes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What a connection gets.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes, once the request is there.
    Bytes(String),
    Hang,
    /// Nothing, not even a look at the request.
    Cut,
}

impl Answer {
    pub fn code(code: u16) -> Self {
        Self::Bytes(format!("HTTP/1.1 {code} x\r\ncontent-length: 3\r\n\r\nno\n"))
    }
}

#[derive(Clone, Debug)]
pub struct Request {
    /// Its first line and headers, names in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Answers one connection after the other in the way that is its turn; the last way goes on.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(answers: &[Answer]) -> Self {
        Self::at("127.0.0.1:0", answers, None).await
    }

    pub async fn with_tls(answers: &[Answer], folder: &Path, name: &str) -> Self {
        let chain = CertificateDer::pem_file_iter(folder.join(format!("{name}.crt"))).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        Self::at("127.0.0.1:0", answers, Some(Arc::new(config).into())).await
    }

    pub async fn at(address: &str, answers: &[Answer], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let answers = answers.to_vec();
        let task = tokio::spawn(async move {
            // Those that hang are held until the end.
            let mut connections = tokio::task::JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = answers[number.min(answers.len() - 1)].clone();
                let (kept, tls) = (Arc::clone(&kept), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, answer, &kept).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, answer, &kept).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, requests, task }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: Answer, kept: &Mutex<Vec<Request>>) {
    if matches!(answer, Answer::Cut) {
        return;
    }
    let mut bytes = Vec::new();
    let mut part = vec![0; 65536];
    loop {
        let Ok(length @ 1..) = stream.read(&mut part).await else { return };
        bytes.extend_from_slice(&part[..length]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let request = Request { head, body: bytes[end + 4..].to_vec() };
        let length: usize = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        if request.body.len() >= length {
            kept.lock().unwrap().push(request);
            break;
        }
    }
    match answer {
        Answer::Bytes(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Answer::Hang | Answer::Cut => std::future::pending().await,
    }
}
