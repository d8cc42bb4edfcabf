//! `portsyncd alerts`: what fires and what did, silences, and making and ending these.

use std::cmp::Reverse;

use clap::Subcommand;
use portsyncd::alert::api::{AlertList, AlertView, History, SilenceList};
use portsyncd::alert::model::Suppression;
use portsyncd::alert::rules::Severity;
use portsyncd::alert::rules::template::number;
use portsyncd::alert::{AlertState, Transition};
use portsyncd::config::ControlConfig;
use portsyncd::control::Control;

use super::silence::{self, Wanted};
use super::table::TextTable;
use super::text::{Paint, ago, count, plain};
use super::{block_on, json, now, put, shows_colour};

/// Where they are asked for.
pub const PATH: &str = "/api/v1/alerts";
const HISTORY: &str = "/api/v1/alerts/history";
const ALERTS: TextTable<7> =
    TextTable { headings: ["severity", "state", "rule", "port", "since", "value", "summary"], numbers: &[5] };
const TRANSITIONS: TextTable<7> =
    TextTable { headings: ["when", "severity", "from", "to", "rule", "port", "value"], numbers: &[6] };
/// From the worst.
const SEVERITIES: [Severity; 3] = [Severity::Critical, Severity::Warning, Severity::Info];

/// What is to be done; nothing said: [`List`](Self::List).
#[derive(Clone, Subcommand)]
pub enum AlertsCommand {
    /// What fires, is suppressed or pending, and the silences; so does no word at all
    List,
    /// What went from one state to another, oldest first
    History {
        /// Only so many, the newest ones
        #[arg(long, value_name = "N")]
        last: Option<usize>,
    },
    /// The silences that are in force or begin later
    Silences,
    /// Tell nobody of some alerts for a while; they go on being looked at and listed
    Silence(Wanted),
    /// End a silence
    Unsilence {
        /// Its number, as `alerts silences` has it
        id: u32,
    },
}

/// Does it.
pub fn run(config: &ControlConfig, action: &AlertsCommand, as_json: bool) -> anyhow::Result<bool> {
    let control = Control::new(config)?;
    let paint = Paint { on: shows_colour() };
    let text = block_on(async {
        let raw = match action {
            AlertsCommand::List if as_json => control.fetch(PATH).await?,
            AlertsCommand::History { last: None } if as_json => control.fetch(HISTORY).await?,
            AlertsCommand::History { last: Some(last) } if as_json => newest(&control.fetch(HISTORY).await?, *last)?,
            AlertsCommand::Silences if as_json => control.fetch(silence::PATH).await?,
            AlertsCommand::List => {
                let alerts: AlertList = control.get(PATH).await?;
                let SilenceList { silences } = control.get(silence::PATH).await?;
                let mut text = table(alerts.alerts, now(), paint);
                if !silences.is_empty() {
                    text = format!("{text}\n{}", silence::table(&silences, now(), paint));
                }
                return Ok(text);
            }
            AlertsCommand::History { last } => {
                let History { transitions } = control.get(HISTORY).await?;
                let first = transitions.len().saturating_sub(last.unwrap_or(usize::MAX));
                return Ok(told(&transitions[first..], now(), paint));
            }
            AlertsCommand::Silences => {
                let SilenceList { silences } = control.get(silence::PATH).await?;
                return Ok(silence::table(&silences, now(), paint));
            }
            AlertsCommand::Silence(wanted) => {
                let made = control.post(silence::PATH, serde_json::to_vec(&wanted.request(now()))?).await?;
                if !as_json {
                    return silence::made(&made, now());
                }
                made
            }
            AlertsCommand::Unsilence { id } => {
                let ended = control.delete(&format!("{}/{id}", silence::PATH)).await?;
                if !as_json {
                    return silence::ended(&ended);
                }
                ended
            }
        };
        Ok(json::pretty(&raw)?)
    })?;
    put(&text)?;
    Ok(true)
}

/// What fires first, of that the worst, of that as it was.
pub fn order(alerts: &mut [AlertView]) {
    alerts.sort_by_key(|AlertView { alert, .. }| {
        let place = match alert.state {
            AlertState::Firing => 0,
            AlertState::Suppressed => 1,
            AlertState::Pending => 2,
            AlertState::Inactive | AlertState::Resolved => 3,
        };
        (place, Reverse(alert.severity))
    });
}

