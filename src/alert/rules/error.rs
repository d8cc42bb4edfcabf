//! What is wrong with a rule, for whoever wrote it.

use std::fmt;

use thiserror::Error;

use crate::printable::Printable;

/// Which rule of which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlace {
    /// The file, or the key in CONFIG_DB.
    pub file: String,
    /// The rule's name; its place in the file where it has none.
    pub rule: String,
}

/// A rule that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// The file is no TOML, or holds something else than rules; what is wrong, with the line where that is known.
    #[error("{}", Printable(format_args!("{file}: {problem}")))]
    File { file: String, problem: String },
    /// A value that makes no sense.
    #[error("{}", Printable(format_args!("{}: rule {}: {key} = {value}: {problem}", place.file, place.rule)))]
    Value { place: RulePlace, key: String, value: String, problem: String },
    /// A key that has to be there.
    #[error("{}", Printable(format_args!("{}: rule {}: {key} is missing: {problem}", place.file, place.rule)))]
    Missing { place: RulePlace, key: String, problem: String },
}

#[expect(clippy::needless_pass_by_value, reason = "values are shown, be they owned or not")]
impl RulePlace {
    pub(super) fn wrong(&self, key: &str, value: impl ToString, problem: impl Into<String>) -> RuleError {
        let (place, key) = (self.clone(), key.to_owned());
        RuleError::Value { place, key, value: value.to_string(), problem: problem.into() }
    }

    pub(super) fn missing(&self, key: &str, problem: impl Into<String>) -> RuleError {
        RuleError::Missing { place: self.clone(), key: key.to_owned(), problem: problem.into() }
    }
}

/// Everything that is wrong with a set of rules, in the order of the files; of each rule the first thing only.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct RuleErrors(pub Vec<RuleError>);

impl fmt::Display for RuleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join("\n"))
    }
}
