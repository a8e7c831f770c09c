//! A metric of a plug-in, or the mean of a loss's values, with its state.

use plugfit_api::metric::{Direction, MetricInfo, Outcome};
use plugfit_api::{Inputs, Tensor};
use serde_json::{Map, Value, json};

use super::arguments::{Arguments, DtypeCache, InputDtypes};
use super::combine::{Combiner, check_weight};
use super::keys::Keys;
use super::loss::LossMean;
use super::named::{NamedTensors, check_further, check_known, further_inputs, no_inputs};
use super::values::Output;
use crate::formula::Formula;
use crate::plugin::{self, Kind, MetricState};
use crate::{Error, Result};

/// A metric with its name and its state.
pub struct Metric {
    name: String,
    source: Source,
    dtypes: InputDtypes,
    combiner: Combiner,
}

enum Source {
    Metric { metric: plugin::Metric, state: MetricState },
    Loss(Box<LossMean>),
}

impl Source {
    fn info(&self) -> &MetricInfo {
        match self {
            Source::Metric { metric, .. } => metric.info(),
            Source::Loss(mean) => &mean.info,
        }
    }
}

impl Metric {
    /// Creates a metric with the host's key of its configuration: name.
    ///
    /// # Errors
    /// Returns an error if a key is unknown or invalid, or if the plug-in fails.
    pub fn new(metric: plugin::Metric, base: Map<String, Value>) -> Result<Self> {
        let name = Self::named(metric.name(), base)?;
        let state = metric.new_state()?;
        Ok(Self::from_source(name, Source::Metric { metric, state }))
    }

    /// Creates the weighted mean of a loss's values; lower is better.
    ///
    /// # Errors
    /// Returns an error if one of the host's keys is unknown or invalid.
    pub fn of_loss(loss: plugin::Loss, mut base: Map<String, Value>) -> Result<Self> {
        // The reduction of the loss doesn't apply to the metric.
        base.remove("reduction");
        let name = Self::named(loss.name(), base)?;
        Ok(Self::from_source(name, Source::Loss(Box::new(LossMean::new(loss)))))
    }

    fn from_source(name: String, source: Source) -> Self {
        let info = source.info();
        let y_pred = if takes_values(info) { "values" } else { "y_pred" };
        let dtypes = InputDtypes::declared(y_pred, &info.inputs, &info.dtypes, &["float32", "float64"]);
        Metric { name, source, dtypes, combiner: Combiner::default() }
    }

