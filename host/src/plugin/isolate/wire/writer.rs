//! Writes messages to the shared memory.

use std::io::Result;
use std::sync::atomic::Ordering;

use plugfit_abi::abi_stable::std_types::{ROption, RResult, RString};
use plugfit_abi::{self as abi};

use crate::plugin::isolate::memory::Memory;

/// An array that the worker writes, which is copied back after the call.
pub struct Return {
    from: usize,
    to: *mut u8,
    length: usize,
}

// SAFETY: the address is only used during the call for which it is borrowed.
unsafe impl Send for Return {}

/// The direction in which an array is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    In,
    Out,
    Both,
}

/// Writes a message. After a failure it writes nothing more, and `finish` returns the error.
pub struct Writer<'m> {
    memory: &'m mut Memory,
    returns: &'m mut Vec<Return>,
    at: usize,
    result: Result<()>,
}

impl<'m> Writer<'m> {
    pub fn new(memory: &'m mut Memory, returns: &'m mut Vec<Return>, at: usize) -> Self {
        returns.clear();
        Writer { memory, returns, at: at.next_multiple_of(8), result: Ok(()) }
    }

    /// Stores and returns the end of the message.
    pub fn finish(self) -> Result<usize> {
        self.memory.header().end.store(self.at as u64, Ordering::Relaxed);
        self.result.map(|()| self.at)
    }

    /// Reserves `length` bytes and returns their offset.
    fn room(&mut self, length: usize, alignment: usize) -> Option<usize> {
        self.result.as_ref().ok()?;
        let start = self.at.next_multiple_of(alignment);
        let end = start.saturating_add(length);
        if let Err(error) = self.memory.reserve(end) {
            self.result = Err(error);
            return None;
        }
        self.at = end.next_multiple_of(8);
        Some(start)
    }

    pub fn number(&mut self, number: u64) {
        self.raw(&number.to_ne_bytes(), 8);
    }

    pub fn handle(&mut self, handle: abi::Handle) {
        self.number(handle.pointer as u64);
    }

    pub fn float(&mut self, number: f64) {
        self.number(number.to_bits());
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes, 8);
    }

    fn raw(&mut self, bytes: &[u8], alignment: usize) {
        if let Some(start) = self.room(bytes.len(), alignment) {
            // SAFETY: `room` has reserved this many bytes.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.memory.at(start), bytes.len()) };
        }
    }

    pub fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.number(items.len() as u64);
        items.iter().for_each(|it| item(self, it));
    }

    pub fn dtype(&mut self, dtype: abi::DType) {
        self.number(u64::from(dtype.lanes) << 16 | u64::from(dtype.code) << 8 | u64::from(dtype.bits));
    }

    pub fn lengths(&mut self, lengths: &[i64]) {
        self.list(lengths, |w, &length| w.number(length as u64));
    }

    /// # Safety
    /// The tensor must be borrowed for the call, and mutably unless it is only read.
    pub unsafe fn tensor(&mut self, tensor: &abi::Tensor, direction: Direction) {
        // SAFETY: a tensor has as many lengths as axes; at rank 0 the pointer isn't read.
        let shape = match tensor.rank {
            0 => &[],
            rank => unsafe { std::slice::from_raw_parts(tensor.shape, rank as usize) },
        };
        let elements = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(usize::try_from(n).ok()?));
        let length = elements.and_then(|elements| elements.checked_mul(usize::from(tensor.dtype.bits).div_ceil(8)));
        let (true, Some(length)) =
            (tensor.strides.is_null() && tensor.device_type == abi::DEVICE_CPU && tensor.dtype.lanes == 1, length)
        else {
            self.result = Err(std::io::Error::other("an array isn't whole, in C order and in main memory"));
            return;
        };
        self.dtype(tensor.dtype);
        self.lengths(shape);
        self.number(length as u64);
        let Some(start) = self.room(length, 64) else { return };
        if length == 0 {
            return;
        }
        // SAFETY: an array of this length is borrowed, and `room` has reserved as many bytes.
        unsafe {
            let data = tensor.data.cast::<u8>().add(tensor.byte_offset as usize);
            if direction != Direction::Out {
                std::ptr::copy_nonoverlapping(data, self.memory.at(start), length);
            }
            if direction != Direction::In {
                self.returns.push(Return { from: start, to: data, length });
            }
        }
    }

    /// # Safety
    /// The same as for [`tensor`](Self::tensor).
    pub unsafe fn option(&mut self, tensor: &ROption<abi::Tensor>, direction: Direction) {
        match tensor {
            ROption::RNone => self.number(0),
            ROption::RSome(tensor) => {
                self.number(1);
                // SAFETY: guaranteed by the caller.
                unsafe { self.tensor(tensor, direction) };
            }
        }
    }

    pub fn result<T>(&mut self, result: RResult<T, abi::Error>, value: impl FnOnce(&mut Self, T)) {
        match result {
            RResult::ROk(it) => {
                self.number(0);
                value(self, it);
            }
            RResult::RErr(error) => {
                self.number(1);
                self.number(u64::from(error.kind));
                self.text(&error.message);
                for text in [error.field, error.place] {
                    self.list(Option::from(text).as_slice(), |w, text: &RString| w.text(text));
                }
            }
        }
    }
}

/// Copies back the arrays that the worker has written.
///
/// # Safety
/// `returns` must be those of a call that just ended, and their memory must still be borrowed.
pub unsafe fn copy_back(memory: &Memory, returns: &[Return]) {
    for Return { from, to, length } in returns {
        // SAFETY: `Writer::tensor` reserved this range, and the memory never shrinks.
        unsafe { std::ptr::copy_nonoverlapping(memory.at(*from), *to, *length) };
    }
}
