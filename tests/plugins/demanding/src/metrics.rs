//! A metric with a named value for each class. The number of classes depends on the batches.

use plugfit_api::prelude::*;

/// The F1 score of each class.
#[derive(Config)]
pub struct ClassF1;

/// For each class, the weight that is predicted correctly, the weight that is predicted, and the weight of its labels.
#[state]
#[derive(Default)]
pub struct Classes(Vec<[f64; 3]>);

impl Metric for ClassF1 {
    type State = Classes;
    fn info(&self) -> MetricInfo {
        MetricInfo::new(Direction::Maximize)
    }
    fn init(&self) -> Classes {
        Classes::default()
    }
    fn update(&self, classes: &mut Classes, inputs: &Inputs<'_>) -> Result<()> {
        let mut seen = classes.clone();
        inputs.for_each_prediction(|prediction, weight| {
            let most = prediction.label.max(prediction.class);
            if seen.0.len() <= most {
                seen.0.resize(most + 1, [0.0; 3]);
            }
            seen.0[prediction.class][1] += weight;
            seen.0[prediction.label][2] += weight;
            if prediction.is_right {
                seen.0[prediction.class][0] += weight;
            }
        })?;
        *classes = seen;
        Ok(())
    }
    fn merge(&self, classes: &mut Classes, other: &Classes) -> Result<()> {
        if classes.0.len() < other.0.len() {
            classes.0.resize(other.0.len(), [0.0; 3]);
        }
        classes.0.iter_mut().zip(&other.0).for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| *a += b));
        Ok(())
    }
    fn result(&self, classes: &Classes) -> Result<Outcome> {
        let f1 = |[right, predicted, labelled]: [f64; 3]| 2.0 * right / (predicted + labelled).max(f64::MIN_POSITIVE);
        let each = classes.0.iter().enumerate();
        Ok(Outcome::Named(each.map(|(class, counts)| (format!("class_{class}"), f1(*counts))).collect()))
    }
}
