//! What is wrong with a rule, for whoever wrote it.

use std::fmt;

use thiserror::Error;

use crate::printable::Printable;

/// A rule that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// The file is no TOML, or holds something else than rules.
    #[error("{}", Printable(format_args!("{file}: {problem}")))]
    File {
        file: String,
        /// What is wrong, with the line where that is known.
        problem: String,
    },
    /// A value that makes no sense.
    #[error("{}", Printable(format_args!("{file}: rule {rule}: {key} = {value}: {problem}")))]
    Value {
        /// The file, or the key in CONFIG_DB.
        file: String,
        /// The rule's name; its place in the file where it has none.
        rule: String,
        key: String,
        value: String,
        problem: String,
    },
    /// A key that has to be there.
    #[error("{}", Printable(format_args!("{file}: rule {rule}: {key} is missing: {problem}")))]
    Missing {
        /// See [`Value`](Self::Value).
        file: String,
        /// See [`Value`](Self::Value).
        rule: String,
        key: String,
        problem: String,
    },
}

/// Everything that is wrong with a set of rules, in the order of the files; of each rule the first thing only.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct RuleErrors(pub Vec<RuleError>);

impl fmt::Display for RuleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}
