//! Write an optimizer, a loss, a metric or a schedule for plugfit, as a crate of your own.
//!
//! A plug-in is a shared library that a plugfit host, built long before or long after it, finds in a folder. Its components are named in a
//! compile call as Keras's own are: `metrics = ["accuracy", "calibration>BrierScore"]`.
//!
//! # A whole crate
//!
//! `plugfit new metric brier` makes one; by hand it is two files. `Cargo.toml`:
//!
//! ```toml
//! [package]
//! name = "brier"
//! version = "0.1.0"
//! edition = "2024"
//!
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//!
//! [dependencies]
//! plugfit-api = "0.1"
//! ```
//!
//! and `src/lib.rs`:
//!
//! ```
//! //! Metrics and losses that Keras lacks.
//! use plugfit_api::prelude::*;
//!
//! /// Brier score: the squared distance between the predicted probabilities and what happened. Brier 1950.
//! #[derive(Config)]
//! pub struct BrierScore;
//!
//! impl MeanMetric for BrierScore {
//!     const DIRECTION: Direction = Direction::Minimize;
//!     fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
//!         y_true.iter().zip(y_pred).map(|(t, p)| (p - t).powi(2)).sum()
//!     }
//! }
//!
//! /// Tukey's biweight: bounded, so that one outlier can't drag the fit. Beaton & Tukey 1974.
//! #[derive(Config)]
//! pub struct Tukey {
//!     /// Residuals beyond it count no more, in units of y.
//!     #[config(default = 4.685, above = 0.0)]
//!     c: f64,
//! }
//!
//! #[formula]
//! impl ElementwiseLoss for Tukey {
//!     fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
//!         let u = ((y_true - y_pred) / self.c).clamp(-1.0, 1.0);
//!         (R::from(1.0) - (R::from(1.0) - u * u).powi(3)) * (self.c * self.c / 6.0)
//!     }
//! }
//!
//! export_plugin! { losses: [Tukey], metrics: [BrierScore] }
//!
//! #[test]
//! fn holds_what_a_plugin_must() {
//!     plugfit_api::testing::check(plugin());
//! }
//! # fn main() {
//! #     plugfit_api::testing::check(plugin());
//! # }
//! ```
//!
//! `cargo build --release`, put `target/release/libbrier.so` into a plug-in folder, and the next compile call has it. The gradient, weights,
//! masks, the mean over an axis, SIMD, threads, reading and checking the configuration, the page of `plugfit show`, saving, loading and
//! merging come from these lines alone.
//!
//! # Configuration
//!
//! [`derive(Config)`](macro@Config) makes a component of a struct. Its name is the struct's, its aliases the name in snake case and those of
//! `#[config(aliases("…"))]`; its documentation is the doc comment. Each field is a setting, with `default = …` (an `Option` has none without
//! it), `range = 0.0..=1.0`, `above = …` and `below = …`. A number is finite, unless the setting is marked `infinite`. What the host gives to all components of a kind is no field: `name`, a loss's
//! `reduction`, an optimizer's `learning_rate`, `weight_decay`, `clipnorm` and so on; their defaults are set with
//! `#[config(base(learning_rate = 0.01))]`. Conditions that bounds can't say go into a function: `#[config(check = Self::check)]`.
//! What batches it takes, and which laws of its kind don't apply to it, is declared for its tests:
//! [`#[config(trial(…))]`](testing#what-a-component-declares).
//!
//! ```
//! use plugfit_api::prelude::*;
//!
//! /// How distances are measured.
//! #[derive(Clone, Copy, Choice)]
//! pub enum Norm {
//!     /// By absolute value: `"l1"` in a configuration.
//!     L1,
//!     /// By square: `"l2"`.
//!     L2,
//! }
//!
//! /// The distance between predictions and a band around the labels.
//! #[derive(Config)]
//! #[config(aliases("band"), check = Self::check)]
//! pub struct BandLoss {
//!     /// Where the band begins, below the label.
//!     #[config(default = -0.5)]
//!     below: f64,
//!     /// Where it ends, above the label.
//!     #[config(default = 0.5)]
//!     above: f64,
//!     /// How to measure.
//!     #[config(default = "l2")]
//!     norm: Norm,
//! }
//!
//! impl BandLoss {
//!     fn check(&self) -> Result<()> {
//!         if self.below < self.above { Ok(()) } else { Err(Error::config("below", "must be less than above")) }
//!     }
//! }
//!
//! #[formula]
//! impl ElementwiseLoss for BandLoss {
//!     fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
//!         let off = y_pred - y_true;
//!         let outside = (off - self.above).max(R::from(0.0)) + (-off + self.below).max(R::from(0.0));
//!         match self.norm {
//!             Norm::L1 => outside,
//!             Norm::L2 => outside * outside,
//!         }
//!     }
//! }
//!
//! export_plugin! { losses: [BandLoss] }
//! # fn main() {
//! #     plugfit_api::testing::check(plugin());
//! # }
//! ```
//!
//! # Losses, at three levels
//!
//! [`ElementwiseLoss`](loss::ElementwiseLoss) is a formula of two numbers, written once for any [`Real`]: the host's loop runs it in SIMD
//! registers, and its derivative comes from dual numbers, or from [`derivative`](loss::ElementwiseLoss::derivative) where yours is better.
//! [`RowLoss`](loss::RowLoss) is a function of a row, with its gradient; [`Loss`](loss::Loss) has the whole arrays, for losses across the
//! batch, with inputs of their own, or with a mask of their own. A formula of the first two kinds may be listed under `metrics` as well, and
//! then is the weighted mean of its values; the host does the same with the name of any loss among the metrics.
//!
//! ## In float64
//!
//! A loss is called with float32 tensors, unless its user asks for `dtype="float64"`. Formulas of the first two kinds do both: `R` is float64
//! then, and a [`RowLoss`](loss::RowLoss) has its gradient from dual numbers unless
//! [`gradient_f64`](loss::RowLoss::gradient_f64) is written. A [`Loss`](loss::Loss) that computes in float64 implements
//! [`call_f64`](loss::Loss::call_f64) and says so by [`LossInfo::float64`](loss::LossInfo::float64); any other refuses float64. Write both
//! calls as one function, generic over [`Float`].
//!
//! # Metrics
//!
//! [`MeanMetric`](metric::MeanMetric) is the mean of a value for each row, element or class id. Everything else is a
//! [`Metric`](metric::Metric): a state, how a batch gets into it, how two are merged, and what they come to. There is no value of a batch that
//! somebody could average. [`Inputs`] walks over labels and predictions with their weights. A row of weight 0 changes nothing, even where it
//! is NaN, and NaN in any other row gives NaN or an error: a comparison loses NaN, and a result is good by mistake.
//!
//! ```
//! use plugfit_api::prelude::*;
//!
//! /// The greatest error seen.
//! #[derive(Config)]
//! pub struct MaxError;
//!
//! #[state]
//! #[derive(Default)]
//! pub struct Greatest(Option<f64>);
//!
//! /// The greater of two, or NaN if one is NaN, which `f64::max` would leave out.
//! fn greater(one: f64, other: f64) -> f64 {
//!     if one > other || one.is_nan() { one } else { other }
//! }
//!
//! impl Metric for MaxError {
//!     type State = Greatest;
//!     fn info(&self) -> MetricInfo {
//!         MetricInfo::new(Direction::Minimize)
//!     }
//!     fn init(&self) -> Greatest {
//!         Greatest::default()
//!     }
//!     fn update(&self, greatest: &mut Greatest, inputs: &Inputs<'_>) -> Result<()> {
//!         let mut found = greatest.0;
//!         inputs.for_each(|y_true, y_pred, weight| {
//!             if weight != 0.0 {
//!                 found = Some(greater(found.unwrap_or(0.0), (y_pred - y_true).abs()));
//!             }
//!         })?;
//!         greatest.0 = found; // on an error the state is as it was
//!         Ok(())
//!     }
//!     fn merge(&self, greatest: &mut Greatest, other: &Greatest) -> Result<()> {
//!         if let Some(other) = other.0 {
//!             greatest.0 = Some(greater(greatest.0.unwrap_or(0.0), other));
//!         }
//!         Ok(())
//!     }
//!     fn result(&self, greatest: &Greatest) -> Result<Outcome> {
//!         Ok(greatest.0.map_or(Outcome::Undefined, Outcome::Scalar))
//!     }
//! }
//!
//! export_plugin! { metrics: [MaxError] }
//! # fn main() {
//! #     plugfit_api::testing::check(plugin());
//! # }
//! ```
//!
//! # Optimizers and schedules
//!
//! [`ElementwiseOptimizer`](optimizer::ElementwiseOptimizer) is the formula of one parameter, its gradient and its slots; what is the same for
//! all of them (bias corrections, the learning rate) is computed once a step. [`Optimizer`](optimizer::Optimizer) has whole tensors, and all of
//! them at once. Clipping, weight decay, averages of the weights, gradient accumulation and schedules are the host's, for every optimizer.
//!
//! ```
//! use plugfit_api::prelude::*;
//!
//! /// Lion: the sign of a blend of the gradient and its average. Chen et al. 2023.
//! #[derive(Config)]
//! pub struct Lion {
//!     /// The average's share in a step.
//!     #[config(default = 0.9, range = 0.0..1.0)]
//!     beta_1: f64,
//!     /// How much of the average stays.
//!     #[config(default = 0.99, range = 0.0..1.0)]
//!     beta_2: f64,
//! }
//!
//! #[formula]
//! impl ElementwiseOptimizer<1> for Lion {
//!     type Numbers = (f32, f32, f32);
//!     fn slots(&self) -> Vec<(&'static str, f64)> {
//!         vec![("momentum", 0.0)]
//!     }
//!     fn numbers(&self, step: &Step) -> Self::Numbers {
//!         (step.learning_rate as f32, self.beta_1 as f32, self.beta_2 as f32)
//!     }
//!     fn update(&self, &(rate, b1, b2): &Self::Numbers, value: f32, gradient: f32, [average]: [f32; 1]) -> (f32, [f32; 1]) {
//!         let blend = b1 * average + (1.0 - b1) * gradient;
//!         let sign = if blend == 0.0 { 0.0 } else { blend.signum() };
//!         (value - rate * sign, [b2 * average + (1.0 - b2) * gradient])
//!     }
//! }
//!
//! /// A straight rise, then constant.
//! #[derive(Config)]
//! pub struct Warmup {
//!     /// The rate in the end.
//!     #[config(default = 0.001, range = 0.0..)]
//!     rate: f64,
//!     /// The steps of the rise.
//!     #[config(default = 100.0, above = 0.0)]
//!     steps: f64,
//! }
//!
//! impl Schedule for Warmup {
//!     fn learning_rate(&self, when: &When) -> f64 {
//!         self.rate * ((when.step as f64 + 1.0) / self.steps).min(1.0)
//!     }
//! }
//!
//! export_plugin! { optimizers: [Lion], schedules: [Warmup] }
//! # fn main() {
//! #     plugfit_api::testing::check(plugin());
//! # }
//! ```
//!
//! # Calling back
//!
//! A component that wraps another (Lookahead around an optimizer, a sum of losses) has an [`Identifier`](config::Identifier) as a setting and
//! resolves it in `prepare` with [`Host::loss`], [`Host::optimizer`] or [`Host::schedule`]; it may be one of any plug-in. [`Host::parallel`]
//! shares the host's threads, [`Host::warn`] and its siblings write into its log, and [`Host::is_cancelled`] says when to stop.
//!
//! # What to know
//!
//! * A panic, in `Drop` too, is caught at the boundary and becomes an error of the call; the process that hosts you goes on.
//! * An update that needs arrays of its own takes them from [`Scratch`], so that it allocates in a thread's first batches only.
//! * Instances are used by several threads at once (`Send + Sync`); a metric's state by one at a time.
//! * Nothing of a plug-in runs until it is used: `plugfit list` and `show` read what `export_plugin!` wrote into the file.
//! * Components go by `Name`, or by `plug-in>Name` where two plug-ins have the same; the plug-in's name is the crate's, without a leading `plugfit-`.
//! * A saved configuration carries a version, `#[config(version = 2)]`, and a metric's state has [`STATE_VERSION`](metric::Metric::STATE_VERSION).
//! * In C, or any language that makes shared libraries, a loss is a function: see `include/plugfit.h`.
#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]
// The guide shows whole crates, tests included; hidden lines run what the tests would.
#![allow(clippy::test_attr_in_doctest)]
extern crate self as plugfit_api;

