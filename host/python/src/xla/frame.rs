//! The call of a handler: buffers, attributes, and errors.

use std::ffi::{CString, c_int, c_void};
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};

use plugfit::compile::Values;
use plugfit::{Error, ErrorKind, Result};
use plugfit_api::{Element, TensorMut};

use super::api::{
    Api, ApiVersion, Attributes, BUFFER, Buffer, Buffers, ByteSpan, CallFrame, ErrorCreateArgs, ExtensionBase,
    METADATA, Metadata, MetadataExtension, VERSION, XlaError, attribute, code, dtype,
};

/// Runs a handler. A panic or an error becomes an error of XLA with the same text.
///
/// # Safety
/// XLA calls a handler with the frame of a call that lasts until the handler returns.
pub unsafe fn run(
    frame: *mut CallFrame,
    handler: impl FnOnce(&Frame<'_>, Vec<Output<'_>>) -> Result<()> + Send,
) -> *mut XlaError {
    // SAFETY: the caller passes XLA's frame, and a frame of any version begins with these fields.
    let (size, extension, api) = unsafe { ((*frame).struct_size, (*frame).extension_start, (*frame).api) };
    // SAFETY: the extension is that of XLA's frame.
    if unsafe { declare_version(extension) } {
        return std::ptr::null_mut();
    }
    let called = catch_unwind(AssertUnwindSafe(|| {
        check_size("call frame", size, size_of::<CallFrame>())?;
        // SAFETY: it has all fields, and lasts as long as the call.
        let (call, results) = unsafe { Frame::of(&*frame) }?;
        handler(&call, results)
    }));
    let error = match called {
        Ok(Ok(())) => return std::ptr::null_mut(),
        Ok(Err(error)) => error,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Error::failure(format!("plugfit panicked: {}", text.unwrap_or_default()))
        }
    };
    // SAFETY: the table of functions is that of XLA's frame.
    unsafe { report(api, &error) }
}

/// Returns an error of XLA with the text of this one.
///
/// # Safety
/// XLA's table of functions outlives the call.
unsafe fn report(api: *const Api, error: &Error) -> *mut XlaError {
    // SAFETY: the caller passes XLA's table, which begins with its size.
    if api.is_null() || unsafe { (*api).struct_size } < size_of::<Api>() {
        // Without an error XLA would use the results.
        eprintln!("{error}\nXLA has no function that creates errors");
        std::process::abort();
    }
    let code = match error.kind() {
        ErrorKind::Plugin | ErrorKind::Crash => code::INTERNAL,
        _ => code::INVALID_ARGUMENT,
    };
    let message = CString::new(error.to_string().replace('\0', " ")).unwrap_or_default();
    let mut arguments = ErrorCreateArgs {
        struct_size: size_of::<ErrorCreateArgs>(),
        extension_start: std::ptr::null_mut(),
        message: message.as_ptr(),
        code,
    };
    // SAFETY: the table has this function, which copies the message.
    unsafe { ((*api).error_create)(&mut arguments) }
}

/// Answers XLA's question for the version of the interface, which isn't a call. Returns whether it was asked.
///
/// # Safety
/// The extension is null or that of XLA's frame.
unsafe fn declare_version(extension: *mut ExtensionBase) -> bool {
    // SAFETY: XLA says by the type that the extension is that of metadata, and by the sizes which fields there are.
    unsafe {
        if extension.is_null() || (*extension).kind != METADATA {
            return false;
        }
        if (*extension).struct_size < size_of::<MetadataExtension>() {
            return true;
        }
        let metadata = (*extension.cast::<MetadataExtension>()).metadata;
        if (*metadata).struct_size < offset_of!(Metadata, traits) {
            return true;
        }
        (*metadata).api_version = ApiVersion {
            struct_size: size_of::<ApiVersion>(),
            extension_start: std::ptr::null_mut(),
            major: VERSION.0,
            minor: VERSION.1,
        };
        if (*metadata).struct_size >= offset_of!(Metadata, traits) + size_of::<u32>() {
            (*metadata).traits = 0;
        }
    }
    true
}

fn check_size(structure: &str, size: usize, needed: usize) -> Result<()> {
    if size >= needed {
        return Ok(());
    }
    Err(Error::failure(format!("XLA's {structure} has {size} bytes, and version 0.1 needs {needed}")))
}

