//! JSON made readable: the very text that came, with line breaks. Numbers stay as they were written, keys in their order, and
//! what this version does not know is kept.

use serde::de::IgnoredAny;

/// Breaks lines and indents.
pub fn pretty(text: &[u8]) -> serde_json::Result<String> {
    serde_json::from_slice::<IgnoredAny>(text)?;
    let text = String::from_utf8_lossy(text);
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut quoted, mut escaped, mut opened) = (0, false, false, false);
    for character in text.chars() {
        if quoted {
            out.push(character);
            quoted = escaped || character != '"';
            escaped = character == '\\' && !escaped;
            continue;
        }
        if character.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(character, ']' | '}');
        if closes {
            depth -= 1;
        }
        // What is empty stays in one piece.
        if opened != closes {
            line(&mut out, depth);
        }
        opened = matches!(character, '[' | '{');
        out.push(character);
        match character {
            '[' | '{' => depth += 1,
            ',' => line(&mut out, depth),
            ':' => out.push(' '),
            '"' => quoted = true,
            _ => {}
        }
    }
    out.push('\n');
    Ok(out)
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_serde_json_with_numbers_and_order_kept() {
        let compact = r#"{"b":[],"a":{},"list":[1,{"x":"a,\"]\\"},[[]]],"text":"{:,é","last":null}"#;
        let value: serde_json::Value = serde_json::from_str(compact).unwrap();
        let mut found: serde_json::Value = serde_json::from_str(&pretty(compact.as_bytes()).unwrap()).unwrap();
        assert_eq!(found, value);
        let sorted = serde_json::to_string(&value).unwrap();
        assert_eq!(pretty(sorted.as_bytes()).unwrap(), serde_json::to_string_pretty(&value).unwrap() + "\n");
        let exact = r#"{"z":1764013102.1230001,"a":1e3}"#;
        assert_eq!(pretty(exact.as_bytes()).unwrap(), "{\n  \"z\": 1764013102.1230001,\n  \"a\": 1e3\n}\n");
        found = serde_json::from_str(&pretty(b" [ ] ").unwrap()).unwrap();
        assert_eq!(found, serde_json::json!([]));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        assert!(pretty(b"{\"a\":").is_err());
        assert!(pretty(b"no such path").is_err());
    }
}
