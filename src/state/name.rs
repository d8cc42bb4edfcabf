//! Names of links as JSON's text: a link's name may hold any bytes, text may not.

use crate::link::LinkName;

/// The name, its bytes that are no printable ASCII and `%` as `%XX`. Unlike what people are shown, this can be read back.
pub fn encode(name: &LinkName) -> String {
    let mut text = String::new();
    for byte in name.as_bytes() {
        if byte.is_ascii_graphic() && *byte != b'%' {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The name of which this is the text; `None` if there is none.
pub fn decode(text: &str) -> Option<LinkName> {
    let mut name = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            rest = after;
            let digit = |at: usize| char::from(digits[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            name.push(digit(0)? << 4 | digit(1)?);
        } else {
            name.push(*byte);
        }
    }
    LinkName::new(&name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_as_they_are_used_stay_as_they_are() {
        for name in ["Ethernet0", "PortChannel001", "Eth1/1", "a.b-c_d:e\"\\'"] {
            assert_eq!(encode(&LinkName::new(name.as_bytes()).unwrap()), name);
        }
        assert_eq!(encode(&LinkName::new(b"100% \xff\n").unwrap()), "100%25%20%FF%0A");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "%", "%4", "%4g", "%+1", "%é", "sixteen-letters!"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back(bytes in proptest::collection::vec(any::<u8>(), 1..=15)) {
            let name = LinkName::new(&bytes).unwrap();
            let text = encode(&name);
            prop_assert!(text.is_ascii());
            prop_assert_eq!(decode(&text), Some(name));
        }

        #[test]
        fn no_text_is_too_odd_to_be_looked_at(text: String) {
            let _ = decode(&text);
        }
    }
}