/// A call.
pub struct Frame<'a> {
    arguments: Vec<Array<'a>>,
    attributes: &'a Attributes,
    attribute_count: usize,
}

// SAFETY: the memory of XLA's frame may be read in any thread during the call.
unsafe impl Send for Frame<'_> {}
// SAFETY: as above.
unsafe impl Sync for Frame<'_> {}

impl<'a> Frame<'a> {
    /// Checks a frame, and returns the call and its results.
    ///
    /// # Errors
    /// Returns an error if a structure of the frame has fewer fields than version 0.1, or if a length is negative.
    ///
    /// # Safety
    /// The frame is that of a call of XLA. It is passed once, since results are written to.
    unsafe fn of(frame: &'a CallFrame) -> Result<(Self, Vec<Output<'a>>)> {
        let attributes = &frame.attributes;
        check_size("attributes", attributes.struct_size, size_of::<Attributes>())?;
        let attribute_count = count(attributes.size, "attributes")?;
        // SAFETY: as the caller ensures.
        let (arguments, results) =
            unsafe { (arrays(&frame.arguments, "arguments")?, arrays(&frame.results, "results")?) };
        Ok((Frame { arguments, attributes, attribute_count }, results.into_iter().map(Output).collect()))
    }

    /// Returns the number of arguments.
    pub fn arguments(&self) -> usize {
        self.arguments.len()
    }

    /// Returns an argument.
    ///
    /// # Errors
    /// Returns an error if there is no such argument, or if its dtype isn't supported.
    pub fn argument(&self, index: usize) -> Result<Values<'a>> {
        let array = self.array(index)?;
        let shape: Vec<usize> = array.dims.iter().map(|&length| length as usize).collect();
        Ok(match array.dtype {
            dtype::F32 => Values::new(array.numbers::<f32>(), &shape),
            dtype::F64 => Values::new(array.numbers::<f64>(), &shape),
            dtype::S32 => Values::new(array.numbers::<i32>(), &shape),
            dtype::S64 => Values::new(array.numbers::<i64>(), &shape),
            dtype::U64 => Values::new(array.numbers::<u64>(), &shape),
            dtype::U8 | dtype::PRED => Values::new(array.numbers::<u8>(), &shape),
            other => return Err(Error::failure(format!("XLA passed an array of its dtype {other}"))),
        })
    }

    /// Returns the numbers and the shape of an argument that is float32.
    ///
    /// # Errors
    /// Returns an error if there is no such argument, or if it isn't float32.
    pub fn floats(&self, index: usize) -> Result<(&'a [f32], &'a [i64])> {
        let array = self.array(index)?;
        if array.dtype == dtype::F32 { Ok((array.numbers(), array.dims)) } else { Err(wrong_dtype(array.dtype)) }
    }

    /// Returns an argument that is a single number.
    ///
    /// # Errors
    /// Returns an error if there is no such argument, if it isn't a single number, or if float64 rounds it.
    pub fn number(&self, index: usize) -> Result<f64> {
        match self.single(index)? {
            Single::Real(number) => Ok(number),
            Single::Whole(whole) if (whole as f64) as i128 == whole => Ok(whole as f64),
            Single::Whole(whole) => Err(Error::usage(format!("float64 rounds {whole}"))),
        }
    }

    /// Returns an argument that is the number of a step. A negative one counts as 0.
    ///
    /// # Errors
    /// Returns an error if there is no such argument, or if it isn't a single whole number.
    pub fn step(&self, index: usize) -> Result<u64> {
        let whole = match self.single(index)? {
            Single::Whole(whole) => whole,
            Single::Real(number) if number.fract() == 0.0 => number as i128,
            Single::Real(number) => {
                return Err(Error::usage(format!("a step is a whole number, not {number}")));
            }
        };
        u64::try_from(whole.max(0)).map_err(|_| Error::usage(format!("{whole} is too large for the number of a step")))
    }

    fn single(&self, index: usize) -> Result<Single> {
        let array = self.array(index)?;
        let found = match array.dtype {
            dtype::F32 => array.only::<f32>().map(|number| Single::Real(number.into())),
            dtype::F64 => array.only::<f64>().map(Single::Real),
            dtype::S32 => array.only::<i32>().map(|number| Single::Whole(number.into())),
            dtype::S64 => array.only::<i64>().map(|number| Single::Whole(number.into())),
            dtype::U64 => array.only::<u64>().map(|number| Single::Whole(number.into())),
            dtype::U8 | dtype::PRED => array.only::<u8>().map(|number| Single::Whole(number.into())),
            other => return Err(wrong_dtype(other)),
        };
        found.ok_or_else(|| Error::failure(format!("XLA passed an array of shape {:?} for a number", array.dims)))
    }

    fn array(&self, index: usize) -> Result<&Array<'a>> {
        self.arguments.get(index).ok_or_else(|| Error::failure(format!("XLA passed no array number {index}")))
    }

    /// Returns an attribute that is a text.
    ///
    /// # Errors
    /// Returns an error if there is no such attribute, or if it isn't a text.
    pub fn text(&self, name: &str) -> Result<&'a str> {
        let Attributes { types, names, values, .. } = self.attributes;
        // SAFETY: each of the arrays has an entry for each attribute.
        let found = (0..self.attribute_count).find(|&index| unsafe { bytes(&**names.add(index)) == name.as_bytes() });
        let index = found.ok_or_else(|| Error::failure(format!("XLA passed no attribute {name}")))?;
        // SAFETY: as above; an attribute of this type is a span, which lives as long as the call.
        let text = unsafe {
            if *types.add(index) != attribute::STRING {
                return Err(Error::failure(format!("the attribute {name} isn't a text")));
            }
            bytes(&*(*values.add(index)).cast::<ByteSpan>())
        };
        std::str::from_utf8(text).map_err(|error| unreadable(name, &error))
    }

    /// Returns an attribute that is a text in JSON.
    ///
    /// # Errors
    /// Returns an error if there is no such attribute, or if it contains something else.
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        serde_json::from_str(self.text(name)?).map_err(|error| unreadable(name, &error))
    }
}

