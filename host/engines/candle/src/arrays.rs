//! Tensors as rows, and as arrays in memory.

use candle_core::{DType, Device, Error, Result, Tensor};
use plugfit_emit::{Array, Rows};

/// Converts an error of plugfit.
pub(crate) fn error(error: plugfit::Error) -> Error {
    Error::wrap(error)
}

/// Returns the numbers of a tensor: floating-point numbers in float32, or in float64 if they are, and others in int64.
pub(crate) fn array(tensor: &Tensor) -> Result<Array> {
    let tensor = tensor.detach().to_device(&Device::Cpu)?;
    let (flat, shape) = (tensor.flatten_all()?, tensor.dims());
    match tensor.dtype() {
        DType::F64 => Ok(Array::f64(flat.to_vec1()?, shape)),
        dtype if dtype.is_float() => Ok(Array::f32(flat.to_dtype(DType::F32)?.to_vec1()?, shape)),
        _ => Ok(Array::i64(flat.to_dtype(DType::I64)?.to_vec1()?, shape)),
    }
}

/// Returns an array as a tensor of a dtype on a device.
pub(crate) fn tensor(array: &Array, dtype: DType, device: &Device) -> Result<Tensor> {
    Tensor::from_vec(array.to_f64(), array.shape(), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}

/// Returns the dtype in which a tensor is computed: float64 if it is float64, else float32.
pub(crate) fn compute_dtype(tensor: &Tensor) -> DType {
    if tensor.dtype() == DType::F64 { DType::F64 } else { DType::F32 }
}

/// Returns the arguments of a loss with the shapes `[rows, columns]`, or `[rows, 1]` for class ids.
pub(crate) fn as_rows(rows: &Rows, y_true: &Tensor, y_pred: &Tensor) -> Result<(Tensor, Tensor)> {
    let elements = |tensor: &Tensor| {
        let tensor = tensor.reshape(&rows.aligned[..])?;
        let tensor = match rows.order() {
            None => tensor,
            Some(order) => tensor.permute(order)?,
        };
        tensor.reshape((rows.rows, rows.columns))
    };
    let y_true = if rows.has_class_ids { y_true.reshape((rows.rows, 1))? } else { elements(y_true)? };
    Ok((y_true, elements(y_pred)?))
}
