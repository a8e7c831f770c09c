//! Arrays borrowed from Python. A suitable NumPy array is borrowed without a copy; `plain` in the package's
//! `_arrays.py` converts everything else.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use plugfit::compile::{Accepted, Conversions, Values};
use plugfit_api::Tensor;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The maximum number of axes of an array.
const MAX_AXES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Dtype {
    F32,
    F64,
    I32,
    I64,
    U64,
    U8,
}

/// A C-contiguous array of a supported dtype, borrowed for reading.
pub struct Borrowed<'py> {
    array: Bound<'py, PyUntypedArray>,
    dtype: Dtype,
    shape: [usize; MAX_AXES],
}

impl<'py> Borrowed<'py> {
    /// Borrows an array, or converts the object to one.
    ///
    /// # Errors
    /// Raises `TypeError` if the object doesn't contain numbers or isn't in main memory, and `ValueError` if it has too
    /// many axes.
    pub fn new(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Self> {
        // Exact type only: a subclass may carry more than its numbers, as a masked array does.
        if let Ok(array) = object.cast_exact::<PyUntypedArray>()
            && let Some(borrowed) = Self::as_it_is(array)
        {
            return Ok(borrowed);
        }
        if object.is_none() {
            return Err(PyTypeError::new_err(format!("{name} is None, which isn't an array of numbers")));
        }
        let array = plain(object, name)?;
        let refused = || PyTypeError::new_err(format!("{name} can't be read as an array of numbers"));
        let array = array.cast::<PyUntypedArray>().map_err(|_| refused())?;
        if array.ndim() > MAX_AXES {
            let message = format!("{name} has {} axes, and at most {MAX_AXES} are supported", array.ndim());
            return Err(PyValueError::new_err(message));
        }
        Self::as_it_is(array).ok_or_else(refused)
    }

    fn as_it_is(array: &Bound<'py, PyUntypedArray>) -> Option<Self> {
        let descr = array.dtype();
        let dtype = match (descr.kind(), descr.itemsize()) {
            (b'f', 4) => Dtype::F32,
            (b'f', 8) => Dtype::F64,
            (b'i', 4) => Dtype::I32,
            (b'i', 8) => Dtype::I64,
            (b'u', 8) => Dtype::U64,
            (b'u', 1) | (b'b', 1) => Dtype::U8,
            _ => return None,
        };
        let ours = descr.is_native_byteorder() != Some(false) && array.ndim() <= MAX_AXES;
        if !(ours && array.is_c_contiguous() && array.is_aligned()) {
            return None;
        }
        let mut shape = [0; MAX_AXES];
        shape[..array.ndim()].copy_from_slice(array.shape());
        Some(Borrowed { array: array.clone(), dtype, shape })
    }

    /// Returns the address range of the array's bytes.
    pub fn bytes(&self) -> std::ops::Range<usize> {
        let start = data(&self.array) as usize;
        start..start + self.array.len() * self.array.dtype().itemsize()
    }

    /// Copies the array.
    ///
    /// # Errors
    /// Raises an error if memory can't be allocated.
    pub fn copied(&self) -> PyResult<Self> {
        let copy = self.array.call_method0(pyo3::intern!(self.array.py(), "copy"))?;
        Self::new(&copy, "the copy")
    }

    /// Returns the length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape[..self.array.ndim()]
    }

    /// Views the numbers. If another thread writes to the array meanwhile, the result is undefined numbers.
    pub fn values(&self) -> Values<'_> {
        let shape = self.shape();
        match self.dtype {
            Dtype::F32 => Values::new(self.slice::<f32>(), shape),
            Dtype::F64 => Values::new(self.slice::<f64>(), shape),
            Dtype::I32 => Values::new(self.slice::<i32>(), shape),
            Dtype::I64 => Values::new(self.slice::<i64>(), shape),
            Dtype::U64 => Values::new(self.slice::<u64>(), shape),
            Dtype::U8 => Values::new(self.slice::<u8>(), shape),
        }
    }

    fn slice<T>(&self) -> &[T] {
        let length = self.shape().iter().product();
        if length == 0 {
            return &[];
        }
        // SAFETY: `as_it_is` checked that the array is C-contiguous, aligned and of this dtype; `self` keeps it alive.
        unsafe { std::slice::from_raw_parts(data(&self.array).cast(), length) }
    }
}

