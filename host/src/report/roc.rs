//! Receiver operating characteristic: true-positive against false-positive rate, one class against the rest.

use ndarray::ArrayViewD;
use plotters::prelude::*;

use crate::{Error, Result};

/// The maximum number of classes: more curves are hard to distinguish.
const MAX_CLASSES: usize = 10;

/// The ROC curve of one class against the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// The name of the class.
    pub name: String,
    /// The area under the curve.
    pub area: f64,
    /// False-positive rate and true-positive rate, from (0, 0) to (1, 1).
    pub points: Vec<(f64, f64)>,
}

impl Roc {
    /// Computes the curve of each class that has positive and negative samples; for two classes, only that of the
    /// second. Returns no curves if `ids` aren't class ids for the scores `[N, classes]`, or there are no classes or
    /// too many.
    pub fn per_class(ids: &[usize], scores: &ArrayViewD<'_, f32>, names: Option<&[String]>) -> Vec<Roc> {
        let &[rows, columns] = scores.shape() else { return Vec::new() };
        if rows != ids.len() || columns == 0 || columns > MAX_CLASSES || ids.iter().any(|&id| id >= columns.max(2)) {
            return Vec::new();
        }
        let classes = if columns <= 2 { 1..2 } else { 0..columns };
        let name =
            |class: usize| names.and_then(|names| names.get(class)).cloned().unwrap_or_else(|| class.to_string());
        classes
            .filter_map(|class| {
                let column = class.min(columns - 1);
                let mut scored: Vec<(f32, bool)> =
                    ids.iter().enumerate().map(|(row, &id)| (scores[[row, column]], id == class)).collect();
                scored.sort_by(|a, b| b.0.total_cmp(&a.0));
                let positives = scored.iter().filter(|(_, positive)| *positive).count() as f64;
                let negatives = rows as f64 - positives;
                if positives == 0.0 || negatives == 0.0 {
                    return None;
                }
                let (mut points, mut area) = (vec![(0.0, 0.0)], 0.0);
                let (mut true_positives, mut false_positives) = (0.0, 0.0);
                // Samples with equal scores form one step.
                for tied in scored.chunk_by(|a, b| a.0 == b.0) {
                    let hits = tied.iter().filter(|(_, positive)| *positive).count() as f64;
                    let false_alarms = tied.len() as f64 - hits;
                    area += false_alarms / negatives * (true_positives + hits / 2.0) / positives;
                    true_positives += hits;
                    false_positives += false_alarms;
                    points.push((false_positives / negatives, true_positives / positives));
                }
                Some(Roc { name: name(class), area, points })
            })
            .collect()
    }
}

/// Draws all curves in one SVG picture.
pub fn draw(curves: &[Roc]) -> Result<String> {
    let mut svg = String::new();
    draw_into(&mut svg, curves).map_err(|error| Error::failure(format!("cannot draw the ROC: {error}")))?;
    Ok(svg)
}

fn draw_into(svg: &mut String, curves: &[Roc]) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, (520, 480)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("ROC", ("sans-serif", 17))
        .margin(8)
        .x_label_area_size(38)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..1.0, 0.0..1.02)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .x_desc("false positive rate")
        .y_desc("true positive rate")
        .draw()?;
    for (index, curve) in curves.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), color.stroke_width(2)))?
            .label(format!("{} (AUC {:.4})", curve.name, curve.area))
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 14, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_area_is_the_fraction_of_ordered_pairs_with_ties_counted_half() {
        let scores = array![[0.1_f32], [0.4], [0.4], [0.8]].into_dyn();
        let curves = Roc::per_class(&[0, 0, 1, 1], &scores.view(), None);
        assert_eq!(curves.len(), 1);
        // Of the four pairs, three are in order and one is tied.
        assert_eq!((curves[0].area, curves[0].points.last()), (0.875, Some(&(1.0, 1.0))));
        assert!(draw(&curves).expect("it can be drawn").contains("AUC 0.8750"));
        let three = array![[0.9_f32, 0.05, 0.05], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]].into_dyn();
        assert!(Roc::per_class(&[0, 1, 2], &three.view(), None).iter().all(|curve| curve.area == 1.0));
        assert!(
            Roc::per_class(&[1, 1], &array![[0.5_f32], [0.6]].into_dyn().view(), None).is_empty(),
            "one class alone"
        );
    }

    #[test]
    fn scores_without_columns_have_no_curves() {
        let scores = ndarray::Array2::<f32>::zeros((2, 0)).into_dyn();
        assert!(Roc::per_class(&[0, 1], &scores.view(), None).is_empty());
    }
}