/// How many fire, by severity, the worst first; `None` if none does.
pub fn firing(alerts: &[AlertView], paint: Paint) -> Option<String> {
    let parts: Vec<String> = SEVERITIES
        .into_iter()
        .filter_map(|severity| {
            let fires = |view: &&AlertView| view.alert.state == AlertState::Firing && view.alert.severity == severity;
            let number = alerts.iter().filter(fires).count();
            (number > 0).then(|| mark(severity, &format!("{} {}", count(number as u64), severity.name()), paint))
        })
        .collect();
    (!parts.is_empty()).then(|| format!("{} firing", parts.join(", ")))
}

/// Why nobody is told, in words.
pub fn reason(suppressed: Option<&Suppression>) -> Option<String> {
    suppressed.map(|suppression| match suppression {
        Suppression::Silence(id) => format!("silence {id}"),
        Suppression::Rule(rule) => format!("while {} fires", plain(rule)),
    })
}

fn mark(severity: Severity, text: &str, paint: Paint) -> String {
    match severity {
        Severity::Critical => paint.bad(text),
        Severity::Warning => paint.fair(text),
        Severity::Info => text.to_owned(),
    }
}

fn table(mut alerts: Vec<AlertView>, now: f64, paint: Paint) -> String {
    if alerts.is_empty() {
        return "no alerts: nothing is pending, fires or is suppressed\n".to_owned();
    }
    order(&mut alerts);
    let rows: Vec<[String; 7]> = alerts
        .iter()
        .map(|AlertView { summary, alert }| {
            let reason = reason(alert.suppressed.as_ref()).map_or_else(String::new, |reason| format!(" ({reason})"));
            [
                alert.severity.name().to_owned(),
                alert.state.name().to_owned(),
                plain(&alert.rule),
                alert.port.as_ref().map_or_else(|| "-".to_owned(), |port| plain(&port.to_string())),
                ago(now, alert.since),
                number(alert.value),
                format!("{}{reason}", plain(summary)),
            ]
        })
        .collect();
    ALERTS.text(&rows, |row, column, cell| {
        let severity = SEVERITIES.into_iter().find(|severity| severity.name() == row[0]);
        match (column, severity) {
            (0 | 1, Some(severity)) if row[1] == AlertState::Firing.name() => mark(severity, &cell, paint),
            _ => cell,
        }
    })
}

/// The answer with so many transitions, and whatever else it has.
fn newest(answer: &[u8], last: usize) -> serde_json::Result<Vec<u8>> {
    let mut answer: serde_json::Value = serde_json::from_slice(answer)?;
    if let Some(all) = answer.get_mut("transitions").and_then(serde_json::Value::as_array_mut) {
        all.drain(..all.len().saturating_sub(last));
    }
    serde_json::to_vec(&answer)
}

fn told(transitions: &[Transition], now: f64, paint: Paint) -> String {
    if transitions.is_empty() {
        return "nothing yet: no alert has gone from one state to another\n".to_owned();
    }
    let rows: Vec<[String; 7]> = transitions
        .iter()
        .map(|transition| {
            let reason = reason(transition.suppressed.as_ref());
            let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
            [
                ago(now, transition.time),
                transition.severity.name().to_owned(),
                transition.from.name().to_owned(),
                format!("{}{reason}", transition.to),
                plain(&transition.rule),
                transition.port.as_ref().map_or_else(|| "-".to_owned(), |port| plain(&port.to_string())),
                number(transition.value),
            ]
        })
        .collect();
    TRANSITIONS.text(&rows, |row, column, cell| match (column, row[3].as_str()) {
        (3, "firing") => {
            let severity = SEVERITIES.into_iter().find(|severity| severity.name() == row[1]);
            severity.map_or(cell.clone(), |severity| mark(severity, &cell, paint))
        }
        (3, "resolved") => paint.good(&cell),
        _ => cell,
    })
}

#[cfg(test)]
pub(super) mod tests;
