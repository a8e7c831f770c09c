//! The report of `--report`: one HTML page with the results, and with curves of the labels and predictions.

mod bins;
mod curves;
mod draw;

use plugfit::html::{self, escaped, pairs, shaded_counts};
use plugfit::{Error, Result};

pub use self::bins::{Bins, Data, bins};
use self::bins::{Pair, SCORES, Scores};
use self::curves::{Curves, calibration};
use self::draw::{Axes, Line};
use super::results::{Cell, Row, Table};
use super::table::{cells, shown_number};

/// The most groups that are shown as bars.
const MAX_BARS: usize = 200;
/// The points of a calibration curve.
const CALIBRATION_POINTS: usize = 20;

/// Returns the page. `summary` are labels and texts; `classes` are the names of the classes, if they are given.
///
/// # Errors
/// Returns an error if a curve can't be drawn.
pub fn page(table: &Table, bins: &Bins, summary: &[(String, String)], classes: &[String]) -> Result<String> {
    let mut body = pairs(summary);
    body += &format!("\n<h2>Results</h2>\n{}", results(table));
    if let Some(differences) = &table.differences {
        let base = super::results::by_text(&differences.baseline);
        let title = format!("Differences from {} = {base}", differences.compare);
        body += &format!("<h2>{}</h2>\n{}", escaped(&title), results(&differences.table));
    }
    if table.rows.len() > 1 {
        body += &bars(table);
    }
    body += &match bins {
        Bins::Scores(scores) => of_scores(scores)?,
        Bins::Classes(pairs) => of_classes(pairs, classes)?,
        Bins::Numbers(numbers) => {
            let pictures = draw::predictions(numbers)? + &draw::residuals(numbers)?;
            format!("<h2>Predictions and residuals</h2>\n<div class=\"curves\">{pictures}</div>\n")
        }
        Bins::None(why) => format!("<p>No curves are drawn: {}.</p>\n", escaped(why)),
    };
    Ok(html::page("Scores", &body))
}

/// Returns a table as HTML.
fn results(table: &Table) -> String {
    let texts = table.by.len();
    let line = |line: &Vec<String>, tag: &str| {
        let cell = |(at, cell): (usize, &String)| {
            let style = if at < texts { " style=\"text-align:left\"" } else { "" };
            format!("<{tag}{style}>{}</{tag}>", escaped(cell))
        };
        format!("<tr>{}</tr>", line.iter().enumerate().map(cell).collect::<String>())
    };
    let lines = cells(table);
    let lines = lines.iter().enumerate().map(|(at, cells)| line(cells, if at == 0 { "th" } else { "td" }));
    format!("<div class=\"scroll\"><table class=\"striped\">{}</table></div>\n", lines.collect::<String>())
}

/// Returns a bar for each group and number.
fn bars(table: &Table) -> String {
    let mut text = String::from("<h2>By group</h2>\n<div class=\"curves\">");
    for (at, name) in table.names.iter().enumerate() {
        let cell = |row: &Row| row.cells.get(at).copied().unwrap_or_default();
        let ends = |cell: &Cell| {
            let interval = cell.interval.into_iter().flat_map(|(low, high)| [low, high]);
            cell.value.into_iter().chain(interval).filter(|number| number.is_finite()).collect::<Vec<_>>()
        };
        let numbers: Vec<f64> = table.rows.iter().take(MAX_BARS).flat_map(|row| ends(&cell(row))).collect();
        let (low, high) =
            numbers.iter().fold((0.0_f64, 0.0_f64), |(low, high), number| (low.min(*number), high.max(*number)));
        let place = |number: f64| if high > low { 100.0 * (number.clamp(low, high) - low) / (high - low) } else { 0.0 };
        let bar = |row: &Row| {
            let cell = cell(row);
            let Some(value) = cell.value.filter(|value| value.is_finite()) else { return String::new() };
            let (from, to) = (place(value.min(0.0)), place(value.max(0.0)));
            let mut bar = format!(
                "<div style=\"position:absolute;left:{from:.2}%;width:{:.2}%;top:2px;bottom:2px;background:#1f77b4\"></div>",
                to - from
            );
            if let Some((low, high)) = cell.interval {
                let (from, to) = (place(low), place(high));
                bar += &format!(
                    "<div style=\"position:absolute;left:{from:.2}%;width:{:.2}%;top:45%;height:2px;background:#000\"></div>",
                    to - from
                );
            }
            bar
        };
        text += &format!("<div><h3>{}</h3><table>", escaped(name));
        for row in table.rows.iter().take(MAX_BARS) {
            let group = escaped(&table.group_text(row));
            let value = cell(row).value.map_or_else(|| "undefined".into(), shown_number);
            text += &format!(
                "<tr><td style=\"text-align:left\">{group}</td><td><div style=\"position:relative;width:16rem;height:1.1rem\">{}\
                 </div></td><td>{value}</td></tr>",
                bar(row)
            );
        }
        text += "</table></div>";
    }
    text += "</div>\n";
    if table.rows.len() > MAX_BARS {
        text += &format!("<p>The first {MAX_BARS} of {} groups.</p>\n", table.rows.len());
    }
    text
}

fn of_scores(scores: &Scores) -> Result<String> {
    let (mut roc, mut recall, mut calibrated) = (Vec::new(), Vec::new(), Vec::new());
    let (low, high) = scores.range;
    for (name, bins) in &scores.groups {
        let line = |points| Line { label: name.clone(), points };
        if let Some(curves) = Curves::of(bins) {
            roc.push(line(curves.roc));
            recall.push(line(curves.precision_recall));
        }
        calibrated.push(line(calibration(bins, CALIBRATION_POINTS).iter().map(|at| (at.score, at.share)).collect()));
    }
    let (diagonal, marks) = (true, false);
    let mut pictures = Vec::new();
    if !roc.is_empty() {
        let axes = Axes { title: "ROC", x: "false positive rate", y: "true positive rate", diagonal, marks };
        pictures.push(draw::lines(&axes, &roc)?);
        let axes = Axes { title: "Precision and recall", x: "recall", y: "precision", diagonal: false, marks };
        pictures.push(draw::lines(&axes, &recall)?);
    }
    // Other scores are no probabilities.
    let mut note = format!("The scores are counted in {SCORES} bins of equal width from {low} to {high}.");
    if (low, high) == (0.0, 1.0) {
        let axes = Axes { title: "Calibration", x: "mean score", y: "share of positives", diagonal, marks: true };
        pictures.push(draw::lines(&axes, &calibrated)?);
    } else {
        note += " They aren't probabilities, so no calibration is drawn.";
    }
    Ok(format!("<h2>Curves</h2>\n<div class=\"curves\">{}</div>\n<p>{note}</p>\n", pictures.concat()))
}

fn of_classes(pairs: &[Pair], classes: &[String]) -> Result<String> {
    let most = pairs.iter().map(|pair| pair.label.max(pair.predicted)).max().unwrap_or(0);
    let count = usize::try_from(most + 1).map_err(|_| Error::failure("a class has a negative number"))?;
    let names: Vec<String> = (0..count.max(classes.len()))
        .map(|class| classes.get(class).cloned().unwrap_or_else(|| class.to_string()))
        .collect();
    let mut counts = vec![0.0; names.len() * names.len()];
    for pair in pairs {
        let place = usize::try_from(pair.label * names.len() as i64 + pair.predicted).ok();
        if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
            *count += pair.weight;
        }
    }
    Ok(format!(
        "<h2>Confusion</h2>\n<p>True classes down and predicted ones across.</p>\n{}",
        shaded_counts(&names, &counts)
    ))
}
