//! Keys that nothing takes, and values that a sink cannot take: all of them at once, with where they stand.
//!
//! What there is shows from the defaults. serde would tell of the first unknown key only, and of what stands in a flattened
//! table it forgets the key.

use figment::value::{Dict, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::alerts::SinkConfig;
use super::load::ENVIRONMENT;
use super::{AlertsConfig, Config};
use crate::nearest::{closest, nearest};

/// What there is, with a sink of each type.
pub(super) fn known() -> Dict {
    let sink = SinkConfig::of_each_type();
    let config = Config { alerts: AlertsConfig { sink, ..AlertsConfig::default() }, ..Config::default() };
    Value::serialize(config).ok().and_then(Value::into_dict).unwrap_or_default()
}

/// Where a value comes from.
pub(super) fn origin(metadata: Option<&Metadata>) -> String {
    metadata.map_or_else(
        || "configuration".to_owned(),
        |metadata| metadata.source.as_ref().map_or_else(|| metadata.name.to_string(), ToString::to_string),
    )
}

/// Everything that is wrong with the keys, and with the sinks.
pub(super) fn problems(figment: &Figment, known: &Dict) -> Vec<String> {
    let mut read = figment.data().unwrap_or_default();
    let read = read.remove(&Profile::Default).unwrap_or_default();
    let mut problems = Problems { figment, known, found: Vec::new() };
    for (section, value) in &read {
        match (value, known.get(section)) {
            (_, None) => problems.unknown(&[section], value, known),
            (Value::Dict(_, keys), Some(Value::Dict(_, known))) => {
                for (key, value) in keys.iter().filter(|(key, _)| !known.contains_key(*key)) {
                    problems.unknown(&[section, key], value, known);
                }
            }
            _ => {}
        }
    }
    let sinks = |config| as_sinks(config).unwrap_or_default();
    for sink in sinks(&read) {
        let Value::Dict(tag, keys) = sink else { continue };
        let name = keys.get("name").and_then(Value::as_str).unwrap_or_default();
        for problem in sink_problems(keys, sinks(known)) {
            problems.add(*tag, &format!("alerts.sink: sink {name:?}: {problem}"));
        }
    }
    problems.found
}

fn as_sinks(config: &Dict) -> Option<&[Value]> {
    config.get("alerts")?.as_dict()?.get("sink")?.as_array()
}

struct Problems<'a> {
    figment: &'a Figment,
    known: &'a Dict,
    found: Vec<String>,
}

impl Problems<'_> {
    fn add(&mut self, tag: Tag, problem: &str) {
        self.found.push(format!("{}: {problem}", origin(self.figment.get_metadata(tag))));
    }

    fn unknown(&mut self, path: &[&String], value: &Value, siblings: &Dict) {
        let of_environment = self.figment.get_metadata(value.tag()).is_some_and(|metadata| metadata.source.is_none());
        let written = |path: &[&str]| {
            if of_environment { format!("{ENVIRONMENT}{}", path.join("__").to_uppercase()) } else { path.join(".") }
        };
        let path: Vec<&str> = path.iter().map(|key| key.as_str()).collect();
        let (sections, key) = path.split_at(path.len() - 1);
        let mut meant =
            closest(key[0], siblings.keys().map(String::as_str)).map(|key| written(&[sections, &[key]].concat()));
        if of_environment && sections.is_empty() {
            // As a rule one underscore that should have been two.
            let all = self.known.iter().flat_map(|(section, keys)| {
                keys.as_dict().into_iter().flatten().map(|(key, _)| written(&[section.as_str(), key.as_str()]))
            });
            let all: Vec<String> = all.collect();
            meant = closest(&written(&path), all.iter().map(String::as_str)).map(str::to_owned);
        }
        let there: Vec<&str> = siblings.keys().map(String::as_str).collect();
        let hint = meant
            .map_or_else(|| format!("; there are {}", there.join(", ")), |meant| format!(", did you mean {meant:?}?"));
        self.add(value.tag(), &format!("{}: no such key{hint}", written(&path)));
    }
}

/// What is wrong with a sink.
fn sink_problems(sink: &Dict, types: &[Value]) -> Vec<String> {
    let types: Vec<(&str, &Dict)> =
        types.iter().filter_map(|known| Some((known.as_dict()?.get("type")?.as_str()?, known.as_dict()?))).collect();
    let names: Vec<&str> = types.iter().map(|(name, _)| *name).collect();
    let right = format!("one of {names:?}").replace(['[', ']'], "");
    let Some(written) = sink.get("type") else { return vec![format!("type is missing: {right}")] };
    let kind = written.as_str().unwrap_or_default();
    let Some((_, known)) = types.iter().find(|(name, _)| *name == kind) else {
        return vec![format!("type = {kind:?}: {right}{}", nearest(kind, names))];
    };
    let mut problems = Vec::new();
    for (key, value) in sink {
        if !known.contains_key(key) {
            let there: Vec<&str> = known.keys().map(String::as_str).collect();
            let meant = nearest(key, there.iter().copied());
            problems.push(format!("{key} is no key of type {kind:?}{meant}; it has {}", there.join(", ")));
            continue;
        }
        // By itself, for the rest has defaults.
        let alone = Dict::from([("type".to_owned(), written.clone()), (key.clone(), value.clone())]);
        if let Err(error) = Value::from(alone).deserialize::<SinkConfig>() {
            problems.push(format!("{key}: {}", error.kind));
        }
    }
    if problems.is_empty() {
        let read = Value::from(sink.clone()).deserialize::<SinkConfig>().map_err(|error| error.to_string());
        problems.extend(read.and_then(|sink| sink.check()).err());
    }
    problems
}
