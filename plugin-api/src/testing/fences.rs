//! Buffers with margins, which detect writes to inputs and accesses outside a buffer.
//!
//! If the host tests a library in a separate process, a buffer ends at a guard page, so that every access past its end
//! crashes the process. Before a buffer, and after it if there is no guard page (in a crate's own test, whose process
//! must survive), there are margin bytes whose values differ between two runs. A write changes them, and a read that
//! matters changes the result.

use plugfit_abi as abi;
use std::sync::{
    atomic::{AtomicBool, Ordering},
    Mutex, PoisonError,
};

/// Allocates this many bytes up to a guard page, or returns `None` if the system can't. They are never freed.
pub type AllocateGuarded = fn(bytes: usize) -> Option<*mut u8>;

/// The line on stderr by which a process announces that its buffers end at guard pages from now on.
pub const GUARDED: &str = "plugfit: buffers end at guard pages";

/// The addresses of memory that is never freed, because a plug-in may store pointers to it. Leak checkers thus find it
/// reachable.
static LEAKED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Registers memory that is never freed.
fn register_leaked<T>(pointer: *mut T) -> *mut T {
    LEAKED.lock().unwrap_or_else(PoisonError::into_inner).push(pointer as usize);
    pointer
}

/// The bytes before and after a buffer: enough for a wide register, and for an index that is off by a few rows.
const MARGIN: usize = 256;

/// The layout of buffers in a run, and the violations found.
pub struct Fences {
    allocate_guarded: Option<AllocateGuarded>,
    /// The value of margin bytes.
    fill: u8,
    /// Writes to inputs.
    pub written: Mutex<Vec<String>>,
    /// Writes to margins.
    pub beyond: Mutex<Vec<String>>,
    /// Whether a buffer has no guard page because the system had no memory for it.
    pub is_unguarded: AtomicBool,
}

/// A copy of a tensor between margins.
pub struct Fenced<'a> {
    fences: &'a Fences,
    name: String,
    original: abi::Tensor,
    bytes: usize,
    start: *mut u8,
    /// The bytes of the margin after it; 0 if it ends at a guard page.
    behind: usize,
    is_input: bool,
}

impl Fences {
    pub fn leaked(allocate_guarded: Option<AllocateGuarded>, fill: u8) -> &'static Self {
        let (written, beyond) = (Mutex::default(), Mutex::default());
        let fences = Fences { allocate_guarded, fill, written, beyond, is_unguarded: AtomicBool::new(false) };
        // SAFETY: the box is never freed.
        unsafe { &*register_leaked(Box::into_raw(Box::new(fences))) }
    }

    /// Copies a tensor in C order between margins. `is_input` declares that the call mustn't write to it.
    pub fn put(&self, name: &str, tensor: abi::Tensor, is_input: bool) -> Fenced<'_> {
        // SAFETY: the shape has `rank` lengths.
        let shape = match tensor.rank {
            0 => &[][..],
            rank => unsafe { std::slice::from_raw_parts(tensor.shape, rank as usize) },
        };
        let bytes = shape.iter().product::<i64>() as usize * usize::from(tensor.dtype.bits / 8);
        let guarded = self.allocate_guarded.and_then(|allocate| allocate(MARGIN + bytes));
        self.is_unguarded.fetch_or(self.allocate_guarded.is_some() && guarded.is_none(), Ordering::Relaxed);
        let behind = if guarded.is_some() { 0 } else { MARGIN };
        let all = MARGIN + bytes + behind;
        // Allocate `u64`s to align the buffer.
        let allocate = || register_leaked(Vec::leak(vec![0_u64; all.div_ceil(8)]).as_mut_ptr()).cast();
        let memory: *mut u8 = guarded.unwrap_or_else(allocate);
        // SAFETY: the memory is new and has `all` bytes; the tensor has the bytes of its shape.
        let start = unsafe {
            memory.write_bytes(self.fill, all);
            let start = memory.add(MARGIN);
            if bytes > 0 {
                start.copy_from_nonoverlapping(tensor.data.cast(), bytes);
            }
            start
        };
        Fenced { fences: self, name: name.to_owned(), original: tensor, bytes, start, behind, is_input }
    }
}

impl Fenced<'_> {
    /// Returns the copy.
    pub fn raw(&self) -> abi::Tensor {
        abi::Tensor { data: self.start.cast(), ..self.original }
    }

    /// Checks the margins and an input for writes, and copies an output back to the original tensor.
    pub fn end(self) {
        let add = |list: &Mutex<Vec<String>>, text: String| {
            let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
            if !list.contains(&text) {
                list.push(text);
            }
        };
        // SAFETY: the memory of `put`, with its margins.
        let (before, copy, behind) = unsafe {
            (
                std::slice::from_raw_parts(self.start.sub(MARGIN), MARGIN),
                std::slice::from_raw_parts(self.start, self.bytes),
                std::slice::from_raw_parts(self.start.add(self.bytes), self.behind),
            )
        };
        let fill = self.fences.fill;
        for (side, margin) in [("before the first", before), ("behind the last", behind)] {
            if margin.iter().any(|&byte| byte != fill) {
                add(&self.fences.beyond, format!("writes {side} number of {}", self.name));
            }
        }
        if self.bytes == 0 {
            return;
        }
        let data = self.original.data.cast::<u8>();
        // SAFETY: the original tensor has as many bytes, and is still valid.
        if self.is_input && copy != unsafe { std::slice::from_raw_parts(data, self.bytes) } {
            add(&self.fences.written, format!("writes into {}, which is an input", self.name));
        } else if !self.is_input {
            // SAFETY: as above; the call may write to an output.
            unsafe { data.copy_from_nonoverlapping(self.start, self.bytes) };
        }
    }
}

/// The buffers of one call: the originals, or copies between margins that are checked on drop.
pub struct Borders {
    fences: Option<&'static Fences>,
    fenced: Vec<Fenced<'static>>,
}

impl Borders {
    pub fn new(fences: Option<&'static Fences>) -> Self {
        Borders { fences, fenced: Vec::new() }
    }

    /// Returns a tensor for the call to read.
    pub fn input(&mut self, name: &str, tensor: abi::Tensor) -> abi::Tensor {
        self.put(name, tensor, true)
    }

    /// Returns a tensor for the call to write.
    pub fn output(&mut self, name: &str, tensor: abi::Tensor) -> abi::Tensor {
        self.put(name, tensor, false)
    }

    fn put(&mut self, name: &str, tensor: abi::Tensor, is_input: bool) -> abi::Tensor {
        let Some(fences) = self.fences else { return tensor };
        let fenced = fences.put(name, tensor, is_input);
        let raw = fenced.raw();
        self.fenced.push(fenced);
        raw
    }
}

impl Drop for Borders {
    fn drop(&mut self) {
        self.fenced.drain(..).for_each(Fenced::end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TensorMut;

    #[test]
    fn a_buffer_without_a_guard_page_has_a_margin_and_is_reported() {
        let fences = Fences::leaked(Some(|_| None), 0x3f);
        let (mut numbers, shape) = ([1.0_f32, 2.0], [2]);
        let fenced = fences.put("the values", TensorMut::new(&mut numbers, &shape).raw(), false);
        // SAFETY: there is a margin after the numbers.
        unsafe { fenced.start.add(8).write(0) };
        fenced.end();
        assert!(fences.is_unguarded.load(Ordering::Relaxed));
        assert_eq!(*fences.beyond.lock().unwrap(), ["writes behind the last number of the values"]);
    }
}
