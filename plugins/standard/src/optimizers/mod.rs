//! Optimizers, one file for each family. The host implements clipping, weight decay, weight averages and gradient
//! accumulation.

mod adafactor;
mod adagrad;
mod adam;
mod examples;
mod ftrl;
mod lamb;
mod lion;
mod loss_scale;
mod multi;
mod muon;
mod orthogonal;
mod parts;
mod rmsprop;
mod schedule_free;
mod sgd;

pub use adafactor::Adafactor;
pub use adagrad::{Adadelta, Adagrad};
pub use adam::{Adam, AdamW, Adamax, Nadam};
pub use ftrl::Ftrl;
pub use lamb::Lamb;
pub use lion::Lion;
pub use loss_scale::LossScaleOptimizer;
pub use multi::MultiOptimizer;
pub use muon::Muon;
pub use rmsprop::RmsProp;
pub use schedule_free::ScheduleFreeAdamW;
pub use sgd::Sgd;

use plugfit_api::{Error, Real, Result, optimizer::Entry};

/// A lower bound for the epsilon added to a root of squares: the root of the smallest normal float32. Smaller squares
/// may underflow, and a step divided by a smaller number isn't bounded. With 0, a step without a gradient is NaN.
const LEAST_EPSILON: f64 = 1.084_202_172_485_504_4e-19;

/// The same lower bound for an epsilon added to squares inside the root: the smallest normal float32.
const LEAST_EPSILON_OF_SQUARES: f64 = f32::MIN_POSITIVE as f64;

/// Returns the square, at most the greatest float32. An infinite square would turn a moving average into NaN.
#[inline(always)]
fn bounded<R: Real>(square: R) -> R {
    let most = R::from(f32::MAX.into());
    R::select(square.gt(most), most, square)
}

/// Returns `1 - beta^number`, the bias correction of a moving average. Computed without cancellation, since 1 - beta is
/// small.
fn correction<R: Real>(beta: f64, number: R) -> R {
    -(number * beta.ln()).exp_m1()
}

/// The values, gradient and first `N` slots of a parameter; `None` without a gradient.
type Slices<'a, const N: usize> = Option<(&'a mut [f32], &'a [f32], [&'a mut [f32]; N])>;

/// Borrows the values, gradient and first `N` slots of an entry.
///
/// # Errors
/// Returns an error if a slot is missing or a tensor isn't float32.
fn slices<'e, const N: usize>(entry: &'e mut Entry<'_>) -> Result<Slices<'e, N>> {
    let Some(gradient) = entry.gradient else { return Ok(None) };
    let mut given = entry.slots.iter_mut();
    let mut failure = None;
    let slots = [(); N].map(|()| {
        let slot = given.next().ok_or_else(|| Error::state("a slot is missing"));
        slot.and_then(|slot| slot.f32s_mut("a slot")).unwrap_or_else(|error| {
            failure.get_or_insert(error);
            &mut []
        })
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(Some((entry.value.f32s_mut("a parameter")?, gradient.f32s("a gradient")?, slots))),
    }
}
