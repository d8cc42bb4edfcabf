//! Tables: columns that stand below each other.

/// A table of so many columns.
pub struct TextTable<const N: usize> {
    /// What stands above them.
    pub headings: [&'static str; N],
    /// Columns of numbers, which stand at the right.
    pub numbers: &'static [usize],
}

impl<const N: usize> TextTable<N> {
    /// All of it. `mark` may put something around a cell that has its width already: it is told the row, the column, the cell.
    pub fn text(&self, rows: &[[String; N]], mark: impl Fn(&[String; N], usize, String) -> String) -> String {
        let widths: [usize; N] = std::array::from_fn(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.headings[column].len()]).max().unwrap_or_default()
        });
        let mut text = self.line(&self.headings.map(str::to_owned), &widths, |_, _, cell| cell);
        for row in rows {
            text.push_str(&self.line(row, &widths, &mark));
        }
        text
    }

    fn line(
        &self,
        row: &[String; N],
        widths: &[usize; N],
        mark: impl Fn(&[String; N], usize, String) -> String,
    ) -> String {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let padded = match column {
                _ if self.numbers.contains(&column) => format!("{cell:>width$}"),
                // Nothing stands behind the last.
                _ if column + 1 == N => cell.clone(),
                _ => format!("{cell:<width$}"),
            };
            line.push_str(&mark(row, column, padded));
            line.push_str(if column + 1 < N { "  " } else { "\n" });
        }
        line
    }
}
