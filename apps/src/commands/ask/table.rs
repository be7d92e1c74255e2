//! Tables for people. Pure.

/// A table: a header, rows, columns as wide as they must be.
#[derive(Debug)]
pub(in crate::commands) struct Table {
    header: Vec<&'static str>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows. A title that begins with `>` stands over numbers, which end in one
    /// column.
    pub(in crate::commands) fn new<const N: usize>(titles: [&'static str; N]) -> Table {
        Table {
            header: titles.iter().map(|title| title.trim_start_matches('>')).collect(),
            right: titles.iter().map(|title| title.starts_with('>')).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(in crate::commands) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.header.len());
        self.rows.push(cells.into());
    }

    /// Whether it has no rows.
    #[cfg(feature = "lab")]
    pub(in crate::commands) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text; the last column is not padded. Columns that are empty in all rows are
    /// left out.
    pub(in crate::commands) fn text(&self) -> String {
        let length = |cell: &str| cell.chars().count();
        let columns = 0..self.header.len();
        let widths: Vec<usize> = columns
            .map(|column| {
                let widest = self.rows.iter().map(|row| length(&row[column])).max().unwrap_or(0);
                match widest {
                    0 if !self.rows.is_empty() => 0,
                    _ => widest.max(length(self.header[column])),
                }
            })
            .collect();
        let header: Vec<String> = self.header.iter().map(|title| (*title).to_owned()).collect();
        let mut text = String::new();
        for row in [&header].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate().filter(|(column, _)| widths[*column] > 0) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                match (self.right[column], widths[column]) {
                    (true, width) => line.push_str(&format!("{cell:>width$}")),
                    (false, width) => line.push_str(&format!("{cell:<width$}")),
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
    fn columns_are_as_wide_as_they_must_be() {
        let mut table = Table::new(["HOST", "NOTE", ">SEEN", "AT"]);
        table.row(["alice".into(), String::new(), "3 s".into(), "s1/1".into()]);
        table.row(["b".into(), String::new(), "12 min".into(), "s2/24 vlan 20".into()]);
        assert_eq!(
            table.text(),
            "HOST     SEEN  AT\n\
             alice     3 s  s1/1\n\
             b      12 min  s2/24 vlan 20\n"
        );
        assert_eq!(Table::new(["HOST", ">SEEN"]).text(), "HOST  SEEN\n");
    }
}
