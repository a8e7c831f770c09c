//! Pictures of the report as SVG.

use plotters::prelude::*;
use plugfit::{Error, Result};

use super::bins::{CELLS, Numbers, RESIDUALS};

const SIZE: (u32, u32) = (520, 480);

/// A line with its label.
pub struct Line {
    pub label: String,
    pub points: Vec<(f64, f64)>,
}

/// What a picture of lines says.
pub struct Axes<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
    /// Whether the diagonal is drawn, on which equal numbers are.
    pub diagonal: bool,
    /// Whether the points are marked.
    pub marks: bool,
}

/// Draws lines in the unit square.
///
/// # Errors
/// Returns an error if they can't be drawn.
pub fn lines(axes: &Axes<'_>, lines: &[Line]) -> Result<String> {
    drawn(|svg| {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(axes.title, ("sans-serif", 17))
            .margin(8)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..1.0, 0.0..1.02)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .x_desc(axes.x)
            .y_desc(axes.y)
            .draw()?;
        if axes.diagonal {
            chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.3)))?;
        }
        for (index, line) in lines.iter().enumerate() {
            let color = Palette99::pick(index).to_rgba();
            let series = chart.draw_series(LineSeries::new(line.points.iter().copied(), color.stroke_width(2)))?;
            if !line.label.is_empty() {
                series
                    .label(&line.label)
                    .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 14, y)], color.stroke_width(2)));
            }
            if axes.marks {
                chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 3, color.filled())))?;
            }
        }
        if lines.iter().any(|line| !line.label.is_empty()) {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerRight)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.2))
                .draw()?;
        }
        area.present()?;
        Ok(())
    })
}

/// Draws the weight of the rows by prediction and label, darker where there are more.
///
/// # Errors
/// Returns an error if it can't be drawn.
pub fn predictions(numbers: &Numbers) -> Result<String> {
    let (low, high) = widened(numbers.range);
    let width = (high - low) / CELLS as f64;
    let most = numbers.cells.iter().map(|cell| cell.2).fold(0.0, f64::max);
    drawn(|svg| {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("Predictions", ("sans-serif", 17))
            .margin(8)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(low..high, low..high)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .x_desc("prediction")
            .y_desc("label")
            .x_labels(6)
            .y_labels(6)
            .draw()?;
        chart.draw_series(numbers.cells.iter().filter(|cell| cell.2 > 0.0).map(|(predicted, label, weight)| {
            let (x, y) = (low + *predicted as f64 * width, low + *label as f64 * width);
            // The square root shows cells with few rows.
            let color = RGBColor(31, 119, 180).mix(0.1 + 0.9 * (weight / most).sqrt());
            Rectangle::new([(x, y), (x + width, y + width)], color.filled())
        }))?;
        chart.draw_series(LineSeries::new([(low, low), (high, high)], BLACK.mix(0.3)))?;
        area.present()?;
        Ok(())
    })
}

/// Draws the share of the rows by their residual.
///
/// # Errors
/// Returns an error if it can't be drawn.
pub fn residuals(numbers: &Numbers) -> Result<String> {
    let (low, high) = widened(numbers.residual_range);
    let width = (high - low) / RESIDUALS as f64;
    let all: f64 = numbers.residuals.iter().map(|bin| bin.1).sum();
    let most = numbers.residuals.iter().map(|bin| bin.1 / all).fold(0.0, f64::max);
    drawn(|svg| {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("Residuals", ("sans-serif", 17))
            .margin(8)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(low..high, 0.0..most * 1.05)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .x_desc("prediction minus label; the first and last bin have what is beyond")
            .y_desc("share of the rows")
            .x_labels(6)
            .y_labels(6)
            .draw()?;
        chart.draw_series(numbers.residuals.iter().map(|(bin, weight)| {
            let x = low + *bin as f64 * width;
            Rectangle::new([(x, 0.0), (x + width, weight / all)], RGBColor(31, 119, 180).mix(0.8).filled())
        }))?;
        area.present()?;
        Ok(())
    })
}

/// Returns a range that isn't empty.
fn widened((low, high): (f64, f64)) -> (f64, f64) {
    if high > low { (low, high) } else { (low - 0.5, low + 0.5) }
}

fn drawn(draw: impl FnOnce(&mut String) -> Result<(), Box<dyn std::error::Error>>) -> Result<String> {
    let mut svg = String::new();
    draw(&mut svg).map_err(|error| Error::failure(format!("cannot draw the report: {error}")))?;
    Ok(svg)
}
