//! Write an optimizer, a loss, a metric or a learning-rate schedule for plugfit, in a crate of your own.
//!
//! A plug-in is a shared library that exports one or more components. A plugfit host, built before or after the
//! plug-in, finds the library in a folder and loads it. Users name the components in a compile call as they name those
//! of Keras: `metrics = ["accuracy", "calibration>BrierScore"]`.
//!
//! # A complete crate
//!
//! `plugfit new metric brier` creates such a crate. By hand it takes two files. `Cargo.toml`:
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
//! plugfit-api = "0.2"
//!
//! [dev-dependencies]
//! plugfit-api = { version = "0.2", features = ["testing"] }
//! ```
//!
//! and `src/lib.rs`:
//!
//! ```
//! //! Metrics and losses that Keras lacks.
//! use plugfit_api::prelude::*;
//!
//! /// Brier score: the squared distance between predicted probabilities and outcomes. Brier 1950.
//! #[derive(Config)]
//! pub struct BrierScore;
//!
//! impl MeanMetric for BrierScore {
//!     const DIRECTION: Direction = Direction::Minimize;
//!     fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
//!         y_true.zip(y_pred).sum(|t, p| (p - t).powi(2))
//!     }
//! }
//!
//! /// Tukey's biweight: bounded, which limits the influence of an outlier. Beaton & Tukey 1974.
//! #[derive(Config)]
//! pub struct Tukey {
//!     /// The loss is constant for residuals beyond this, in units of y.
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
//! fn follows_the_rules_for_plugins() {
//!     plugfit_api::testing::check(plugin());
//! }
//! # fn main() {
//! #     plugfit_api::testing::check(plugin());
//! # }
//! ```
//!
//! Run `cargo build --release` and copy `target/release/libbrier.so` into a plug-in folder. The next compile call finds
//! it. The crate and the host provide everything else: gradients, weights, masks, reduction, SIMD, threads,
//! configuration checks, the page of `plugfit show`, and saving, loading and merging of states.
//!
//! # The life of a plug-in
//!
//! 1. **Find.** The host lists the shared libraries of each plug-in folder, sorted by name, without subfolders. The
//!    folders are those of the run file, `--plugins`, `$PLUGFIT_PLUGINS`, `plugins` beside the program, and
//!    `~/.local/share/plugfit/plugins`. The host scans them again at every compile call and skips files that haven't
//!    changed.
//! 2. **Vet.** The host reads the file and checks its bytes. No code of the plug-in runs. The checks cover the owner
//!    and mode of the file, lock and signature if the user requires them, the ELF headers, the libraries that it links,
//!    the ABI version and the manifest. The manifest is JSON that [`export_plugin!`] writes at compile time: the
//!    components, their settings and their documentation. `plugfit list` and `plugfit show` stop here. A plug-in built
//!    with `panic = "abort"` is refused unless it runs in a worker process.
//! 3. **Load.** The thread that scans loads the vetted bytes, from a copy that nobody can write. (`--load-in-place`
//!    loads the file itself.) Static initialisers of the library run now. The host reads the root that `export_plugin!`
//!    exported, compares its manifest with the one in the file, asks it for the function table of each kind, and checks
//!    the table's size and layout. **A library is never unloaded**: its statics live until the process ends. If a newer
//!    version replaces the file, the host loads that beside the old library, which existing components continue to use.
//!    With `--isolate` a worker process loads the library instead, when the first component is created.
//! 4. **Create.** When a user names a component, the host calls the plug-in's `create` with the name and the
//!    configuration as JSON, on the thread that resolves the name. `create` reads and checks the configuration with
//!    [`Config::from_json`], and then calls `prepare`, where a component requests nested components. It moves the
//!    component to the heap and returns a handle, which the host owns. A compile call creates the optimizer; losses and
//!    metrics are created at the first batch.
//! 5. **Call.** The host calls the component through its handle and passes `&self`. Different threads may do so at the
//!    same time, but a metric's state is used by one thread at a time. Tensors, strings and the [`Host`] are borrowed
//!    for the call. A panic is caught and becomes the error of that call; a metric's state that was being changed is
//!    refused until it is reset or loaded.
//! 6. **Drop.** When the last user of a component is gone, the host calls `release` once, on the thread that dropped
//!    it. This drops your struct, and with it the nested components that it stores. The host releases a metric's states
//!    before the metric. A panic in `Drop` is caught and written to stderr. The host callbacks outlive every component.
//!
//! # Configuration
//!
//! [`derive(Config)`](macro@Config) turns a struct into the configuration of a component:
//!
//! * The component's name is the struct's name. Its aliases are that name in snake case and those in
//!   `#[config(aliases("…"))]`. Its documentation is the doc comment.
//! * Each field is a setting, with `default = …`, `range = 0.0..=1.0`, `above = …` and `below = …`. An `Option` without
//!   `default` is `None`. A number must be finite, unless the setting is marked `infinite`.
//! * Settings that the host provides for all components of a kind aren't fields: `name`, a loss's `reduction`, an
//!   optimizer's `learning_rate`, `weight_decay`, `clipnorm` and so on. `#[config(base(learning_rate = 0.01))]` sets
//!   their defaults.
//! * `#[config(check = Self::check)]` names a function for conditions that bounds can't express.
//! * [`#[config(trial(…))]`](testing#what-a-component-declares) declares, for the tests, which batches the component
//!   accepts and which laws of its kind don't apply to it.
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
//! /// The distance of a prediction from a band around the label.
//! #[derive(Config)]
//! #[config(aliases("band"), check = Self::check)]
//! pub struct BandLoss {
//!     /// The lower end of the band, relative to the label.
//!     #[config(default = -0.5)]
//!     below: f64,
//!     /// The upper end of the band, relative to the label.
//!     #[config(default = 0.5)]
//!     above: f64,
//!     /// The norm of the distance.
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
//! # Losses
//!
//! A loss is written at one of three levels:
//!
//! 1. [`ElementwiseLoss`](loss::ElementwiseLoss) is a formula of one label and one prediction, generic over [`Real`].
//!    The loop around it uses SIMD. Its derivative is computed with dual numbers, or by
//!    [`derivative`](loss::ElementwiseLoss::derivative) if you override it.
//! 2. [`RowLoss`](loss::RowLoss) is a function of a [`Row`] of labels and one of predictions, with its gradient.
//! 3. [`Loss`](loss::Loss) sees whole arrays: for losses across the batch, or with their own inputs or mask.
//!
//! A loss of level 1 or 2 may also be listed under `metrics`: the metric is the weighted mean of the loss's values. A
//! user may name any loss among the metrics; the host then computes the same mean.
//!
//! ## In float64
//!
//! A loss is called with float32 tensors, unless its user asks for `dtype="float64"`. Levels 1 and 2 support both: `R`
//! is then a float64, and the gradient of a [`RowLoss`](loss::RowLoss) comes from dual numbers unless you override
//! [`gradient_f64`](loss::RowLoss::gradient_f64). A [`Loss`](loss::Loss) that computes in float64 implements
//! [`call_f64`](loss::Loss::call_f64) and sets [`LossInfo::float64`](loss::LossInfo::float64); any other refuses
//! float64. To implement both calls, write one function that is generic over [`Float`].
//!
//! # Metrics
//!
//! [`MeanMetric`](metric::MeanMetric) is the weighted mean of a value for each row, element or class id, or a function
//! of that mean, such as its root ([`result`](metric::MeanMetric::result)). Every other metric is a
//! [`Metric`](metric::Metric): a state, and functions that update it with a batch, merge two states and compute the
//! result. The result is computed from the state and never averaged over batches. [`Inputs`] iterates over labels,
//! predictions and weights. A row of weight 0 changes nothing, even if it contains NaN. NaN in any other row must give
//! NaN or an error; beware of comparisons, which ignore NaN.
//!
//! ```
//! use plugfit_api::prelude::*;
//!
//! /// The greatest absolute error.
//! #[derive(Config)]
//! pub struct MaxError;
//!
//! #[state]
//! #[derive(Default)]
//! pub struct Greatest(Option<f64>);
//!
//! /// Returns the greater of two numbers, or NaN if one is NaN; `f64::max` would ignore the NaN.
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
//!         greatest.0 = found; // after `?`: an error leaves the state unchanged
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
//! [`ElementwiseOptimizer<N, M>`](optimizer::ElementwiseOptimizer) is a formula of one parameter, its gradient and its
//! slots, of which there are at most `N`. [`numbers`](optimizer::ElementwiseOptimizer::numbers) computes, once for each
//! step, the `M` numbers that all elements share: the learning rate, bias corrections, constants.
//! [`update`](optimizer::ElementwiseOptimizer::update) receives them. Both are generic over [`Real`]. On a CPU,
//! `numbers` is computed in float64 and its result is rounded to float32, in which `update` is computed. A
//! [`FormulaStep`](optimizer::FormulaStep) has the learning rate and the number of the update, counted from 1, as
//! numbers of the formula: an engine compiles the formula once for all steps. The formula can't branch on them.
//!
//! [`Optimizer`](optimizer::Optimizer) sees the whole tensors of all parameters at once. The host implements clipping,
//! weight decay, weight averages, gradient accumulation and schedules for every optimizer.
//!
//! A [`FormulaSchedule`](schedule::FormulaSchedule) is a formula of the number of steps before this one. A
//! [`Schedule`](schedule::Schedule) sees the epoch and the number of steps per epoch too.
//!
//! ```
//! use plugfit_api::prelude::*;
//!
//! /// Lion: the sign of a blend of the gradient and its average. Chen et al. 2023.
//! #[derive(Config)]
//! pub struct Lion {
//!     /// The weight of the average in a step.
//!     #[config(default = 0.9, range = 0.0..1.0)]
//!     beta_1: f64,
//!     /// The decay rate of the average.
//!     #[config(default = 0.99, range = 0.0..1.0)]
//!     beta_2: f64,
//! }
//!
//! #[formula]
//! impl ElementwiseOptimizer<1, 5> for Lion {
//!     fn slots(&self) -> Vec<(&'static str, f64)> {
//!         vec![("momentum", 0.0)]
//!     }
//!     fn numbers<R: Real>(&self, step: &FormulaStep<R>) -> [R; 5] {
//!         let [b1, c1, b2, c2] = [self.beta_1, 1.0 - self.beta_1, self.beta_2, 1.0 - self.beta_2].map(R::from);
//!         [step.learning_rate, b1, c1, b2, c2]
//!     }
//!     fn update<R: Real>(&self, n: &[R; 5], value: R, gradient: R, [average]: [R; 1]) -> (R, [R; 1]) {
//!         let &[rate, b1, c1, b2, c2] = n;
//!         let blend = b1 * average + c1 * gradient;
//!         (value - rate * blend.sign(), [b2 * average + c2 * gradient])
//!     }
//! }
//!
//! /// A linear warm-up to a constant rate.
//! #[derive(Config)]
//! pub struct Warmup {
//!     /// The learning rate after the warm-up.
//!     #[config(default = 0.001, range = 0.0..)]
//!     rate: f64,
//!     /// The length of the warm-up in steps.
//!     #[config(default = 100.0, above = 0.0)]
//!     steps: f64,
//! }
//!
//! impl FormulaSchedule for Warmup {
//!     fn learning_rate<R: Real>(&self, step: R) -> R {
//!         ((step + 1.0) / self.steps).min(R::from(1.0)) * self.rate
//!     }
//! }
//!
//! export_plugin! { optimizers: [Lion], schedules: [Warmup] }
//! # fn main() {
//! #     plugfit_api::testing::check(plugin());
//! # }
//! ```
//!
//! # Formulas
//!
//! The value of an [`ElementwiseLoss`](loss::ElementwiseLoss), a [`RowLoss`](loss::RowLoss) or a
//! [`MeanMetric`](metric::MeanMetric), the update of an [`ElementwiseOptimizer`](optimizer::ElementwiseOptimizer), and
//! the rate of a [`FormulaSchedule`](schedule::FormulaSchedule), are formulas: functions that are generic over a number
//! [`R: Real`](Real). The crate calls each with several types of numbers:
//!
//! | `R` | result |
//! |---|---|
//! | [`Plain<f32>`](Plain), `Plain<f64>` | the value, in a loop that uses SIMD |
//! | [`Dual`] | the value and its derivative |
//! | [`Traced`](formula::Traced) | the formula itself: each operation is recorded as an entry of a list |
//!
//! The host asks a component for the recorded list through the interface `plugfit.formula/1`. From it, NumPy, JAX,
//! PyTorch and Keras compute the component themselves: in compiled functions, on GPUs, with second derivatives. An
//! author writes nothing for that. The test `formula` of [`testing`] compares the recorded formula, and its derivative,
//! with the compiled functions. To see a formula, run `plugfit show Tukey --formula`; `--latex` prints it as LaTeX.
//!
//! ## Comparisons
//!
//! A number that records has no value, so a formula can't branch on a number. [`Real`] has no operators `<` and `==`:
//!
//! ```compile_fail,E0369
//! # use plugfit_api::prelude::*;
//! # /// Zero up to a margin, and the distance from it beyond.
//! # #[derive(Config)]
//! # pub struct Beyond {
//! #     /// The margin, in units of y.
//! #     #[config(default = 1.0, range = 0.0..)]
//! #     margin: f64,
//! # }
//! #[formula]
//! impl ElementwiseLoss for Beyond {
//!     fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
//!         let error = (y_pred - y_true).abs();
//!         let margin = R::from(self.margin);
//!         if error < margin { R::from(0.0) } else { error - margin }
//!     }
//! }
//! ```
//!
//! ```text
//! error[E0369]: binary operation `<` cannot be applied to type `R`
//!    |
//!    |         if error < margin { R::from(0.0) } else { error - margin }
//!    |            ----- ^ ------ R
//! ```
//!
//! The compiler suggests the bound `PartialOrd`, which the trait's function doesn't have. Compare with
//! [`lt`](Real::lt), [`le`](Real::le), [`gt`](Real::gt), [`ge`](Real::ge) or [`eq`](Real::eq) instead. They return a
//! [`Mask`]; masks are combined with `&`, `|` and `!`. [`R::select`](Real::select) computes both alternatives and
//! returns one of them. It never returns NaN because of the other.
//!
//! ```
//! # use plugfit_api::prelude::*;
//! # /// Zero up to a margin, and the distance from it beyond.
//! # #[derive(Config)]
//! # pub struct Beyond {
//! #     /// The margin, in units of y.
//! #     #[config(default = 1.0, range = 0.0..)]
//! #     margin: f64,
//! # }
//! #[formula]
//! impl ElementwiseLoss for Beyond {
//!     fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
//!         let error = (y_pred - y_true).abs();
//!         let margin = R::from(self.margin);
//!         R::select(error.lt(margin), R::from(0.0), error - margin)
//!     }
//! }
//! # export_plugin! { losses: [Beyond] }
//! # fn main() {
//! #     plugfit_api::testing::check(plugin());
//! # }
//! ```
//!
//! A formula may branch on a setting (`if self.from_logits`, `match self.norm`) and loop as often as a setting says: it
//! is recorded anew for each configuration.
//!
//! ## Numbers and rows
//!
//! [`Real`] has the arithmetic operators, between numbers and with a constant `f64` on the right, and these functions:
//!
//! | functions | |
//! |---|---|
//! | `R::from(constant)` | a constant or a setting |
//! | `lt`, `le`, `gt`, `ge`, `eq`, `R::select` | comparison and selection |
//! | `min`, `max`, `clamp`, `abs`, `sign` | `sign` is -1, 0 or 1; at a kink the derivative is the mean of both sides |
//! | `exp`, `exp_m1`, `ln`, `ln_1p`, `tanh`, `sqrt`, `cos`, `floor`, `ceil` | |
//! | `powi(n)`, `powf(c)`, `power_of(c)` | `x^n` for a whole number n; `x^c` for x >= 0; `c^x` for c >= 0 |
//! | `sigmoid`, `softplus` | `1 / (1 + exp(-x))`; `ln(1 + exp(x))` without overflow |
//! | `detach` | the same number, whose derivative is 0: for a number that doesn't change the result, such as a maximum that is subtracted before `exp` |
//! | `flush_subnormal` | 0 instead of a subnormal float32, on which a CPU computes many times slower: for slots that decay |
//!
//! A [`Row`] holds the numbers of a row. Functions of a row reduce it to one number. A formula can't iterate over the
//! elements, because in a recorded formula one element stands for all.
//!
//! | function | result |
//! |---|---|
//! | `row.sum(\|x\| term)`, `row.mean(\|x\| term)`, `row.max(\|x\| term)` | reduction of a term, which depends on the element |
//! | `row.log_sum_exp()` | logarithm of the sum of exponentials, without overflow |
//! | `row.argmax()` | position of the first greatest element, from 0 |
//! | `row.count()` | number of elements |
//! | `row.at(class)` | element of a [`ClassId`]; NaN if there is no such class |
//! | `row.get(i)` | element at the constant position `i` |
//! | `row.single()`, `row.class_id()` | the only element, as a number or as a class id |
//! | `y_true.zip(y_pred)` | [`Pairs`], with `sum`, `mean` and `max` of a term of two elements |
//!
//! ## Formulas of components of whole arrays
//!
//! A [`Loss`](loss::Loss), a [`Metric`](metric::Metric) or an [`Optimizer`](optimizer::Optimizer) has a formula if it
//! implements `formula` ([of a loss](loss::Loss::formula), [of a metric](metric::Metric::formula), [of an
//! optimizer](optimizer::Optimizer::formula)). It records it with a function of
//! [`Formula`](formula::Formula):
//!
//! | function | formula |
//! |---|---|
//! | [`of_elements`](formula::Formula::of_elements) | a loss of one label and one prediction, with its derivative |
//! | [`of_rows`](formula::Formula::of_rows) | a loss of a row of labels and one of predictions |
//! | [`of_rows_with_derivative`](formula::Formula::of_rows_with_derivative) | the same with a derivative, if you know a shorter one than that which is computed from the value, operation by operation |
//! | [`of_class_ids`](formula::Formula::of_class_ids) | a loss of a class id and a row of predictions |
//! | [`of_mean`](formula::Formula::of_mean) | a metric that is the weighted mean of a value |
//! | [`of_parameter`](formula::Formula::of_parameter) | an optimizer's update of one parameter, whose elements are a row |
//!
//! ```
//! # use plugfit_api::{formula::Formula, prelude::*};
//! # struct LargestError;
//! # impl LargestError {
//! /// The greatest error in a row, along the last axis.
//! fn formula(&self) -> Result<Formula> {
//!     Formula::of_rows(Some(-1), |y_true, y_pred| y_true.zip(y_pred).max(|t, p| (p - t).abs()))
//! }
//! # }
//! # LargestError.formula().unwrap();
//! ```
//!
//! A [`RowLoss`](loss::RowLoss::formula) whose derivative is short overrides its `formula` too.
//!
//! ## Components without a formula
//!
//! These have none: a [`Loss`](loss::Loss), a [`Metric`](metric::Metric) or an [`Optimizer`](optimizer::Optimizer) that
//! doesn't implement `formula`, a [`Schedule`](schedule::Schedule), and a function in C. Nor has a configuration for
//! which `formula` returns [`Error::unsupported`], for which a formula calls [`formula::refuse`], or whose record has
//! more than 4096 operations. Such a component works as before: the host calls its compiled code, on the CPU. An engine
//! that can't call it refuses the component with an error that says so. `plugfit show NAME --formula` prints the reason
//! why there is no formula, and `formula()` in Python raises an error with it.
//!
//! A formula returns no errors. Where an engine computes it, the ranges of
//! [`labels`](loss::ElementwiseLoss::labels) aren't checked, and the value of an id that is no class is NaN.
//!
//! # Calling the host
//!
//! A component that wraps another one (Lookahead around an optimizer, a sum of losses) has an
//! [`Identifier`](config::Identifier) as a setting. It resolves the identifier in `prepare` with [`Host::loss`],
//! [`Host::optimizer`] or [`Host::schedule`]; the nested component may be from any plug-in. [`Host::parallel`] runs
//! tasks on the host's threads. [`Host::warn`], [`Host::info`] and [`Host::debug`] write to its log.
//! [`Host::is_cancelled`] reports whether a long call should stop.
//!
//! # Rules and conventions
//!
//! * A panic is caught at the boundary and becomes an error; the host process continues.
//! * An update that needs temporary arrays takes them from [`Scratch`]. It then allocates only in the first batches of
//!   a thread.
//! * Components must be `Send + Sync`: several threads use one at the same time. A metric's state is used by one thread
//!   at a time.
//! * No code of a plug-in runs before the plug-in is loaded: `plugfit list` and `plugfit show` read the manifest from
//!   the file.
//! * Users write `Name`, or `plug-in>Name` if two plug-ins have a component of that name. The plug-in's name is the
//!   crate's, without a leading `plugfit-`.
//! * A saved configuration carries the version in `#[config(version = 2)]`, and a metric's state that in
//!   [`STATE_VERSION`](metric::Metric::STATE_VERSION).
//! * The feature `testing` adds the module [`testing`]. List it under `dev-dependencies`: without the module, a release
//!   build of a plug-in is a quarter faster.
//! * The feature `ndarray` adds `view` to [`Tensor`] and `view_mut` to [`TensorMut`], which return their elements as
//!   arrays of that crate.
//! * In C, or any other language that can build shared libraries, a loss can be a function: see `include/plugfit.h`.
#![warn(missing_docs)]
// The guide shows complete crates with their tests; hidden lines run the tests' bodies.
#![allow(clippy::test_attr_in_doctest)]
extern crate self as plugfit_api;

