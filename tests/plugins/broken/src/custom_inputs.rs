//! Components with custom inputs, and components that declare settings for their test batches or exclude laws.

use crate::{losses::squares, optimizers::descend};
use plugfit_api::{
    loss::LossTotals,
    optimizer::{Slot, Update},
    prelude::*,
};

/// Weighted sums over the rows.
#[state]
#[derive(Default)]
pub struct Sums {
    distance: f64,
    weight: f64,
}

/// Adds the squared distances between embeddings, multiplied by a third input.
fn distances(sums: &mut Sums, inputs: &Inputs<'_>) -> Result<()> {
    let (anchor, other) = (inputs.get("anchor")?, inputs.get("other")?);
    let sign = inputs.get("sign")?;
    if anchor.shape() != other.shape() || sign.len() != anchor.rows_and_columns().0 {
        return Err(Error::input("anchor and other have the same shape, and sign a number for each row"));
    }
    let (rows, columns) = anchor.rows_and_columns();
    for row in 0..rows {
        let weight = inputs.weight().map_or(1.0, |weight| weight.get_f64(row));
        let cells = row * columns..(row + 1) * columns;
        let square: f64 = cells.map(|i| (anchor.get_f64(i) - other.get_f64(i)).powi(2)).sum();
        sums.distance += weight * sign.get_f64(row) * square;
        sums.weight += weight;
    }
    Ok(())
}

