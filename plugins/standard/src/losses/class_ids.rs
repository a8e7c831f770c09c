//! Class ids, and losses of one class id and one row of predictions.

use super::shared::{Layout, Part, add, axis_of, element_count, run_parallel};
use plugfit_api::{ClassId, Float, loss::LossTotals, prelude::*, simd::Kernel};

/// Class ids of any dtype.
#[derive(Clone, Copy)]
pub enum Labels<'a> {
    I64(&'a [i64]),
    I32(&'a [i32]),
    U8(&'a [u8]),
    F32(&'a [f32]),
    F64(&'a [f64]),
}

impl<'a> Labels<'a> {
    /// Returns the dtypes that [`new`](Self::new) accepts, for a loss's `info`.
    pub fn dtypes() -> Vec<String> {
        ["int64", "int32", "uint8", "float32", "float64"].map(String::from).into()
    }

    /// Borrows the class ids of `y_true`.
    ///
    /// # Errors
    /// Returns an error if `y_true` has another dtype than [`dtypes`](Self::dtypes).
    pub fn new(y_true: Tensor<'a>) -> Result<Self> {
        if let Some(ids) = y_true.as_slice() {
            Ok(Labels::I64(ids))
        } else if let Some(ids) = y_true.as_slice() {
            Ok(Labels::I32(ids))
        } else if let Some(ids) = y_true.as_slice() {
            Ok(Labels::U8(ids))
        } else if let Some(ids) = y_true.as_slice() {
            Ok(Labels::F32(ids))
        } else if let Some(ids) = y_true.as_slice() {
            Ok(Labels::F64(ids))
        } else {
            Err(Error::input(format!("y_true contains no class ids: {y_true:?}")))
        }
    }

    /// Returns class id `i`. [`check_ids`] has checked it, unless its weight is 0.
    #[inline(always)]
    pub fn get(&self, i: usize) -> i64 {
        match self {
            Labels::I64(ids) => ids[i],
            Labels::I32(ids) => ids[i].into(),
            Labels::U8(ids) => ids[i].into(),
            Labels::F32(ids) => ids[i] as i64,
            Labels::F64(ids) => ids[i] as i64,
        }
    }
}

/// Checks that the class ids of `y_true` are whole numbers below `classes`, unless they equal `ignored` or belong to a
/// value of weight 0. Each of the `values` has `y_true.len() / values` ids.
///
/// # Errors
/// Returns an error with the first invalid id and its row.
pub fn check_ids<F: Float>(
    inputs: &Inputs<'_>,
    classes: usize,
    ignored: Option<i64>,
    upstream: Option<&[F]>,
    values: usize,
) -> Result<()> {
    let ids = inputs.y_true()?;
    let each = ids.len().checked_div(values).unwrap_or(1).max(1);
    let has_weight =
        |i: usize| upstream.and_then(|upstream| upstream.get(i / each)).is_none_or(|&weight| weight != F::ZERO);
    let is_ignored = |i: usize| ignored.is_some_and(|ignored| ids.get_whole(i) == Some(ignored.into()));
    inputs.check_class_ids("y_true", Some(classes), |i| !has_weight(i) || is_ignored(i))
}

/// A loss of one class id and one row of predictions.
pub trait ClassIdLoss: Sync {
    /// Returns the value of a row.
    fn value<R: Real>(&self, label: ClassId<R>, y_pred: Row<'_, R>) -> R;
    /// Returns the value and writes its derivative with respect to each element of `y_pred`.
    fn gradient(&self, label: usize, y_pred: &[f32], gradient: &mut [f32]) -> f32;

    /// The same as [`gradient`](Self::gradient) in float64.
    fn gradient_f64(&self, label: usize, y_pred: &[f64], gradient: &mut [f64]) -> f64;
}

/// Selects the gradient function of a dtype.
pub trait Derivatives: Float {
    fn class_id_gradient(formula: &impl ClassIdLoss, label: usize, y_pred: &[Self], gradient: &mut [Self]) -> Self;
}

macro_rules! derivatives {
    ($($float:ident: $gradient:ident),*) => {$(
        impl Derivatives for $float {
            #[inline(always)]
            fn class_id_gradient(
                formula: &impl ClassIdLoss,
                label: usize,
                y_pred: &[$float],
                gradient: &mut [$float],
            ) -> $float {
                formula.$gradient(label, y_pred, gradient)
            }
        }
    )*};
}
derivatives! { f32: gradient, f64: gradient_f64 }

/// The lengths of the folded axes before, of and after the classes: element `class` of row `(outer, i)` is at
/// `(outer * classes + class) * inner + i`.
pub struct Rows {
    outer: usize,
    classes: usize,
    inner: usize,
}

impl Rows {
    /// Returns the lengths and the shape of the rows, or an error if `y_true` doesn't have one id for each row.
    pub fn new(inputs: &Inputs<'_>, axis: i64) -> Result<(Self, Vec<i64>)> {
        let (y_true, y_pred) = (inputs.y_true()?.shape(), inputs.y_pred()?.shape());
        let axis = axis_of(y_pred, axis)?;
        let (before, after) = (&y_pred[..axis], &y_pred[axis + 1..]);
        let rows = [before, after].concat();
        let fits = y_true == rows
            || (y_true.len() == y_pred.len()
                && y_true[axis] == 1
                && y_true[..axis] == *before
                && y_true[axis + 1..] == *after);
        if !fits {
            return Err(Error::input(format!(
                "y_true of shape {y_true:?} doesn't have a class id for each row of y_pred of shape {y_pred:?}"
            )));
        }
        let classes = y_pred[axis] as usize;
        Ok((Rows { outer: element_count(before), classes, inner: element_count(after) }, rows))
    }
}

/// Computes a loss for a batch, except for rows with the class id `ignored`.
pub fn call<F: Derivatives>(
    formula: &impl ClassIdLoss,
    axis: i64,
    ignored: Option<i64>,
    inputs: &Inputs<'_>,
    output: &mut LossOutput<'_, F>,
    host: &Host<'_>,
) -> Result<LossTotals> {
    let (Rows { outer, classes, inner }, _) = Rows::new(inputs, axis)?;
    let labels = Labels::new(inputs.y_true()?)?;
    check_ids(inputs, classes, ignored, output.upstream, outer * inner)?;
    let y_pred = inputs.y_pred()?.floats::<F>("y_pred")?;
    let (upstream, scale) = (output.upstream, output.scale);
    let layout = Layout { rows: outer, values: inner, derivatives: classes * inner, cost: classes * inner };
    let batch = Batch { formula, y_pred, labels, ignored, upstream, scale, classes, inner };
    run_parallel(layout, output, host, |part| F::run(BatchPart { batch: &batch, part }))
}

/// The arguments of a call that all tasks share.
struct Batch<'a, T, F> {
    formula: &'a T,
    y_pred: &'a [F],
    labels: Labels<'a>,
    ignored: Option<i64>,
    upstream: Option<&'a [F]>,
    scale: F,
    classes: usize,
    inner: usize,
}

/// The loop over the rows of a part.
struct BatchPart<'k, 'a, T, F> {
    batch: &'k Batch<'a, T, F>,
    part: Part<'k, F>,
}

impl<T: ClassIdLoss, F: Derivatives> Kernel for BatchPart<'_, '_, T, F> {
    type Output = LossTotals;

    #[inline(always)]
    fn run(self) -> LossTotals {
        let BatchPart { batch, mut part } = self;
        let Batch { formula, y_pred, ref labels, ignored, upstream, scale, classes, inner } = *batch;
        let mut totals = LossTotals::default();
        // Rows that aren't contiguous are gathered into a buffer, and their gradients scattered back.
        let scattered = inner != 1;
        let mut copies = if scattered { [vec![F::ZERO; classes], vec![F::ZERO; classes]] } else { Default::default() };
        let first = part.rows.start;
        for row in first * inner..part.rows.end * inner {
            let (block, i) = if scattered { (row / inner, row % inner) } else { (row, 0) };
            let (from, at) = (block * classes * inner + i, (block - first) * classes * inner + i);
            let [copy, derivatives] = &mut copies;
            let y_pred = if scattered {
                gather(&y_pred[from..], inner, copy);
                &copy[..]
            } else {
                &y_pred[from..from + classes]
            };
            let label = labels.get(row);
            let upstream = upstream.map_or(F::ONE, |upstream| upstream[row]);
            let counts = ignored != Some(label);
            // Only a row that is ignored or has weight 0 may have an id that isn't a class.
            let class = class(label, classes).filter(|_| counts);
            let value = match part.gradient.as_deref_mut() {
                None => match class {
                    Some(class) => F::of(formula.value(ClassId::new(class), Row::new(F::numbers(y_pred)))),
                    None => F::ZERO,
                },
                Some(gradient) => {
                    let derivatives = if scattered { &mut derivatives[..] } else { &mut gradient[at..at + classes] };
                    let value = one_row(formula, class, y_pred, derivatives, upstream * scale);
                    if scattered {
                        scatter(&copies[1], inner, &mut gradient[at..]);
                    }
                    value
                }
            };
            part.write(row - first * inner, value, counts);
            if counts {
                add(&mut totals, value, upstream);
            }
        }
        totals
    }
}

#[inline(always)]
fn class(label: i64, classes: usize) -> Option<usize> {
    usize::try_from(label).ok().filter(|&label| label < classes)
}

#[inline(always)]
fn one_row<F: Derivatives>(
    formula: &impl ClassIdLoss,
    label: Option<usize>,
    y_pred: &[F],
    derivatives: &mut [F],
    factor: F,
) -> F {
    let Some(label) = label else {
        derivatives.fill(F::ZERO);
        return F::ZERO;
    };
    let value = F::class_id_gradient(formula, label, y_pred, derivatives);
    if factor == F::ZERO {
        derivatives.fill(F::ZERO);
    } else if factor != F::ONE {
        derivatives.iter_mut().for_each(|derivative| *derivative *= factor);
    }
    value
}

#[inline(always)]
fn gather<F: Float>(from: &[F], step: usize, row: &mut [F]) {
    for (value, from) in row.iter_mut().zip(from.iter().step_by(step)) {
        *value = *from;
    }
}

#[inline(always)]
fn scatter<F: Float>(row: &[F], step: usize, to: &mut [F]) {
    for (value, to) in row.iter().zip(to.iter_mut().step_by(step)) {
        *to = *value;
    }
}