fn unreadable(name: &str, error: &dyn std::fmt::Display) -> Error {
    Error::failure(format!("the attribute {name} can't be read: {error}"))
}

fn wrong_dtype(dtype: c_int) -> Error {
    Error::failure(format!("XLA passed an array of another dtype than expected: its dtype {dtype}"))
}

/// A single number.
enum Single {
    Whole(i128),
    Real(f64),
}

/// A dtype of results.
pub trait Float: Element {
    /// XLA's number of it.
    const XLA: c_int;
}

impl Float for f32 {
    const XLA: c_int = dtype::F32;
}

impl Float for f64 {
    const XLA: c_int = dtype::F64;
}

/// A result. It is used once: for its memory, or to write it.
pub struct Output<'a>(Array<'a>);

// SAFETY: the memory of a result belongs to the handler during the call, and may be written in any thread.
unsafe impl Send for Output<'_> {}

impl<'a> Output<'a> {
    /// Returns the length of each axis.
    pub fn shape(&self) -> &'a [i64] {
        self.0.dims
    }

    /// Returns the memory, in the dtype `F`.
    ///
    /// # Errors
    /// Returns an error if the result has another dtype.
    pub fn values<F: Float>(self) -> Result<&'a mut [F]> {
        let Output(Array { dtype, data, length, .. }) = self;
        match length {
            _ if dtype != F::XLA => Err(wrong_dtype(dtype)),
            0 => Ok(&mut []),
            // SAFETY: a result is memory for `length` numbers of the dtype, which XLA doesn't use during the call.
            // There is one `Output` for it, which is used up here.
            _ => Ok(unsafe { std::slice::from_raw_parts_mut(data.cast(), length) }),
        }
    }

    /// Returns the memory as a tensor.
    ///
    /// # Errors
    /// Returns an error if the result has another dtype.
    pub fn tensor<F: Float>(self) -> Result<TensorMut<'a>> {
        let shape = self.shape();
        Ok(TensorMut::new(self.values::<F>()?, shape))
    }

    /// Writes all numbers, as float32 or float64.
    ///
    /// # Errors
    /// Returns an error if the result has another shape or dtype.
    pub fn write_all(self, shape: &[i64], values: &[f64]) -> Result<()> {
        self.check_shape(shape)?;
        match self.0.dtype {
            dtype::F64 => copy(self.values()?, values, |value| value),
            _ => copy(self.values()?, values, |value| value as f32),
        }
    }

    /// Copies all numbers of the result's dtype.
    ///
    /// # Errors
    /// Returns an error if the result has another shape or dtype.
    pub fn copy_all<F: Float>(self, shape: &[i64], values: &[F]) -> Result<()> {
        self.check_shape(shape)?;
        copy(self.values()?, values, |value| value)
    }

    /// Writes the same number, as float32 or float64, to all places.
    ///
    /// # Errors
    /// Returns an error if the result has another dtype.
    pub fn fill(self, value: f64) -> Result<()> {
        match self.0.dtype {
            dtype::F64 => self.values::<f64>()?.fill(value),
            _ => self.values::<f32>()?.fill(value as f32),
        }
        Ok(())
    }

    fn check_shape(&self, shape: &[i64]) -> Result<()> {
        let compiled = self.shape();
        if shape == compiled {
            return Ok(());
        }
        Err(Error::usage(format!("the result has the shape {shape:?}, and that of the compiled function {compiled:?}")))
    }
}

