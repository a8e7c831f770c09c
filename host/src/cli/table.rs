//! Text in aligned columns.

use crate::text::printable_line;

/// Wider cells don't widen their column.
const WIDEST: usize = 60;

/// Formats rows with aligned columns, two spaces apart; the last column isn't padded. Line breaks in a cell become
/// spaces.
pub fn aligned(rows: &[Vec<String>], indent: usize) -> String {
    let as_one_line = |cell: &String| printable_line(&cell.replace('\n', " ")).into_owned();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(as_one_line).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).filter(|width| *width <= WIDEST).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width.saturating_sub(cell.chars().count()) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["long".to_owned(), "c".to_owned()]];
        assert_eq!(super::aligned(&rows, 1), " a     b\n long  c\n");
    }

    #[test]
    fn a_very_wide_cell_does_not_widen_its_column() {
        let wide = "w".repeat(1000);
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec![wide.clone(), "c".to_owned()]];
        assert_eq!(super::aligned(&rows, 0), format!("a  b\n{wide}  c\n"));
    }

    #[test]
    fn line_breaks_in_a_cell_are_replaced() {
        let rows = [vec!["a".to_owned(), "b\nc\td\u{202e}".to_owned(), "e".to_owned()]];
        assert_eq!(super::aligned(&rows, 0), "a  b c\u{fffd}d\u{fffd}  e\n");
    }
}
