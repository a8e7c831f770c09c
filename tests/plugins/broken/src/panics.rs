//! Components that panic, one for each function that can panic.

use crate::{
    losses::squares,
    metrics::{MeanSquare, SquareSum, add, merge, metrics, result},
    optimizers::descend,
};
use plugfit_api::{
    loss::LossTotals,
    optimizer::{Slot, Start, Update},
    prelude::*,
};

/// Panics if `function` is `here`.
fn panic_in(function: &str, here: &str) {
    assert!(function != here, "told to panic in {here}");
}

macro_rules! losses {
    ($($(#[$doc:meta])* $name:ident in $function:literal),* $(,)?) => {
        $(
            $(#[$doc])*
            #[derive(Config)]
            pub struct $name;

            impl Drop for $name {
                fn drop(&mut self) {
                    panic_in($function, "drop");
                }
            }

            impl Loss for $name {
                fn info(&self) -> LossInfo {
                    panic_in($function, "info");
                    LossInfo::default()
                }
                fn prepare(&mut self, _: &Host<'_>) -> Result<()> {
                    panic_in($function, "prepare");
                    Ok(())
                }
                fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
                    panic_in($function, "output_shape");
                    Ok(inputs.y_pred()?.shape()[..1].to_vec())
                }
                fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
                    panic_in($function, "call");
                    squares(inputs, output)
                }
            }
        )*
    };
}
losses! {
    /// Panics in `info`.
    LossPanicsInInfo in "info",
    /// Panics in `prepare`.
    LossPanicsInPrepare in "prepare",
    /// Panics in `output_shape`.
    LossPanicsInOutputShape in "output_shape",
    /// Panics in `call`.
    LossPanicsInCall in "call",
    /// Panics in `drop`.
    LossPanicsInDrop in "drop",
}

macro_rules! panicking_metrics {
    ($($(#[$doc:meta])* $name:ident in $function:literal),* $(,)?) => {
        $(
            $(#[$doc])*
            #[derive(Config)]
            pub struct $name;

            impl Drop for $name {
                fn drop(&mut self) {
                    panic_in($function, "drop");
                }
            }

            impl MeanSquare for $name {
                fn info(&self) -> MetricInfo {
                    panic_in($function, "info");
                    MetricInfo::new(Direction::Minimize)
                }
                fn prepare(&mut self, _: &Host<'_>) -> Result<()> {
                    panic_in($function, "prepare");
                    Ok(())
                }
                fn init(&self) -> SquareSum {
                    panic_in($function, "init");
                    SquareSum::default()
                }
                fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
                    panic_in($function, "update");
                    add(state, inputs)
                }
                fn merge(&self, state: &mut SquareSum, other: &SquareSum) -> Result<()> {
                    panic_in($function, "merge");
                    merge(state, other)
                }
                fn result(&self, state: &SquareSum) -> Result<Outcome> {
                    panic_in($function, "result");
                    result(state)
                }
            }

            metrics! { $name }
        )*
    };
}
panicking_metrics! {
    /// Panics in `info`.
    MetricPanicsInInfo in "info",
    /// Panics in `prepare`.
    MetricPanicsInPrepare in "prepare",
    /// Panics in `init`.
    MetricPanicsInInit in "init",
    /// Panics in `update`.
    MetricPanicsInUpdate in "update",
    /// Panics in `merge`.
    MetricPanicsInMerge in "merge",
    /// Panics in `result`.
    MetricPanicsInResult in "result",
    /// Panics in `drop`.
    MetricPanicsInDrop in "drop",
}

/// A state that panics when it is dropped.
#[state]
pub struct Bomb(f64);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_in("drop of a state", "drop of a state");
    }
}

/// Panics when its state is dropped.
#[derive(Config)]
pub struct MetricPanicsInDropOfState;

impl Metric for MetricPanicsInDropOfState {
    type State = Bomb;
    fn info(&self) -> MetricInfo {
        MetricInfo::default()
    }
    fn init(&self) -> Bomb {
        Bomb(0.0)
    }
    fn update(&self, bomb: &mut Bomb, inputs: &Inputs<'_>) -> Result<()> {
        inputs.for_each_row(|_, _, weight| bomb.0 += weight)
    }
    fn merge(&self, bomb: &mut Bomb, other: &Bomb) -> Result<()> {
        bomb.0 += other.0;
        Ok(())
    }
    fn result(&self, bomb: &Bomb) -> Result<Outcome> {
        Ok(Outcome::Scalar(bomb.0))
    }
}

macro_rules! optimizers {
    ($($(#[$doc:meta])* $name:ident in $function:literal),* $(,)?) => {
        $(
            $(#[$doc])*
            #[derive(Config)]
            pub struct $name;

            impl Drop for $name {
                fn drop(&mut self) {
                    panic_in($function, "drop");
                }
            }

            impl Optimizer for $name {
                fn prepare(&mut self, _: &Host<'_>) -> Result<()> {
                    panic_in($function, "prepare");
                    Ok(())
                }
                fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
                    panic_in($function, "slots");
                    let filled = |slot| Slot { start: Start::Filled, ..slot };
                    let each = parameters.iter().enumerate();
                    Ok(each.map(|(index, parameter)| filled(Slot::like(index, parameter, "last"))).collect())
                }
                fn fill_slot(
                    &self,
                    _: &[Parameter<'_>],
                    _: usize,
                    _: Option<Tensor<'_>>,
                    _: u64,
                    target: &mut TensorMut<'_>,
                    _: &Host<'_>,
                ) -> Result<()> {
                    panic_in($function, "fill_slot");
                    target.f32s_mut("the slot")?.fill(0.0);
                    Ok(())
                }
                fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
                    panic_in($function, "update");
                    descend(update, 1.0)?;
                    for entry in update.entries.iter_mut() {
                        entry.slots[0].f32s_mut("the slot")?.copy_from_slice(entry.value.f32s_mut("the parameter")?);
                    }
                    Ok(())
                }
                fn finalize(&self, _: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
                    panic_in($function, "finalize");
                    Ok(())
                }
            }
        )*
    };
}
optimizers! {
    /// Panics in `prepare`.
    OptimizerPanicsInPrepare in "prepare",
    /// Panics in `slots`.
    OptimizerPanicsInSlots in "slots",
    /// Panics in `fill_slot`.
    OptimizerPanicsInFillSlot in "fill_slot",
    /// Panics in `update`.
    OptimizerPanicsInUpdate in "update",
    /// Panics in `finalize`.
    OptimizerPanicsInFinalize in "finalize",
    /// Panics in `drop`.
    OptimizerPanicsInDrop in "drop",
}

/// Always panics.
#[derive(Config)]
pub struct SchedulePanics;

impl Schedule for SchedulePanics {
    fn learning_rate(&self, _: &When) -> f64 {
        panic!("told to panic in learning_rate")
    }
}

/// Panics if the step doesn't fit in 32 bits.
#[derive(Config)]
pub struct SchedulePanicsLate;

impl Schedule for SchedulePanicsLate {
    fn learning_rate(&self, when: &When) -> f64 {
        1.0 / (f64::from(u32::try_from(when.step).expect("told to panic late")) + 1.0)
    }
}
