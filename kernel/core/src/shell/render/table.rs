//! Text in columns that line up.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Columns of text, each as wide as its widest cell.
pub struct Table {
    rows: Vec<Vec<String>>,
    aligned_right: Vec<usize>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Table {
        Table {
            rows: alloc::vec![headings.iter().map(|text| text.to_string()).collect()],
            aligned_right: Vec::new(),
        }
    }

    /// Aligns these columns to the right, as numbers are.
    pub fn right(mut self, columns: &[usize]) -> Table {
        self.aligned_right.extend_from_slice(columns);
        self
    }

    /// Adds a row; it has as many cells as there are headings.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines.
    pub fn render(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let pad = widths[column].saturating_sub(cell.chars().count());
                let pad = " ".repeat(pad);
                match self.aligned_right.contains(&column) {
                    true => line.extend([pad.as_str(), cell, "  "]),
                    false => line.extend([cell.as_str(), &pad, "  "]),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["NAME", "N"]).right(&[1]);
        table.row(alloc::vec!["long-name".into(), "1".into()]);
        table.row(alloc::vec!["x".into(), "100".into()]);
        assert_eq!(
            table.render(),
            "NAME         N\nlong-name    1\nx          100\n"
        );
    }
}
