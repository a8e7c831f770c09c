//! Borrowed arrays of any rank. They are checked once, when they are created.

use crate::{Error, Result};
use plugfit_abi as abi;
use std::{fmt, marker::PhantomData};

mod sealed {
    pub trait Sealed {}
}

/// An element type of a tensor.
pub trait Element: sealed::Sealed + Copy + Send + Sync + fmt::Debug + 'static {
    /// The dtype in the ABI.
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
// `bool` is excluded: if a foreign host passed a byte other than 0 or 1, reading it would be undefined behaviour.
element! {
    f32: DTYPE_FLOAT, f64: DTYPE_FLOAT,
    i8: DTYPE_INT, i16: DTYPE_INT, i32: DTYPE_INT, i64: DTYPE_INT,
    u8: DTYPE_UINT, u16: DTYPE_UINT, u32: DTYPE_UINT, u64: DTYPE_UINT,
}

/// A shared borrow of an array in C order, of any rank and element type.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Tensor<'a> {
    raw: abi::Tensor,
    lifetime: PhantomData<&'a [u8]>,
}

/// A mutable borrow of an array in C order, of any rank and element type.
#[repr(transparent)]
pub struct TensorMut<'a> {
    raw: abi::Tensor,
    lifetime: PhantomData<&'a mut [u8]>,
}

// SAFETY: both types stand for slices of `Element`s, which are `Send + Sync`.
unsafe impl Send for Tensor<'_> {}
// SAFETY: as above.
unsafe impl Sync for Tensor<'_> {}
// SAFETY: as above.
unsafe impl Send for TensorMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for TensorMut<'_> {}

fn raw<T: Element>(data: *mut T, length: usize, shape: &[i64]) -> abi::Tensor {
    assert_eq!(elements(shape), Some(length), "shape {shape:?} doesn't have {length} elements");
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

/// Returns the product of a shape, or `None` if a length is negative or the product overflows.
pub(crate) fn elements(shape: &[i64]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, &n| product.checked_mul(usize::try_from(n).ok()?))
}

/// Checks the properties on which every later read relies.
fn vet(raw: &abi::Tensor) -> Result<()> {
    let wrong = |what: &str| Err(Error::input(format!("the host passed a tensor {what}")));
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
    // SAFETY: the host guarantees that `shape` points to `rank` lengths, and a null pointer was refused above.
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
    // The strides of an empty tensor are never used.
    if !raw.strides.is_null() && count > 0 {
        // SAFETY: the host guarantees that `strides`, if it isn't null, points to `rank` entries.
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

/// Views `rank` lengths or strides as a slice.
///
/// # Safety
/// `pointer` must be valid for `rank` reads, unless `rank` is 0.
unsafe fn lengths<'a>(pointer: *const i64, rank: u32) -> &'a [i64] {
    if rank == 0 {
        &[]
    } else {
        // SAFETY: the caller guarantees that `pointer` is valid for `rank` reads.
        unsafe { std::slice::from_raw_parts(pointer, rank as usize) }
    }
}

macro_rules! shared_methods {
    ($type:ident) => {
        impl<'a> $type<'a> {
            /// Checks and wraps a tensor of the ABI.
            ///
            /// # Errors
            /// Returns an error if the tensor isn't in main memory, isn't in C order, or is malformed.
            ///
            /// # Safety
            /// `raw.shape`, `raw.strides` and `raw.data` must point to memory as the fields describe it, borrowed for
            /// `'a`.
            pub unsafe fn from_raw(raw: abi::Tensor) -> Result<Self> {
                vet(&raw)?;
                Ok(Self { raw, lifetime: PhantomData })
            }

            /// Returns the tensor of the ABI.
            pub fn raw(&self) -> abi::Tensor {
                self.raw
            }

            /// Returns the length of each axis.
            pub fn shape(&self) -> &'a [i64] {
                // SAFETY: `vet` or `raw` checked that `shape` points to `rank` lengths, which are borrowed for `'a`.
                unsafe { lengths(self.raw.shape, self.raw.rank) }
            }

            /// Returns the dtype of the elements.
            pub fn dtype(&self) -> abi::DType {
                self.raw.dtype
            }

            /// Returns the number of axes.
            pub fn rank(&self) -> usize {
                self.raw.rank as usize
            }

            /// Returns the number of elements.
            pub fn len(&self) -> usize {
                elements(self.shape()).expect("checked when the tensor was made")
            }

            /// Returns `true` if the tensor has no elements.
            pub fn is_empty(&self) -> bool {
                self.shape().contains(&0)
            }

            /// Returns `(rows, columns)`: the product of all leading axes, and the length of the last axis. A scalar is
            /// one row of one column.
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
shared_methods!(Tensor);
shared_methods!(TensorMut);

impl<'a> Tensor<'a> {
    /// Returns rows along the first axis, from row number `first`, without copying them. `shape` is their shape: their
    /// number, then the other axes of the tensor.
    ///
    /// # Errors
    /// Returns an error if the tensor doesn't have these rows.
    ///
    /// ```
    /// use plugfit_api::Tensor;
    ///
    /// let tensor = Tensor::new(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]);
    /// assert_eq!(tensor.rows(1, &[2, 2])?.as_slice(), Some(&[3.0f32, 4.0, 5.0, 6.0][..]));
    /// assert!(tensor.rows(2, &[2, 2]).is_err());
    /// # Ok::<(), plugfit_api::Error>(())
    /// ```
    pub fn rows<'s>(&self, first: usize, shape: &'s [i64]) -> Result<Tensor<'s>>
    where
        'a: 's,
    {
        let has = |rows: i64, count: i64| usize::try_from(rows).is_ok_and(|rows| rows + first <= count as usize);
        match (self.shape(), shape) {
            ([count, own @ ..], [rows, lengths @ ..]) if own == lengths && has(*rows, *count) => {
                let bytes = usize::from(self.raw.dtype.bits / 8);
                let start = first * elements(lengths).expect("a part of a checked shape") * bytes;
                let raw = abi::Tensor {
                    data: self.raw.data.cast::<u8>().wrapping_add(start).cast(),
                    shape: shape.as_ptr(),
                    strides: std::ptr::null(),
                    ..self.raw
                };
                Ok(Tensor { raw, lifetime: PhantomData })
            }
            _ => Err(Error::input(format!("a tensor of shape {:?} has no rows of shape {shape:?}", self.shape()))),
        }
    }

    /// Creates a tensor from a slice in C order.
    ///
    /// # Panics
    /// Panics if the product of `shape` isn't the length of the slice.
    pub fn new<T: Element>(data: &'a [T], shape: &'a [i64]) -> Self {
        Tensor { raw: raw(data.as_ptr().cast_mut(), data.len(), shape), lifetime: PhantomData }
    }

    /// Returns the elements, or `None` if they aren't of type `T`.
    pub fn as_slice<T: Element>(&self) -> Option<&'a [T]> {
        if self.raw.dtype != T::DTYPE {
            return None;
        }
        if self.is_empty() {
            return Some(&[]);
        }
        // SAFETY: `vet` or `new` checked that the memory holds `len` aligned elements of this dtype in C order; it is
        // borrowed for `'a`.
        Some(unsafe { std::slice::from_raw_parts(self.data(), self.len()) })
    }

    /// Returns the elements as float32.
    ///
    /// # Errors
    /// Returns an error if they are of another type. The message contains `name`.
    pub fn f32s(&self, name: &str) -> Result<&'a [f32]> {
        self.as_slice().ok_or_else(|| Error::input(format!("{name} isn't float32: {self:?}")))
    }

    /// Returns the elements as type `F`, such as float32 or float64.
    ///
    /// # Errors
    /// Returns an error if they are of another type. The message contains `name`.
    pub fn floats<F: Element>(&self, name: &str) -> Result<&'a [F]> {
        self.as_slice().ok_or_else(|| Error::input(format!("{name} isn't {}: {self:?}", std::any::type_name::<F>())))
    }
}

