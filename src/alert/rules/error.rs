//! What is wrong with a rule, for whoever wrote it.

use std::fmt;

use thiserror::Error;

/// A rule that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// The file is no TOML, or holds something else than rules.
    #[error("{file}: {problem}")]
    File {
        file: String,
        /// What is wrong, with the line where that is known.
        problem: String,
    },
    /// A value that makes no sense.
    #[error("{file}: rule {rule}: {key} = {value}: {problem}")]
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
    #[error("{file}: rule {rule}: {key} is missing: {problem}")]
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

/// What stands closest to a mistyped word, as a question; empty if nothing does.
pub(in crate::alert) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    let best = words
        .into_iter()
        .filter(|known| {
            let slips = strsim::damerau_levenshtein(word, known);
            slips <= (word.chars().count() / 3).max(1) || strsim::jaro_winkler(word, known) > 0.85
        })
        .map(|known| (strsim::normalized_damerau_levenshtein(word, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, known)| format!(", did you mean {known:?}?")).unwrap_or_default()
}
