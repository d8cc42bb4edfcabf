//! What somebody who slipped may have meant.

/// What stands closest to a mistyped word; `None` if nothing does.
pub fn closest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let best = words
        .into_iter()
        .filter(|known| {
            let slips = strsim::damerau_levenshtein(word, known);
            slips <= (word.chars().count() / 3).max(1) || strsim::jaro_winkler(word, known) > 0.85
        })
        .map(|known| (strsim::normalized_damerau_levenshtein(word, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, known)| known)
}

/// The same as a question; empty if there is nothing to ask.
pub fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, words).map(|known| format!(", did you mean {known:?}?")).unwrap_or_default()
}
