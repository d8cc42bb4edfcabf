//! From texts to a set of rules that belong together.
//!
//! In: TOML files, hashes of CONFIG_DB (both as text: reading them is others' business), the rules that come with the daemon.
//! Out: [`Rules`], or everything that is wrong. Rules are bound to the catalogue of metrics here, so that nothing is looked
//! up by name when they are evaluated.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use toml::{Table, Value};

use super::error::{RuleError, RuleErrors, RulePlace};
use super::rule::Rule;
use super::{DEFAULTS, DEFAULTS_FILE};
use crate::alert::millis;
use crate::config::toml_text;
use crate::nearest::nearest;

/// What stands before a rule's name in CONFIG_DB.
pub const CONFIG_TABLE: &str = "PORTSYNCD_ALERT_RULE";

/// Rules with different names, each explained by others of them only, and none by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    rules: Box<[Arc<Rule>]>,
}

impl Rules {
    /// The rules, in the order in which they were read; those that are off included.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Rule>> {
        self.rules.iter()
    }

    /// The rule of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|rule| &*rule.name == name)
    }
}

/// Reads rules from several places, and then checks how they go together.
#[derive(Debug, Default)]
pub struct Loader {
    /// The names that `actions` may have besides `log` and `notify`; `None`: any.
    sinks: Option<Vec<String>>,
    /// How often rules are evaluated; `None`: not known.
    interval: Option<Duration>,
    /// Where the pages about the rules that come with the daemon are; empty: nobody knows.
    runbooks: String,
    defaults: Vec<Rule>,
    rules: Vec<Rule>,
    /// Names of default rules that are turned off without saying anything else, with the file.
    off: Vec<(String, String)>,
    errors: Vec<RuleError>,
}

impl Loader {
    /// `sinks`: the names of the configured sinks.
    pub fn new(sinks: Vec<String>) -> Self {
        Self { sinks: Some(sinks), ..Self::default() }
    }

    /// Rules are evaluated so often: those that can never fire are refused. Of the rules that come with the daemon they are
    /// off.
    #[must_use]
    pub fn evaluated_every(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// The rules that come with the daemon link to their pages, which are here.
    #[must_use]
    pub fn runbooks_at(mut self, url: &str) -> Self {
        url.trim_end_matches('/').clone_into(&mut self.runbooks);
        self
    }

    /// Takes any name for a sink's, for checks apart from a configuration.
    pub fn with_any_sink() -> Self {
        Self::default()
    }

    /// Adds the rules that come with the daemon. A rule of the same name from elsewhere replaces one of them.
    pub fn defaults(&mut self) {
        let rules = std::mem::take(&mut self.rules);
        self.file(DEFAULTS_FILE, DEFAULTS);
        self.defaults = std::mem::replace(&mut self.rules, rules);
        if !self.runbooks.is_empty() {
            self.defaults.iter_mut().for_each(|rule| rule.add_runbook(&self.runbooks));
        }
    }

    /// Adds a file of rules, whose name is for messages.
    pub fn file(&mut self, name: &str, text: &str) {
        let problem = |problem: String| RuleError::File { file: name.to_owned(), problem };
        let mut table = match toml_text::parse(text, &[]) {
            Ok(table) => table,
            Err(error) => return self.errors.push(problem(error)),
        };
        let rules = match table.remove("rule") {
            Some(Value::Array(rules)) => rules,
            other => other.into_iter().collect(),
        };
        if let Some(key) = table.keys().next() {
            let meant = nearest(key, ["rule"]);
            self.errors
                .push(problem(format!("{key}: no such key{meant}; a file of rules has [[rule]] and nothing else")));
        }
        for (at, rule) in rules.into_iter().enumerate() {
            match rule {
                Value::Table(table) => self.rule(name, &format!("number {}", at + 1), table),
                other => self.errors.push(problem(format!("rule = {other}: rules begin with [[rule]]"))),
            }
        }
    }

    /// Adds a rule of CONFIG_DB's `PORTSYNCD_ALERT_RULE|<name>`. Fields are the keys of a rule with TOML values, or texts
    /// without quotes; lists may be separated by commas, and `condition.above` is the key `above` within `condition`.
    pub fn fields<'a>(&mut self, name: &str, fields: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let key = format!("{CONFIG_TABLE}|{name}");
        let (mut table, place) = (Table::new(), RulePlace { file: key.clone(), rule: name.to_owned() });
        // In the order of the names, so that messages do not depend on Redis' order.
        for (field, text) in fields.into_iter().collect::<BTreeMap<_, _>>() {
            // SONiC marks lists by an @ behind the field's name.
            if let Err(error) = insert(&mut table, field.trim_end_matches('@'), text, &place) {
                return self.errors.push(error);
            }
        }
        if let Some(other) = table.insert("name".to_owned(), name.into()).filter(|other| other.as_str() != Some(name)) {
            return self.errors.push(place.wrong("name", other, format!("{name:?}, as in the key, or left out")));
        }
        self.rule(&key, name, table);
    }

    fn rule(&mut self, file: &str, number: &str, table: Table) {
        let name = table.get("name").and_then(Value::as_str).map(str::to_owned);
        if let Some(name) = name.as_ref().filter(|_| table.len() == 2 && table.get("enabled") == Some(&false.into())) {
            return self.off.push((name.clone(), file.to_owned()));
        }
        let place = RulePlace { file: file.to_owned(), rule: name.unwrap_or_else(|| number.to_owned()) };
        let mut rule = match Rule::read(place.clone(), table, self.sinks.as_deref()) {
            Ok(rule) => rule,
            Err(error) => return self.errors.push(error),
        };
        let checked = self.interval.map_or(Ok(()), |interval| rule.check_samples(&place, millis(interval).max(1)));
        match checked {
            Err(_) if file == DEFAULTS_FILE => rule.enabled = false,
            Err(error) if rule.enabled => return self.errors.push(error),
            _ => {}
        }
        self.rules.push(rule);
    }

