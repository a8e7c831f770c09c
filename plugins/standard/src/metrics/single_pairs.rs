//! Batches of float32 labels and predictions without weights, of which metrics have faster loops.

use plugfit_api::Inputs;

/// Labels and predictions of the same length.
#[derive(Clone, Copy)]
pub struct SinglePairs<'a> {
    pub y_true: &'a [f32],
    pub y_pred: &'a [f32],
}

impl<'a> SinglePairs<'a> {
    /// Returns the pairs of a batch; `None` if an input isn't float32, if there are weights, or if the shapes differ.
    pub fn new(inputs: &Inputs<'a>) -> Option<Self> {
        let (y_true, y_pred) = (inputs.y_true().ok()?, inputs.y_pred().ok()?);
        match inputs.weight() {
            None if y_true.shape() == y_pred.shape() => {
                Some(SinglePairs { y_true: y_true.as_slice()?, y_pred: y_pred.as_slice()? })
            }
            _ => None,
        }
    }
}
