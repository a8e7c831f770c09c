//! Views of tensors as arrays of the crate `ndarray`.

use crate::{Element, Tensor, TensorMut};
use ndarray::{ArrayViewD, ArrayViewMutD, Dimension, IxDyn};

impl<'a> Tensor<'a> {
    /// Returns the elements as an array, or `None` if they aren't of type `T`. Nothing is copied.
    ///
    /// ```
    /// use plugfit_api::Tensor;
    ///
    /// let tensor = Tensor::new(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
    /// let array = tensor.view::<f32>().expect("the elements are float32");
    /// assert_eq!(array[[1, 0]], 4.0);
    /// ```
    pub fn view<T: Element>(&self) -> Option<ArrayViewD<'a, T>> {
        ArrayViewD::from_shape(dimension(self.shape()), self.as_slice()?).ok()
    }
}

impl TensorMut<'_> {
    /// Returns the elements as an array, or `None` if they aren't of type `T`. Nothing is copied.
    pub fn view_mut<T: Element>(&mut self) -> Option<ArrayViewMutD<'_, T>> {
        ArrayViewMutD::from_shape(dimension(self.shape()), self.as_mut_slice()?).ok()
    }
}

fn dimension(shape: &[i64]) -> IxDyn {
    let mut dimension = IxDyn::zeros(shape.len());
    dimension.slice_mut().iter_mut().zip(shape).for_each(|(length, &n)| *length = n as usize);
    dimension
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_has_the_shape_and_the_memory_of_its_tensor() {
        let mut numbers = [1.0f64, 2.0, 3.0, 4.0];
        let mut tensor = TensorMut::new(&mut numbers, &[2, 1, 2]);
        assert!(tensor.view_mut::<f32>().is_none());
        tensor.view_mut::<f64>().unwrap()[[1, 0, 0]] = 5.0;
        let view = tensor.as_tensor().view::<f64>().unwrap();
        assert_eq!((view.shape(), view.as_slice()), (&[2, 1, 2][..], Some(&[1.0, 2.0, 5.0, 4.0][..])));
    }
}
