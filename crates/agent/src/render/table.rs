//! Plain tables: columns aligned by spaces, no lines, easy to cut and grep.

/// Spaces between two columns.
const GAP: usize = 2;

/// A table with its heading; the last column is as wide as it needs to be.
pub(crate) fn plain(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let heading = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:0$}", width + GAP));
        text.push_str(cells.collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_aligned_and_lines_end_clean() {
        let rows = vec![vec!["exec".into(), "yes".into()], vec!["io_uring".into(), String::new()]];
        assert_eq!(
            super::plain(&["op", "seen"], rows),
            "op        seen\nexec      yes\nio_uring\n"
        );
    }
}
