//! Silences as the command line has them: what is wanted, and what is there.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use portsyncd::alert::engine::{Silence, SilenceRequest};
use portsyncd::config::duration;

use super::table::TextTable;
use super::text::{Paint, ago, exact, plain, span};

/// Where they are asked for, made and ended.
pub const PATH: &str = "/api/v1/silences";
const SILENCES: TextTable<7> =
    TextTable { headings: ["silence", "rule", "port", "begins", "ends", "author", "comment"], numbers: &[0] };

/// What somebody wants silenced.
#[derive(Clone, Args)]
pub struct Wanted {
    /// The rule's name, or a pattern: *, ? and [a-z] stand for more than one
    rule: String,
    /// The ports, as a name or a pattern [default: all, and alerts without a port]
    #[arg(long, value_name = "PATTERN")]
    port: Option<String>,
    /// For how long, for example 2h or "1h 30m"
    #[arg(long = "for", value_name = "DURATION", value_parser = some_time)]
    lasts: Duration,
    /// In how long it begins, for a maintenance window [default: now]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    starts: Option<Duration>,
    /// Why, for whoever wonders
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    comment: String,
    #[arg(long, value_name = "NAME", help = "Who wants it [default: $SUDO_USER or $USER]")]
    author: Option<String>,
}

fn some_time(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text)?;
    if time.is_zero() { Err("it would be over at once; a duration like 30m or 2h".to_owned()) } else { Ok(time) }
}

impl Wanted {
    /// For the daemon, at this Unix time.
    pub fn request(&self, now: f64) -> SilenceRequest {
        let starts = self.starts.map(|starts| now + starts.as_secs_f64());
        SilenceRequest {
            rule: self.rule.clone(),
            port: self.port.clone(),
            starts,
            until: starts.unwrap_or(now) + self.lasts.as_secs_f64(),
            author: self.author.clone().unwrap_or_else(user),
            comment: self.comment.clone(),
        }
    }
}

/// Whoever types; who became root to do it stays who they are.
fn user() -> String {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    variable("SUDO_USER").or_else(|| variable("USER")).unwrap_or_default()
}

/// That this one is there now.
pub fn made(answer: &[u8], now: f64) -> anyhow::Result<String> {
    let silence = read(answer)?;
    let id = silence.id;
    // An answer takes a moment.
    let starts = (silence.starts - now).round();
    let begins = if starts >= 1.0 { format!("begins in {}", exact(starts)) } else { "from now".to_owned() };
    Ok(format!(
        "silence {id}: {}, {begins}, for {}; `portsyncd alerts unsilence {id}` ends it\n",
        of(&silence),
        exact(silence.until - silence.starts)
    ))
}

/// That this one is no more.
pub fn ended(answer: &[u8]) -> anyhow::Result<String> {
    let silence = read(answer)?;
    Ok(format!("silence {} has ended: {}\n", silence.id, of(&silence)))
}

fn read(answer: &[u8]) -> anyhow::Result<Silence> {
    serde_json::from_slice(answer).context("it is done, but the daemon's answer is not understood")
}

fn of(silence: &Silence) -> String {
    let port = silence.port.as_ref().map_or_else(String::new, |port| format!(" on {}", plain(port.as_str())));
    format!("{}{port}", plain(silence.rule.as_str()))
}

/// All of them.
pub fn table(silences: &[Silence], now: f64, paint: Paint) -> String {
    if silences.is_empty() {
        return "no silences\n".to_owned();
    }
    let at = |time| if time <= now { ago(now, time) } else { format!("in {}", span(time - now)) };
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { plain(text) };
    let rows: Vec<[String; 7]> = silences
        .iter()
        .map(|silence| {
            [
                silence.id.to_string(),
                plain(silence.rule.as_str()),
                or_dash(silence.port.as_ref().map_or("", |port| port.as_str())),
                at(silence.starts),
                at(silence.until),
                or_dash(&silence.author),
                or_dash(&silence.comment),
            ]
        })
        .collect();
    SILENCES.text(&rows, |row, column, cell| {
        // What is in force keeps people from being told.
        if column == 3 && !row[3].starts_with("in ") { paint.fair(&cell) } else { cell }
    })
}
