//! `portsyncd rules`: the rules of the daemon, and tests of rules, which need none.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use portsyncd::alert::api::{RuleList, RuleView};
use portsyncd::alert::unit_test;
use portsyncd::config::ControlConfig;
use portsyncd::control::Control;

use super::table::TextTable;
use super::text::{Paint, ago, duration, exact, plain, plural};
use super::{CommandError, block_on, json, now, put, shows_colour};

const PATH: &str = "/api/v1/rules";
const RULES: TextTable<6> =
    TextTable { headings: ["rule", "severity", "for", "alerts", "looks at", "from"], numbers: &[] };

/// What is to be done.
#[derive(Clone, Subcommand)]
pub enum RulesCommand {
    /// The rules that the daemon looks at, and how they stand
    List {
        /// The daemon's JSON
        #[arg(long)]
        json: bool,
    },
    /// Run tests of rules; needs no daemon. 0 if all is as expected, 1 if not, 78 if a file cannot be used
    Test {
        /// Files of tests
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Asks and prints.
pub fn list(config: &ControlConfig, as_json: bool) -> anyhow::Result<bool> {
    let control = Control::new(config)?;
    let text = block_on(async {
        if as_json {
            return Ok(json::pretty(&control.fetch(PATH).await?)?);
        }
        let list: RuleList = control.get(PATH).await?;
        Ok(told(&list, now(), Paint { on: shows_colour() }))
    })?;
    put(&text)?;
    Ok(true)
}

/// Runs the tests of each file; whether all is as expected.
pub fn test(files: &[impl AsRef<Path>]) -> anyhow::Result<bool> {
    let (mut wrong, mut ok) = (0, true);
    for file in files {
        let report = unit_test::run(file.as_ref());
        put(&format!("{report}\n"))?;
        ok &= report.is_ok();
        wrong += u64::from(report.wrong);
    }
    if wrong > 0 { Err(CommandError::WrongTests(plural(wrong, "file")).into()) } else { Ok(ok) }
}

fn told(list: &RuleList, now: f64, paint: Paint) -> String {
    let mut text = String::new();
    if let Some(problem) = &list.problem {
        let problem: Vec<String> = problem.lines().map(plain).collect();
        let _ = writeln!(
            text,
            "{}: {}\n",
            paint.bad("the rules that stand in the files and in CONFIG_DB now are not used"),
            problem.join("\n  ")
        );
    }
    if list.rules.is_empty() {
        text.push_str("no rules\n");
        return text;
    }
    let rows: Vec<[String; 6]> = list.rules.iter().map(row).collect();
    text.push_str(&RULES.text(&rows, |row, column, cell| match column {
        3 if row[3].contains("firing") => paint.bad(&cell),
        _ => cell,
    }));
    let looked = match list.last_evaluation {
        Some(at) => format!("looked at {}, which took {}", ago(now, at), duration(list.evaluation_seconds)),
        None => "not looked at yet".to_owned(),
    };
    let _ = writeln!(text, "\n{}, {looked}", plural(list.rules.len() as u64, "rule"));
    text
}

fn row(rule: &RuleView) -> [String; 6] {
    let ports = rule.ports.as_ref().map_or_else(String::new, |ports| format!(" of {}", plain(ports)));
    let alerts: Vec<String> = rule.alerts.iter().map(|(state, number)| format!("{number} {}", plain(state))).collect();
    [
        plain(&rule.name),
        plain(&rule.severity),
        if rule.r#for > 0.0 { exact(rule.r#for) } else { "-".to_owned() },
        match () {
            () if !rule.enabled => "off".to_owned(),
            () if alerts.is_empty() => "-".to_owned(),
            () => alerts.join(", "),
        },
        format!("{}{ports} {}", plain(&rule.metric), plain(&rule.condition)),
        plain(&rule.origin),
    ]
}
