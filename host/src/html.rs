//! Self-contained HTML pages.

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1c1c1c}\
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.2rem}table{border-collapse:collapse}td,th{padding:.15rem .6rem;text-align:right}\
th{font-weight:600}.text td,.text th{text-align:left;vertical-align:top}.curves{display:flex;flex-wrap:wrap;gap:1rem}\
.scroll{overflow-x:auto}pre{background:#f5f5f3;padding:1rem;overflow-x:auto}.striped tr:nth-child(even){background:#f5f5f3}";

/// Escapes a text for HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Returns a page with this title, which is escaped, and this body of HTML.
pub fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>{title}</h1>\n{body}\n</body></html>\n"
    )
}

/// Returns a table of labels and texts, which are escaped.
pub fn pairs(rows: &[(String, String)]) -> String {
    let row =
        |(label, text): &(String, String)| format!("<tr><th>{}</th><td>{}</td></tr>", escaped(label), escaped(text));
    format!("<table class=\"text\">{}</table>", rows.iter().map(row).collect::<String>())
}

/// Returns a table of counts, rows by columns, with the same names for both. Each cell is shaded by its share of the row.
pub fn shaded_counts(names: &[String], counts: &[f64]) -> String {
    let heads: String = names.iter().map(|name| format!("<th>{}</th>", escaped(name))).collect();
    let row = |(name, counts): (&String, &[f64])| {
        let all = counts.iter().sum::<f64>();
        let cell = |count: &f64| {
            let share = if all > 0.0 { count / all } else { 0.0 };
            let color = if share > 0.55 { "#fff" } else { "inherit" };
            format!("<td style=\"background:rgba(31,119,180,{share:.3});color:{color}\">{count}</td>")
        };
        format!("<tr><th>{}</th>{}</tr>", escaped(name), counts.iter().map(cell).collect::<String>())
    };
    let rows: String = names.iter().zip(counts.chunks(names.len().max(1))).map(row).collect();
    format!("<div class=\"scroll\"><table><tr><th></th>{heads}</tr>{rows}</table></div>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let text = page("<a>", &pairs(&[("\"b\"".into(), "c & d".into())]));
        assert!(
            text.contains("<title>&lt;a&gt;</title>") && text.contains("&quot;b&quot;") && text.contains("c &amp; d")
        );
        assert!(shaded_counts(&["<x>".into()], &[3.0]).contains("&lt;x&gt;"));
    }

    #[test]
    fn cells_are_shaded_by_their_share_of_the_row() {
        let text = shaded_counts(&["a".into(), "b".into()], &[3.0, 1.0, 0.0, 0.0]);
        assert!(text.contains("0.750);color:#fff\">3<") && text.contains("0.250);color:inherit\">1<"));
        assert!(text.contains("0.000);color:inherit\">0<"));
    }
}
