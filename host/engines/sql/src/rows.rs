//! The arguments of a metric in the dtypes that it accepts, and parts of them as tensors.

use std::ops::Range;

use datafusion::arrow::array::ArrayRef;
use plugfit::compile::{Accepted, Conversions};
use plugfit::component::Metric;
use plugfit::{Error, Result};
use plugfit_api::Tensor;

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
                let tensor = accepted.get(metric).and_then(|accepted| conversions.get(values, accepted));
                let tensor = tensor.ok_or_else(|| Error::usage(format!("{name} can't be passed to a plug-in")))?;
                columns.push(Column { name, tensor });
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
    /// The numbers in the shape (rows, width).
    tensor: Tensor<'a>,
}

impl<'a> Column<'a> {
    /// Returns the number of elements of a row.
    fn width(&self) -> i64 {
        self.tensor.shape().get(1).copied().unwrap_or(1)
    }

    /// Returns the numbers of some rows.
    fn part<'s>(&self, rows: &Range<usize>, shape: &'s mut [i64; 2]) -> Result<Tensor<'s>>
    where
        'a: 's,
    {
        *shape = [rows.len() as i64, self.width()];
        self.tensor.rows(rows.start, shape).map_err(|error| Error::failure(error.message()))
    }
}

impl Rows<'_> {
    /// Returns the number of rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the number of bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.columns.iter().chain(&self.weight).map(|column| 8 * column.width() as usize).sum()
    }

    /// Returns the weights in float64, if there are any.
    ///
    /// # Errors
    /// Returns an error if a row has several weights.
    #[cfg(feature = "cli")]
    pub fn weights(&self) -> Result<Option<Vec<f64>>> {
        let Some(weight) = &self.weight else { return Ok(None) };
        if weight.width() != 1 {
            return Err(Error::usage("a row has several weights, and an interval needs one"));
        }
        let single = weight.tensor.as_slice::<f32>().map(|numbers| numbers.iter().copied().map(f64::from).collect());
        let numbers = single.or_else(|| weight.tensor.as_slice::<f64>().map(<[f64]>::to_vec));
        numbers.map(Some).ok_or_else(|| Error::failure("a weight is neither float32 nor float64"))
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
        let weight = self.weight.as_ref().map(|weight| weight.part(&rows, &mut shape)).transpose()?;
        self.update_with(metric, &rows, weight)
    }

    fn update_with(&self, metric: &mut Metric, rows: &Range<usize>, weight: Option<Tensor<'_>>) -> Result<()> {
        let mut shapes = [[0; 2]; MAX_INPUTS];
        let columns = self.columns.iter().zip(&mut shapes);
        let inputs = columns.map(|(column, shape)| Ok((column.name, column.part(rows, shape)?)));
        metric.update(&inputs.collect::<Result<Vec<_>>>()?, weight, None)
    }
}
