//! A table whose columns are as wide as what has been seen of them.

/// The space between two columns.
const GAP: &str = "  ";

/// The heads of the columns and how wide they are now. The last column is open to the right.
pub struct Table<const N: usize> {
    heads: [&'static str; N],
    widths: [usize; N],
}

impl<const N: usize> Table<N> {
    pub fn new(heads: [&'static str; N]) -> Table<N> {
        Table { heads, widths: heads.map(str::len) }
    }

    /// Makes room for these cells.
    pub fn fit(&mut self, cells: &[String; N]) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }

    /// No column but the first is made narrower, and that one no narrower than its head, so that the line fits the width.
    pub fn narrow(&mut self, width: usize) {
        let whole: usize = self.widths.iter().sum::<usize>() + GAP.len() * (N - 1);
        let least = self.heads[0].len().max(self.widths[0].min(20));
        self.widths[0] = self.widths[0].saturating_sub(whole.saturating_sub(width)).max(least);
    }

    pub fn head(&self, width: usize) -> String {
        self.line(&self.heads.map(String::from), width, |_, cell| cell)
    }

    /// One line without its end, cut to the width. `paint` gets the number of the column and its cell, padded.
    pub fn line(&self, cells: &[String; N], width: usize, paint: impl Fn(usize, String) -> String) -> String {
        let (mut line, mut room) = (String::new(), width);
        let last = (0..N).rev().find(|column| !cells[*column].is_empty()).unwrap_or_default();
        for (column, (cell, column_width)) in cells.iter().zip(self.widths).enumerate().take(last + 1) {
            let gap = if column == 0 { "" } else { GAP };
            let Some(left) = room.checked_sub(gap.len()).filter(|left| *left > 0) else { break };
            let open = if column == last { cell.chars().count().min(column_width) } else { column_width };
            let shown = shortened(cell, column_width.min(left));
            let padded = format!("{shown:width$}", width = open.min(left));
            room = left - padded.chars().count();
            line.push_str(gap);
            line.push_str(&paint(column, padded));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The text, or its beginning with a mark that something is missing.
fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.into();
    }
    text.chars().take(width.saturating_sub(1)).chain(Some('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(width: usize) -> Vec<String> {
        let rows =
            [["a-rather-long-instance-id", "Running", "host-1"], ["b", "Completed", ""]].map(|r| r.map(String::from));
        let mut table = Table::new(["INSTANCE", "STATUS", "WORKER"]);
        rows.iter().for_each(|row| table.fit(row));
        table.narrow(width);
        let paint = |column, cell| if column == 1 { format!("<{cell}>") } else { cell };
        let body = rows.iter().map(|row| table.line(row, width, paint));
        std::iter::once(table.head(width)).chain(body).collect()
    }

    #[test]
    fn columns_line_up() {
        let expected = [
            "INSTANCE                   STATUS     WORKER",
            "a-rather-long-instance-id  <Running  >  host-1",
            "b                          <Completed>",
        ];
        assert_eq!(lines(80), expected);
    }

    #[test]
    fn what_is_too_wide_loses_of_the_first_column_then_of_the_last() {
        let expected = ["INSTANCE              STATUS     WORKER", "a-rather-long-insta…  <Running  >  host-1"];
        assert_eq!(lines(39)[..2], expected);
        let expected = ["INSTANCE              STATUS     …", "a-rather-long-insta…  <Running  >  …"];
        assert_eq!(lines(34)[..2], expected);
        assert_eq!(lines(22)[1], "a-rather-long-insta…");
    }
}
