//! Borrowed arrays of any rank, checked once where the slice is made.

use super::float::Float;
use crate::{Error, Result};
use plugfit_abi as abi;
use std::{fmt, marker::PhantomData};

mod sealed {
    pub trait Sealed {}
}

/// A type that a tensor's elements can have.
pub trait Element: sealed::Sealed + Copy + Send + Sync + fmt::Debug + 'static {
    /// Its code on the boundary.
    const DTYPE: abi::DType;
}

macro_rules! element {
    ($($type:ty: $code:ident,)*) => {$(
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: abi::DType =
                abi::DType { code: abi::$code, bits: (std::mem::size_of::<$type>() * 8) as u8, lanes: 1 };
        }
    )*};
}
// `bool` is left out: a byte other than 0 and 1 from a foreign host would be undefined behaviour.
element! {
    f32: DTYPE_FLOAT, f64: DTYPE_FLOAT,
    i8: DTYPE_INT, i16: DTYPE_INT, i32: DTYPE_INT, i64: DTYPE_INT,
    u8: DTYPE_UINT, u16: DTYPE_UINT, u32: DTYPE_UINT, u64: DTYPE_UINT,
}

/// An array in C order that is borrowed to be read: any rank, any element type.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Tensor<'a> {
    raw: abi::Tensor,
    life: PhantomData<&'a [u8]>,
}

/// An array in C order that is borrowed to be written.
#[repr(transparent)]
pub struct TensorMut<'a> {
    raw: abi::Tensor,
    life: PhantomData<&'a mut [u8]>,
}

// SAFETY: both stand for slices of `Element`s, which are `Send + Sync`.
unsafe impl Send for Tensor<'_> {}
// SAFETY: as above.
unsafe impl Sync for Tensor<'_> {}
// SAFETY: as above.
unsafe impl Send for TensorMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for TensorMut<'_> {}

fn raw<T: Element>(data: *mut T, length: usize, shape: &[i64]) -> abi::Tensor {
    assert_eq!(elements(shape), Some(length), "shape {shape:?} doesn't hold {length} elements");
    abi::Tensor {
        data: data.cast(),
        shape: shape.as_ptr(),
        strides: std::ptr::null(),
        byte_offset: 0,
        rank: shape.len() as u32,
        dtype: T::DTYPE,
        device_type: abi::DEVICE_CPU,
        device_id: 0,
    }
}

/// The product of a shape, or `None` if a length is negative or the product too large.
pub(crate) fn elements(shape: &[i64]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, &n| product.checked_mul(usize::try_from(n).ok()?))
}

/// Checks what every later read relies on.
fn vet(raw: &abi::Tensor) -> Result<()> {
    let wrong = |what: &str| Err(Error::input(format!("the host gave a tensor {what}")));
    if raw.device_type != abi::DEVICE_CPU {
        return wrong("that isn't in main memory");
    }
    if raw.rank > 64 || (raw.rank > 0 && raw.shape.is_null()) {
        return wrong("without a shape");
    }
    let bytes = usize::from(raw.dtype.bits / 8);
    if raw.dtype.lanes != 1 || bytes == 0 || !bytes.is_power_of_two() {
        return wrong("of an unknown dtype");
    }
    // SAFETY: the host's promise that `shape` has `rank` lengths; null was refused above.
    let shape = unsafe { lengths(raw.shape, raw.rank) };
    let Some(count) = elements(shape) else { return wrong("with an impossible shape") };
    if count.checked_mul(bytes).is_none_or(|size| size > isize::MAX as usize) {
        return wrong("with an impossible shape");
    }
    if count > 0
        && (raw.data.is_null() || (raw.data as usize).wrapping_add(raw.byte_offset as usize) & (bytes - 1) != 0)
    {
        return wrong("whose memory is missing or not aligned");
    }
    // Where there is no element, no stride is ever walked.
    if !raw.strides.is_null() && count > 0 {
        // SAFETY: the host's promise that `strides`, where not null, has `rank` entries.
        let strides = unsafe { lengths(raw.strides, raw.rank) };
        let mut expected = 1;
        for (&length, &stride) in shape.iter().zip(strides).rev() {
            if length > 1 && stride != expected {
                return wrong("that isn't in C order");
            }
            expected *= length;
        }
    }
    Ok(())
}

