//! What the demonstration shows: on a terminal a table that is drawn again and again, otherwise a line and a table for each
//! step. A closed pipe stops nothing.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::compare::{Line, Seen};

/// Time between two drawings on a terminal.
const FRAME: Duration = Duration::from_millis(80);
/// The most ports shown; those out of step come first.
const LIVE_ROWS: usize = 24;
const PRINTED_ROWS: usize = 8;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";
/// Cursor home, everything below cleared.
const CLEAR: &str = "\x1b[H\x1b[J";

#[derive(Debug)]
pub struct Report {
    pub title: &'static str,
    /// What is worth saying of it, or why it failed.
    pub outcome: Result<String, String>,
    pub took: Duration,
    /// The last lines of the daemon's log, if it failed.
    pub log: Vec<String>,
}

#[derive(Debug)]
pub struct Screen {
    /// Stands above everything while it runs.
    header: String,
    live: bool,
    drawn: Option<Instant>,
    reports: Vec<Report>,
}

impl Screen {
    /// Live if standard output is a terminal.
    pub fn new(header: String) -> Self {
        let live = std::io::stdout().is_terminal();
        if !live {
            put(&format!("{header}\n\n"));
        }
        Self { header, live, drawn: None, reports: Vec::new() }
    }

    /// Draws the table, if there is a terminal and it is time.
    pub fn draw(&mut self, doing: &str, lines: &[Line]) {
        if !self.live || self.drawn.is_some_and(|drawn| drawn.elapsed() < FRAME) {
            return;
        }
        self.drawn = Some(Instant::now());
        let mut text = format!("{CLEAR}{}\n\n", self.header);
        for report in &self.reports {
            text.push_str(&self.told(report));
        }
        let _ = writeln!(text, "....          {doing}\n");
        text.push_str(&self.table(lines, LIVE_ROWS));
        put(&text);
    }

    /// A change is through: without a terminal this is what one sees of it.
    pub fn print(&mut self, done: &str, lines: &[Line]) {
        if !self.live {
            put(&format!("{done}\n{}\n", self.table(lines, PRINTED_ROWS)));
        }
    }

    /// Whether somebody watches, so that a change should stay a moment.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// A step is done; on a terminal the next drawing shows it.
    pub fn report(&mut self, report: Report) {
        if !self.live {
            put(&format!("{}{}\n", self.told(&report), logged(&report)));
        }
        self.reports.push(report);
        self.drawn = None;
    }

    pub fn say(text: &str) {
        put(&format!("{text}\n"));
    }

    /// The end: every step again, and the verdict; true if all went well.
    pub fn summary(&self, lines: &[Line]) -> bool {
        let mut text = String::new();
        if self.live {
            text.push_str(CLEAR);
            text.push_str(&self.table(lines, LIVE_ROWS));
        }
        text.push_str("\nkernel and STATE_DB\n");
        for report in &self.reports {
            text.push_str(&self.told(report));
            if self.live {
                text.push_str(&logged(report));
            }
        }
        let failed = self.reports.iter().filter(|report| report.outcome.is_err()).count();
        let all: Duration = self.reports.iter().map(|report| report.took).sum();
        let verdict = match failed {
            0 => "all steps agreed".to_owned(),
            _ => format!("{failed} of {} steps failed", self.reports.len()),
        };
        let _ = writeln!(text, "\n{} in {:.1} s", self.coloured(&verdict, failed == 0), all.as_secs_f64());
        put(&text);
        failed == 0
    }

    fn coloured(&self, text: &str, good: bool) -> String {
        if self.live { format!("{}{text}{PLAIN}", if good { GREEN } else { RED }) } else { text.to_owned() }
    }

    fn told(&self, report: &Report) -> String {
        let (mark, detail) = match &report.outcome {
            Ok(detail) => (self.coloured("ok  ", true), detail),
            Err(reason) => (self.coloured("FAIL", false), reason),
        };
        let seconds = report.took.as_secs_f64();
        format!("{mark}  {seconds:5.2} s  {}: {detail}\n", report.title)
    }

    fn table(&self, lines: &[Line], most: usize) -> String {
        let mut text = format!("{:<16}{:<24}{:<24}in step\n", "", "kernel", "STATE_DB");
        let head = format!("{:<7}{:<7}{:<10}", "admin", "oper", "mtu");
        let _ = writeln!(text, "{:<16}{head}{head}", "port");
        let (good, bad): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.in_step());
        // Numbers stay in order as long as all fit.
        let shown: Vec<&Line> =
            if lines.len() <= most { lines.iter().collect() } else { bad.into_iter().chain(good).take(most).collect() };
        for line in &shown {
            let verdict = self.coloured(if line.in_step() { "yes" } else { "no" }, line.in_step());
            let _ =
                writeln!(text, "{:<16}{}{}{verdict}", line.port, side(line.kernel.as_ref()), side(line.state.as_ref()));
        }
        if lines.len() > shown.len() {
            let rest = lines.len() - shown.len();
            let _ = writeln!(text, "and {rest} more");
        }
        text
    }
}

fn logged(report: &Report) -> String {
    let mut text = String::new();
    if !report.log.is_empty() {
        text.push_str("        the daemon's log ends with\n");
    }
    for line in &report.log {
        let _ = writeln!(text, "        | {line}");
    }
    text
}

fn side(seen: Option<&Seen>) -> String {
    match seen {
        Some(seen) => format!("{:<7}{:<7}{:<10}", seen.admin, seen.oper, seen.mtu),
        None => format!("{:<24}", "absent"),
    }
}

fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
