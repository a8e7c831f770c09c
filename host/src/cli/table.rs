//! Columns of text.

use crate::data::text::one_line;

/// The widest cell that others of its column are aligned by.
const WIDEST: usize = 60;

/// Rows with their columns aligned, two spaces apart; the last column is as long as it is. A cell stays on its line: a documentation's ends of
/// lines are spaces there.
pub fn aligned(rows: &[Vec<String>], indent: usize) -> String {
    let on_a_line = |cell: &String| one_line(&cell.replace('\n', " ")).into_owned();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(on_a_line).collect()).collect();
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
    fn columns_stand_below_each_other() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["long".to_owned(), "c".to_owned()]];
        assert_eq!(super::aligned(&rows, 1), " a     b\n long  c\n");
    }

    #[test]
    fn one_very_wide_cell_widens_no_other() {
        let wide = "w".repeat(1000);
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec![wide.clone(), "c".to_owned()]];
        assert_eq!(super::aligned(&rows, 0), format!("a  b\n{wide}  c\n"));
    }

    #[test]
    fn a_cell_stays_on_its_line() {
        let rows = [vec!["a".to_owned(), "b\nc\td\u{202e}".to_owned(), "e".to_owned()]];
        assert_eq!(super::aligned(&rows, 0), "a  b c\u{fffd}d\u{fffd}  e\n");
    }
}
