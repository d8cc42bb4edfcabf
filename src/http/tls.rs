//! TLS for the server, by rustls: a certificate, its key, and the authorities of clients' certificates if they need one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::config::HttpConfig;

/// TLS that cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of that kind.
    #[error("{key} = {path:?}: no {wanted} in PEM can be read from it: {source}")]
    File {
        /// The key of the configuration.
        key: &'static str,
        path: PathBuf,
        /// What should stand there.
        wanted: &'static str,
        source: pem::Error,
    },
    /// Certificate and key do not belong together, or are of no use.
    #[error("http.tls_cert and http.tls_key cannot be used: {0}")]
    Pair(rustls::Error),
    /// The authorities are of no use.
    #[error("http.client_ca cannot be used: {0}")]
    Authorities(VerifierBuilderError),
}

/// What speaks TLS with clients; `None` if it is not configured.
pub fn acceptor(config: &HttpConfig) -> Result<Option<TlsAcceptor>, TlsError> {
    if config.tls_cert.as_os_str().is_empty() {
        return Ok(None);
    }
    let chain = certificates("http.tls_cert", &config.tls_cert)?;
    let key = PrivateKeyDer::from_pem_file(&config.tls_key)
        .map_err(|source| wrong("http.tls_key", &config.tls_key, "private key", source))?;
    let builder = ServerConfig::builder();
    let builder = if config.client_ca.as_os_str().is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for authority in certificates("http.client_ca", &config.client_ca)? {
            roots.add(authority).map_err(TlsError::Pair)?;
        }
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().map_err(TlsError::Authorities)?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut server = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| wrong(key, path, "certificate", source);
    let all: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(wrong)?;
    if all.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(all) }
}

fn wrong(key: &'static str, path: &Path, wanted: &'static str, source: pem::Error) -> TlsError {
    TlsError::File { key, path: path.to_owned(), wanted, source }
}
