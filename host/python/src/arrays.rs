//! Arrays that are borrowed from Python: NumPy's as they are, anything else by way of the package's `_arrays.plain`.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use plugfit::compile::{Accepted, Conversions, Values};
use plugfit_api::Tensor;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The most axes an array may have.
const MOST_AXES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Dtype {
    F32,
    F64,
    I32,
    I64,
    U64,
    U8,
}

/// A C-contiguous array of a dtype that can be lent.
pub struct Borrowed<'py> {
    array: Bound<'py, PyUntypedArray>,
    dtype: Dtype,
    shape: [usize; MOST_AXES],
}

impl<'py> Borrowed<'py> {
    /// Borrows an array, or what can be made one.
    ///
    /// # Errors
    /// A TypeError: it holds no numbers, or isn't in this machine's memory.
    pub fn new(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Self> {
        // A subclass may know of more than its numbers: a masked array knows which of them aren't to be used.
        if let Ok(array) = object.cast_exact::<PyUntypedArray>()
            && let Some(borrowed) = Self::as_it_is(array)
        {
            return Ok(borrowed);
        }
        if object.is_none() {
            return Err(PyTypeError::new_err(format!("{name} is None, which is no array of numbers")));
        }
        let array = plain(object, name)?;
        let refused = || PyTypeError::new_err(format!("{name} can't be read as an array of numbers"));
        let array = array.cast::<PyUntypedArray>().map_err(|_| refused())?;
        if array.ndim() > MOST_AXES {
            let message = format!("{name} has {} axes, and at most {MOST_AXES} are supported", array.ndim());
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
        let ours = descr.is_native_byteorder() != Some(false) && array.ndim() <= MOST_AXES;
        if !(ours && array.is_c_contiguous() && array.is_aligned()) {
            return None;
        }
        let mut shape = [0; MOST_AXES];
        shape[..array.ndim()].copy_from_slice(array.shape());
        Some(Borrowed { array: array.clone(), dtype, shape })
    }

    /// Where its bytes are.
    pub fn bytes(&self) -> std::ops::Range<usize> {
        let start = data(&self.array) as usize;
        start..start + self.array.len() * self.array.dtype().itemsize()
    }

    /// The same numbers in memory of their own.
    ///
    /// # Errors
    /// There is no memory.
    pub fn copied(&self) -> PyResult<Self> {
        let copy = self.array.call_method0(pyo3::intern!(self.array.py(), "copy"))?;
        Self::new(&copy, "the copy")
    }

    /// The length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape[..self.array.ndim()]
    }

    /// To lend. Whoever writes into the array meanwhile, from another thread, gets numbers that are neither the old nor the new.
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
        // SAFETY: a C-contiguous, aligned array of this dtype (`as_it_is`), kept alive by `self`.
        unsafe { std::slice::from_raw_parts(data(&self.array).cast(), length) }
    }
}

fn data(array: &Bound<'_, PyUntypedArray>) -> *mut u8 {
    // SAFETY: the pointer is of a live array.
    unsafe { (*array.as_array_ptr()).fields.data.cast() }
}

/// An array of a dtype and an order that can be lent, made of anything.
fn plain<'py>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static PLAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    PLAIN.import(object.py(), "plugfit._arrays", "plain")?.call1((object, name))
}

/// Float32 in C order that is written to in place.
pub struct Written<'py> {
    array: Bound<'py, PyUntypedArray>,
}

impl<'py> Written<'py> {
    /// # Errors
    /// A TypeError: it isn't a writeable float32 array in C order.
    pub fn new(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Self> {
        let array = object.cast::<PyUntypedArray>().ok().filter(|array| {
            let descr = array.dtype();
            // SAFETY: the pointer is of a live array.
            let flags = unsafe { (*array.as_array_ptr()).fields.flags };
            descr.kind() == b'f'
                && descr.itemsize() == 4
                && descr.is_native_byteorder() != Some(false)
                && array.is_c_contiguous()
                && array.is_aligned()
                && flags & numpy::npyffi::NPY_ARRAY_WRITEABLE != 0
        });
        match array {
            Some(array) => Ok(Written { array: array.clone() }),
            None => Err(PyTypeError::new_err(format!(
                "{name} is written in place: it must be a writeable float32 array in C order"
            ))),
        }
    }

    /// Its shape.
    pub fn shape(&self) -> Vec<usize> {
        self.array.shape().to_vec()
    }

    /// Where its bytes are.
    pub fn bytes(&self) -> std::ops::Range<usize> {
        let start = data(&self.array) as usize;
        start..start + self.array.len() * size_of::<f32>()
    }

    /// Its numbers.
    pub fn values(&mut self) -> &mut [f32] {
        if self.array.is_empty() {
            return &mut [];
        }
        // SAFETY: a writeable, aligned, contiguous float32 array, kept alive by `self`. That no other of a call's arrays shares its
        // memory is for the caller to see to (`bytes`).
        unsafe { std::slice::from_raw_parts_mut(data(&self.array).cast(), self.array.len()) }
    }
}

/// One of a component's inputs: the dtypes it takes, and the memory that others are converted into.
pub struct Lender {
    accepted: Accepted,
    conversions: Conversions,
    is_mask: bool,
}

impl Lender {
    /// For an input that takes these.
    pub fn new(accepted: Accepted) -> Self {
        Lender { accepted, conversions: Conversions::default(), is_mask: false }
    }

    /// For weights.
    pub fn of_weight() -> Self {
        Self::new(Accepted::f32())
    }

    /// For masks.
    pub fn of_mask() -> Self {
        Lender { is_mask: true, ..Self::new(Accepted::u8()) }
    }

    /// Converted, if need be.
    ///
    /// # Errors
    /// The array has too many axes, or is converted to float32 and holds a number that is too large for it.
    pub fn lend<'l>(&'l mut self, values: &'l Values<'_>, name: &str) -> plugfit::Result<Tensor<'l>> {
        values.check(name)?;
        self.conversions.forget();
        if self.is_mask {
            self.conversions.prepare_mask(values);
        } else {
            self.accepted.check(values, name)?;
            self.conversions.prepare(values, &self.accepted);
        }
        let lent = self.conversions.get(values, &self.accepted);
        let lent = lent.ok_or_else(|| plugfit::Error::usage(format!("{name} can't be lent")))?;
        if let Some(converted) = lent.as_slice::<f32>()
            && let Some((row, number)) = values.too_large_for_f32(converted)
        {
            let error = plugfit::Error::usage(format!("{name} holds {number:e}, which is too large for float32"));
            return Err(error.with("in", format!("row {row} (from 0)")));
        }
        Ok(lent)
    }
}
