//! Formats a report as an HTML page. `Report::write` writes the file.

use super::{Confusion, Report};
use crate::compile::LogValue;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1c1c1c}\
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.2rem}table{border-collapse:collapse}td,th{padding:.15rem .6rem;text-align:right}\
th{font-weight:600}.text td,.text th{text-align:left;vertical-align:top}.curves{display:flex;flex-wrap:wrap;gap:1rem}\
.scroll{overflow-x:auto}pre{background:#f5f5f3;padding:1rem;overflow-x:auto}.epochs tr:nth-child(even){background:#f5f5f3}";

/// Escapes a text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Returns the complete page.
pub fn html(report: &Report<'_>, curves: &[(String, String)]) -> String {
    let title = escaped(&report.title);
    let pictures: String = curves.iter().map(|(_, svg)| svg.as_str()).collect();
    let confusion = report.confusion.as_ref().map(confusion).unwrap_or_default();
    let config = serde_json::to_string_pretty(report.config).unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>{title}</h1>\n{}\n<h2>Curves</h2>\n<div class=\"curves\">{pictures}</div>\n{confusion}\
         <h2>Epochs</h2>\n<div class=\"scroll\">{}</div>\n<h2>Plug-ins</h2>\n{}\n<h2>Configuration</h2>\n<pre>{}</pre>\n</body></html>\n",
        pairs(&report.summary),
        epochs(report),
        pairs(report.plugins),
        escaped(&config),
    )
}

fn pairs(rows: &[(String, String)]) -> String {
    let row =
        |(label, text): &(String, String)| format!("<tr><th>{}</th><td>{}</td></tr>", escaped(label), escaped(text));
    format!("<table class=\"text\">{}</table>", rows.iter().map(row).collect::<String>())
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
    format!("<table class=\"epochs\"><tr><th>epoch</th>{heads}<th>rate</th><th>seconds</th></tr>{rows}</table>")
}

/// Formats the confusion matrix; each cell is shaded by its fraction of the true class.
fn confusion(confusion: &Confusion) -> String {
    let classes = confusion.names.len();
    let heads: String = confusion.names.iter().map(|name| format!("<th>{}</th>", escaped(name))).collect();
    let row = |(name, counts): (&String, &[usize])| {
        let all = counts.iter().sum::<usize>().max(1) as f64;
        let cell = |count: &usize| {
            let share = *count as f64 / all;
            format!(
                "<td style=\"background:rgba(31,119,180,{share:.3});color:{}\">{count}</td>",
                if share > 0.55 { "#fff" } else { "inherit" }
            )
        };
        format!("<tr><th>{}</th>{}</tr>", escaped(name), counts.iter().map(cell).collect::<String>())
    };
    let rows: String = confusion.names.iter().zip(confusion.counts.chunks(classes.max(1))).map(row).collect();
    format!(
        "<h2>Confusion</h2>\n<p>Of the validation data, true classes down and predicted ones across.</p>\n\
         <div class=\"scroll\"><table><tr><th></th>{heads}</tr>{rows}</table></div>\n"
    )
}
