//! Bytes, words and patterns in scenario files.
//!
//! Redis holds bytes, files hold text: what is no printable text is written `hex:` and hexadecimal digits. A write is a line of
//! words; a word with a space or a quote in it, or an empty one, stands in double quotes.

/// The bytes that a text of the file means.
pub fn bytes(text: &str) -> Vec<u8> {
    text.strip_prefix("hex:").and_then(unhex).unwrap_or_else(|| text.as_bytes().to_vec())
}

/// The text for `bytes`; the inverse of [`bytes`].
pub fn show(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) && !text.starts_with("hex:") => text.to_owned(),
        _ => bytes.iter().fold("hex:".to_owned(), |line, byte| line + &format!("{byte:02x}")),
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

/// Splits a line into words; double quotes keep a word together, a backslash in them takes the next character as it is.
pub fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(&next) = chars.peek() {
        if next == ' ' {
            chars.next();
            continue;
        }
        let mut word = String::new();
        if next == '"' {
            chars.next();
            while let Some(c) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => word.extend(chars.next()),
                    other => word.push(other),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != ' ') {
                word.push(c);
            }
        }
        words.push(word);
    }
    words
}

/// Joins words into a line; the inverse of [`split`].
pub fn join(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    if word.is_empty() || word.contains([' ', '"']) {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        word.to_owned()
    }
}

/// Whether `words` fit `pattern`: `*` is any one word, `...` at the end any rest; a `*` at a word's end any ending.
pub fn fits(pattern: &str, words: &[String]) -> bool {
    let mut pattern = split(pattern);
    let open = pattern.last().is_some_and(|last| last == "...");
    if open {
        pattern.pop();
    }
    if words.len() < pattern.len() || (!open && words.len() != pattern.len()) {
        return false;
    }
    pattern.iter().zip(words).all(|(wanted, word)| match wanted.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => wanted == word,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_way_through_text() {
        for sample in [&b"plain"[..], b"", b"a\0b\xff", "häß".as_bytes(), b"hex:61"] {
            assert_eq!(bytes(&show(sample)), sample);
        }
    }

    #[test]
    fn words_survive_the_way_through_a_line() {
        let words: Vec<String> = ["a", "", "b c", "say \"x\"", "\\n"].map(str::to_owned).to_vec();
        assert_eq!(split(&join(&words)), words);
    }

    #[test]
    fn patterns_fit_words() {
        let words = split("STATE_DB HSET PORT_TABLE|Ethernet0 state ok");
        assert!(fits("STATE_DB HSET PORT_TABLE|* ...", &words));
        assert!(fits("* HSET PORT_TABLE|Ethernet0 state ok", &words));
        assert!(!fits("STATE_DB HSET PORT_TABLE|Ethernet0", &words));
        assert!(!fits("STATE_DB DEL ...", &words));
    }
}
