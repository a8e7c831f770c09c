//! Values as the result of an operation with a gradient of its own.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, MetalStorage, Result, Shape, Storage, Tensor, bail};

/// The derivatives of an operation on two tensors. The arguments are the two tensors and the derivative of a function
/// with respect to the result; the results are those with respect to the two tensors.
pub(crate) type Backward = dyn Fn(&Tensor, &Tensor, &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> + Send + Sync;

/// An operation on two tensors whose result is known already.
struct Known {
    result: Tensor,
    backward: Box<Backward>,
}

/// Returns a tensor that is equal to `result`, as the result of an operation on `x` and `y` with these derivatives.
pub(crate) fn with_gradient(result: &Tensor, x: &Tensor, y: &Tensor, backward: Box<Backward>) -> Result<Tensor> {
    x.apply_op2(y, Known { result: result.detach().force_contiguous()?, backward })
}

macro_rules! copied {
    ($known:expr, $device:ident) => {{
        let (storage, layout) = $known.result.storage_and_layout();
        match &*storage {
            Storage::$device(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => bail!("y_true and y_pred are on different devices"),
        }
    }};
}

impl CustomOp2 for Known {
    fn name(&self) -> &'static str {
        "plugfit"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        copied!(self, Cpu)
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        copied!(self, Cuda)
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        copied!(self, Metal)
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, _: &Tensor, of_result: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        (self.backward)(x, y, of_result)
    }
}
