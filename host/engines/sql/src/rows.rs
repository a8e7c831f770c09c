//! The arguments of a metric in the dtypes that it accepts, and parts of them as tensors.

use std::ops::Range;

use datafusion::arrow::array::ArrayRef;
use plugfit::compile::{Accepted, Conversions};
use plugfit::component::Metric;
use plugfit::{Error, Result};
use plugfit_api::{Element, Tensor};

use crate::arrays::{self, Scratch};

/// The most inputs of a metric.
const MAX_INPUTS: usize = 8;

/// The arguments of metrics: those of their inputs in their order, then the sample weight, if it is given.
#[derive(Debug)]
pub struct Arguments {
    arguments: Vec<Argument>,
    inputs: usize,
    metrics: usize,
}

/// An argument, with memory for its numbers.
#[derive(Debug)]
struct Argument {
    name: String,
    /// What each of the metrics accepts.
    accepted: Vec<Accepted>,
    scratch: Scratch,
    conversions: Conversions,
}

impl Arguments {
    /// Creates the arguments of metrics with the same inputs, of which `count` are given.
    ///
    /// # Errors
    /// Returns an error if the metrics take another number of arguments.
    pub fn new(metrics: &[Metric], count: usize) -> Result<Self> {
        let Some(first) = metrics.first() else { return Err(Error::failure("there is no metric")) };
        let inputs = &first.info().inputs;
        check_count(first.name(), inputs, count)?;
        if metrics.iter().any(|metric| metric.info().inputs != *inputs) {
            return Err(Error::failure("metrics with other inputs need other arguments"));
        }
        let floats = ["float32", "float64"];
        let argument = |name: &str, accepted| Argument {
            name: name.to_owned(),
            accepted,
            scratch: Scratch::default(),
            conversions: Conversions::default(),
        };
        let of_input = |name: &String| {
            let declared = |metric: &Metric| Accepted::declared(name, inputs, &metric.info().dtypes, &floats);
            argument(name, metrics.iter().map(declared).collect())
        };
        let mut arguments: Vec<Argument> = inputs.iter().map(of_input).collect();
        if count > arguments.len() {
            let accepted = Accepted::declared("sample_weight", &[], &[], &floats);
            arguments.push(argument("sample_weight", vec![accepted; metrics.len()]));
        }
        Ok(Arguments { arguments, inputs: inputs.len(), metrics: metrics.len() })
    }

    /// Returns an estimate of the allocated memory in bytes.
    pub fn size(&self) -> usize {
        // The conversions hold as many numbers, and don't tell their memory.
        self.arguments.iter().map(|argument| 2 * argument.scratch.size()).sum()
    }

