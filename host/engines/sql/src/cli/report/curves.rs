//! Curves from the bins of scores.

use super::bins::ScoreBin;

/// The ROC and precision-recall curves of bins.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// False positive rate and true positive rate, from (0, 0) to (1, 1).
    pub roc: Vec<(f64, f64)>,
    /// Recall and precision.
    pub precision_recall: Vec<(f64, f64)>,
}

impl Curves {
    /// Computes the curves of ascending bins. Returns `None` if a class is missing.
    pub fn of(bins: &[ScoreBin]) -> Option<Self> {
        let positives: f64 = bins.iter().map(|bin| bin.positives).sum();
        let negatives: f64 = bins.iter().map(|bin| bin.negatives).sum();
        if !(positives > 0.0 && negatives > 0.0) {
            return None;
        }
        let (mut hits, mut alarms) = (0.0, 0.0);
        let mut curves = Curves { roc: vec![(0.0, 0.0)], precision_recall: Vec::new() };
        for bin in bins.iter().rev() {
            hits += bin.positives;
            alarms += bin.negatives;
            curves.roc.push((alarms / negatives, hits / positives));
            if hits + alarms > 0.0 {
                curves.precision_recall.push((hits / positives, hits / (hits + alarms)));
            }
        }
        Some(curves)
    }
}

/// A point of a calibration curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibrated {
    /// The mean score.
    pub score: f64,
    /// The share of positives.
    pub share: f64,
}

/// Joins ascending bins of probabilities into `count` parts of equal width, and compares the mean score of each with its
/// share of positives. Parts without rows are left out.
pub fn calibration(bins: &[ScoreBin], count: usize) -> Vec<Calibrated> {
    let mut parts = vec![ScoreBin::default(); count];
    for bin in bins {
        let weight = bin.positives + bin.negatives;
        if weight > 0.0 {
            let place = (bin.scores / weight * count as f64) as usize;
            let part = &mut parts[place.min(count - 1)];
            part.positives += bin.positives;
            part.negatives += bin.negatives;
            part.scores += bin.scores;
        }
    }
    let weight = |part: &ScoreBin| part.positives + part.negatives;
    let point =
        |part: &ScoreBin| Calibrated { score: part.scores / weight(part), share: part.positives / weight(part) };
    parts.iter().filter(|part| weight(part) > 0.0).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bin(positives: f64, negatives: f64, score: f64) -> ScoreBin {
        ScoreBin { positives, negatives, scores: score * (positives + negatives) }
    }

    #[test]
    fn curves_begin_with_the_highest_scores() {
        let curves = Curves::of(&[bin(0.0, 3.0, 0.1), bin(1.0, 1.0, 0.5), bin(3.0, 0.0, 0.9)]).expect("two classes");
        assert_eq!(curves.roc, [(0.0, 0.0), (0.0, 0.75), (0.25, 1.0), (1.0, 1.0)]);
        assert_eq!(curves.precision_recall, [(0.75, 1.0), (1.0, 0.8), (1.0, 0.5)]);
        assert_eq!(Curves::of(&[bin(2.0, 0.0, 0.5)]), None);
        assert_eq!(Curves::of(&[]), None);
    }

    #[test]
    fn calibration_compares_mean_scores_with_shares() {
        let points = calibration(&[bin(1.0, 3.0, 0.25), bin(0.0, 0.0, 0.0), bin(1.0, 1.0, 0.3), bin(2.0, 0.0, 1.0)], 2);
        let first = Calibrated { score: 1.6 / 6.0, share: 2.0 / 6.0 };
        assert!((points[0].score - first.score).abs() < 1e-12 && (points[0].share - first.share).abs() < 1e-12);
        assert_eq!(points[1..], [Calibrated { score: 1.0, share: 1.0 }]);
    }
}
