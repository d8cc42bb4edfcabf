//! What nobody may read in a log, in a message or in what `check-config` prints.

use std::fmt::{self, Debug, Display, Formatter};
use std::io;
use std::path::Path;

use nix::sys::prctl::set_dumpable;
use serde::{Deserialize, Serialize, Serializer};

use crate::regular_file;

const HIDDEN: &str = "<hidden>";
/// No password, token, key or URL is longer.
const LONGEST: usize = 64 * 1024;

/// A password, a token or a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Reads a file that holds it; one newline at its end does not count.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut text = regular_file::read(path, LONGEST)?;
        if text.ends_with('\n') {
            text.pop();
        }
        if text.is_empty() { Err(io::Error::other("it is empty")) } else { Ok(Self::from(text.as_str())) }
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    /// From now on no core of this process is written, and no other process of the user looks into it.
    fn from(text: &str) -> Self {
        // Where the kernel does not let it be hidden, it is no worse than before.
        let _ = set_dumpable(false);
        Self(text.to_owned())
    }
}

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// A URL that may hold a password or be a secret itself. It is shown without user, password and query, and without its path
/// unless that is the path of a server's socket.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<String>> From<T> for SecretUrl {
    fn from(url: T) -> Self {
        Self(url.into())
    }
}

impl Display for SecretUrl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_at(self.0.find("://").map_or(0, |at| at + 3));
        let shows_path = scheme.contains("unix") || scheme.contains("redis");
        let end = if shows_path { rest.find('?') } else { rest.find(['/', '?', '#']) };
        let (server, more) = rest.split_at(end.unwrap_or(rest.len()));
        if more.contains('@') {
            // Who can tell where the password ends?
            return write!(f, "{scheme}{HIDDEN}");
        }
        f.write_str(scheme)?;
        match server.rfind('@') {
            Some(at) => write!(f, "{HIDDEN}{}", &server[at..])?,
            None => f.write_str(server)?,
        }
        match more {
            "" | "/" => f.write_str(more),
            _ if shows_path => write!(f, "?{HIDDEN}"),
            _ => write!(f, "/{HIDDEN}"),
        }
    }
}

impl Debug for SecretUrl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.to_string(), f)
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_secret_leaves_no_core() {
        drop(Secret::from("s3cret"));
        assert!(!nix::sys::prctl::get_dumpable().unwrap());
    }

    #[test]
    fn a_secret_is_what_its_file_holds_and_shows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Secret::read(&file).map_err(|error| error.to_string())
        };
        assert_eq!(read("s3cret\n\n").unwrap().expose(), "s3cret\n");
        assert_eq!(format!("{:?}", read("s3cret")), "Ok(<hidden>)");
        assert!(read("\n").unwrap_err().contains("empty"));
        assert!(read(&"x".repeat(LONGEST + 1)).unwrap_err().contains("more than"));
    }

    #[test]
    fn what_may_be_secret_of_a_url_is_not_shown() {
        for (url, shown) in [
            ("", ""),
            ("redis://h:7", "redis://h:7"),
            ("redis://u:s3cret@h:7/2", "redis://<hidden>@h:7/2"),
            ("redis://u:s3/cret@h:7", "redis://<hidden>@h:7"),
            ("redis://u:s3?cret@h:7", "redis://<hidden>"),
            ("unix:///run/redis.sock?pass=s3cret", "unix:///run/redis.sock?<hidden>"),
            ("unix:///run/redis.sock?pass=a@s3cret", "unix://<hidden>"),
            ("https://h", "https://h"),
            ("https://h:8443/", "https://h:8443/"),
            ("https://h/services/s3cret", "https://h/<hidden>"),
            ("https://h?token=s3cret", "https://h/<hidden>"),
            ("https://u:s3cret@h/x", "https://<hidden>@h/<hidden>"),
            ("https://u:s3/cret@h/x", "https://<hidden>"),
            ("hooks.example/s3cret", "hooks.example/<hidden>"),
        ] {
            let url = SecretUrl::from(url);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("{shown:?}"));
            assert_eq!(serde_json::to_value(&url).unwrap(), shown);
        }
    }
}
