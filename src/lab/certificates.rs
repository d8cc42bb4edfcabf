//! Certificates for tests of TLS, made by openssl: for two days, for 127.0.0.1.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Error;

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

fn openssl(folder: &Path, arguments: &str) -> Result<(), Error> {
    let spawn = |source| Error::Spawn { program: "openssl".to_owned(), source, hint: " (package openssl)" };
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().map_err(spawn)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::io(format!("openssl {arguments}"))(std::io::Error::other(said)))
}

/// An authority: `<name>.crt` and `<name>.key` in the folder.
pub fn authority(folder: &Path, name: &str) -> Result<(), Error> {
    openssl(folder, &format!("req -x509 {KEY} -keyout {name}.key -out {name}.crt -days 2 -subj /CN={name}"))
}

/// A certificate of it for 127.0.0.1, for `serverAuth` or `clientAuth`: `<name>.crt` and `<name>.key`.
pub fn signed(folder: &Path, authority: &str, name: &str, usage: &str) -> Result<(), Error> {
    openssl(folder, &format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"))?;
    let extensions =
        format!("subjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage={usage}\n");
    fs::write(folder.join("extensions"), extensions).map_err(Error::io("write the extensions of a certificate"))?;
    let by = format!("-CA {authority}.crt -CAkey {authority}.key -CAcreateserial");
    openssl(folder, &format!("x509 -req -in {name}.csr {by} -out {name}.crt -days 2 -extfile extensions"))
}
