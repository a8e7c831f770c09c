//! Reads messages from the shared memory.

use std::marker::PhantomData;
use std::sync::atomic::Ordering;

use plugfit_abi::abi_stable::std_types::{ROption, RResult, RString};
use plugfit_abi::{self as abi};

use super::call::Call;
use crate::plugin::isolate::memory::Memory;
use crate::plugin::shown_text::shown_part;
use crate::plugin::{Kind, bounds};

/// Reads a message. If the message is incomplete, reads return zeros and empty values, and `is_whole` returns false.
pub struct Reader<'m> {
    base: *const u8,
    at: usize,
    end: usize,
    whole: bool,
    problem: Option<String>,
    borrowed: PhantomData<&'m [u8]>,
}

impl<'m> Reader<'m> {
    /// Reads the message in place, from `at` to the end in the header. Only the worker does so: the host doesn't write
    /// during the worker's turn.
    pub fn new(memory: &'m mut Memory, at: usize) -> Self {
        let (end, whole) = end_of(memory);
        // SAFETY: offset 0 is within the memory.
        let base = unsafe { memory.at(0) };
        let at = at.next_multiple_of(8);
        Reader { base, at, end: if whole { end } else { 0 }, whole, problem: None, borrowed: PhantomData }
    }

    /// Reads a copy of an answer of at most `most` bytes. The worker's plug-in can't change the copy between two reads.
    pub fn of_copy(memory: &mut Memory, at: usize, most: usize, copy: &'m mut Vec<u64>) -> Self {
        let (end, whole) = end_of(memory);
        let start = at.next_multiple_of(8);
        let given = end.checked_sub(start).filter(|_| whole);
        let problem = given.and_then(|given| bounds::check(given, most, "bytes of an answer").err());
        let length = given.filter(|_| problem.is_none());
        let words = length.unwrap_or(0).div_ceil(8);
        if copy.len() < words {
            copy.resize(words, 0);
        }
        // SAFETY: the memory extends to the end of the answer, and `copy` has as many bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(memory.at(start), copy.as_mut_ptr().cast::<u8>(), length.unwrap_or(0));
        }
        let (whole, end) = (length.is_some(), length.unwrap_or(0));
        Reader { base: copy.as_ptr().cast(), at: 0, end, whole, problem, borrowed: PhantomData }
    }

    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Takes the first problem with a value that the plug-in returned, if there is one.
    pub fn problem(&mut self) -> Option<String> {
        self.problem.take()
    }

    /// Returns the next `length` bytes.
    fn raw(&mut self, length: usize, alignment: usize) -> Option<&'m [u8]> {
        let start = self.at.next_multiple_of(alignment);
        let end = start.checked_add(length).filter(|&end| end <= self.end);
        let Some(end) = end else {
            self.whole = false;
            return None;
        };
        self.at = end.next_multiple_of(8);
        // SAFETY: the range ends before `self.end`.
        Some(unsafe { std::slice::from_raw_parts(self.base.add(start), length) })
    }

    pub fn number(&mut self) -> u64 {
        let bytes = self.raw(8, 8).and_then(|bytes| bytes.try_into().ok());
        u64::from_ne_bytes(bytes.unwrap_or_default())
    }

    /// Reads a handle that this process has created.
    pub fn handle(&mut self) -> abi::Handle {
        abi::Handle { pointer: self.number() as *mut std::ffi::c_void }
    }

    pub fn float(&mut self) -> f64 {
        f64::from_bits(self.number())
    }

    pub fn bytes(&mut self) -> &'m [u8] {
        let length = usize::try_from(self.number()).unwrap_or(usize::MAX);
        self.raw(length, 8).unwrap_or_default()
    }

    pub fn text(&mut self) -> &'m str {
        self.utf8("text")
    }

    /// Reads a name that the plug-in returned.
    pub fn name(&mut self) -> &'m str {
        self.bounded_text(bounds::MAX_NAME_LENGTH, "name")
    }

    /// Reads a text that the plug-in returned, of at most `most` bytes; `what` names the text, without an article.
    pub fn bounded_text(&mut self, most: usize, what: &str) -> &'m str {
        let text = self.utf8(what);
        if text.len() <= most {
            return text;
        }
        self.problem.get_or_insert_with(|| bounds::too_long(what, text.len(), most));
        ""
    }

    fn utf8(&mut self, what: &str) -> &'m str {
        std::str::from_utf8(self.bytes()).unwrap_or_else(|_| {
            self.problem.get_or_insert_with(|| format!("returned a {what} that isn't UTF-8"));
            ""
        })
    }

    /// Reads a text that is only shown. Its bytes may not be UTF-8, and it is cut to the length that is shown.
    pub fn shown(&mut self) -> String {
        String::from_utf8_lossy(shown_part(self.bytes())).into_owned()
    }

    /// Reads a list that the plug-in returned, of at most `most` items; `what` names them in the plural.
    pub fn at_most<T>(&mut self, most: usize, what: &str, item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        self.check_count(most, what);
        if self.problem.is_some() { Vec::new() } else { self.list(item) }
    }

    /// Checks the next count without consuming it.
    fn check_count(&mut self, most: usize, what: &str) {
        let at = self.at;
        let count = usize::try_from(self.number()).unwrap_or(usize::MAX);
        self.at = at;
        // An incomplete message has no count.
        if let (true, Err(message)) = (self.whole, bounds::check(count, most, what)) {
            self.problem.get_or_insert(message);
        }
    }

    /// Reads a shape that the plug-in returned.
    pub fn shape(&mut self) -> &'m [i64] {
        self.check_count(bounds::MAX_AXES, "axes");
        if self.problem.is_some() { &[] } else { self.lengths() }
    }

    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.number();
        let mut items = Vec::new();
        for _ in 0..count {
            // A wrong count ends with the message.
            if !self.whole {
                break;
            }
            items.push(item(self));
        }
        items
    }

    pub fn dtype(&mut self) -> abi::DType {
        let number = self.number();
        abi::DType { code: (number >> 8) as u8, bits: number as u8, lanes: (number >> 16) as u16 }
    }

    /// Reads lengths in place.
    pub fn lengths(&mut self) -> &'m [i64] {
        let count = usize::try_from(self.number()).unwrap_or(usize::MAX);
        match self.raw(count.saturating_mul(8), 8) {
            // SAFETY: these are `count` aligned words; an i64 is valid for any bits.
            Some(bytes) => unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), count) },
            None => &[],
        }
    }

    /// Reads an array in place.
    pub fn tensor(&mut self) -> abi::Tensor {
        let dtype = self.dtype();
        let shape = self.lengths();
        let length = usize::try_from(self.number()).unwrap_or(usize::MAX);
        let data = self.raw(length, 64).unwrap_or_default();
        abi::Tensor {
            data: data.as_ptr().cast_mut().cast(),
            shape: shape.as_ptr(),
            strides: std::ptr::null(),
            byte_offset: 0,
            rank: shape.len() as u32,
            dtype,
            device_type: abi::DEVICE_CPU,
            device_id: 0,
        }
    }

    pub fn option(&mut self) -> ROption<abi::Tensor> {
        match self.number() {
            0 => ROption::RNone,
            _ => ROption::RSome(self.tensor()),
        }
    }

    pub fn call(&mut self) -> Option<Call> {
        Call::ALL.get(self.number() as usize).copied()
    }

    pub fn kind(&mut self) -> Option<Kind> {
        Kind::ALL.get(self.number() as usize).copied()
    }

    pub fn result<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> RResult<T, abi::Error> {
        if self.number() == 0 {
            return RResult::ROk(value(self));
        }
        let kind = self.number() as u32;
        let message = self.shown().into();
        let mut text = || -> ROption<RString> { self.at_most(1, "texts", |r| RString::from(r.shown())).pop().into() };
        RResult::RErr(abi::Error { kind, message, field: text(), place: text() })
    }
}

/// Returns the end of the message according to the header, and whether the memory extends to it.
fn end_of(memory: &mut Memory) -> (usize, bool) {
    let end = usize::try_from(memory.header().end.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
    (end, memory.has(end))
}
