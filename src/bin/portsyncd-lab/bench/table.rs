//! Rows as tables: for a person's terminal, or in Markdown.

use super::generated::Generated;
use super::row::Row;
use super::target::Target;

/// Where the tables are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Markdown,
}

/// All rows, one table for each measurement.
pub fn tables(rows: &[Row], targets: &[Target], style: Style) -> String {
    let mut text = String::new();
    for group in rows.chunk_by(|a, b| a.measure == b.measure) {
        text.push_str(&table(group, targets, style));
        text.push('\n');
    }
    text
}

fn table(rows: &[Row], targets: &[Target], style: Style) -> String {
    // A column in which nobody took part, as the floor in starts, is left out; the first always stands.
    let shown = |at: &usize| {
        *at == 0 || rows.iter().any(|row| row.values[*at].value.is_some() || row.values[*at].text.is_some())
    };
    let columns: Vec<usize> = (0..targets.len()).filter(shown).collect();
    let mut lines = vec![vec![rows[0].measure.to_owned(), String::new()]];
    lines[0].extend(columns.iter().map(|at| targets[*at].name.clone()));
    lines[0].extend(columns.iter().skip(1).map(|at| format!("/ {}", targets[*at].name)));
    let mut what = "";
    for row in rows {
        // What is the same as in the line above is said once.
        let first = if what == row.what && style == Style::Plain { String::new() } else { row.what.clone() };
        what = &row.what;
        let mut line = vec![first, row.quantity.to_owned()];
        line.extend(columns.iter().map(|at| row.values[*at].show(row.unit)));
        let ratio = |at: &usize| row.ratios[*at - 1].map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        line.extend(columns.iter().skip(1).map(ratio));
        lines.push(line);
    }
    laid_out(&lines, 2, style)
}

/// What was measured with messages that are made up: a column for each number of ports.
pub fn generated(measured: &[Generated], style: Style) -> String {
    let Some(first) = measured.first() else { return String::new() };
    let mut lines = vec![vec!["generated messages, this build".to_owned()]];
    lines[0].extend(measured.iter().map(|one| format!("{} ports", one.ports)));
    for (at, (quantity, _)) in first.shown().into_iter().enumerate() {
        let mut line = vec![quantity.to_owned()];
        line.extend(measured.iter().map(|one| one.shown()[at].1.clone()));
        lines.push(line);
    }
    laid_out(&lines, 1, style) + "\n"
}

/// Columns under each other; the first so many hold words.
fn laid_out(lines: &[Vec<String>], words: usize, style: Style) -> String {
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
            let space = " ".repeat(width - cell.chars().count());
            if at < words { format!("{cell}{space}") } else { format!("{space}{cell}") }
        });
        let cells: Vec<String> = cells.collect();
        match style {
            Style::Plain => text.push_str(&format!("{}\n", cells.join("  ").trim_end())),
            Style::Markdown => text.push_str(&format!("| {} |\n", cells.join(" | "))),
        }
        if number == 0 && style == Style::Markdown {
            let rules = (0..widths.len()).map(|at| if at < words { "---" } else { "---:" });
            text.push_str(&format!("|{}|\n", rules.collect::<Vec<_>>().join("|")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::plan::Measure;
    use super::super::row::{Cell, Unit};
    use super::super::target::Role;
    use super::*;

    fn target(name: &str) -> Target {
        Target { name: name.to_owned(), role: Role::Against, path: None }
    }

    fn row(measure: Measure, quantity: &'static str, values: &[Option<f64>]) -> Row {
        let values = values.iter().map(|value| Cell { value: *value, ..Cell::default() }).collect();
        Row::new(measure, "32 ports", quantity, Unit::Nanoseconds, values)
    }

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [
            row(Measure::Latency, "p50", &[Some(61_200.0), Some(40_800.0)]),
            row(Measure::Latency, "max", &[Some(1e6), None]),
            row(Measure::Start, "CPU", &[Some(2e6), None]),
        ];
        let text = tables(&rows, &[target("ours"), target("floor")], Style::Plain);
        let want = "\
latency           ours    floor  / floor
32 ports  p50  61.2 µs  40.8 µs     1.50
          max     1 ms        -        -

start          ours
32 ports  CPU  2 ms

";
        assert_eq!(text, want);
    }

    #[test]
    fn markdown_repeats_what_was_measured() {
        let rows = [
            row(Measure::Latency, "p50", &[Some(5e3), Some(5e3)]),
            row(Measure::Latency, "p95", &[Some(5e3), Some(1e3)]),
        ];
        let text = tables(&rows, &[target("a"), target("b")], Style::Markdown);
        let want = "\
| latency  |     |    a |    b |  / b |
|---|---|---:|---:|---:|
| 32 ports | p50 | 5 µs | 5 µs | 1.00 |
| 32 ports | p95 | 5 µs | 1 µs | 5.00 |

";
        assert_eq!(text, want);
    }
}
