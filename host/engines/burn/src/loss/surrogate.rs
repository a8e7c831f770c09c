//! Values with derivatives of their own.

use burn::tensor::{DType, Tensor, backend::Backend};

/// Returns a tensor as a constant. Detaching alone leaves a parameter one.
pub(super) fn constant<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    x.detach().set_require_grad(false)
}

/// Returns 0 in the shape of the values, with the given derivative with respect to `x`. If `sums`, a row of values has
/// one column, and depends on every column of `x`. The derivative with respect to an `x` that isn't finite is 0, and
/// an infinite derivative is the greatest finite number.
///
/// The result is `derivative * (x - x)`, in which the second `x` is a constant.
pub(super) fn zero_with_derivative<B: Backend>(derivative: Tensor<B, 2>, x: Tensor<B, 2>, sums: bool) -> Tensor<B, 2> {
    let is_infinite = x.clone().is_finite().bool_not();
    // The difference of infinite numbers is NaN, and so is 0 times an infinite derivative.
    let zero = (x.clone() - constant(x.clone())).mask_fill(is_infinite, 0.0);
    let most = if x.dtype() == DType::F64 { f64::MAX } else { f32::MAX.into() };
    let change = constant(derivative).clamp(-most, most) * zero;
    if sums { change.sum_dim(1) } else { change }
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, NdArray};

    use super::*;

    #[test]
    fn the_value_is_0_and_the_derivative_is_finite() {
        let tensor = |numbers| Tensor::<Autodiff<NdArray>, 2>::from_data([numbers], &Default::default());
        let x = tensor([3.0, f32::INFINITY, f32::NAN, -1.0]).require_grad();
        let value = zero_with_derivative(tensor([2.0, 2.0, 2.0, f32::INFINITY]), x.clone(), true);
        assert_eq!(value.clone().into_scalar(), 0.0);
        let gradient = x.grad(&value.backward()).unwrap().into_data();
        assert_eq!(gradient.to_vec::<f32>().unwrap(), [2.0, 0.0, 0.0, f32::MAX]);
    }
}