fn data(array: &Bound<'_, PyUntypedArray>) -> *mut u8 {
    // SAFETY: the pointer is that of a live array.
    unsafe { (*array.as_array_ptr()).fields.data.cast() }
}

/// Converts an object to a C-contiguous array of a supported dtype.
fn plain<'py>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static PLAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    PLAIN.import(object.py(), "plugfit._arrays", "plain")?.call1((object, name))
}

/// A float32 array in C order, borrowed for writing.
pub struct BorrowedMut<'py> {
    array: Bound<'py, PyUntypedArray>,
}

impl<'py> BorrowedMut<'py> {
    /// Borrows an array for writing.
    ///
    /// # Errors
    /// Raises `TypeError` if the object isn't a writeable float32 array in C order.
    pub fn new(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Self> {
        let array = object.cast::<PyUntypedArray>().ok().filter(|array| {
            let descr = array.dtype();
            // SAFETY: the pointer is that of a live array.
            let flags = unsafe { (*array.as_array_ptr()).fields.flags };
            descr.kind() == b'f'
                && descr.itemsize() == 4
                && descr.is_native_byteorder() != Some(false)
                && array.is_c_contiguous()
                && array.is_aligned()
                && flags & numpy::npyffi::NPY_ARRAY_WRITEABLE != 0
        });
        match array {
            Some(array) => Ok(BorrowedMut { array: array.clone() }),
            None => Err(PyTypeError::new_err(format!(
                "{name} is written in place: it must be a writeable float32 array in C order"
            ))),
        }
    }

    /// Returns the length of each axis.
    pub fn shape(&self) -> Vec<usize> {
        self.array.shape().to_vec()
    }

    /// Returns the address range of the array's bytes.
    pub fn bytes(&self) -> std::ops::Range<usize> {
        let start = data(&self.array) as usize;
        start..start + self.array.len() * size_of::<f32>()
    }

    /// Returns the numbers.
    pub fn values(&mut self) -> &mut [f32] {
        if self.array.is_empty() {
            return &mut [];
        }
        // SAFETY: the array is writeable, aligned, contiguous and of float32; `self` keeps it alive. The caller
        // compares `bytes` to ensure that no other array of a call shares its memory.
        unsafe { std::slice::from_raw_parts_mut(data(&self.array).cast(), self.array.len()) }
    }
}

/// An input of a component: the dtypes that it accepts, and memory for the conversion of others.
pub struct InputConverter {
    accepted: Accepted,
    conversions: Conversions,
    is_mask: bool,
}

impl InputConverter {
    /// Creates a converter for an input that accepts these dtypes.
    pub fn new(accepted: Accepted) -> Self {
        InputConverter { accepted, conversions: Conversions::default(), is_mask: false }
    }

    /// Creates a converter for weights.
    pub fn of_weight() -> Self {
        Self::new(Accepted::f32())
    }

    /// Creates a converter for masks.
    pub fn of_mask() -> Self {
        InputConverter { is_mask: true, ..Self::new(Accepted::u8()) }
    }

    /// Returns the values as a tensor, converted if necessary.
    ///
    /// # Errors
    /// Returns an error if the array has too many axes, or contains a number that is too large for a conversion to
    /// float32.
    pub fn convert<'l>(&'l mut self, values: &'l Values<'_>, name: &str) -> plugfit::Result<Tensor<'l>> {
        values.check(name)?;
        self.conversions.forget();
        if self.is_mask {
            self.conversions.prepare_mask(values);
        } else {
            self.accepted.check(values, name)?;
            self.conversions.prepare(values, &self.accepted);
        }
        let tensor = self.conversions.get(values, &self.accepted);
        let tensor = tensor.ok_or_else(|| plugfit::Error::usage(format!("{name} can't be used as an array")))?;
        if let Some(converted) = tensor.as_slice::<f32>()
            && let Some((row, number)) = values.too_large_for_f32(converted)
        {
            let error = plugfit::Error::usage(format!("{name} contains {number:e}, which is too large for float32"));
            return Err(error.with("in", format!("row {row} (from 0)")));
        }
        Ok(tensor)
    }
}