impl<'a> TensorMut<'a> {
    /// Creates a tensor from a slice in C order.
    ///
    /// # Panics
    /// Panics if the product of `shape` isn't the length of the slice.
    pub fn new<T: Element>(data: &'a mut [T], shape: &'a [i64]) -> Self {
        TensorMut { raw: raw(data.as_mut_ptr(), data.len(), shape), lifetime: PhantomData }
    }

    /// Returns the elements, or `None` if they aren't of type `T`.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        if self.raw.dtype != T::DTYPE {
            return None;
        }
        if self.is_empty() {
            return Some(&mut []);
        }
        // SAFETY: `vet` or `new` checked that the memory holds `len` aligned elements of this dtype in C order; it is
        // borrowed mutably through `self`.
        Some(unsafe { std::slice::from_raw_parts_mut(self.data(), self.len()) })
    }

    /// Returns the elements as float32.
    ///
    /// # Errors
    /// Returns an error if they are of another type. The message contains `name`.
    pub fn f32s_mut(&mut self, name: &str) -> Result<&mut [f32]> {
        if self.raw.dtype != f32::DTYPE {
            return Err(Error::input(format!("{name} isn't float32: {self:?}")));
        }
        Ok(self.as_mut_slice().expect("the dtype was just checked"))
    }

    /// Returns the elements as type `F`, such as float32 or float64.
    ///
    /// # Errors
    /// Returns an error if they are of another type. The message contains `name`.
    pub fn floats_mut<F: Element>(&mut self, name: &str) -> Result<&mut [F]> {
        if self.raw.dtype != F::DTYPE {
            return Err(Error::input(format!("{name} isn't {}: {self:?}", std::any::type_name::<F>())));
        }
        Ok(self.as_mut_slice().expect("the dtype was just checked"))
    }

    /// Converts to a slice with the full lifetime of the borrow.
    pub(crate) fn into_floats<F: Element>(mut self, name: &str) -> Result<&'a mut [F]> {
        let slice = self.floats_mut::<F>(name)?;
        // SAFETY: `self`, the only access to the memory, is consumed.
        Ok(unsafe { std::slice::from_raw_parts_mut(slice.as_mut_ptr(), slice.len()) })
    }

    /// Reborrows the memory mutably.
    pub fn reborrow(&mut self) -> TensorMut<'_> {
        TensorMut { raw: self.raw, lifetime: PhantomData }
    }

    /// Reborrows the memory for reading.
    pub fn as_tensor(&self) -> Tensor<'_> {
        Tensor { raw: self.raw, lifetime: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_slice_returns_elements_of_their_own_type_only() {
        let data = [1.0f32, 2.0, 3.0, 4.0];
        let tensor = Tensor::new(&data, &[2, 2]);
        assert_eq!(tensor.as_slice::<f32>(), Some(&data[..]));
        assert_eq!(tensor.as_slice::<f64>(), None);
        assert_eq!(tensor.as_slice::<i32>(), None);
        assert_eq!(tensor.rows_and_columns(), (2, 2));
    }

    #[test]
    fn an_invalid_tensor_is_refused() {
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
            // SAFETY: each tensor is refused before it is read, or points to the live arrays above.
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
        // SAFETY: `shape` and `strides` point to the live arrays above, and no element is read.
        let tensor = unsafe { Tensor::from_raw(raw) }.unwrap();
        assert_eq!((tensor.len(), tensor.rows_and_columns().0), (0, 0));
    }
}
