//! Plain tables: columns aligned by spaces, no lines, easy to cut and grep.

/// Spaces between two columns.
const GAP: usize = 2;

/// A table with its heading. A row of a single cell is a title, and widens no column.
pub(crate) fn plain(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let heading = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in rows.iter().filter(|row| row.len() > 1) {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(&widths) {
            text.extend([cell, &*" ".repeat((width + GAP).saturating_sub(cell.chars().count()))]);
        }
        text.truncate(text.trim_end_matches(' ').len());
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