/// # Safety
/// `pointer` must be valid for `rank` reads, unless `rank` is 0.
unsafe fn lengths<'a>(pointer: *const i64, rank: u32) -> &'a [i64] {
    if rank == 0 {
        &[]
    } else {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(pointer, rank as usize) }
    }
}

macro_rules! reading {
    ($type:ident) => {
        impl<'a> $type<'a> {
            /// Takes over a tensor that crossed the boundary.
            ///
            /// # Errors
            /// It isn't on the CPU, isn't in C order, or can't be.
            ///
            /// # Safety
            /// What it points at must be as its fields say, for as long as `'a`.
            pub unsafe fn from_raw(raw: abi::Tensor) -> Result<Self> {
                vet(&raw)?;
                Ok(Self { raw, life: PhantomData })
            }

            /// As it crosses the boundary.
            pub fn raw(&self) -> abi::Tensor {
                self.raw
            }

            /// The length of each axis.
            pub fn shape(&self) -> &'a [i64] {
                // SAFETY: `vet` or `raw` saw that `shape` is not null and has `rank` lengths, borrowed for `'a`.
                unsafe { lengths(self.raw.shape, self.raw.rank) }
            }

            /// The type of an element.
            pub fn dtype(&self) -> abi::DType {
                self.raw.dtype
            }

            /// The number of axes.
            pub fn rank(&self) -> usize {
                self.raw.rank as usize
            }

            /// The number of elements.
            pub fn len(&self) -> usize {
                elements(self.shape()).expect("checked when the tensor was made")
            }

            /// Whether there is no element.
            pub fn is_empty(&self) -> bool {
                self.shape().contains(&0)
            }

            /// `(rows, columns)`: all leading axes folded, the last one kept; a scalar is one row of one column.
            pub fn rows_and_columns(&self) -> (usize, usize) {
                match self.shape().split_last() {
                    None => (1, 1),
                    Some((&columns, leading)) => {
                        (elements(leading).expect("a part of a checked shape"), columns as usize)
                    }
                }
            }

            fn data<T>(&self) -> *mut T {
                self.raw.data.cast::<u8>().wrapping_add(self.raw.byte_offset as usize).cast()
            }
        }

        impl fmt::Debug for $type<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let abi::DType { code, bits, .. } = self.dtype();
                write!(f, concat!(stringify!($type), " of dtype {}:{} and shape {:?}"), code, bits, self.shape())
            }
        }
    };
}
reading!(Tensor);
reading!(TensorMut);

impl<'a> Tensor<'a> {
    /// A tensor over a slice in C order.
    ///
    /// # Panics
    /// If the shape's product isn't the slice's length.
    pub fn new<T: Element>(data: &'a [T], shape: &'a [i64]) -> Self {
        Tensor { raw: raw(data.as_ptr().cast_mut(), data.len(), shape), life: PhantomData }
    }

    /// The elements, if they are of type `T`.
    pub fn as_slice<T: Element>(&self) -> Option<&'a [T]> {
        if self.raw.dtype != T::DTYPE {
            return None;
        }
        if self.is_empty() {
            return Some(&[]);
        }
        // SAFETY: `vet` or `new` saw that the memory is `len` aligned elements of this dtype in C order, borrowed for `'a`.
        Some(unsafe { std::slice::from_raw_parts(self.data(), self.len()) })
    }

    /// The elements as float32.
    ///
    /// # Errors
    /// They are of another type; `name` says which argument it was.
    pub fn f32s(&self, name: &str) -> Result<&'a [f32]> {
        self.as_slice().ok_or_else(|| Error::input(format!("{name} isn't float32: {self:?}")))
    }

    /// The elements as float32 or float64.
    ///
    /// # Errors
    /// They are of another type; `name` says which argument it was.
    pub fn floats<F: Float>(&self, name: &str) -> Result<&'a [F]> {
        let other = || Error::input(format!("{name} isn't {}: {self:?}", std::any::type_name::<F>()));
        self.as_slice().ok_or_else(other)
    }
}

impl<'a> TensorMut<'a> {
    /// A tensor over a slice in C order.
    ///
    /// # Panics
    /// If the shape's product isn't the slice's length.
    pub fn new<T: Element>(data: &'a mut [T], shape: &'a [i64]) -> Self {
        TensorMut { raw: raw(data.as_mut_ptr(), data.len(), shape), life: PhantomData }
    }

