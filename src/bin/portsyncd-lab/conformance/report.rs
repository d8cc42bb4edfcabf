//! What came of the scenarios, for people and for programs.

use std::path::PathBuf;

use serde::Serialize;

use super::run::Outcome;

/// One scenario's result.
#[derive(Debug, Serialize)]
pub struct Report {
    pub file: PathBuf,
    pub title: String,
    /// It goes beyond the C++ daemon.
    pub beyond: bool,
    pub seconds: f64,
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Report {
    pub fn agrees(&self) -> bool {
        self.outcome.broken.is_none() && self.outcome.differences.is_empty()
    }

    fn verdict(&self) -> &'static str {
        match (&self.outcome.broken, self.agrees()) {
            (Some(_), _) => "BROKEN",
            (None, true) => "ok",
            (None, false) => "DIFFERS",
        }
    }
}

/// One line as soon as a scenario is through.
pub fn progress(report: &Report, json: bool) {
    if !json {
        let name = report.file.file_stem().unwrap_or_default().to_string_lossy();
        eprintln!("{:8} {name:36} {:5.1} s  {}", report.verdict(), report.seconds, report.title);
    }
}

/// Everything, at the end.
#[expect(clippy::print_stdout, reason = "the command's output")]
pub fn print(reports: &[Report], json: bool) {
    if json {
        let agree = reports.iter().all(Report::agrees);
        let scenarios: Vec<_> = reports.iter().filter_map(|report| serde_json::to_value(report).ok()).collect();
        println!("{:#}", serde_json::json!({"agree": agree, "scenarios": scenarios}));
        return;
    }
    for report in reports.iter().filter(|report| !report.agrees()) {
        println!("\n{} ({})", report.file.display(), report.title);
        if let Some(message) = &report.outcome.broken {
            println!("  could not be run: {message}");
        }
        let mut step = None;
        for difference in &report.outcome.differences {
            if step != Some(&difference.step) {
                println!("  step \"{}\"", difference.step);
                step = Some(&difference.step);
            }
            println!(
                "    {}\n      expected  {}\n      found     {}",
                difference.what, difference.expected, difference.found
            );
        }
        if !report.outcome.log.is_empty() {
            println!("    the daemon's last words:\n      {}", report.outcome.log.replace('\n', "\n      "));
        }
    }
    let agreeing = reports.iter().filter(|report| report.agrees()).count();
    println!("\n{agreeing} of {} scenarios agree", reports.len());
}
