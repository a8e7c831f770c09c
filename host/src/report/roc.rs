//! Receiver operating characteristics: of each class how many of its samples are found at the price of how many others.

use ndarray::ArrayViewD;
use plotters::prelude::*;

use crate::{Error, Result};

/// More curves than can be told apart.
const MOST: usize = 10;

/// One class against the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// What it is called.
    pub name: String,
    /// The area below.
    pub area: f64,
    /// Share of the others taken for it, share of its own found; from (0, 0) to (1, 1).
    pub points: Vec<(f64, f64)>,
}

impl Roc {
    /// Of each class with samples of it and of others; of two classes the second alone. None where these aren't classes and their
    /// scores `[N, classes]`, or there are too many.
    pub fn of(ids: &[usize], scores: &ArrayViewD<'_, f32>, names: Option<&[String]>) -> Vec<Roc> {
        let &[rows, columns] = scores.shape() else { return Vec::new() };
        if rows != ids.len() || columns > MOST || ids.iter().any(|&id| id >= columns.max(2)) {
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
                let own = scored.iter().filter(|(_, own)| *own).count() as f64;
                let others = rows as f64 - own;
                if own == 0.0 || others == 0.0 {
                    return None;
                }
                let (mut points, mut area) = (vec![(0.0, 0.0)], 0.0);
                let (mut found, mut taken) = (0.0, 0.0);
                // Samples of one score come together.
                for tied in scored.chunk_by(|a, b| a.0 == b.0) {
                    let more = tied.iter().filter(|(_, own)| *own).count() as f64;
                    let wrong = tied.len() as f64 - more;
                    area += wrong / others * (found + more / 2.0) / own;
                    found += more;
                    taken += wrong;
                    points.push((taken / others, found / own));
                }
                Some(Roc { name: name(class), area, points })
            })
            .collect()
    }
}

/// All curves in one picture, as SVG.
pub fn draw(curves: &[Roc]) -> Result<String> {
    let failed = |error: &dyn std::fmt::Display| Error::failure(format!("cannot draw the ROC: {error}"));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (520, 480)).into_drawing_area();
        area.fill(&WHITE).map_err(|error| failed(&error))?;
        let mut chart = ChartBuilder::on(&area)
            .caption("ROC", ("sans-serif", 17))
            .margin(8)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..1.0, 0.0..1.02)
            .map_err(|error| failed(&error))?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .x_desc("false positive rate")
            .y_desc("true positive rate")
            .draw()
            .map_err(|error| failed(&error))?;
        for (index, curve) in curves.iter().enumerate() {
            let color = Palette99::pick(index).to_rgba();
            chart
                .draw_series(LineSeries::new(curve.points.iter().copied(), color.stroke_width(2)))
                .map_err(|error| failed(&error))?
                .label(format!("{} (AUC {:.4})", curve.name, curve.area))
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 14, y)], color.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()
            .map_err(|error| failed(&error))?;
        area.present().map_err(|error| failed(&error))?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_area_is_the_share_of_pairs_in_order_ties_by_half() {
        let scores = array![[0.1_f32], [0.4], [0.4], [0.8]].into_dyn();
        let curves = Roc::of(&[0, 0, 1, 1], &scores.view(), None);
        assert_eq!(curves.len(), 1);
        // Of the four pairs three are in order and one is tied.
        assert_eq!((curves[0].area, curves[0].points.last()), (0.875, Some(&(1.0, 1.0))));
        assert!(draw(&curves).expect("it can be drawn").contains("AUC 0.8750"));
        let three = array![[0.9_f32, 0.05, 0.05], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]].into_dyn();
        assert!(Roc::of(&[0, 1, 2], &three.view(), None).iter().all(|curve| curve.area == 1.0));
        assert!(Roc::of(&[1, 1], &array![[0.5_f32], [0.6]].into_dyn().view(), None).is_empty(), "one class alone");
    }
}