    /// The elements, if they are of type `T`.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        if self.raw.dtype != T::DTYPE {
            return None;
        }
        if self.is_empty() {
            return Some(&mut []);
        }
        // SAFETY: `vet` or `new` saw that the memory is `len` aligned elements of this dtype in C order; it is borrowed
        // mutably through `self`.
        Some(unsafe { std::slice::from_raw_parts_mut(self.data(), self.len()) })
    }

    /// The elements as float32.
    ///
    /// # Errors
    /// They are of another type; `name` says which argument it was.
    pub fn f32s_mut(&mut self, name: &str) -> Result<&mut [f32]> {
        if self.raw.dtype != f32::DTYPE {
            return Err(Error::input(format!("{name} isn't float32: {self:?}")));
        }
        Ok(self.as_mut_slice().expect("the dtype was just checked"))
    }

    /// The elements as float32 or float64.
    ///
    /// # Errors
    /// They are of another type; `name` says which argument it was.
    pub fn floats_mut<F: Float>(&mut self, name: &str) -> Result<&mut [F]> {
        if self.raw.dtype != F::DTYPE {
            return Err(Error::input(format!("{name} isn't {}: {self:?}", std::any::type_name::<F>())));
        }
        Ok(self.as_mut_slice().expect("the dtype was just checked"))
    }

    /// The elements as float32 or float64, for as long as they were borrowed.
    pub(crate) fn into_floats<F: Float>(mut self, name: &str) -> Result<&'a mut [F]> {
        let slice = self.floats_mut::<F>(name)?;
        // SAFETY: `self`, which alone could reach the memory, is gone.
        Ok(unsafe { std::slice::from_raw_parts_mut(slice.as_mut_ptr(), slice.len()) })
    }

    /// The same memory, lent on.
    pub fn reborrow(&mut self) -> TensorMut<'_> {
        TensorMut { raw: self.raw, life: PhantomData }
    }

    /// The same memory, to be read.
    pub fn as_tensor(&self) -> Tensor<'_> {
        Tensor { raw: self.raw, life: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_comes_back_as_its_own_type_only() {
        let data = [1.0f32, 2.0, 3.0, 4.0];
        let tensor = Tensor::new(&data, &[2, 2]);
        assert_eq!(tensor.as_slice::<f32>(), Some(&data[..]));
        assert_eq!(tensor.as_slice::<f64>(), None);
        assert_eq!(tensor.as_slice::<i32>(), None);
        assert_eq!(tensor.rows_and_columns(), (2, 2));
    }

    #[test]
    fn a_tensor_that_lies_about_itself_is_refused() {
        let data = [0.0f32; 4];
        let shape = [4i64];
        let good = Tensor::new(&data, &shape).raw();
        let strides = [2i64];
        let negative = [-1i64];
        for bad in [
            abi::Tensor { device_type: 2, ..good },
            abi::Tensor { data: std::ptr::null_mut(), ..good },
            abi::Tensor { byte_offset: 1, ..good },
            abi::Tensor { strides: strides.as_ptr(), ..good },
            abi::Tensor { shape: negative.as_ptr(), ..good },
            abi::Tensor { shape: std::ptr::null(), ..good },
            abi::Tensor { dtype: abi::DType { code: 2, bits: 0, lanes: 1 }, ..good },
        ] {
            // SAFETY: each is refused before anything is read through it, or points at the live arrays above.
            assert!(unsafe { Tensor::from_raw(bad) }.is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_empty_tensor_may_dangle() {
        let shape = [0i64, 3];
        let tensor = Tensor::new::<f32>(&[], &shape);
        let dangling = abi::Tensor { data: std::ptr::null_mut(), ..tensor.raw() };
        // SAFETY: no element is read.
        let tensor = unsafe { Tensor::from_raw(dangling) }.unwrap();
        assert_eq!(tensor.as_slice::<f32>(), Some(&[][..]));
    }

    #[test]
    fn an_empty_tensor_of_huge_axes_may_have_strides() {
        let shape = [0i64, 1 << 40, 1 << 40];
        let strides = [0i64; 3];
        let raw = abi::Tensor {
            shape: shape.as_ptr(),
            strides: strides.as_ptr(),
            rank: 3,
            ..Tensor::new::<f32>(&[], &[0]).raw()
        };
        // SAFETY: shape and strides are the live arrays above, and no element is read.
        let tensor = unsafe { Tensor::from_raw(raw) }.unwrap();
        assert_eq!((tensor.len(), tensor.rows_and_columns().0), (0, 0));
    }
}
