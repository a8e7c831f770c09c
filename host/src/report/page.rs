//! Formats a report as an HTML page. `Report::write` writes the file.

use super::{Confusion, Report};
use crate::compile::LogValue;
use crate::data::ColumnDescription;
use crate::html::{self, escaped, pairs, shaded_counts};

/// Returns the complete page.
pub fn page_of(report: &Report<'_>, curves: &[(String, String)]) -> String {
    let pictures: String = curves.iter().map(|(_, svg)| svg.as_str()).collect();
    let confusion = report.confusion.as_ref().map(confusion).unwrap_or_default();
    let columns = columns(&report.columns);
    let config = serde_json::to_string_pretty(report.config).unwrap_or_default();
    let body = format!(
        "{}\n<h2>Curves</h2>\n<div class=\"curves\">{pictures}</div>\n{confusion}\
         <h2>Epochs</h2>\n<div class=\"scroll\">{}</div>\n{columns}<h2>Plug-ins</h2>\n{}\n<h2>Configuration</h2>\n<pre>{}</pre>",
        pairs(&report.summary),
        epochs(report),
        pairs(report.plugins),
        escaped(&config),
    );
    html::page(&report.title, &body)
}

/// Formats the columns of a table and what was done with each of them.
fn columns(columns: &[ColumnDescription]) -> String {
    /// More columns are hidden until the reader asks for them.
    const SHOWN: usize = 50;
    if columns.is_empty() {
        return String::new();
    }
    let heads: String = ColumnDescription::TITLES.iter().map(|title| format!("<th>{title}</th>")).collect();
    let row = |column: &ColumnDescription| {
        let cells: String = column.cells().iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>")
    };
    let rows: String = columns.iter().map(row).collect();
    let open = if columns.len() > SHOWN { "" } else { " open" };
    format!(
        "<h2>Columns</h2>\n<p>The values are those of the training rows.</p>\n<details{open}><summary>{} columns\
         </summary>\n<div class=\"scroll\"><table class=\"text\"><tr>{heads}</tr>{rows}</table></div></details>\n",
        crate::text::grouped(columns.len())
    )
}

fn epochs(report: &Report<'_>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in report.history.epochs.iter().flat_map(|epoch| epoch.logs.names()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let heads: String = names.iter().map(|name| format!("<th>{}</th>", escaped(name))).collect();
    let row = |epoch: &crate::train::Epoch| {
        let cell = |name: &&str| epoch.logs.get(name).map_or_else(|| "-".to_owned(), LogValue::to_string);
        let cells: String = names.iter().map(|name| format!("<td>{}</td>", escaped(&cell(name)))).collect();
        format!(
            "<tr><td>{}</td>{cells}<td>{:.1e}</td><td>{:.3}</td></tr>",
            epoch.epoch, epoch.learning_rate, epoch.seconds
        )
    };
    let rows: String = report.history.epochs.iter().map(row).collect();
    format!("<table class=\"striped\"><tr><th>epoch</th>{heads}<th>rate</th><th>seconds</th></tr>{rows}</table>")
}

fn confusion(confusion: &Confusion) -> String {
    let counts: Vec<f64> = confusion.counts.iter().map(|count| *count as f64).collect();
    format!(
        "<h2>Confusion</h2>\n<p>Of the validation data, true classes down and predicted ones across.</p>\n{}",
        shaded_counts(&confusion.names, &counts)
    )
}