    /// The rules, if all is well with all of them.
    pub fn finish(mut self) -> Result<Rules, RuleErrors> {
        let mut origins: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        for rule in &self.rules {
            if let Some(other) = origins.insert(Arc::clone(&rule.name), Arc::clone(&rule.origin)) {
                let problem = format!("another name: a rule of {other} has this one already");
                self.errors.push(place(rule).wrong("name", format!("{:?}", rule.name), problem));
            }
        }
        for (name, file) in &self.off {
            let rule = self.defaults.iter_mut().find(|rule| *rule.name == **name);
            let Some(rule) = rule.filter(|_| !origins.contains_key(name.as_str())) else {
                let place = RulePlace { file: file.clone(), rule: name.clone() };
                self.errors
                    .push(place.missing("metric", "only a rule that comes with the daemon is turned off without it"));
                continue;
            };
            rule.enabled = false;
            rule.origin = file.as_str().into();
        }
        let mut rules = self.defaults;
        rules.retain(|rule| !origins.contains_key(&rule.name));
        rules.append(&mut self.rules);
        self.errors.extend(check_explanations(&rules));
        if !self.errors.is_empty() {
            return Err(RuleErrors(self.errors));
        }
        share(&mut rules);
        Ok(Rules { rules: rules.into_iter().map(Arc::new).collect() })
    }
}

fn place(rule: &Rule) -> RulePlace {
    RulePlace { file: rule.origin.to_string(), rule: rule.name.to_string() }
}

/// Puts a field of a hash where a file would have it.
fn insert(table: &mut Table, field: &str, text: &str, place: &RulePlace) -> Result<(), RuleError> {
    let Some((outer, inner)) = field.split_once('.') else {
        table.insert(field.to_owned(), value("", field, text));
        return Ok(());
    };
    match table.entry(outer).or_insert_with(|| Table::new().into()) {
        Value::Table(table) => table.insert(inner.to_owned(), value(outer, inner, text)),
        _ => return Err(place.wrong(field, text, format!("either {outer} or {field}, not both"))),
    };
    Ok(())
}

/// The value of a field. Where a text is wanted it stays one, even if it reads 1 or true.
fn value(outer: &str, field: &str, text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    match (outer, field, parsed) {
        (_, _, Some(parsed @ (Value::String(_) | Value::Array(_)))) => parsed,
        ("", "actions" | "inhibited_by", _) => {
            Value::Array(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect())
        }
        ("annotations" | "labels" | "match", _, _) => text.into(),
        ("", "metric" | "ports" | "for" | "keep_firing_for" | "severity", _) => text.into(),
        (_, _, Some(parsed)) => parsed,
        (_, _, None) => text.into(),
    }
}

/// Each rule is explained by rules that are there, and none by itself over others.
fn check_explanations(rules: &[Rule]) -> Vec<RuleError> {
    let by_name: HashMap<&str, &Rule> = rules.iter().map(|rule| (&*rule.name, rule)).collect();
    let unknown = rules.iter().filter_map(|rule| {
        let unknown = rule.inhibited_by().iter().find(|name| !by_name.contains_key(&***name))?;
        let meant = nearest(unknown, by_name.keys().copied());
        Some(place(rule).wrong("inhibited_by", format!("{unknown:?}"), format!("a rule that is there{meant}")))
    });
    let (mut path, mut done) = (Vec::new(), HashSet::new());
    let cycles = rules.iter().filter_map(|rule| {
        let cycle = cycle(rule, &by_name, &mut path, &mut done)?;
        Some(place(rule).wrong("inhibited_by", cycle.join(" by "), "no rule may explain itself, over others either"))
    });
    unknown.chain(cycles).collect()
}

/// The names on a way from a rule back to itself.
fn cycle<'a>(
    rule: &'a Rule,
    by_name: &HashMap<&str, &'a Rule>,
    path: &mut Vec<&'a str>,
    done: &mut HashSet<&'a str>,
) -> Option<Vec<&'a str>> {
    if let Some(at) = path.iter().position(|name| *name == &*rule.name) {
        path.push(&rule.name);
        return Some(path.split_off(at));
    }
    if done.contains(&*rule.name) {
        return None;
    }
    path.push(&rule.name);
    let explaining = rule.inhibited_by().iter().filter_map(|name| by_name.get(&**name));
    let found = explaining.copied().find_map(|other| cycle(other, by_name, path, done));
    path.pop();
    done.insert(&rule.name);
    found
}

/// Holds once what many rules have in common.
fn share(rules: &mut [Rule]) {
    fn once<T: PartialEq + ?Sized>(all: &mut Vec<Arc<T>>, one: &mut Arc<T>) {
        match all.iter().find(|other| *other == one) {
            Some(other) => *one = Arc::clone(other),
            None => all.push(Arc::clone(one)),
        }
    }
    let (mut annotations, mut actions, mut origins) = (Vec::new(), Vec::new(), Vec::new());
    let (mut globs, mut refined) = (Vec::new(), Vec::new());
    for rule in rules {
        once(&mut annotations, &mut rule.annotations);
        once(&mut actions, &mut rule.actions);
        once(&mut origins, &mut rule.origin);
        once(&mut refined, &mut rule.refined);
        if let Some(glob) = &mut rule.ports {
            once(&mut globs, glob);
        }
    }
}

#[cfg(test)]
mod tests;
