//! The results as text.

use super::results::{Cell, Row, Table, by_text};

/// Returns a number with six significant digits.
pub fn shown_number(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return format!("{number}");
    }
    let exponent = number.abs().log10().floor();
    if !(-5.0..9.0).contains(&exponent) {
        return format!("{number:.5e}");
    }
    let decimals = (5.0 - exponent).clamp(0.0, 10.0) as usize;
    format!("{number:.decimals$}")
}

fn shown_cell(cell: &Cell) -> String {
    let Some(value) = cell.value else { return "undefined".into() };
    let value = shown_number(value);
    match cell.interval {
        Some((low, high)) => format!("{value} [{}, {}]", shown_number(low), shown_number(high)),
        None => value,
    }
}

/// Returns the header and the cells of each row.
pub fn cells(table: &Table) -> Vec<Vec<String>> {
    let skipped = |text: String| table.counts_skipped.then_some(text);
    let mut header: Vec<String> = table.by.clone();
    header.push("rows".into());
    header.extend(skipped("skipped".into()));
    header.extend(table.names.iter().cloned());
    let row = |row: &Row| {
        let mut cells: Vec<String> = row.by.iter().map(by_text).collect();
        cells.push(row.rows.to_string());
        cells.extend(skipped(row.skipped.to_string()));
        cells.extend(row.cells.iter().map(shown_cell));
        cells
    };
    std::iter::once(header).chain(table.rows.iter().map(row)).collect()
}

/// Returns the table with aligned columns. One group is shown as a line for each number.
pub fn aligned(table: &Table) -> String {
    let mut lines = cells(table);
    let texts = table.by.len();
    let mut is_text = vec![false; lines.first().map_or(0, Vec::len)];
    is_text.iter_mut().take(texts).for_each(|is_text| *is_text = true);
    if let ([header, row], 0) = (&lines[..], texts) {
        lines = header.iter().zip(row).map(|(name, cell)| vec![name.clone(), cell.clone()]).collect();
        is_text = vec![true, true];
    }
    let columns = is_text.len();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for ((cell, width), is_text) in line.iter().zip(&widths).zip(&is_text) {
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            match is_text {
                true => shown.extend([cell, padding.as_str(), "  "]),
                false => shown.extend([padding.as_str(), cell, "  "]),
            }
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

/// Returns the table in Markdown.
pub fn markdown(table: &Table) -> String {
    let line = |cells: &Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let lines = cells(table);
    let rule = lines.first().map(|header| {
        let column = |(at, _): (usize, &String)| if at < table.by.len() { "---".to_owned() } else { "---:".to_owned() };
        header.iter().enumerate().map(column).collect::<Vec<_>>()
    });
    let mut text = String::new();
    for (at, cells) in lines.iter().enumerate() {
        text.push_str(&line(cells));
        if let (0, Some(rule)) = (at, &rule) {
            text.push_str(&line(rule));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_six_digits() {
        for (number, text) in [
            (0.0, "0"),
            (0.912_345_678, "0.912346"),
            (-12.5, "-12.5000"),
            (1e-7, "1.00000e-7"),
            (123_456_789.0, "123456789"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(shown_number(number), text);
        }
    }
}