    /// Returns the same metric with a state that has seen no data. Both use one instance of the plug-in, so that nothing is
    /// configured again.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn with_new_state(&self) -> Result<Self> {
        let source = match &self.source {
            Source::Metric { metric, .. } => Source::Metric { metric: metric.clone(), state: metric.new_state()? },
            Source::Loss(mean) => Source::Loss(Box::new(mean.with_new_state())),
        };
        let (name, dtypes) = (self.name.clone(), self.dtypes.clone());
        Ok(Metric { name, source, dtypes, combiner: Combiner::default() })
    }

    /// Returns whether the other metric uses the same instance of the plug-in.
    fn shares_instance(&self, other: &Metric) -> bool {
        match (&self.source, &other.source) {
            (Source::Metric { metric, .. }, Source::Metric { metric: other, .. }) => metric.is_instance_of(other),
            (Source::Loss(mean), Source::Loss(other)) => mean.loss.is_instance_of(&other.loss),
            _ => false,
        }
    }

    /// Returns the name in the host's keys. The dtype has no effect, but must be valid.
    fn named(class: &str, base: Map<String, Value>) -> Result<String> {
        let mut keys = Keys::new(Kind::Metric, class, base)?;
        keys.dtype()?;
        keys.name()
    }

    /// Returns the name in the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the class.
    pub fn class_name(&self) -> &str {
        match &self.source {
            Source::Metric { metric, .. } => metric.name(),
            Source::Loss(mean) => mean.loss.name(),
        }
    }

    /// Returns the class name with its package, `package>Name`; without the package for the standard set.
    pub fn full_name(&self) -> String {
        match &self.source {
            Source::Metric { metric, .. } => metric.full_name(),
            Source::Loss(mean) => mean.loss.full_name(),
        }
    }

    /// Returns whether it is the mean of a loss's values.
    pub fn is_of_loss(&self) -> bool {
        matches!(self.source, Source::Loss(_))
    }

    /// Returns the properties that depend on the configuration.
    pub fn info(&self) -> &MetricInfo {
        self.source.info()
    }

    /// Returns the direction in which the metric is better.
    pub fn direction(&self) -> Direction {
        self.info().direction
    }

    /// Returns the formula, or the reason why there is none. That of the mean of a loss's values is that of the loss.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails or its formula is invalid.
    pub fn formula(&self) -> Result<std::result::Result<Formula, String>> {
        match &self.source {
            Source::Metric { metric, .. } => metric.formula(),
            Source::Loss(mean) => mean.loss.formula(),
        }
    }

    /// Checks that further inputs of these names are all those that are declared.
    ///
    /// # Errors
    /// Returns an error that names the first unknown or missing one.
    pub fn check_inputs(&self, names: &[&str]) -> Result<()> {
        check_further(&self.name, &self.info().inputs, names)
    }

    /// Returns the complete configuration.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn get_config(&self) -> Result<Map<String, Value>> {
        let mut config = match &self.source {
            Source::Metric { metric, .. } => metric.config()?,
            Source::Loss(mean) => mean.loss.config()?,
        };
        config.insert("name".into(), json!(self.name));
        Ok(config)
    }

    /// Returns whether the metric takes values alone instead of targets and predictions.
    pub(crate) fn takes_values(&self) -> bool {
        takes_values(self.info())
    }

    /// Updates the state with an output of a batch. A metric that takes only values gets the predictions. `cache` has the
    /// output's arrays in other dtypes.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`update_state`](Self::update_state), or if the output has no
    /// targets.
    pub(crate) fn update_with(&mut self, output: &Output<'_>, weighted: bool, cache: &mut DtypeCache) -> Result<()> {
        let Metric { name, source, dtypes, combiner } = self;
        let Arguments { y_true, y_pred, weight, mask, further } = cache.arguments(output, weighted, dtypes)?;
        let takes_values = takes_values(source.info());
        if further_inputs(&source.info().inputs).next().is_some() {
            let mut given = further;
            given.push(if takes_values { "values" } else { "y_pred" }, y_pred)?;
            y_true.filter(|_| !takes_values).map_or(Ok(()), |y_true| given.push("y_true", y_true))?;
            return update_named(source, combiner, name, &given, weight, mask);
        }
        let targets = || y_true.ok_or_else(|| Error::usage(format!("the metric {name} needs targets")));
        match source {
            Source::Metric { state, .. } if takes_values => {
                update(state, combiner, &[("values", y_pred)], weight, mask)
            }
            Source::Metric { state, .. } => {
                update(state, combiner, &[("y_true", targets()?), ("y_pred", y_pred)], weight, mask)
            }
            Source::Loss(mean) => mean.update(targets()?, y_pred, &further, weight, mask),
        }
    }

    /// Updates the state with a batch of inputs by name: all those that the metric declares, in any order. Otherwise as
    /// [`update_state`](Self::update_state).
    ///
    /// # Errors
    /// Returns an error if an input is missing, if the metric doesn't declare one, or under the same conditions as
    /// [`update_state`](Self::update_state).
    pub fn update(
        &mut self,
        inputs: &[(&str, Tensor<'_>)],
        weight: Option<Tensor<'_>>,
        mask: Option<Tensor<'_>>,
    ) -> Result<()> {
        let Metric { name, source, combiner, .. } = self;
        check_known(name, &source.info().inputs, inputs.iter().map(|(name, _)| *name))?;
        update_named(source, combiner, name, &NamedTensors::of(inputs)?, weight, mask)
    }

    /// Updates the state with a batch. Masked values have weight 0, and values with weight 0 are ignored. Negative
    /// weights are used as they are.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, if a weight is NaN, if the metric has further inputs, or if the plug-in
    /// fails.
    pub fn update_state(
        &mut self,
        y_true: Tensor<'_>,
        y_pred: Tensor<'_>,
        weight: Option<Tensor<'_>>,
        mask: Option<Tensor<'_>>,
    ) -> Result<()> {
        self.check_no_further()?;
        match &mut self.source {
            Source::Metric { state, .. } => {
                update(state, &mut self.combiner, &[("y_true", y_true), ("y_pred", y_pred)], weight, mask)
            }
            Source::Loss(mean) => mean.update(y_true, y_pred, &NamedTensors::default(), weight, mask),
        }
    }

    /// Updates the state with values, for a metric that takes only values.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, if the metric takes more than values, or if the plug-in fails.
    pub fn update_values(
        &mut self,
        values: Tensor<'_>,
        weight: Option<Tensor<'_>>,
        mask: Option<Tensor<'_>>,
    ) -> Result<()> {
        self.check_no_further()?;
        match &mut self.source {
            Source::Metric { state, .. } => update(state, &mut self.combiner, &[("values", values)], weight, mask),
            Source::Loss(_) => Err(Error::usage(format!("{} needs y_true and y_pred", self.name))),
        }
    }

    fn check_no_further(&self) -> Result<()> {
        let further = further_inputs(&self.info().inputs).next();
        further.map_or(Ok(()), |name| Err(super::missing(&self.name, name)))
    }

    /// Returns the result.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn result(&self) -> Result<Outcome> {
        match &self.source {
            Source::Metric { state, .. } => state.result(),
            Source::Loss(mean) => Ok(mean.result()),
        }
    }

    /// Resets the state.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn reset_state(&mut self) -> Result<()> {
        match &mut self.source {
            Source::Metric { metric, state } => {
                // A state that a panic left inconsistent can't be reset, but it can be replaced.
                state.reset().or_else(|_| metric.new_state().map(|new| *state = new))
            }
            Source::Loss(mean) => {
                mean.reset();
                Ok(())
            }
        }
    }

    /// Merges the state of another metric of the same class and configuration.
    ///
    /// # Errors
    /// Returns an error if the metrics can't be merged.
    pub fn merge_state(&mut self, other: &Metric) -> Result<()> {
        let settings = |metric: &Metric| -> Result<Map<String, Value>> {
            let mut config = metric.get_config()?;
            config.remove("name");
            Ok(config)
        };
        let differs =
            || -> Result<bool> { Ok(self.full_name() == other.full_name() && settings(self)? != settings(other)?) };
        if !self.shares_instance(other) && differs()? {
            return Err(Error::usage(format!("the state of {} belongs to other settings", other.name)));
        }
        match (&mut self.source, &other.source) {
            (Source::Metric { metric, state }, Source::Metric { metric: other_metric, state: other_state })
                if metric.full_name() == other_metric.full_name() =>
            {
                state.merge(other_state)
            }
            (Source::Loss(mean), Source::Loss(other_state))
                if mean.loss.full_name() == other_state.loss.full_name() =>
            {
                mean.merge(other_state);
                Ok(())
            }
            _ => Err(Error::usage(format!(
                "the state of {} can't be merged into that of {}",
                other.class_name(),
                self.class_name()
            ))),
        }
    }

    /// Saves the state as bytes, bit for bit.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn get_state(&self) -> Result<Vec<u8>> {
        let (version, state) = match &self.source {
            Source::Metric { state, .. } => state.save()?,
            Source::Loss(mean) => (LossMean::VERSION, mean.save()),
        };
        let mut bytes = version.to_le_bytes().to_vec();
        bytes.extend_from_slice(&state);
        Ok(bytes)
    }

    /// Restores a state from [`get_state`](Self::get_state). On an error the state is unchanged.
    ///
    /// # Errors
    /// Returns an error if the bytes belong to a different metric, or are damaged.
    pub fn set_state(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((version, bytes)) = bytes.split_first_chunk::<4>() else {
            return Err(Error::failure(format!("the saved state of {} is cut short", self.name)));
        };
        let version = u32::from_le_bytes(*version);
        match &mut self.source {
            Source::Metric { metric, state } => *state = metric.load_state(version, bytes)?,
            Source::Loss(mean) => mean.load(version, bytes)?,
        }
        Ok(())
    }
}

