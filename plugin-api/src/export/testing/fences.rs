//! Buffers with margins: what is written into an input, and what is read or written past the ends of a buffer.
//!
//! A host that checks a library in a process of its own gives memory that ends at a page which can't be touched, so that every access
//! behind a buffer ends the process there. Before a buffer, and behind it where there is no such memory (a crate's own test, whose
//! process must go on), lie bytes whose values differ between two runs: a write changes them, and a read that matters changes the
//! result.

use super::{
    report::Report,
    trial::{Subject, Trial},
};
use crate::Result;
use plugfit_abi as abi;
use std::sync::{
    atomic::{AtomicBool, Ordering},
    Mutex, PoisonError,
};

/// Gives so many bytes that end at a page which can't be touched, if the system has them. They are never freed.
pub type Room = fn(bytes: usize) -> Option<*mut u8>;

/// The line on stderr by which a process tells that its buffers end at such pages from now on.
pub const GUARDED: &str = "plugfit: buffers end at guard pages";

/// What is never freed, as a plug-in may keep a pointer into it, by its address: so that a leak checker finds the way to it.
static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Keeps what is never freed.
fn kept<T>(pointer: *mut T) -> *mut T {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(pointer as usize);
    pointer
}

/// Bytes before and behind a buffer; enough for a wide register, and for an index that is off by a few rows.
const MARGIN: usize = 256;

/// How buffers are laid out in a run, and what was found.
pub struct Fences {
    room: Option<Room>,
    fill: u8,
    written: Mutex<Vec<String>>,
    beyond: Mutex<Vec<String>>,
    /// Whether there was no room for a buffer.
    is_unguarded: AtomicBool,
}

/// A copy of a tensor between margins.
pub struct Fenced<'a> {
    fences: &'a Fences,
    name: String,
    original: abi::Tensor,
    bytes: usize,
    start: *mut u8,
    /// Bytes of the margin behind it; none before a guard page.
    behind: usize,
    is_input: bool,
}

impl Fences {
    fn leaked(room: Option<Room>, fill: u8) -> &'static Self {
        let (written, beyond) = (Mutex::default(), Mutex::default());
        let fences = Fences { room, fill, written, beyond, is_unguarded: AtomicBool::new(false) };
        // SAFETY: memory of a box, which is never freed.
        unsafe { &*kept(Box::into_raw(Box::new(fences))) }
    }

    /// Copies a tensor in C order; `is_input`: nothing may be written to it.
    pub fn put(&self, name: &str, tensor: abi::Tensor, is_input: bool) -> Fenced<'_> {
        // SAFETY: the shape has as many lengths as the rank says.
        let shape = match tensor.rank {
            0 => &[][..],
            rank => unsafe { std::slice::from_raw_parts(tensor.shape, rank as usize) },
        };
        let bytes = shape.iter().product::<i64>() as usize * usize::from(tensor.dtype.bits / 8);
        let guarded = self.room.and_then(|room| room(MARGIN + bytes));
        self.is_unguarded.fetch_or(self.room.is_some() && guarded.is_none(), Ordering::Relaxed);
        let behind = if guarded.is_some() { 0 } else { MARGIN };
        let all = MARGIN + bytes + behind;
        // Of u64, so that the buffer is aligned.
        let margins = || kept(Vec::leak(vec![0_u64; all.div_ceil(8)]).as_mut_ptr()).cast();
        let memory: *mut u8 = guarded.unwrap_or_else(margins);
        // SAFETY: the memory is as long as was asked for and nobody else's; the tensor has as many bytes as its shape says.
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
    /// The copy.
    pub fn raw(&self) -> abi::Tensor {
        abi::Tensor { data: self.start.cast(), ..self.original }
    }

    /// Looks at what became of it, and copies an output to where it belongs.
    pub fn end(self) {
        let found = |list: &Mutex<Vec<String>>, text: String| {
            let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
            if !list.contains(&text) {
                list.push(text);
            }
        };
        // SAFETY: the memory of `put`, and the tensor that was copied, which an output may be written to.
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
                found(&self.fences.beyond, format!("writes {side} number of {}", self.name));
            }
        }
        if self.bytes == 0 {
            return;
        }
        let data = self.original.data.cast::<u8>();
        // SAFETY: as above.
        if self.is_input && copy != unsafe { std::slice::from_raw_parts(data, self.bytes) } {
            found(&self.fences.written, format!("writes into {}, which is an input", self.name));
        } else if !self.is_input {
            // SAFETY: as above.
            unsafe { data.copy_from_nonoverlapping(self.start, self.bytes) };
        }
    }
}

/// The buffers of one call: as they are, or copies between margins that are looked at when the call is over.
pub struct Borders {
    fences: Option<&'static Fences>,
    fenced: Vec<Fenced<'static>>,
}

impl Borders {
    pub fn new(fences: Option<&'static Fences>) -> Self {
        Borders { fences, fenced: Vec::new() }
    }

    /// A tensor that the call reads.
    pub fn input(&mut self, name: &str, tensor: abi::Tensor) -> abi::Tensor {
        self.put(name, tensor, true)
    }

    /// A tensor that the call writes.
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

/// Runs all configurations with margins of these bytes; the bits of what came out.
fn run(trial: &Trial<'_>, room: Option<Room>, fill: u8) -> (Vec<Result<Vec<u64>>>, &'static Fences) {
    let fences = Fences::leaked(room, fill);
    let fenced = trial.with_subject(Subject { fences: Some(fences), ..trial.subject });
    (fenced.configs().iter().map(|config| fenced.thorough_bits(config)).collect(), fences)
}

fn into_report(found: &Mutex<Vec<String>>, report: &mut Report) {
    found.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|text| report.fail(text));
}

pub fn inputs(trial: &Trial<'_>, report: &mut Report) {
    let (_, fences) = run(trial, None, 0);
    into_report(&fences.written, report);
}

/// Bytes of numbers such as 0.75 and -787, which are seen in a sum; as whole numbers they are no class.
const FILLS: [u8; 2] = [0x3f, 0xc4];

pub fn buffers(trial: &Trial<'_>, report: &mut Report) {
    let [(one, fences), (other, more)] = FILLS.map(|fill| run(trial, None, fill));
    into_report(&fences.beyond, report);
    into_report(&more.beyond, report);
    report.that(one == other, || "gives other numbers where other bytes lie around its buffers".into());
    if let (Some(room), true) = (trial.subject.room, report.failures.is_empty()) {
        if trial.subject.tells_parent {
            eprintln!("{GUARDED}");
        }
        let (_, fences) = run(trial, Some(room), FILLS[0]);
        into_report(&fences.beyond, report);
        if fences.is_unguarded.load(Ordering::Relaxed) {
            report.warn("has buffers that didn't end at guard pages: the system had no memory for them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TensorMut;

    #[test]
    fn a_buffer_without_a_guard_page_has_a_margin_and_is_told_of() {
        let fences = Fences::leaked(Some(|_| None), FILLS[0]);
        let (mut numbers, shape) = ([1.0_f32, 2.0], [2]);
        let fenced = fences.put("the values", TensorMut::new(&mut numbers, &shape).raw(), false);
        // SAFETY: there is a margin behind the numbers.
        unsafe { fenced.start.add(8).write(0) };
        fenced.end();
        assert!(fences.is_unguarded.load(Ordering::Relaxed));
        assert_eq!(*fences.beyond.lock().unwrap(), ["writes behind the last number of the values"]);
    }
}
