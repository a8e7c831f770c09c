//! Sample weights that broadcast to the shape of the values.

use crate::{
    kernels::scratch::Scratch,
    numeric::{numeric, BLOCK},
    shape::{squeeze_or_expand_to_same_rank, Broadcast, Shape},
    Error, Result, Tensor,
};

/// Weights that broadcast to a shape.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a>(Option<(Tensor<'a>, Broadcast)>);

impl<'a> Weights<'a> {
    pub(crate) fn new(weight: Option<Tensor<'a>>, shape: &Shape) -> Result<Self> {
        let Some(weight) = weight else { return Ok(Weights(None)) };
        let weight = numeric(weight, "sample_weight")?;
        let (mut small, mut large) = (Shape::new(weight.shape(), "sample_weight")?, *shape);
        squeeze_or_expand_to_same_rank(&mut small, &mut large);
        match Broadcast::from_the_left(&small, &large).or_else(|| Broadcast::from_the_right(&small, &large)) {
            Some(broadcast) => Ok(Weights(Some((weight, broadcast)))),
            None => Err(Error::input(format!("sample_weight of shape {:?} doesn't fit {shape:?}", weight.shape()))),
        }
    }

    #[inline]
    pub(crate) fn get(&self, flat: usize) -> f64 {
        match &self.0 {
            Some((weight, broadcast)) => weight.get_f64(broadcast.index(flat)),
            None => 1.0,
        }
    }

    /// Fills `target` with the weights from index `start` on.
    fn read(&self, start: usize, target: &mut [f64]) {
        match &self.0 {
            None => target.fill(1.0),
            Some((weight, broadcast)) if broadcast.is_identity() => weight.read_f64(start, target),
            Some((weight, broadcast)) => {
                for (i, target) in target.iter_mut().enumerate() {
                    *target = weight.get_f64(broadcast.index(start + i));
                }
            }
        }
    }

    /// Returns the weights of the indices from 0 to `count - 1`, in order. They are converted in blocks.
    pub(crate) fn in_order(self, count: usize) -> WeightsInOrder<'a> {
        let length = if self.0.is_some() { BLOCK.min(count) } else { 0 };
        WeightsInOrder { weights: self, block: Scratch::of_length(length), place: length, next: 0, count }
    }
}

/// See [`Weights::in_order`].
pub(crate) struct WeightsInOrder<'a> {
    weights: Weights<'a>,
    block: Scratch<f64>,
    /// The place of the next weight in the block.
    place: usize,
    /// The index of the first weight after the block.
    next: usize,
    count: usize,
}

impl WeightsInOrder<'_> {
    /// Returns the next weight. After the last one, the weights are unspecified.
    #[inline]
    pub(crate) fn next(&mut self) -> f64 {
        if self.weights.0.is_none() {
            return 1.0;
        }
        if self.place == self.block.len() {
            let length = self.block.len().min(self.count - self.next);
            self.weights.read(self.next, &mut self.block[..length]);
            self.next += length;
            self.place = 0;
        }
        self.place += 1;
        self.block.get(self.place - 1).copied().unwrap_or(1.0)
    }
}

/// See [`Inputs::values_per_sample`].
pub(crate) fn per_sample(shape: &Shape, weight: Option<Tensor<'_>>) -> f64 {
    let leading = usize::from(weight.is_none_or(|weight| weight.rank() > 0));
    shape.count_from(leading).max(1) as f64
}
