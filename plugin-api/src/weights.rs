//! Sample weights that broadcast to the shape of the values.

use crate::{
    numeric::numeric,
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
}

/// See [`Inputs::values_per_sample`].
pub(crate) fn per_sample(shape: &Shape, weight: Option<Tensor<'_>>) -> f64 {
    let leading = usize::from(weight.is_none_or(|weight| weight.rank() > 0));
    shape.count_from(leading).max(1) as f64
}