impl std::fmt::Debug for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.class_name())
    }
}

fn takes_values(info: &MetricInfo) -> bool {
    info.inputs.first().is_some_and(|input| input == "values")
}

/// Updates the state with those of the inputs that the metric declares.
fn update_named(
    source: &mut Source,
    combiner: &mut Combiner,
    name: &str,
    given: &NamedTensors<'_>,
    weight: Option<Tensor<'_>>,
    mask: Option<Tensor<'_>>,
) -> Result<()> {
    match source {
        Source::Metric { metric, state } => {
            let ordered = given.in_order(name, &metric.info().inputs)?.array();
            let (tensors, count) = ordered.ok_or_else(|| no_inputs(name))?;
            update(state, combiner, &tensors[..count], weight, mask)
        }
        Source::Loss(mean) => {
            let (y_true, y_pred) = (given.get(name, "y_true")?, given.get(name, "y_pred")?);
            mean.update(y_true, y_pred, given, weight, mask)
        }
    }
}

fn update(
    state: &mut MetricState,
    combiner: &mut Combiner,
    tensors: &[(&str, Tensor<'_>)],
    weight: Option<Tensor<'_>>,
    mask: Option<Tensor<'_>>,
) -> Result<()> {
    let combined = match mask {
        None => None,
        Some(_) => combiner.combine(weight, mask)?,
    };
    let weight = match &combined {
        None => weight,
        Some(combined) => Some(Tensor::new(combined.values, combined.shape.lengths())),
    };
    weight.as_ref().map_or(Ok(()), check_weight)?;
    state.update(&Inputs::new(tensors, weight, None))
}

#[cfg(all(test, feature = "builtin"))]
mod tests {
    use super::*;

    #[test]
    fn metrics_with_new_states_share_the_settings_and_merge() {
        let host = crate::Host::new();
        // Sums of these numbers are exact in any order.
        let (labels, scores) = ([0.0f32, 1.0, 1.0, 0.0], [0.25f32, 0.875, 0.375, 0.625]);
        for identifier in ["BinaryAccuracy(threshold=0.3, name='accuracy')", "Huber(delta=0.5)"] {
            let update = |metric: &mut Metric, rows: std::ops::Range<usize>| {
                let shape = [rows.len() as i64, 1];
                let (y_true, y_pred) = (Tensor::new(&labels[rows.clone()], &shape), Tensor::new(&scores[rows], &shape));
                metric.update_state(y_true, y_pred, None, None).expect("they fit");
            };
            let mut all = host.metric(identifier).expect("it is there");
            update(&mut all, 0..4);
            let mut first = all.with_new_state().expect("a new state");
            assert_eq!(first.result().expect("a result"), Outcome::Undefined);
            let mut second = first.with_new_state().expect("a new state");
            assert_eq!(second.get_config().expect("a configuration"), all.get_config().expect("a configuration"));
            update(&mut first, 0..3);
            update(&mut second, 3..4);
            first.merge_state(&second).expect("they are one metric");
            assert_eq!(first.result().expect("a result"), all.result().expect("a result"), "{identifier}");
        }
    }
}
