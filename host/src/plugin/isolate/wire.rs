//! The format of a call in the shared memory: everything in words of eight bytes, arrays aligned to cache lines.

use std::io::Result;
use std::marker::PhantomData;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plugfit_abi::abi_stable::std_types::{ROption, RResult, RString};
use plugfit_abi::{self as abi};

use super::memory::Memory;
use crate::plugin::component::shown_part;
use crate::plugin::{Kind, bounds};

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// The function that is called.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Call {
            $($(#[$doc])* $name,)*
        }

        impl Call {
            const ALL: &[Call] = &[$(Call::$name),*];

            /// Returns the function's name as the plug-in's author writes it.
            pub fn name(self) -> &'static str {
                match self { $(Call::$name => $text,)* }
            }

            /// Returns the maximum size of an answer, in bytes.
            pub fn longest_answer(self) -> usize {
                match self {
                    Call::Save => bounds::STATE + (1 << 20),
                    Call::Outcome | Call::Slots => 1 << 26,
                    _ => 1 << 24,
                }
            }
        }
    };
}

calls! {
    Load: "loading",
    Create: "create",
    Release: "drop",
    Config: "config",
    InstanceInfo: "info",
    OutputShape: "output_shape",
    Loss: "call",
    NewState: "init",
    ReleaseState: "drop of a state",
    Reset: "reset",
    CloneState: "clone",
    Update: "update",
    Merge: "merge",
    Outcome: "result",
    Save: "save",
    LoadState: "load",
    Slots: "slots",
    FillSlot: "fill_slot",
    Step: "update",
    Finalize: "finalize",
    LearningRate: "learning_rate",
}

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
pub enum Way {
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
    pub unsafe fn tensor(&mut self, tensor: &abi::Tensor, way: Way) {
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
            if way != Way::Out {
                std::ptr::copy_nonoverlapping(data, self.memory.at(start), length);
            }
            if way != Way::In {
                self.returns.push(Return { from: start, to: data, length });
            }
        }
    }

    /// # Safety
    /// The same as for [`tensor`](Self::tensor).
    pub unsafe fn option(&mut self, tensor: &ROption<abi::Tensor>, way: Way) {
        match tensor {
            ROption::RNone => self.number(0),
            ROption::RSome(tensor) => {
                self.number(1);
                // SAFETY: guaranteed by the caller.
                unsafe { self.tensor(tensor, way) };
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
pub unsafe fn bring_back(memory: &Memory, returns: &[Return]) {
    for Return { from, to, length } in returns {
        // SAFETY: `Writer::tensor` reserved this range, and the memory never shrinks.
        unsafe { std::ptr::copy_nonoverlapping(memory.at(*from), *to, *length) };
    }
}

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
        self.given(bounds::NAME, "name")
    }

    /// Reads a text that the plug-in returned, of at most `most` bytes; `what` names the text, without an article.
    pub fn given(&mut self, most: usize, what: &str) -> &'m str {
        let text = self.utf8(what);
        if text.len() <= most {
            return text;
        }
        self.problem.get_or_insert_with(|| bounds::too_long(what, text.len(), most));
        ""
    }

    fn utf8(&mut self, what: &str) -> &'m str {
        std::str::from_utf8(self.bytes()).unwrap_or_else(|_| {
            self.problem.get_or_insert_with(|| format!("gave a {what} that isn't UTF-8"));
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
        self.check_count(bounds::AXES, "axes");
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

/// Locks a mutex and ignores poisoning.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::Arc;

    use super::super::memory::BODY;
    use super::super::system::Mapping;
    use super::*;

    fn memory() -> Memory {
        Memory::of_host(Arc::new(Mapping::create(1 << 12).expect("shared memory")), 1 << 12, 1 << 20)
    }

    #[test]
    fn messages_round_trip_and_arrays_are_copied_back() {
        let mut memory = memory();
        let mut returns = Vec::new();
        let mut values: Vec<f32> = (0..50_000).map(|i| i as f32).collect();
        let shape = [values.len() as i64];
        let mut writer = Writer::new(&mut memory, &mut returns, BODY);
        writer.number(7);
        writer.text("a name");
        let tensor = plugfit_api::TensorMut::new(&mut values, &shape).raw();
        // SAFETY: the array is borrowed until the end of this test.
        unsafe { writer.tensor(&tensor, Way::Both) };
        writer.float(-0.0);
        writer.finish().expect("there is room");

        let mut reader = Reader::new(&mut memory, BODY);
        assert_eq!((reader.number(), reader.text()), (7, "a name"));
        let found = reader.tensor();
        // SAFETY: the array was just read.
        let found = unsafe { plugfit_api::Tensor::from_raw(found) }.expect("it is whole");
        assert_eq!(found.shape(), shape);
        assert_eq!(found.f32s("it").expect("floats")[49_999], 49_999.0);
        assert_eq!(reader.float().to_bits(), (-0.0_f64).to_bits());
        assert!(reader.is_whole());
        values.fill(1.0);
        // SAFETY: the same as above.
        unsafe { bring_back(&memory, &returns) };
        assert_eq!(values[49_999], 49_999.0);
    }

    #[test]
    fn an_incomplete_message_is_detected_whatever_its_content() {
        let mut memory = memory();
        for word in [3, 4096, u64::MAX, u64::MAX / 8] {
            let mut returns = Vec::new();
            let mut writer = Writer::new(&mut memory, &mut returns, BODY);
            writer.number(word);
            writer.finish().expect("there is room");
            type Read = fn(&mut Reader<'_>) -> usize;
            let reads: [Read; 5] = [
                |r| r.bytes().len(),
                |r| r.lengths().len(),
                |r| r.list(|r| r.number()).len(),
                |r| usize::from(r.result(|r| r.number()).is_ok()),
                |r| usize::from(r.option().is_some()),
            ];
            for read in reads {
                let mut reader = Reader::new(&mut memory, BODY);
                read(&mut reader);
                assert!(!reader.is_whole(), "{word}");
            }
        }
        for end in [u64::MAX, 1 << 13, 1] {
            memory.header().end.store(end, Ordering::Relaxed);
            assert!(end == 1 || !Reader::new(&mut memory, BODY).is_whole());
            assert!(!Reader::of_copy(&mut memory, BODY, 1 << 20, &mut Vec::new()).is_whole());
        }
    }

    /// Writes an answer, and returns what the host reads of it.
    fn read<T>(write: impl Fn(&mut Writer<'_>), read: impl Fn(&mut Reader<'_>) -> T) -> (T, Option<String>, bool) {
        let (mut memory, mut returns, mut copy) = (memory(), Vec::new(), Vec::new());
        let mut writer = Writer::new(&mut memory, &mut returns, BODY);
        write(&mut writer);
        writer.finish().expect("there is room");
        let mut reader = Reader::of_copy(&mut memory, BODY, 1 << 16, &mut copy);
        // The worker's plug-in overwrites the message meanwhile.
        memory.header().end.store(u64::MAX, Ordering::Relaxed);
        // SAFETY: the memory is longer than that, and nobody else uses it.
        unsafe { std::ptr::write_bytes(memory.at(BODY), 0xff, 64) };
        let read = read(&mut reader);
        (read, reader.problem(), reader.is_whole())
    }

    #[test]
    fn an_answer_is_copied_before_it_is_read() {
        let found = read(|w| w.text("a text"), |r| r.text().to_owned());
        assert_eq!(found, ("a text".into(), None, true));
        let found = read(|w| w.lengths(&[3, 4]), |r| r.shape().to_vec());
        assert_eq!(found, (vec![3, 4], None, true));
    }

    #[test]
    fn too_many_items_and_invalid_utf8_are_reported_and_the_message_stays_whole() {
        let problem = |found: (usize, Option<String>, bool)| (found.1.expect("a problem"), found.2);
        let names = |w: &mut Writer<'_>| w.list(&[0; 1000], |w, _| w.text("a"));
        let found = problem(read(names, |r| r.at_most(999, "names", |r| r.name().len()).len()));
        assert_eq!(found, ("gave 1000 names, of which at most 999 are taken".into(), true));
        let found = problem(read(|w| w.lengths(&[1; 33]), |r| r.shape().len()));
        assert_eq!(found, ("gave 33 axes, of which at most 32 are taken".into(), true));
        let found = problem(read(|w| w.bytes(b"a\xff"), |r| r.name().len()));
        assert_eq!(found, ("gave a name that isn't UTF-8".into(), true));
        assert_eq!(read(|w| w.bytes(b"a\xff"), |r| r.shown()), ("a\u{fffd}".into(), None, true));
    }

    #[test]
    fn texts_and_answers_that_are_too_long_are_dropped() {
        let text = "a".repeat(1 << 14);
        let found = read(|w| w.text(&text), |r| r.given(1 << 13, "configuration").len());
        let said = "gave a configuration of 16384 bytes, of which at most 8192 are taken";
        assert_eq!(found, (0, Some(said.to_owned()), true));
        assert_eq!(read(|w| w.text(&text), |r| r.shown().len()), (bounds::TEXT + 4, None, true));
        let (_, said, _) = read(|w| w.text(&"a".repeat(1 << 16)), |r| r.shown().len());
        assert_eq!(said.as_deref(), Some("gave 65544 bytes of an answer, of which at most 65536 are taken"));
    }

    #[test]
    fn the_memory_grows_to_its_limit_and_no_further() {
        let mut memory = memory();
        memory.reserve(1 << 19).expect("there is room");
        assert!(memory.has(1 << 19));
        memory.reserve(1 << 20).expect("there is just as much room");
        let error = memory.reserve((1 << 20) + 1).expect_err("it is the limit").to_string();
        assert_eq!(error, "a call takes 1048577 bytes, and its process may use 1048576");
    }
}

/// Returns an error of the kind "other".
pub fn other(message: String) -> abi::Error {
    abi::Error { kind: abi::ERROR_OTHER, message: message.into(), field: ROption::RNone, place: ROption::RNone }
}
