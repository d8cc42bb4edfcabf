//! Which certificate authorities the daemon trusts where it is a client of TLS.
//!
//! They are read anew for each connection and dropped with it: connections are rare, and the system's hundred and more
//! authorities are not worth holding in memory; so a file that is replaced holds from the next connection on.

use std::io;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The system's authorities; `SSL_CERT_FILE` names others.
pub(crate) fn of_the_system() -> io::Result<ClientConfig> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if let (true, Some(error)) = (roots.is_empty(), found.errors.into_iter().next()) {
        return Err(io::Error::other(error));
    }
    Ok(trusting(roots))
}

/// The authorities of this file in PEM, and no others.
pub(crate) fn of_file(path: &Path) -> io::Result<ClientConfig> {
    let problem = |error: &dyn std::fmt::Display| {
        io::Error::other(format!("no certificates in PEM can be read from {}: {error}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| problem(&error))? {
        let certificate = certificate.map_err(|error| problem(&error))?;
        roots.add(certificate).map_err(|error| problem(&error))?;
    }
    if roots.is_empty() {
        return Err(problem(&"it holds none"));
    }
    Ok(trusting(roots))
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}
