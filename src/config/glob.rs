//! Names with `*`, `?` and `[…]` in them, for ports and rules.

use std::fmt;

use glob::Pattern;
use serde::{Deserialize, Serialize};

use crate::link::LinkName;

/// A pattern that a whole name has to match.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(Pattern);

impl Glob {
    /// Understands a pattern; else says what is wrong with it, and what would be right.
    pub fn new(text: &str) -> Result<Self, String> {
        let right = "a name with *, ? or [0-9] in it, for example \"Ethernet*\"";
        if text.is_empty() {
            return Err(right.to_owned());
        }
        Pattern::new(text).map(Self).map_err(|error| format!("{} at character {}; {right}", error.msg, error.pos + 1))
    }

    /// Whether the name matches.
    pub fn matches(&self, name: &str) -> bool {
        self.0.matches(name)
    }

    /// Whether the port's name matches.
    pub fn matches_port(&self, port: &LinkName) -> bool {
        match std::str::from_utf8(port.as_bytes()) {
            Ok(name) => self.0.matches(name),
            Err(_) => self.0.matches(&port.to_string()),
        }
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text).map_err(|problem| format!("{text:?}: {problem}"))
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.0.as_str().to_owned()
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        for (pattern, name, matches) in [
            ("Ethernet*", "Ethernet0", true),
            ("Ethernet?", "Ethernet12", false),
            ("Ethernet[0-3]", "Ethernet2", true),
            ("Ethernet[!0-3]", "Ethernet2", false),
            ("Ethernet1", "Ethernet12", false),
            ("*", "PortChannel1", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_place() {
        for (pattern, place) in [("Ethernet[0-3", "character 9"), ("Ethernet***", "character"), ("", "a name with")] {
            let problem = Glob::new(pattern).unwrap_err();
            assert!(problem.contains(place), "{pattern}: {problem}");
        }
    }
}
