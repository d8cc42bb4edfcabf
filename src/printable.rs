//! Texts of others on their way to a terminal or a log.

use std::fmt::{self, Display, Formatter, Write};

/// Shown with its control characters escaped, so that they do nothing to whoever reads it.
pub struct Printable<T>(pub T);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| {
            if character.is_control() {
                write!(self.0, "{}", character.escape_default())
            } else {
                self.0.write_char(character)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else() {
        assert_eq!(Printable("a \"ü\"\u{1b}[2J\n\u{9b}").to_string(), "a \"ü\"\\u{1b}[2J\\n\\u{9b}");
    }
}
