//! The form of a state file: one line for the machine, then the content.
//!
//! ```text
//! portsyncd-state version=1 length=123 crc32=0123abcd
//! <123 bytes of content>
//! ```
//!
//! The checksum covers the first line up to ` crc32=` and all of the content, so that no byte of the file can change
//! unnoticed. The first line keeps this form in all versions: that is how a file of a newer one is told from a damaged one.

use thiserror::Error;

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// Files beyond this many bytes are not ours: the state of 10,000 ports has three million.
pub const LIMIT: usize = 64 << 20;

const NAME: &str = "portsyncd-state version=";
/// Longer than any first line.
const LINE_LIMIT: usize = 128;

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unusable {
    /// It is not what was once written.
    #[error("{0}")]
    Damaged(String),
    /// It is whole, but of this version.
    #[error("written by a newer portsyncd, in version {0} of the format; this one reads version {VERSION}")]
    Newer(u32),
}

/// The file that holds this content.
pub fn seal(content: &[u8]) -> Vec<u8> {
    seal_as(VERSION, content)
}

pub(super) fn seal_as(version: u32, content: &[u8]) -> Vec<u8> {
    let head = format!("{NAME}{version} length={}", content.len());
    let mut file = format!("{head} crc32={}\n", checksum(&head, content)).into_bytes();
    file.extend_from_slice(content);
    file
}

/// The content of a file, if it is whole and of our version.
pub fn open(file: &[u8]) -> Result<&[u8], Unusable> {
    let (version, content) = parts(file).map_err(Unusable::Damaged)?;
    match version {
        VERSION => Ok(content),
        newer if newer > VERSION => Err(Unusable::Newer(newer)),
        older => Err(Unusable::Damaged(format!("there never was a version {older} of the format"))),
    }
}

fn parts(file: &[u8]) -> Result<(u32, &[u8]), String> {
    if file.is_empty() {
        return Err("the file is empty".to_owned());
    }
    if file.len() > LIMIT {
        return Err(format!("the file has more than {LIMIT} bytes"));
    }
    let (head, version, length, sum, content) =
        split(file).ok_or_else(|| format!("the first line is not that of a state file ({NAME}...)"))?;
    if length != content.len() {
        return Err(format!("the file has {} bytes of content, its first line says {length}", content.len()));
    }
    let found = checksum(head, content);
    if found != sum {
        return Err(format!("the checksum of the content is {found}, the file's first line says {sum}"));
    }
    Ok((version, content))
}

fn split(file: &[u8]) -> Option<(&str, u32, usize, &str, &[u8])> {
    let end = file.iter().take(LINE_LIMIT).position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&file[..end]).ok()?;
    let (head, sum) = line.split_once(" crc32=")?;
    let (version, length) = head.strip_prefix(NAME)?.split_once(" length=")?;
    Some((head, version.parse().ok()?, length.parse().ok()?, sum, &file[end + 1..]))
}

fn checksum(head: &str, content: &[u8]) -> String {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head.as_bytes());
    hasher.update(content);
    format!("{:08x}", hasher.finalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONTENT: &[u8] = b"{\"saved\": 1.5,\n \"counters\": {}\n}\n";

    #[test]
    fn a_sealed_file_can_be_read_by_people_and_opens() {
        let file = seal(CONTENT);
        let text = std::str::from_utf8(&file).unwrap();
        assert!(text.starts_with("portsyncd-state version=1 length=33 crc32="), "{text}");
        assert_eq!(open(&file), Ok(CONTENT));
        assert_eq!(open(&seal(b"")), Ok(&b""[..]));
    }

    #[test]
    fn a_file_cut_off_anywhere_is_damaged() {
        let file = seal(CONTENT);
        for length in 0..file.len() {
            assert!(matches!(open(&file[..length]), Err(Unusable::Damaged(_))), "cut to {length} bytes");
        }
        let longer = [&file[..], b"\n"].concat();
        assert!(matches!(open(&longer), Err(Unusable::Damaged(_))), "something was appended");
    }

    #[test]
    fn any_other_byte_anywhere_is_damage() {
        let file = seal(CONTENT);
        for at in 0..file.len() {
            for other in (0..=u8::MAX).filter(|byte| *byte != file[at]) {
                let mut flipped = file.clone();
                flipped[at] = other;
                assert!(matches!(open(&flipped), Err(Unusable::Damaged(_))), "byte {at} became {other}");
            }
        }
    }

    #[test]
    fn a_newer_version_is_no_damage() {
        assert_eq!(open(&seal_as(2, b"whatever it may be")), Err(Unusable::Newer(2)));
        assert!(matches!(open(&seal_as(0, b"{}")), Err(Unusable::Damaged(_))));
    }

    #[test]
    fn the_reason_says_what_is_wrong() {
        let reason = |file: &[u8]| open(file).unwrap_err().to_string();
        assert_eq!(reason(b""), "the file is empty");
        assert!(reason(&[0; 4096]).contains("first line"), "{}", reason(&[0; 4096]));
        let file = seal(CONTENT);
        assert_eq!(reason(&file[..file.len() - 4]), "the file has 29 bytes of content, its first line says 33");
        let zeros = [&file[..file.len() - 9], &[0; 9]].concat();
        assert!(reason(&zeros).contains("checksum"), "{}", reason(&zeros));
        assert!(reason(&vec![b'x'; LIMIT + 1]).contains("more than"));
    }

    proptest! {
        #[test]
        fn anything_comes_back(content: Vec<u8>) {
            let file = seal(&content);
            prop_assert_eq!(open(&file), Ok(&content[..]));
        }

        #[test]
        fn anything_else_is_refused(file: Vec<u8>) {
            prop_assert!(open(&file).is_err());
        }

        #[test]
        fn stretches_of_garbage_are_noticed(content: [u8; 64], garbage: [u8; 4], at in 0usize..100) {
            let file = seal(&content);
            let mut hit = file.clone();
            hit[at..at + 4].copy_from_slice(&garbage);
            prop_assume!(hit != file);
            prop_assert!(matches!(open(&hit), Err(Unusable::Damaged(_))));
        }
    }
}