macro_rules! pair_metric {
    ($(#[$doc:meta])* $name:ident, $merge:expr) => {
        $(#[$doc])*
        #[derive(Config)]
        #[config(example = r#"{"anchor": [[1, 2], [0, 1], [4, 4]], "other": [[1, 1], [2, 1], [4, 2]], "sign": [1, 1, 2], "gives": 4.333333333}"#)]
        pub struct $name;

        impl Metric for $name {
            type State = Sums;
            fn info(&self) -> MetricInfo {
                MetricInfo { inputs: ["anchor", "other", "sign"].map(str::to_owned).to_vec(), ..MetricInfo::new(Direction::Minimize) }
            }
            fn init(&self) -> Sums {
                Sums::default()
            }
            fn update(&self, sums: &mut Sums, inputs: &Inputs<'_>) -> Result<()> {
                distances(sums, inputs)
            }
            fn merge(&self, sums: &mut Sums, other: &Sums) -> Result<()> {
                let merge: fn(&mut Sums, &Sums) -> Result<()> = $merge;
                merge(sums, other)
            }
            fn result(&self, sums: &Sums) -> Result<Outcome> {
                Ok(Outcome::ratio(sums.distance, sums.weight))
            }
        }
    };
}

pair_metric! {
    /// The mean distance of pairs. Satisfies every law.
    GoodPairs, |sums, other| {
        sums.distance += other.distance;
        sums.weight += other.weight;
        Ok(())
    }
}

pair_metric! {
    /// The mean distance of pairs. Loses a weight when it merges.
    MergesPairsWrongly, |sums, other| {
        sums.distance += other.distance;
        sums.weight = sums.weight.max(other.weight);
        Ok(())
    }
}

/// Computes the squared distance to y_pred plus the margin of the row `margin_of(row)`.
fn with_margin(inputs: &Inputs<'_>, output: &mut LossOutput<'_>, margin_of: fn(usize) -> usize) -> Result<LossTotals> {
    let (target, y_pred, margin) = (inputs.get("target")?, inputs.y_pred()?, inputs.get("margin")?);
    let (target, y_pred, margin) = (target.f32s("target")?, y_pred.f32s("y_pred")?, margin.f32s("margin")?);
    if target.len() != y_pred.len() || margin.len() != y_pred.len() {
        return Err(Error::input("target, y_pred and margin have the same shape"));
    }
    let mut totals = LossTotals { count: y_pred.len() as f64, ..LossTotals::default() };
    for row in 0..y_pred.len() {
        let (error, weight) = (y_pred[row] - target[row], output.upstream(row));
        let value = error * error + margin[margin_of(row)];
        totals.value += f64::from(value * weight);
        totals.weight += f64::from(weight);
        if let Some(values) = output.values.as_deref_mut() {
            values[row] = value;
        }
        let derivative = 2.0 * error * weight * output.scale;
        if let Some(gradient) = output.gradient(1)? {
            gradient[row] = derivative;
        }
    }
    Ok(totals)
}

macro_rules! margin_loss {
    ($(#[$doc:meta])* $name:ident, $row:expr) => {
        $(#[$doc])*
        #[derive(Config)]
        #[config(example = r#"{"target": [0, 1, 2], "y_pred": [1, 1, 4], "margin": [0.5, 0.5, 1], "gives": [1.5, 0.5, 5]}"#)]
        pub struct $name;

        impl Loss for $name {
            fn info(&self) -> LossInfo {
                LossInfo { inputs: ["target", "y_pred", "margin"].map(str::to_owned).to_vec(), ..LossInfo::default() }
            }
            fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
                Ok(inputs.y_pred()?.shape().to_vec())
            }
            fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
                with_margin(inputs, output, $row)
            }
        }
    };
}

margin_loss! {
    /// A distance with a margin for each row. Satisfies every law.
    GoodMargins, |row| row
}

margin_loss! {
    /// A distance with the margin of the previous row.
    MixesMargins, |row| row.saturating_sub(1)
}

/// The distance between two columns. Panics for any other number of columns.
#[derive(Config)]
#[config(trial(columns = 2, except(direction = "it doesn't look at y_true")))]
pub struct GoodTwoColumns;

impl MeanMetric for GoodTwoColumns {
    const DIRECTION: Direction = Direction::Minimize;
    fn check(&self, inputs: &Inputs<'_>) -> Result<()> {
        assert!(inputs.y_pred()?.shape().last() == Some(&2), "two columns are wanted");
        Ok(())
    }
    fn value<R: Real>(&self, _: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        (y_pred.get(0) - y_pred.get(1)).abs()
    }
}

/// Steps uphill, to maximise a function.
#[derive(Config)]
#[config(trial(except(quadratic = "it climbs", valley = "it climbs", rosenbrock = "it climbs")))]
pub struct GoodClimber;

impl Optimizer for GoodClimber {
    fn slots(&self, _: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        Ok(Vec::new())
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        descend(update, -1.0)
    }
}

/// Checks that the sizes of the groups sum to the number of rows.
fn check_groups(groups: Tensor<'_>, rows: usize) -> Result<()> {
    let sum: f64 = (0..groups.len()).map(|i| groups.get_f64(i)).sum();
    match sum == rows as f64 {
        true => Ok(()),
        false => Err(Error::input(format!("groups of {sum} rows together, and there are {rows}"))),
    }
}

/// The mean square of grouped rows. The sizes of the groups are an input.
#[derive(Config)]
#[config(
    example = r#"{"y_true": [[0], [1], [2], [4]], "y_pred": [[1], [1], [2], [2]], "groups": [1, 3], "gives": [1, 0, 0, 4]}"#
)]
pub struct GoodGroups;

impl Loss for GoodGroups {
    fn info(&self) -> LossInfo {
        LossInfo { inputs: ["y_true", "y_pred", "groups"].map(str::to_owned).to_vec(), ..LossInfo::default() }
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        check_groups(inputs.get("groups")?, inputs.y_pred()?.rows_and_columns().0)?;
        squares(inputs, output)
    }
}

/// The mean of grouped scores. The sizes of the groups are an input.
#[derive(Config)]
#[config(example = r#"{"scores": [1, 2, 3, 6], "groups": [1, 3], "gives": 3}"#)]
pub struct GoodGroupMean;

impl Metric for GoodGroupMean {
    type State = Sums;
    fn info(&self) -> MetricInfo {
        let inputs = ["scores", "groups"].map(str::to_owned).to_vec();
        MetricInfo { inputs, ..MetricInfo::new(Direction::Maximize) }
    }
    fn init(&self) -> Sums {
        Sums::default()
    }
    fn update(&self, sums: &mut Sums, inputs: &Inputs<'_>) -> Result<()> {
        let scores = inputs.get("scores")?;
        check_groups(inputs.get("groups")?, scores.len())?;
        scores.for_each_f64(|score| sums.distance += score);
        sums.weight += scores.len() as f64;
        Ok(())
    }
    fn merge(&self, sums: &mut Sums, other: &Sums) -> Result<()> {
        sums.distance += other.distance;
        sums.weight += other.weight;
        Ok(())
    }
    fn result(&self, sums: &Sums) -> Result<Outcome> {
        Ok(Outcome::ratio(sums.distance, sums.weight))
    }
}

