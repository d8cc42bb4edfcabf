//! Which `Host` a request may name.
//!
//! A page from elsewhere whose own name was made to lead to this switch (DNS rebinding) could read everything here with the
//! browser of whoever looks at it. Its requests name its own host, and are refused. Addresses cannot be rebound.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, HeaderMap};
use hyper::http::uri::Authority;

#[derive(Debug)]
pub(super) struct Hosts {
    listen: IpAddr,
    names: Vec<String>,
}

impl Hosts {
    /// Loopback, the address that is listened on (any address, where it is all of them), the switch's own name, and `more`.
    pub fn new(listen: SocketAddr, switch: &str, more: &[String]) -> Self {
        let names = ["localhost", switch].into_iter().chain(more.iter().map(String::as_str));
        let names = names.filter(|name| !name.is_empty()).map(str::to_ascii_lowercase).collect();
        Self { listen: listen.ip(), names }
    }

    /// The `Host` of these headers if it is refused. Clients of HTTP/1.0 name none, and no browser is among them.
    pub fn refused<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let host = headers.get(HOST)?;
        let Ok(text) = host.to_str() else { return Some("that is no name") };
        let allowed = text.parse::<Authority>().is_ok_and(|host| self.allows(host.host()));
        (!allowed).then_some(text)
    }

    fn allows(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches([']', '.']);
        match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback() || self.listen.is_unspecified() || address == self.listen,
            Err(_) => self.names.iter().any(|name| host.eq_ignore_ascii_case(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_ours_are_refused() {
        let refused = |listen: &str, host: &str| {
            let hosts = Hosts::new(listen.parse().unwrap(), "leaf1", &["leaf1.example".to_owned()]);
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            hosts.refused(&headers).is_some()
        };
        for host in ["localhost", "LOCALHOST:9477", "127.0.0.1:9477", "[::1]:1", "leaf1", "leaf1.example.:9477"] {
            assert!(!refused("127.0.0.1:9477", host), "{host}");
        }
        for host in ["evil.example", "leaf1.evil.example", "10.0.0.1", "localhost.evil.example:9477", "a b", ""] {
            assert!(refused("127.0.0.1:9477", host), "{host}");
        }
        assert!(!refused("10.0.0.1:9477", "10.0.0.1:9477") && refused("10.0.0.1:9477", "10.0.0.2"));
        assert!(!refused("[::]:9477", "[2001:db8::1]:9477") && refused("[::]:9477", "evil.example"));
        assert_eq!(Hosts::new("[::]:1".parse().unwrap(), "", &[]).refused(&HeaderMap::new()), None);
    }
}
