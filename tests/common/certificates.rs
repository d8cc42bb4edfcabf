//! Certificates for tests of TLS, made by openssl.

use std::fs;
use std::path::Path;
use std::process::Command;

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// An authority: `<name>.crt` and `<name>.key`.
pub fn authority(folder: &Path, name: &str) {
    openssl(folder, &format!("req -x509 {KEY} -keyout {name}.key -out {name}.crt -days 2 -subj /CN={name}"));
}

/// A certificate of it for 127.0.0.1, for `serverAuth` or `clientAuth`: `<name>.crt` and `<name>.key`.
pub fn signed(folder: &Path, authority: &str, name: &str, usage: &str) {
    openssl(folder, &format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
    let extensions =
        format!("subjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage={usage}\n");
    fs::write(folder.join("extensions"), extensions).unwrap();
    let by = format!("-CA {authority}.crt -CAkey {authority}.key -CAcreateserial");
    openssl(folder, &format!("x509 -req -in {name}.csr {by} -out {name}.crt -days 2 -extfile extensions"));
}
