//! TOML as people write it.

use toml::Table;

/// Reads TOML. What is wrong with it is told by its place, never by the text there, which may be a password: only a key is named,
/// if it is one of the `keys`.
pub fn parse(text: &str, keys: &[&str]) -> Result<Table, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = String::from_utf8_lossy(&text.as_bytes()[..start]);
        let (above, left) = before.rsplit_once('\n').unwrap_or(("", &before));
        let line = if before.contains('\n') { above.matches('\n').count() + 2 } else { 1 };
        let column = left.chars().count() + 1;
        let is_key = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
        let written = text.lines().nth(line - 1).unwrap_or_default().trim_start_matches(['[', ' ', '\t']);
        let written = written.split(|character| !is_key(character)).next().unwrap_or_default();
        let key = if keys.contains(&written) { format!(", {written}") } else { String::new() };
        format!("TOML parse error at line {line}, column {column}{key}: {}", error.message())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_text_is_told_by_its_place_and_not_shown() {
        for (text, told) in [
            ("[redis]\n  password = s3cret\n", "line 2, column 14, password: "),
            ("password = \"s3cret\npassword = 1", "line 1, column 19, password: "),
            ("a = \"ü\" s3cret", "line 1, column 9: "),
            ("\n\ns3cret", "line 3, column "),
            ("s3cret==", "line 1, column "),
            ("[password", "line 1, column 10, password: "),
        ] {
            let error = parse(text, &["password"]).unwrap_err();
            assert!(error.starts_with(&format!("TOML parse error at {told}")), "{text:?}: {error}");
            assert!(!error.contains("s3cret") && !error.contains('\n'), "{error}");
        }
    }
}
