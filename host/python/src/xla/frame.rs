//! The call of a handler: buffers, attributes, and errors.

use std::ffi::{CString, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use plugfit::compile::Values;
use plugfit::{Error, ErrorKind, Result};
use plugfit_api::{Element, TensorMut};

use super::api::{
    ApiVersion, Attributes, Buffer, Buffers, ByteSpan, CallFrame, ErrorCreateArgs, METADATA, MetadataExtension,
    VERSION, XlaError, attribute, code, dtype,
};
use crate::fork;

/// Runs a handler. A panic or an error becomes an error of XLA with the same text.
///
/// # Safety
/// XLA calls a handler with the frame of a call that lasts until the handler returns.
pub unsafe fn run(frame: *mut CallFrame, handler: impl FnOnce(&Frame<'_>) -> Result<()> + Send) -> *mut XlaError {
    // SAFETY: the caller passes XLA's frame.
    let frame = unsafe { &*frame };
    if declare_version(frame) {
        return std::ptr::null_mut();
    }
    let call = &Frame(frame);
    let called = catch_unwind(AssertUnwindSafe(|| fork::install(|| handler(call))));
    let error = match called {
        Ok(Ok(())) => return std::ptr::null_mut(),
        Ok(Err(error)) => error,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Error::failure(format!("plugfit panicked: {}", text.unwrap_or_default()))
        }
    };
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
    // SAFETY: XLA's table of functions outlives the call, and `error_create` copies the message.
    unsafe { ((*frame.api).error_create)(&mut arguments) }
}

/// Answers XLA's question for the version of the interface, which isn't a call. Returns whether it was asked.
fn declare_version(frame: &CallFrame) -> bool {
    let extension = frame.extension_start;
    // SAFETY: XLA says by the type that the extension is that of metadata.
    unsafe {
        if extension.is_null() || (*extension).kind != METADATA {
            return false;
        }
        let metadata = (*extension.cast::<MetadataExtension>()).metadata;
        (*metadata).api_version = ApiVersion {
            struct_size: size_of::<ApiVersion>(),
            extension_start: std::ptr::null_mut(),
            major: VERSION.0,
            minor: VERSION.1,
        };
        (*metadata).traits = 0;
    }
    true
}

/// A call.
pub struct Frame<'a>(&'a CallFrame);

// SAFETY: XLA's frame may be read in any thread during the call.
unsafe impl Sync for Frame<'_> {}

impl<'a> Frame<'a> {
    /// Returns the number of results.
    pub fn results(&self) -> usize {
        self.0.results.size as usize
    }

    /// Returns the number of arguments.
    pub fn arguments(&self) -> usize {
        self.0.arguments.size as usize
    }

