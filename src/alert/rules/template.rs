//! Texts with `{{ variables }}` in them, checked when a rule is read and filled in when somebody is told.

use std::sync::Arc;

use crate::nearest::nearest;

/// A text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Arc<str>);

const NAMES: [&str; 6] = ["port", "value", "threshold", "rule", "severity", "since"];

impl Template {
    /// Understands a text. `known` says which labels there are; `has_port` whether alerts of the rule have a port.
    pub(in crate::alert) fn new(text: &str, known: &[&str], has_port: bool) -> Result<Self, String> {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("{{") {
            let (variable, after) = after.split_once("}}").ok_or("a variable is {{ name }}, closed by }}")?;
            check(variable.trim(), known, has_port)?;
            rest = after;
        }
        Ok(Self(text.into()))
    }

    /// The text with its variables.
    pub fn source(&self) -> &str {
        &self.0
    }

    /// Fills in the variables.
    pub(in crate::alert) fn render(&self, value_of: impl Fn(&str) -> String) -> String {
        let (mut text, mut rest) = (String::with_capacity(self.0.len() + 32), &*self.0);
        while let Some((before, after)) = rest.split_once("{{")
            && let Some((variable, after)) = after.split_once("}}")
        {
            text.push_str(before);
            text.push_str(&value_of(variable.trim()));
            rest = after;
        }
        text + rest
    }
}

fn check(variable: &str, labels: &[&str], has_port: bool) -> Result<(), String> {
    match variable.strip_prefix("labels.") {
        Some(label) if labels.contains(&label) => Ok(()),
        Some(label) if labels.is_empty() => Err(format!("the rule has no labels, so none is called {label:?}")),
        Some(label) => Err(format!("the rule has no label {label:?}; it has {}", labels.join(", "))),
        None if variable == "port" && !has_port => {
            Err("the metric is not one of ports, so there is no {{ port }}".to_owned())
        }
        None if NAMES.contains(&variable) => Ok(()),
        None => {
            let (meant, names) = (nearest(variable, NAMES), NAMES.join(", "));
            Err(format!("no variable is called {variable:?}{meant}; there are {names}, labels.NAME"))
        }
    }
}

/// A number for people: whole if it is, else three digits that matter.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let digits = match value.abs() {
        100.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        0.001.. => 5,
        _ => return format!("{value:.2e}"),
    };
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in() {
        let template = Template::new("{{ port }} flaps: {{value}}/s, {{ labels.site }}}", &["site"], true).unwrap();
        let text = template.render(|name| match name {
            "port" => "Ethernet0".to_owned(),
            "value" => number(0.123_45),
            other => format!("<{other}>"),
        });
        assert_eq!(text, "Ethernet0 flaps: 0.123/s, <labels.site>}");
    }

    #[test]
    fn unknown_variables_are_refused() {
        for (text, problem) in [
            ("{{ prot }}", "did you mean \"port\"?"),
            ("{{ labels.rack }}", "it has site"),
            ("{{ value", "closed by }}"),
            ("{{ }}", "no variable is called \"\""),
        ] {
            let error = Template::new(text, &["site"], true).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
        assert!(Template::new("{{ port }}", &[], false).unwrap_err().contains("not one of ports"));
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (3.0, "3"),
            (1_234_567.0, "1234567"),
            (1234.56, "1234.6"),
            (12.345, "12.35"),
            (0.133_33, "0.133"),
            (0.5, "0.5"),
            (0.012_345, "0.01235"),
            (0.000_012, "1.20e-5"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
