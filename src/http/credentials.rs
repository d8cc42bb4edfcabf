//! Basic authentication by one password, whatever the user's name.

use std::io;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use ring::digest::{SHA256, digest};

use crate::secret::Secret;

/// Known by its hash alone, so that comparing takes the same time whatever is given.
pub(super) struct Password([u8; 32]);

impl Password {
    /// The password of this file, a newline at its end left out; `None` if no file is named.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        Ok(Some(Self(hash(Secret::read(path)?.expose().as_bytes()))))
    }

    pub fn is_given(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
            let basic = scheme.eq_ignore_ascii_case("basic");
            let decoded = BASE64_STANDARD.decode(credentials.trim()).ok().filter(|_| basic)?;
            let colon = decoded.iter().position(|byte| *byte == b':')?;
            Some(hash(&decoded[colon + 1..]))
        });
        given == Some(self.0)
    }
}

fn hash(text: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_decides_whatever_the_user() {
        let password = Password(hash(b"s:3cret"));
        let given = |value: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            password.is_given(&headers)
        };
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        assert!(given(&basic("prometheus:s:3cret")) && given(&basic(":s:3cret").replace("Basic", "basic")));
        for wrong in
            [basic("a:b"), basic("s:3cret"), basic("s3cret"), "Bearer s:3cret".to_owned(), "Basic §".to_owned()]
        {
            assert!(!given(&wrong), "{wrong}");
        }
        assert!(!password.is_given(&HeaderMap::new()));
    }
}
