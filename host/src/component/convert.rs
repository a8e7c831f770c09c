//! Converts a batch to the dtypes that components accept, once for all components, in reused memory.

use plugfit_api::Tensor;

use super::values::{Numbers, Values};
use crate::{Error, Result};

/// The dtypes that a component accepts for one of its inputs, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted(Vec<Dtype>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dtype {
    F32,
    F64,
    I32,
    I64,
    U64,
    U8,
}

impl Accepted {
    /// Returns the dtypes that a component declares for `input`, given its inputs and their dtypes; `default` if it
    /// declares none.
    pub fn declared(input: &str, inputs: &[String], dtypes: &[Vec<String>], default: &[&str]) -> Self {
        let declared = inputs.iter().position(|name| name == input).and_then(|index| dtypes.get(index));
        let known: Vec<Dtype> = declared.into_iter().flatten().filter_map(|name| Dtype::from_name(name)).collect();
        if known.is_empty() {
            Accepted(default.iter().filter_map(|name| Dtype::from_name(name)).collect())
        } else {
            Accepted(known)
        }
    }

    /// Accepts only float32.
    pub fn f32() -> Self {
        Accepted(vec![Dtype::F32])
    }

    /// Checks that unsigned integers fit into int64, unless uint64 is accepted.
    ///
    /// # Errors
    /// Returns an error that contains the argument's `name` if a number doesn't fit.
    pub fn check(&self, values: &Values<'_>, name: &str) -> Result<()> {
        let Numbers::U64(numbers) = values.numbers else { return Ok(()) };
        let large = |number: &&u64| i64::try_from(**number).is_err();
        match numbers.iter().find(large) {
            Some(number) if !self.0.contains(&Dtype::U64) => {
                Err(Error::usage(format!("{name} contains {number}, which doesn't fit int64")))
            }
            _ => Ok(()),
        }
    }

    /// Accepts only float64.
    pub fn f64() -> Self {
        Accepted(vec![Dtype::F64])
    }

    /// Accepts only uint8, for masks.
    pub fn u8() -> Self {
        Accepted(vec![Dtype::U8])
    }
}

impl Dtype {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "float32" => Dtype::F32,
            "float64" => Dtype::F64,
            "int32" => Dtype::I32,
            "int64" => Dtype::I64,
            "uint64" => Dtype::U64,
            "uint8" => Dtype::U8,
            _ => return None,
        })
    }

    fn of(numbers: &Numbers<'_>) -> Option<Self> {
        Some(match numbers {
            Numbers::F32(_) => Dtype::F32,
            Numbers::F64(_) => Dtype::F64,
            Numbers::I32(_) => Dtype::I32,
            Numbers::I64(_) => Dtype::I64,
            Numbers::U64(_) => Dtype::U64,
            Numbers::U8(_) => Dtype::U8,
            Numbers::Bool(_) | Numbers::Unfit(_) => return None,
        })
    }
}

/// An array of a batch, converted to other dtypes. Its memory is reused for the next batch.
#[derive(Debug, Default)]
pub struct Conversions {
    f32: Converted<f32>,
    f64: Converted<f64>,
    i32: Converted<i32>,
    i64: Converted<i64>,
    u64: Converted<u64>,
    u8: Converted<u8>,
    /// Cached: whether any integer is not exact in f32.
    rounds: Option<bool>,
}

#[derive(Debug, Default)]
struct Converted<T> {
    numbers: Vec<T>,
    fresh: bool,
}

/// Fills `$target` from numbers of any type. Fractions are truncated and numbers out of range are clamped.
macro_rules! convert {
    ($target:expr, $type:ty, $from:expr) => {
        convert!($target, $type, $from, |number| number as $type)
    };
    (whole $target:expr, $type:ty, $from:expr) => {
        // A cast between integers would wrap.
        convert!($target, $type, $from, |number| i128::from(number).clamp(<$type>::MIN.into(), <$type>::MAX.into())
            as $type)
    };
    ($target:expr, $type:ty, $from:expr, |$number:ident| $whole:expr) => {
        match $from {
            Numbers::F32(numbers) => $target.fill(numbers.iter().map(|&number| number as $type)),
            Numbers::F64(numbers) => $target.fill(numbers.iter().map(|&number| number as $type)),
            Numbers::I32(numbers) => $target.fill(numbers.iter().map(|&$number| $whole)),
            Numbers::I64(numbers) => $target.fill(numbers.iter().map(|&$number| $whole)),
            Numbers::U64(numbers) => $target.fill(numbers.iter().map(|&$number| $whole)),
            Numbers::U8(numbers) => $target.fill(numbers.iter().map(|&$number| $whole)),
            Numbers::Bool(numbers) => $target.fill(numbers.iter().map(|&number| u8::from(number) as $type)),
            Numbers::Unfit(_) => $target.fill(std::iter::empty()),
        }
    };
}

