//! The labels of a batch, and tensors as arrays in memory.

use burn::tensor::{DType, FloatDType, Int, Tensor, TensorData, backend::Backend};
use plugfit_emit::{Array, Rows};

/// Labels: a tensor of floating-point numbers or of integers, of any rank.
pub trait Labels<B: Backend>: sealed::Sealed<B> {}

pub(crate) mod sealed {
    use super::{Array, FloatDType, Rows, Tensor};

    pub trait Sealed<B: super::Backend> {
        /// Whether a loss may be differentiated with respect to the labels.
        const HAS_GRADIENT: bool;

        fn lengths(&self) -> Vec<usize>;
        fn is_require_grad(&self) -> bool;
        fn rows(self, rows: &Rows, dtype: FloatDType) -> Tensor<B, 2>;
        fn array(self) -> Array;
    }
}

impl<B: Backend, const D: usize> Labels<B> for Tensor<B, D> {}

impl<B: Backend, const D: usize> sealed::Sealed<B> for Tensor<B, D> {
    const HAS_GRADIENT: bool = true;

    fn lengths(&self) -> Vec<usize> {
        self.dims().to_vec()
    }

    fn is_require_grad(&self) -> bool {
        self.is_require_grad()
    }

    fn rows(self, rows: &Rows, dtype: FloatDType) -> Tensor<B, 2> {
        let tensor = self.cast(dtype);
        if rows.has_class_ids { tensor.reshape([rows.rows, 1]) } else { elements(tensor, rows) }
    }

    fn array(self) -> Array {
        array(self)
    }
}

impl<B: Backend, const D: usize> Labels<B> for Tensor<B, D, Int> {}

impl<B: Backend, const D: usize> sealed::Sealed<B> for Tensor<B, D, Int> {
    const HAS_GRADIENT: bool = false;

    fn lengths(&self) -> Vec<usize> {
        self.dims().to_vec()
    }

    fn is_require_grad(&self) -> bool {
        false
    }

    fn rows(self, rows: &Rows, dtype: FloatDType) -> Tensor<B, 2> {
        self.cast(dtype).rows(rows, dtype)
    }

    fn array(self) -> Array {
        let lengths = self.lengths();
        Array::i64(self.into_data().iter::<i64>().collect(), &lengths)
    }
}

/// Returns a tensor of elements with the shape `[rows, columns]`.
pub(crate) fn elements<B: Backend, const D: usize>(tensor: Tensor<B, D>, rows: &Rows) -> Tensor<B, 2> {
    let Some(axis) = rows.axis.filter(|axis| axis + 1 < rows.aligned.len()) else {
        return tensor.reshape([rows.rows, rows.columns]);
    };
    // The axes before and after that of the elements, as one axis each.
    let length = |axes: &[usize]| axes.iter().product::<usize>();
    let (before, after) = (length(&rows.aligned[..axis]), length(&rows.aligned[axis + 1..]));
    let tensor: Tensor<B, 3> = tensor.reshape([before, rows.columns, after]);
    tensor.swap_dims(1, 2).reshape([rows.rows, rows.columns])
}

/// Returns the dtype in which a tensor is computed: float64 if it is float64, else float32.
pub(crate) fn compute_dtype(dtype: DType) -> FloatDType {
    if dtype == DType::F64 { FloatDType::F64 } else { FloatDType::F32 }
}

/// Returns the numbers of a tensor: in float64 if they are, else in float32.
pub(crate) fn array<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Array {
    let lengths = tensor.dims();
    let data = tensor.into_data();
    match data.dtype {
        DType::F64 => Array::f64(data.iter::<f64>().collect(), &lengths),
        _ => Array::f32(data.iter::<f32>().collect(), &lengths),
    }
}

/// Returns numbers as a tensor of a dtype.
pub(crate) fn tensor<B: Backend, const D: usize>(
    numbers: Vec<f64>,
    shape: [usize; D],
    device: &B::Device,
    dtype: impl Into<DType>,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(numbers, shape), (device, dtype.into()))
}