pair_metric! {
    /// The mean distance of pairs. Its merge fails with an error about the shape of an input.
    RefusesToMerge, |_, _| Err(Error::input("the other state has another shape"))
}

/// The squared distance of each target to a single prediction.
#[derive(Config)]
#[config(example = r#"{"target": [0, 1, 2], "y_pred": [1], "gives": [1, 0, 1]}"#)]
pub struct GoodLevel;

impl Loss for GoodLevel {
    fn info(&self) -> LossInfo {
        LossInfo { inputs: ["target", "y_pred"].map(str::to_owned).to_vec(), ..LossInfo::default() }
    }
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        Ok(inputs.get("target")?.shape().to_vec())
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let (target, y_pred) = (inputs.get("target")?.f32s("target")?, inputs.y_pred()?.f32s("y_pred")?);
        let &[level] = y_pred else { return Err(Error::input("y_pred is a single number")) };
        let mut totals = LossTotals { count: target.len() as f64, ..LossTotals::default() };
        let mut derivative = 0.0;
        for (row, target) in target.iter().enumerate() {
            let weight = output.upstream(row);
            totals.value += f64::from((level - target).powi(2) * weight);
            totals.weight += f64::from(weight);
            derivative += 2.0 * (level - target) * weight * output.scale;
            if let Some(values) = output.values.as_deref_mut() {
                values[row] = (level - target).powi(2);
            }
        }
        if let Some(gradient) = output.gradient(1)? {
            gradient[0] = derivative;
        }
        Ok(totals)
    }
}

/// The mean square of rows with very many columns.
#[derive(Config)]
#[config(trial(columns = 4096))]
pub struct GoodWide;

impl Loss for GoodWide {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        squares(inputs, output)
    }
}

/// A distance whose minimum isn't at the truth. The loss and the metric have the same name.
#[derive(Config)]
#[config(trial(except(truth = "its least value is beside the truth")))]
pub struct GoodBoth;

#[formula]
impl ElementwiseLoss for GoodBoth {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        let off = y_pred - y_true - R::from(0.25);
        off * off
    }
}

/// The share of correct ids. Accepts only unsigned 64-bit integers.
#[derive(Config)]
pub struct GoodIds;

impl Metric for GoodIds {
    type State = Sums;
    fn info(&self) -> MetricInfo {
        MetricInfo { dtypes: vec![vec!["uint64".to_owned()]; 2], ..MetricInfo::new(Direction::Maximize) }
    }
    fn init(&self) -> Sums {
        Sums::default()
    }
    fn update(&self, sums: &mut Sums, inputs: &Inputs<'_>) -> Result<()> {
        let (y_true, y_pred) = (inputs.y_true()?, inputs.y_pred()?);
        let ids = (y_true.as_slice::<u64>(), y_pred.as_slice::<u64>());
        let (Some(y_true), Some(y_pred)) = ids else { return Err(Error::input("ids are uint64")) };
        if y_true.len() != y_pred.len() {
            return Err(Error::input("y_true and y_pred have the same shape"));
        }
        for (row, (y_true, y_pred)) in y_true.iter().zip(y_pred).enumerate() {
            let weight = inputs.weight().map_or(1.0, |weight| weight.get_f64(row));
            sums.distance += weight * f64::from(u8::from(y_true == y_pred));
            sums.weight += weight;
        }
        Ok(())
    }
    fn merge(&self, sums: &mut Sums, other: &Sums) -> Result<()> {
        sums.distance += other.distance;
        sums.weight += other.weight;
        Ok(())
    }
    fn result(&self, sums: &Sums) -> Result<Outcome> {
        Ok(Outcome::ratio(sums.distance, sums.weight))
    }
}