impl Conversions {
    /// Marks the conversions as outdated, because a new batch begins.
    pub fn forget(&mut self) {
        self.f32.fresh = false;
        self.f64.fresh = false;
        self.i32.fresh = false;
        self.i64.fresh = false;
        self.u64.fresh = false;
        self.u8.fresh = false;
        self.rounds = None;
    }

    /// Converts the values if necessary, so that [`get`](Self::get) returns them in an accepted dtype.
    pub fn prepare(&mut self, values: &Values<'_>, accepted: &Accepted) {
        if self.rounds.is_none() && accepted.choice(values, true) != accepted.choice(values, false) {
            self.rounds = Some(exceeds_f32(&values.numbers));
        }
        match accepted.choice(values, self.rounds == Some(true)) {
            None => {}
            Some(Dtype::F32) => convert!(self.f32, f32, values.numbers),
            Some(Dtype::F64) => convert!(self.f64, f64, values.numbers),
            Some(Dtype::I32) => convert!(whole self.i32, i32, values.numbers),
            Some(Dtype::I64) => convert!(whole self.i64, i64, values.numbers),
            Some(Dtype::U64) => convert!(whole self.u64, u64, values.numbers),
            Some(Dtype::U8) => convert!(whole self.u8, u8, values.numbers),
        }
    }

    /// Converts a mask of any dtype to bytes: 1 for elements that aren't 0.
    pub fn prepare_mask(&mut self, mask: &Values<'_>) {
        match mask.numbers {
            Numbers::F32(numbers) => self.u8.fill(numbers.iter().map(|&number| u8::from(number != 0.0))),
            Numbers::F64(numbers) => self.u8.fill(numbers.iter().map(|&number| u8::from(number != 0.0))),
            Numbers::I32(numbers) => self.u8.fill(numbers.iter().map(|&number| u8::from(number != 0))),
            Numbers::I64(numbers) => self.u8.fill(numbers.iter().map(|&number| u8::from(number != 0))),
            Numbers::U64(numbers) => self.u8.fill(numbers.iter().map(|&number| u8::from(number != 0))),
            Numbers::Bool(numbers) => self.u8.fill(numbers.iter().map(|&number| u8::from(number))),
            Numbers::U8(_) | Numbers::Unfit(_) => {}
        }
    }

    /// Returns the values in an accepted dtype, after [`prepare`](Self::prepare) with the same arguments.
    pub fn get<'s>(&'s self, values: &'s Values<'_>, accepted: &Accepted) -> Option<Tensor<'s>> {
        let shape = values.shape();
        let has_len = |len: usize| len as i64 == shape.iter().product::<i64>();
        match accepted.choice(values, self.rounds == Some(true)) {
            None => values.tensor(),
            Some(Dtype::F32) => has_len(self.f32.numbers.len()).then(|| Tensor::new(&self.f32.numbers, shape)),
            Some(Dtype::F64) => has_len(self.f64.numbers.len()).then(|| Tensor::new(&self.f64.numbers, shape)),
            Some(Dtype::I32) => has_len(self.i32.numbers.len()).then(|| Tensor::new(&self.i32.numbers, shape)),
            Some(Dtype::I64) => has_len(self.i64.numbers.len()).then(|| Tensor::new(&self.i64.numbers, shape)),
            Some(Dtype::U64) => has_len(self.u64.numbers.len()).then(|| Tensor::new(&self.u64.numbers, shape)),
            Some(Dtype::U8) => has_len(self.u8.numbers.len()).then(|| Tensor::new(&self.u8.numbers, shape)),
        }
    }
}

impl<T> Converted<T> {
    fn fill(&mut self, numbers: impl Iterator<Item = T>) {
        if !self.fresh {
            self.fresh = true;
            self.numbers.clear();
            self.numbers.extend(numbers);
        }
    }
}