    /// Returns an argument.
    ///
    /// # Errors
    /// Returns an error if there is no such argument, or if its dtype isn't supported.
    pub fn argument(&self, index: usize) -> Result<Values<'a>> {
        let buffer = buffer(&self.0.arguments, index)?;
        let shape: Vec<usize> = dims(buffer).iter().map(|&length| length as usize).collect();
        Ok(match buffer.dtype {
            dtype::F32 => Values::new(numbers::<f32>(buffer), &shape),
            dtype::F64 => Values::new(numbers::<f64>(buffer), &shape),
            dtype::S32 => Values::new(numbers::<i32>(buffer), &shape),
            dtype::S64 => Values::new(numbers::<i64>(buffer), &shape),
            dtype::U64 => Values::new(numbers::<u64>(buffer), &shape),
            dtype::U8 | dtype::PRED => Values::new(numbers::<u8>(buffer), &shape),
            other => return Err(Error::failure(format!("XLA passed an array of its dtype {other}"))),
        })
    }

    /// Returns the numbers of an argument that is float32.
    ///
    /// # Errors
    /// Returns an error if there is no such argument, or if it isn't float32.
    pub fn floats(&self, index: usize) -> Result<&'a [f32]> {
        let buffer = buffer(&self.0.arguments, index)?;
        if buffer.dtype == dtype::F32 { Ok(numbers(buffer)) } else { Err(wrong_dtype(buffer)) }
    }

    /// Returns the only number of an argument that is float32, or an integer of 32 or 64 bits.
    ///
    /// # Errors
    /// Returns an error if there is no such argument.
    pub fn number(&self, index: usize) -> Result<f64> {
        let buffer = buffer(&self.0.arguments, index)?;
        let number = match buffer.dtype {
            dtype::F32 => numbers::<f32>(buffer).first().map(|&number| number.into()),
            dtype::S32 => numbers::<i32>(buffer).first().map(|&number| number.into()),
            dtype::S64 => numbers::<i64>(buffer).first().map(|&number| number as f64),
            _ => None,
        };
        number.ok_or_else(|| wrong_dtype(buffer))
    }

    /// Returns a result to write to, in the dtype `F`. Call it once for each result.
    ///
    /// # Errors
    /// Returns an error if there is no such result, or if it has another dtype.
    pub fn result<F: Float>(&self, index: usize) -> Result<&'a mut [F]> {
        let buffer = buffer(&self.0.results, index)?;
        if buffer.dtype != F::XLA {
            return Err(wrong_dtype(buffer));
        }
        let length = length(buffer);
        if length == 0 {
            return Ok(&mut []);
        }
        // SAFETY: a result is memory for `length` numbers of the dtype, which XLA doesn't use during the call.
        Ok(unsafe { std::slice::from_raw_parts_mut(buffer.data.cast(), length) })
    }

    /// Returns a result as a tensor to write to. Call it once for each result.
    ///
    /// # Errors
    /// Returns the errors of [`result`](Self::result).
    pub fn tensor<F: Float>(&self, index: usize) -> Result<TensorMut<'a>> {
        let shape = dims(buffer(&self.0.results, index)?);
        Ok(TensorMut::new(self.result::<F>(index)?, shape))
    }

    /// Writes a result, which is float32 or float64. A single number fills the result.
    ///
    /// # Errors
    /// Returns an error if there is no such result, or if it has another number of elements.
    pub fn write(&self, index: usize, values: &[f64]) -> Result<()> {
        match buffer(&self.0.results, index)?.dtype {
            dtype::F64 => fill(self.result::<f64>(index)?, values, |value| value),
            _ => fill(self.result::<f32>(index)?, values, |value| value as f32),
        }
    }

    /// Returns an attribute that is a text.
    ///
    /// # Errors
    /// Returns an error if there is no such attribute.
    pub fn text(&self, name: &str) -> Result<&'a str> {
        let span = self.attribute(name, attribute::STRING)?.cast::<ByteSpan>();
        // SAFETY: an attribute of this type is a span, which lives as long as the call.
        std::str::from_utf8(unsafe { bytes(&*span) }).map_err(|_| missing(name))
    }

    /// Returns an attribute that is a text in JSON.
    ///
    /// # Errors
    /// Returns an error if there is no such attribute, or if it contains something else.
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        serde_json::from_str(self.text(name)?).map_err(|_| missing(name))
    }

    fn attribute(&self, name: &str, kind: c_int) -> Result<*const std::ffi::c_void> {
        let Attributes { size, types, names, values, .. } = &self.0.attributes;
        // SAFETY: each of the arrays has `size` entries.
        (0..*size as usize)
            .find(|&index| unsafe { bytes(&**names.add(index)) == name.as_bytes() && *types.add(index) == kind })
            .map(|index| unsafe { *values.add(index) })
            .ok_or_else(|| missing(name))
    }
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

fn fill<F: Copy>(target: &mut [F], values: &[f64], convert: impl Fn(f64) -> F) -> Result<()> {
    match values {
        [value] => target.fill(convert(*value)),
        _ if values.len() == target.len() => {
            target.iter_mut().zip(values).for_each(|(place, &value)| *place = convert(value));
        }
        _ => {
            let message =
                format!("there are {} results where the compiled function has {}", values.len(), target.len());
            return Err(Error::usage(message).hint("batches of another shape need another compilation"));
        }
    }
    Ok(())
}

fn missing(name: &str) -> Error {
    Error::failure(format!("XLA passed no attribute {name}"))
}

fn wrong_dtype(buffer: &Buffer) -> Error {
    Error::failure(format!("XLA passed an array of another dtype than expected: its dtype {}", buffer.dtype))
}

fn buffer(buffers: &Buffers, index: usize) -> Result<&Buffer> {
    if index < buffers.size as usize {
        // SAFETY: there are `size` buffers, and version 0.1 has no other kind of arguments and results.
        Ok(unsafe { &**buffers.buffers.add(index) })
    } else {
        Err(Error::failure(format!("XLA passed no array number {index}")))
    }
}

fn dims(buffer: &Buffer) -> &[i64] {
    if buffer.rank == 0 {
        return &[];
    }
    // SAFETY: there are `rank` lengths.
    unsafe { std::slice::from_raw_parts(buffer.dims, buffer.rank as usize) }
}

fn length(buffer: &Buffer) -> usize {
    dims(buffer).iter().product::<i64>() as usize
}

fn numbers<T>(buffer: &Buffer) -> &[T] {
    let length = length(buffer);
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller compared the dtype; XLA's arrays are aligned, in C order, and not written during the call.
    unsafe { std::slice::from_raw_parts(buffer.data.cast(), length) }
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