pub mod config;
mod error;
#[doc(hidden)]
pub mod export;
mod inputs;
pub mod instance;
mod labels;
mod lanes;
pub mod loss;
pub mod manifest;
pub mod metric;
pub mod optimizer;
pub mod real;
pub mod schedule;
mod shape;
mod walk;

pub use config::Config;
pub use error::{Error, Result};
pub use export::{
    host::Host,
    nested::{NestedLoss, NestedOptimizer, NestedSchedule},
    testing,
};
pub use inputs::{Inputs, Prediction};
pub use lanes::{
    float::Float,
    scratch::Scratch,
    tensor::{Element, Tensor, TensorMut},
};
pub use plugfit_macros::{formula, state, Choice, Config};
pub use real::{Dual, Plain, Real};

#[doc(hidden)]
pub use {plugfit_abi as abi, serde, serde_json};

/// What an author needs, at once.
pub mod prelude {
    pub use crate::{
        config::Identifier,
        export_plugin, formula,
        loss::{ElementwiseLoss, Loss, LossInfo, LossOutput, LossTotals, RowLoss, Targets},
        metric::{Direction, Each, MeanMetric, Metric, MetricInfo, Outcome},
        optimizer::{ElementwiseOptimizer, Entry, Optimizer, OptimizerInfo, Parameter, Slot, Start, Step, Update},
        schedule::{Schedule, When},
        state, Choice, Config, Error, Host, Inputs, Real, Result, Tensor, TensorMut,
    };
}
