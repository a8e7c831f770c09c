use crate::{Error, Handle};
use abi_stable::{
    std_types::{RResult, RString},
    StableAbi,
};

/// The id of [`FormulaV1`].
pub const FORMULA_V1: &str = "plugfit.formula/1";

/// The formulas of a plug-in's components, as data. Each function takes a handle of the table of its kind
/// ([`LossV1`](crate::LossV1) and so on) of the same plug-in.
///
/// A component without a formula returns `ERROR_UNSUPPORTED`, and its message says why there is none.
///
/// # The document
///
/// A formula is a JSON object:
///
/// ```json
/// {
///   "version": 1,
///   "inputs": [["y_true", "element"], ["y_pred", "element"]],
///   "nodes": [["sub", 1, 0], ["mul", 2, 2], ["add", 2, 2]],
///   "outputs": [["value", 3], ["derivative", 4]],
///   "axis": -1
/// }
/// ```
///
/// Node number `i` is input number `i`, or, after the inputs, the next entry of `nodes`. A node refers only to nodes
/// before it. Its first entry is the operation; an integer after it is the number of a node, and a string of 16
/// hexadecimal digits is a constant, the bits of a float64. A reader treats an operation that it doesn't know as "no
/// formula", and ignores keys that it doesn't know.
///
/// Every node is a number or a mask, and has a level:
/// * `scalar`: one number for the whole call. Constants are scalars.
/// * `row`: one number for each row.
/// * `element`: one number for each element of a row.
///
/// The level of a node is the highest level of its arguments (`element` above `row` above `scalar`). Arithmetic is that
/// of IEEE 754, in the dtype of the inputs and at least in float32.
///
/// | operation | result |
/// |---|---|
/// | `const` *c* | the constant |
/// | `neg` x, `add` x y, `sub` x y, `mul` x y, `div` x y | arithmetic |
/// | `abs` x, `sqrt` x | absolute value; root, NaN below 0 |
/// | `exp` x, `exp_m1` x | `e^x`; `e^x - 1`, exact near 0 |
/// | `ln` x, `ln_1p` x | logarithm, NaN below 0; `ln(1 + x)`, exact near 0 |
/// | `tanh` x, `sigmoid` x, `softplus` x | hyperbolic tangent; `1 / (1 + e^-x)`; `ln(1 + e^x)` without overflow |
/// | `floor` x, `cos` x | the greatest whole number not above x, of which the derivative is 0; the cosine of x in radians |
/// | `power_of` x *c* | `c^x` for `c >= 0` |
/// | `powf` x *c* | `x^c` for `x >= 0`; fallback `exp(c ln(x))` with `0^0 = 1` |
/// | `powi` x *c* | `x^c` for any x and a whole number c |
/// | `max` x y, `min` x y | NaN if an argument is NaN |
/// | `flush` x | 0 if \|x\| is below the least normal float32 (1.1754943508222875e-38), else x; engines without slow subnormal numbers may return x |
/// | `detach` x | x, as a constant of which the derivative is 0; where the result doesn't depend on x, such as a maximum that is subtracted before `exp` |
/// | `lt` x y, `le` x y, `gt` x y, `ge` x y, `eq` x y | a mask; false if an argument is NaN |
/// | `and` a b, `or` a b, `not` a | a mask of masks |
/// | `select` a x y | x where the mask holds, else y; a value that isn't selected never makes the result NaN |
/// | `row_sum` x, `row_max` x | a row of an element: the sum; the maximum, NaN if one is NaN |
/// | `row_before` x, `row_after` x | an element of an element: the sum of the elements before it in its row, and of those after it; 0 if there are none |
/// | `batch_sum` x | a scalar of a row: the sum over all rows |
/// | `batch_all` a | a scalar mask of a mask: whether it holds for all values of the batch that are in use |
/// | `row_len` | a scalar: the number of elements in a row |
/// | `index` | an element: the number of the element in its row, from 0 |
/// | `at` x i | a row of an element x and a row i of class ids, or a scalar i: the element number i; NaN if i is no whole number from 0 to length - 1 |
///
/// # Inputs and outputs of each kind
///
/// | kind | inputs | outputs |
/// |---|---|---|
/// | loss | `y_true` (element, or row for class ids), `y_pred` (element) | `value`; optional `derivative` and `derivative_y_true` |
/// | optimizer | `learning_rate`, `number` (scalar), `parameter`, `gradient`, `slot.NAME` … (element) | `parameter`, `slot.NAME` … |
/// | schedule | `step` (scalar) | `learning_rate` |
/// | metric that is a mean | `y_true` (element, or row for class ids), `y_pred` (element), optional `mean` (scalar) | `value`; optional `result` (scalar) |
/// | metric of sums | `y_true` (element, or row for class ids), `y_pred` (element) | `term.NAME` and optional `bin.NAME` … |
/// | result of sums | `NAME` … (scalar or element) | `result`; optional `undefined` (scalar) |
///
/// * **Loss.** Rows lie along `axis`; null: the whole batch is one row. If `value` is an element, the loss of a row is
///   its mean over the elements. `derivative` is that of `value` with respect to `y_pred`, and `derivative_y_true` that
///   with respect to `y_true`, element by element. If `value` is an element and `derivative` is absent, the formula
///   isn't differentiable.
/// * **Optimizer.** The elements of the parameter are one row. `learning_rate` is that of the step, and `number` the number of the update, from 1. `slots` is a
///   list of pairs of a name and a constant, the initial value. Clipping, weight decay and averages aren't part of it.
/// * **Metric that is a mean.** The result is the weighted mean of `value`, or, if `result` is present, that function of the
///   `mean`. The
///   key `each` is the unit that has a value: `"row"` (along the last axis), `"class_id"` (an id and a row), `"element"`,
///   or `"line"` (along `axis`; an engine refuses a batch of rank 1, a line over all samples). If it is `"row"` or `"class_id"`, each number of a batch of rank 1 is a row. Without the
///   key, the values are those of a loss. A metric of `values` has that input (element) instead of `y_true` and `y_pred`.
/// * **Metric of sums.** The key `sums` is an object:
///
///   ```json
///   {"bins": 201, "by_column": false, "result": {"version": 1, "inputs": [["positives", "element"]], …}}
///   ```
///
///   The state consists of one sum for each output `term.NAME`, in their order. A unit is an element if the output or
///   `each` is one, and otherwise a row. The term of each unit is multiplied by the weight of the unit and added to the sum
///   `NAME`. A unit of weight 0 adds nothing, even if its term is NaN. Units are weighted as given: a sample isn't the mean
///   of its elements. `each` and `axis` are those of a mean.
///   * If `bins` is more than 1, each sum has that many numbers, and the term is added to the one with the number
///     `bin.NAME`. If that is no whole number from 0 to `bins - 1`, nothing is added. `bins` is at most 2^24, and all sums
///     together have at most 2^25 bins.
///   * If `by_column` is true, each column of a row has sums of its own, and the unit of every term is an element.
///   * `result` is the document of the result as a formula of the sums. A sum of a single number is a `scalar`. Otherwise it
///     is an `element`: the bins are one row, or the columns are one row, or, with both, there is a row of bins for each
///     column. If the output `result` is a scalar, the result is one number; if it is an element, it is an array of the
///     first `result_length` numbers of the row, or of all without this key in `sums`. A row counts as a scalar if there is one
///     row, and is an array of the columns otherwise. The result is undefined if `undefined` is present and not 0, in any
///     row.
#[repr(C)]
#[derive(StableAbi)]
pub struct FormulaV1 {
    /// The formula of a loss.
    pub loss: unsafe extern "C" fn(loss: Handle) -> RResult<RString, Error>,
    /// The formula of a metric.
    pub metric: unsafe extern "C" fn(metric: Handle) -> RResult<RString, Error>,
    /// The formula of an optimizer.
    pub optimizer: unsafe extern "C" fn(optimizer: Handle) -> RResult<RString, Error>,
    /// The formula of a schedule.
    pub schedule: unsafe extern "C" fn(schedule: Handle) -> RResult<RString, Error>,
}
