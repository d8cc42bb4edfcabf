//! Compression of large answers, for who asks for it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use hyper::header::{ACCEPT_ENCODING, HeaderMap};

use crate::status::yielding::Piecewise;

/// What is smaller is not worth it.
pub(super) const WORTH_IT: usize = 4 * 1024;

/// Whether the client takes it.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let all = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f64>().ok());
        named && weight.is_none_or(|weight| weight > 0.0)
    })
}

pub(super) fn compress(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    // Writing to memory does not fail.
    let _ = Piecewise::new(&mut encoder).write_all(plain);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_for_those_who_ask_for_it() {
        let accepted = |value: &str| is_accepted(&HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())]));
        assert!(accepted("gzip") && accepted("br, GZIP;q=0.5") && accepted("deflate , gzip"));
        assert!(!accepted("br") && !accepted("gzip;q=0") && !accepted("gzip; q=0.0, br") && !accepted("x-gzip"));
        assert!(!is_accepted(&HeaderMap::new()));
    }

    #[test]
    fn what_is_compressed_comes_back() {
        let plain = b"portsyncd_port_oper_up{port=\"Ethernet0\"} 1\n".repeat(4096);
        let packed = compress(&plain);
        assert!(packed.len() < plain.len() / 10);
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut text).unwrap();
        assert_eq!(text, plain);
    }
}
