//! Columns that are as wide as what stands in them.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use crate::report::paint::{Paint, Style};
use crate::report::visible::visible;

/// The columns between two.
const GAP: usize = 3;

/// A table with a head, as kubectl prints one.
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

// === impl Table ===

impl Table {
    pub(super) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for every column.
    pub(super) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        debug_assert_eq!(N, self.head.len(), "a row has as many cells as there are columns");
        self.rows.push(cells.map(visible).into());
    }

    /// Leaves out a column in which every cell is 0.
    pub(super) fn drop_zeros(&mut self, head: &str) {
        let Some(column) = self.head.iter().position(|it| *it == head) else { return };
        if self.rows.iter().all(|row| row[column] == "0") {
            self.head.remove(column);
            for row in &mut self.rows {
                row.remove(column);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes it without colours in its cells.
    pub(super) fn plain(&self, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
        self.write(paint, &|_, _, cell| cell.to_owned(), &|_| Vec::new(), out)
    }

    /// Writes it; nothing where there are no rows. `cell` paints a cell by column and row, `below` says what stands below a row.
    pub(super) fn write(
        &self,
        paint: Paint,
        cell: &dyn Fn(usize, usize, &str) -> String,
        below: &dyn Fn(usize) -> Vec<String>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| row[column].width());
                cells.max().unwrap_or(0).max(self.head[column].width())
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = (String, usize)>| {
            let mut line = String::new();
            for ((text, width), wanted) in cells.zip(&widths) {
                line.push_str(&text);
                line.extend(std::iter::repeat_n(' ', wanted - width + GAP));
            }
            line.truncate(line.trim_end().len());
            line
        };
        let head = line(&mut self.head.iter().map(|name| ((*name).to_owned(), name.width())));
        writeln!(out, "{}", paint.paint(Style::Strong, &head))?;
        for (index, row) in self.rows.iter().enumerate() {
            let cells =
                row.iter().enumerate().map(|(column, text)| (cell(column, index, text), text.width()));
            writeln!(out, "{}", line(&mut { cells }))?;
            for text in below(index) {
                writeln!(out, "    {text}")?;
            }
        }
        Ok(())
    }
}