fn copy<T: Copy, F: Float>(target: &mut [F], values: &[T], convert: impl Fn(T) -> F) -> Result<()> {
    if target.len() != values.len() {
        return Err(Error::failure(format!("there are {} numbers for {} places", values.len(), target.len())));
    }
    target.iter_mut().zip(values).for_each(|(place, &value)| *place = convert(value));
    Ok(())
}

/// Returns the results of a call that has `N` of them.
///
/// # Errors
/// Returns an error if it has another number of results.
pub fn exactly<const N: usize>(results: Vec<Output<'_>>) -> Result<[Output<'_>; N]> {
    let wrong = |results: Vec<Output<'_>>| Error::failure(format!("XLA wants {} results, not {N}", results.len()));
    results.try_into().map_err(wrong)
}

/// An argument or a result.
struct Array<'a> {
    dtype: c_int,
    data: *mut c_void,
    /// The length of each axis, at least 0.
    dims: &'a [i64],
    /// The product of the lengths.
    length: usize,
}

impl<'a> Array<'a> {
    /// Views the numbers. The caller compares the dtype.
    fn numbers<T>(&self) -> &'a [T] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: the caller compared the dtype; XLA's arrays are aligned, in C order, and not written during the call.
        unsafe { std::slice::from_raw_parts(self.data.cast(), self.length) }
    }

    /// Returns the number if there is a single one. The caller compares the dtype.
    fn only<T: Copy>(&self) -> Option<T> {
        match self.numbers() {
            [number] => Some(*number),
            _ => None,
        }
    }
}

/// Reads the arguments or the results.
///
/// # Errors
/// Returns an error if a structure has fewer fields than version 0.1, or if a length is negative.
///
/// # Safety
/// They are those of a call of XLA.
unsafe fn arrays<'a>(given: &'a Buffers, name: &str) -> Result<Vec<Array<'a>>> {
    check_size(name, given.struct_size, size_of::<Buffers>())?;
    let read = |index: usize| {
        // SAFETY: there are `size` types and buffers.
        let (kind, buffer) = unsafe { (*given.types.add(index), *given.buffers.add(index)) };
        if kind != BUFFER {
            return Err(Error::failure(format!("XLA passed {name} of its type {kind}, which aren't arrays")));
        }
        // SAFETY: the type says that it is a buffer, which begins with its size.
        check_size("buffer", unsafe { (*buffer).struct_size }, size_of::<Buffer>())?;
        // SAFETY: it has all fields.
        let &Buffer { dtype, data, rank, dims, .. } = unsafe { &*buffer };
        let dims: &[i64] = match count(rank, "axes")? {
            0 => &[],
            // SAFETY: there are `rank` lengths.
            rank => unsafe { std::slice::from_raw_parts(dims, rank) },
        };
        let length = dims
            .iter()
            .try_fold(1_usize, |product, &length| product.checked_mul(usize::try_from(length).ok()?))
            .ok_or_else(|| Error::failure(format!("XLA passed an array of shape {dims:?}")))?;
        Ok(Array { dtype, data, dims, length })
    };
    (0..count(given.size, name)?).map(read).collect()
}

fn count(size: i64, what: &str) -> Result<usize> {
    usize::try_from(size).map_err(|_| Error::failure(format!("XLA passed {size} {what}")))
}

/// # Safety
/// The span points to its bytes.
unsafe fn bytes(span: &ByteSpan) -> &[u8] {
    if span.length == 0 {
        return &[];
    }
    // SAFETY: as the caller ensures.
    unsafe { std::slice::from_raw_parts(span.data, span.length) }
}