    /// As [`with_rows`](Self::with_rows), for a single metric.
    ///
    /// # Errors
    /// Returns an error under the same conditions.
    #[cfg(feature = "cli")]
    pub fn with_rows_of_one<T>(
        &mut self,
        arrays: &[ArrayRef],
        rows: Option<&[u32]>,
        use_rows: impl FnOnce(&Rows<'_>) -> Result<T>,
    ) -> Result<T> {
        self.with_rows(arrays, rows, |rows| match rows.first() {
            Some(rows) => use_rows(rows),
            None => Err(Error::failure("there is no metric")),
        })
    }

    /// Passes the numbers of a batch to `use_rows`, as each of the metrics accepts them. `rows` selects them in this
    /// order, or all of them in theirs.
    ///
    /// # Errors
    /// Returns an error if an array isn't one of numbers without nulls, or that of `use_rows`.
    pub fn with_rows<T>(
        &mut self,
        arrays: &[ArrayRef],
        rows: Option<&[u32]>,
        use_rows: impl FnOnce(&[Rows<'_>]) -> Result<T>,
    ) -> Result<T> {
        let mut given = Vec::with_capacity(arrays.len());
        for (argument, array) in self.arguments.iter_mut().zip(arrays) {
            let Argument { name, accepted, scratch, conversions } = argument;
            let values = arrays::values(name, array, rows, scratch)?;
            values.check(name)?;
            conversions.forget();
            for accepted in accepted.iter() {
                accepted.check(&values, name)?;
                conversions.prepare(&values, accepted);
            }
            given.push((name.as_str(), &*accepted, &*conversions, values));
        }
        let count = rows.map_or_else(|| arrays.first().map_or(0, |array| array.len()), <[u32]>::len);
        let mut all = Vec::with_capacity(self.metrics);
        for metric in 0..self.metrics {
            let mut columns = Vec::with_capacity(given.len());
            for (name, accepted, conversions, values) in &given {
                let numbers = accepted.get(metric).and_then(|accepted| conversions.get(values, accepted));
                let numbers = numbers.and_then(|tensor| Numbers::of(&tensor));
                let numbers = numbers.ok_or_else(|| Error::usage(format!("{name} can't be passed to a plug-in")))?;
                let width = values.shape().get(1).map_or(1, |width| usize::try_from(*width).unwrap_or(1));
                columns.push(Column { name, numbers, width });
            }
            let weight = (columns.len() > self.inputs).then(|| columns.pop()).flatten();
            all.push(Rows { columns, weight, count });
        }
        use_rows(&all)
    }
}

/// Checks the number of arguments of a metric.
///
/// # Errors
/// Returns an error that lists them.
pub fn check_count(metric: &str, inputs: &[String], count: usize) -> Result<()> {
    if count == inputs.len() || count == inputs.len() + 1 {
        return Ok(());
    }
    let inputs = inputs.join(", ");
    Err(Error::usage(format!("{metric} takes {inputs}, and optionally a weight; {count} arguments are given")))
}

/// The numbers of a batch.
#[derive(Debug)]
pub struct Rows<'a> {
    columns: Vec<Column<'a>>,
    weight: Option<Column<'a>>,
    count: usize,
}

#[derive(Debug)]
struct Column<'a> {
    name: &'a str,
    numbers: Numbers<'a>,
    /// The number of elements of a row.
    width: usize,
}

/// The dtypes of plug-ins.
#[derive(Clone, Copy, Debug)]
enum Numbers<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U64(&'a [u64]),
    U8(&'a [u8]),
}

impl<'a> Numbers<'a> {
    fn of(tensor: &Tensor<'a>) -> Option<Self> {
        None.or_else(|| tensor.as_slice().map(Numbers::F32))
            .or_else(|| tensor.as_slice().map(Numbers::F64))
            .or_else(|| tensor.as_slice().map(Numbers::I32))
            .or_else(|| tensor.as_slice().map(Numbers::I64))
            .or_else(|| tensor.as_slice().map(Numbers::U64))
            .or_else(|| tensor.as_slice().map(Numbers::U8))
    }
}

impl<'a> Column<'a> {
    /// Returns the numbers of some rows, in the shape (rows, width).
    fn tensor<'s>(&self, rows: &Range<usize>, shape: &'s mut [i64; 2]) -> Tensor<'s>
    where
        'a: 's,
    {
        fn part<'s, T: Element>(
            numbers: &'s [T],
            rows: &Range<usize>,
            shape: &'s mut [i64; 2],
            width: usize,
        ) -> Tensor<'s> {
            let part = numbers.get(rows.start * width..rows.end * width).unwrap_or_default();
            *shape = [part.len().checked_div(width).map_or(rows.len(), |rows| rows) as i64, width as i64];
            Tensor::new(part, shape)
        }
        match self.numbers {
            Numbers::F32(numbers) => part(numbers, rows, shape, self.width),
            Numbers::F64(numbers) => part(numbers, rows, shape, self.width),
            Numbers::I32(numbers) => part(numbers, rows, shape, self.width),
            Numbers::I64(numbers) => part(numbers, rows, shape, self.width),
            Numbers::U64(numbers) => part(numbers, rows, shape, self.width),
            Numbers::U8(numbers) => part(numbers, rows, shape, self.width),
        }
    }
}

impl Rows<'_> {
    /// Returns the number of rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the number of bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.columns.iter().chain(&self.weight).map(|column| 8 * column.width).sum()
    }

    /// Returns the weights in float64, if there are any.
    ///
    /// # Errors
    /// Returns an error if a row has several weights.
    #[cfg(feature = "cli")]
    pub fn weights(&self) -> Result<Option<Vec<f64>>> {
        let Some(weight) = &self.weight else { return Ok(None) };
        if weight.width != 1 {
            return Err(Error::usage("a row has several weights, and an interval needs one"));
        }
        Ok(Some(match weight.numbers {
            Numbers::F32(numbers) => numbers.iter().map(|number| f64::from(*number)).collect(),
            Numbers::F64(numbers) => numbers.to_vec(),
            Numbers::I32(numbers) => numbers.iter().map(|number| f64::from(*number)).collect(),
            Numbers::I64(numbers) => numbers.iter().map(|number| *number as f64).collect(),
            Numbers::U64(numbers) => numbers.iter().map(|number| *number as f64).collect(),
            Numbers::U8(numbers) => numbers.iter().map(|number| f64::from(*number)).collect(),
        }))
    }

    /// As [`update`](Self::update), with a weight for each of these rows in place of its own.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`update`](Self::update).
    #[cfg(feature = "cli")]
    pub fn update_weighted(&self, metric: &mut Metric, rows: Range<usize>, weights: &[f64]) -> Result<()> {
        let shape = [weights.len() as i64, 1];
        self.update_with(metric, &rows, Some(Tensor::new(weights, &shape)))
    }

    /// Updates a metric with some of the rows.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, or if the plug-in fails.
    pub fn update(&self, metric: &mut Metric, rows: Range<usize>) -> Result<()> {
        let mut shape = [0; 2];
        let weight = self.weight.as_ref().map(|weight| weight.tensor(&rows, &mut shape));
        self.update_with(metric, &rows, weight)
    }

    fn update_with(&self, metric: &mut Metric, rows: &Range<usize>, weight: Option<Tensor<'_>>) -> Result<()> {
        let mut shapes = [[0; 2]; MAX_INPUTS];
        let columns = self.columns.iter().zip(&mut shapes);
        let inputs: Vec<(&str, Tensor<'_>)> =
            columns.map(|(column, shape)| (column.name, column.tensor(rows, shape))).collect();
        metric.update(&inputs, weight, None)
    }
}