mod catch_panics;
pub mod config;
mod error;
#[doc(hidden)]
pub mod export;
pub mod formula;
mod host;
mod inputs;
pub mod instance;
mod kernels;
mod labels;
pub mod loss;
pub mod manifest;
pub mod metric;
mod nested;
mod numeric;
pub mod optimizer;
pub mod real;
mod row;
#[doc(hidden)]
pub mod row_kernels;
pub mod schedule;
#[doc(hidden)]
pub mod shape;
mod tensor;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "ndarray")]
mod views;
mod walk;
mod weights;

pub use config::Config;
pub use error::{Error, Result};
pub use host::Host;
pub use inputs::Inputs;
pub use kernels::{float::Float, scratch::Scratch};
pub use nested::{NestedLoss, NestedOptimizer, NestedSchedule};
pub use plugfit_macros::{formula, state, Choice, Config};
pub use real::{ClassId, Dual, Mask, Plain, Real};
pub use row::{Pairs, Row};
pub use tensor::{Element, Tensor, TensorMut};
pub use walk::Prediction;

#[doc(hidden)]
pub use {plugfit_abi as abi, serde, serde_json};

/// The items that most plug-ins use.
pub mod prelude {
    pub use crate::{
        config::Identifier,
        export_plugin, formula,
        loss::{ElementwiseLoss, Loss, LossInfo, LossOutput, LossTotals, RowLoss, Targets},
        metric::{Direction, Each, MeanMetric, Metric, MetricInfo, Outcome},
        optimizer::{
            ElementwiseOptimizer, Entry, FormulaStep, Optimizer, OptimizerInfo, Parameter, Slot, Start, Step, Update,
        },
        schedule::{FormulaSchedule, Schedule, When},
        state, Choice, Config, Error, Host, Inputs, Real, Result, Row, Tensor, TensorMut,
    };
}