impl Accepted {
    /// Returns the dtype to convert to; `None` if the values need no conversion. `rounds` is whether float32 rounds
    /// them.
    fn choice(&self, values: &Values<'_>, rounds: bool) -> Option<Dtype> {
        match Dtype::of(&values.numbers) {
            Some(own) if self.0.contains(&own) => None,
            _ => match self.0.first().copied().unwrap_or(Dtype::F32) {
                Dtype::F32 if rounds && self.0.contains(&Dtype::F64) => Some(Dtype::F64),
                first => Some(first),
            },
        }
    }
}

/// Returns whether any integer is not exact in f32.
fn exceeds_f32(numbers: &Numbers<'_>) -> bool {
    const EXACT: u64 = 1 << f32::MANTISSA_DIGITS;
    match numbers {
        Numbers::I32(numbers) => numbers.iter().any(|number| u64::from(number.unsigned_abs()) > EXACT),
        Numbers::I64(numbers) => numbers.iter().any(|number| number.unsigned_abs() > EXACT),
        Numbers::U64(numbers) => numbers.iter().any(|number| *number > EXACT),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_dtypes_are_not_converted_and_others_become_the_first() {
        let declared = |dtypes: &[&[&str]]| {
            let dtypes: Vec<Vec<String>> =
                dtypes.iter().map(|names| names.iter().map(ToString::to_string).collect()).collect();
            Accepted::declared("y_true", &["y_true".into(), "y_pred".into()], &dtypes, &["float32"])
        };
        let labels = [2i64, 0, 1];
        let values = Values::from(&labels[..]);
        let mut conversions = Conversions::default();
        let integers = declared(&[&["int32", "int64"], &["float32"]]);
        conversions.prepare(&values, &integers);
        let as_is = conversions.get(&values, &integers).expect("int64 is taken");
        assert_eq!(as_is.as_slice::<i64>().map(<[i64]>::as_ptr), Some(labels.as_ptr()));
        let float = declared(&[]);
        conversions.prepare(&values, &float);
        assert_eq!(conversions.get(&values, &float).expect("float32").as_slice::<f32>(), Some(&[2.0, 0.0, 1.0][..]));
        conversions.forget();
        let ids = [(1i64 << 24) + 1, 2];
        let (large, floats) = (Values::from(&ids[..]), declared(&[&["float32", "float64"]]));
        conversions.prepare(&large, &floats);
        let exact = conversions.get(&large, &floats).expect("float64");
        assert_eq!(exact.as_slice::<f64>(), Some(&[16_777_217.0, 2.0][..]));
        conversions.forget();
        let fractions = [1.9f32, -1.9, 300.0];
        let values = Values::from(&fractions[..]);
        let bytes = declared(&[&["uint8"]]);
        conversions.prepare(&values, &bytes);
        assert_eq!(conversions.get(&values, &bytes).expect("uint8").as_slice::<u8>(), Some(&[1, 0, 255][..]));
    }

    #[test]
    fn uint64_is_borrowed_or_converted() {
        let ids = [u64::MAX, 3];
        let values = Values::from(&ids[..]);
        let accepted = |dtypes: &[&str]| {
            let dtypes = vec![dtypes.iter().map(ToString::to_string).collect()];
            Accepted::declared("y_true", &["y_true".into()], &dtypes, &["float32"])
        };
        let mut conversions = Conversions::default();
        let as_they_are = accepted(&["float32", "uint64"]);
        conversions.prepare(&values, &as_they_are);
        let borrowed = conversions.get(&values, &as_they_are).expect("uint64 is taken");
        assert_eq!(borrowed.as_slice::<u64>().map(<[u64]>::as_ptr), Some(ids.as_ptr()));
        // A number too large for int32 is clamped.
        let small = accepted(&["int32"]);
        conversions.prepare(&values, &small);
        assert_eq!(conversions.get(&values, &small).expect("int32").as_slice::<i32>(), Some(&[i32::MAX, 3][..]));
        small.check(&values, "y_true").expect_err("int64 doesn't hold it");
        as_they_are.check(&values, "y_true").expect("uint64 is taken");
        let floats = accepted(&["float32", "float64"]);
        conversions.prepare(&values, &floats);
        let double = conversions.get(&values, &floats).expect("float64");
        assert_eq!(double.as_slice::<f64>(), Some(&[u64::MAX as f64, 3.0][..]));
    }

    #[test]
    fn masks_become_bytes() {
        let mut conversions = Conversions::default();
        let mask = [true, false];
        let values = Values::from(&mask[..]);
        conversions.prepare_mask(&values);
        let tensor = conversions.get(&values, &Accepted::u8()).expect("bytes");
        assert_eq!(tensor.as_slice::<u8>(), Some(&[1, 0][..]));
    }
}
