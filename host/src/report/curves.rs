//! Draws a curve for each logged value, with training and validation in one chart.

use plotters::prelude::*;

use crate::compile::LogValue;
use crate::train::History;
use crate::{Error, Result};

const SIZE: (u32, u32) = (520, 300);
const TRAINING: RGBColor = RGBColor(31, 119, 180);
const VALIDATION: RGBColor = RGBColor(214, 97, 20);

/// The points of a line; x is the epoch.
type Points = Vec<(f64, f64)>;

/// Returns the name of each curve, as in the log, and its SVG.
pub fn draw(history: &History) -> Result<Vec<(String, String)>> {
    let mut names: Vec<&str> = Vec::new();
    for name in history.epochs.iter().flat_map(|epoch| epoch.logs.names()) {
        let name = name.strip_prefix("val_").unwrap_or(name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut curves = Vec::new();
    for name in names {
        let lines = [
            ("training", points(history, name), TRAINING),
            ("validation", points(history, &format!("val_{name}")), VALIDATION),
        ];
        if lines.iter().any(|(_, points, _)| !points.is_empty()) {
            curves.push((name.to_owned(), curve(name, &lines)?));
        }
    }
    let rates = history.epochs.iter().map(|epoch| (epoch.epoch as f64, epoch.learning_rate)).collect();
    curves.push(("learning_rate".into(), curve("learning_rate", &[("learning rate", rates, TRAINING)])?));
    Ok(curves)
}

/// Returns the points of a logged value. Values that aren't finite numbers are omitted.
fn points(history: &History, name: &str) -> Points {
    let point = |epoch: &crate::train::Epoch| {
        let value = epoch.logs.get(name).and_then(LogValue::number).filter(|value| value.is_finite())?;
        Some((epoch.epoch as f64, value))
    };
    history.epochs.iter().filter_map(point).collect()
}

fn curve(title: &str, lines: &[(&str, Points, RGBColor)]) -> Result<String> {
    let mut svg = String::new();
    draw_curve(&mut svg, title, lines)
        .map_err(|error| Error::failure(format!("cannot draw the curve of {title}: {error}")))?;
    Ok(svg)
}

fn draw_curve(
    svg: &mut String,
    title: &str,
    lines: &[(&str, Points, RGBColor)],
) -> Result<(), Box<dyn std::error::Error>> {
    let all = || lines.iter().flat_map(|(_, points, _)| points);
    let last = all().map(|point| point.0).fold(1.0, f64::max);
    let (low, high) =
        all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| (low.min(point.1), high.max(point.1)));
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let room = if high > low { 0.05 * (high - low) } else { high.abs().max(1e-6) * 0.1 };
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 17))
        .margin(8)
        .x_label_area_size(26)
        .y_label_area_size(58)
        .build_cartesian_2d(1.0..last.max(2.0), low - room..high + room)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .x_labels((last as usize).clamp(2, 8))
        .y_labels(6)
        .x_label_formatter(&|epoch| format!("{epoch:.0}"))
        .y_label_formatter(&|value| match high.abs().max(low.abs()) < 0.1 {
            true => format!("{value:.2e}"),
            false => LogValue::Number(*value).to_string(),
        })
        .draw()?;
    for (label, points, color) in lines.iter().filter(|(_, points, _)| !points.is_empty()) {
        let color = *color;
        let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
        chart
            .draw_series(line)?
            .label(*label)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 14, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.2)).draw()?;
    area.present()?;
    Ok(())
}
