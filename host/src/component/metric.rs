//! A metric: a plug-in's, or the mean of a loss's values, with its state.

use plugfit_api::metric::{Direction, MetricInfo, Outcome};
use plugfit_api::{Inputs, Tensor};
use serde_json::{Map, Value, json};

use super::combine::{Combiner, check_weight};
use super::keys::Keys;
use super::loss_mean::LossMean;
use crate::plugin::{self, Kind, MetricState};
use crate::{Error, Result};

/// A metric with a name and what it has seen.
pub struct Metric {
    name: String,
    source: Source,
    combiner: Combiner,
}

enum Source {
    Metric { metric: plugin::Metric, state: MetricState },
    Loss(Box<LossMean>),
}

impl Metric {
    /// A metric with the host's keys of its configuration: name.
    ///
    /// # Errors
    /// One of them can't be, or the plug-in fails.
    pub fn new(metric: plugin::Metric, base: Map<String, Value>) -> Result<Self> {
        let name = Self::named(metric.name(), base)?;
        let state = metric.new_state()?;
        Ok(Metric { name, source: Source::Metric { metric, state }, combiner: Combiner::default() })
    }

    /// The weighted mean of a loss's values; less is better.
    ///
    /// # Errors
    /// One of the host's keys can't be.
    pub fn of_loss(loss: plugin::Loss, mut base: Map<String, Value>) -> Result<Self> {
        // A loss's, but a metric has a reduction of its own.
        base.remove("reduction");
        let name = Self::named(loss.name(), base)?;
        Ok(Metric { name, source: Source::Loss(Box::new(LossMean::new(loss))), combiner: Combiner::default() })
    }

    /// The name among the host's keys. What the dtype is doesn't matter, but it must be one.
    fn named(class: &str, base: Map<String, Value>) -> Result<String> {
        let mut keys = Keys::new(Kind::Metric, class, base)?;
        keys.dtype()?;
        keys.name()
    }

    /// What the log calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its class's name.
    pub fn class_name(&self) -> &str {
        match &self.source {
            Source::Metric { metric, .. } => metric.name(),
            Source::Loss(mean) => mean.loss.name(),
        }
    }

    /// Its class's name after its plug-in's, `package>Name`, but for one of the standard set.
    pub fn full_name(&self) -> String {
        match &self.source {
            Source::Metric { metric, .. } => metric.full_name(),
            Source::Loss(mean) => mean.loss.full_name(),
        }
    }

    /// Whether it is the mean of a loss's values.
    pub fn is_of_loss(&self) -> bool {
        matches!(self.source, Source::Loss(_))
    }

    /// What depends on its configuration.
    pub fn info(&self) -> &MetricInfo {
        match &self.source {
            Source::Metric { metric, .. } => metric.info(),
            Source::Loss(mean) => &mean.info,
        }
    }

    /// Which way is better.
    pub fn direction(&self) -> Direction {
        self.info().direction
    }

    /// Its whole configuration.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn get_config(&self) -> Result<Map<String, Value>> {
        let mut config = match &self.source {
            Source::Metric { metric, .. } => metric.config()?,
            Source::Loss(mean) => mean.loss.config()?,
        };
        config.insert("name".into(), json!(self.name));
        Ok(config)
    }

    /// Takes in a batch; what the mask leaves out has weight 0, and what has weight 0 isn't looked at. Negative weights count as they are.
    ///
    /// # Errors
    /// The arrays don't fit, a weight is NaN, or the plug-in fails.
    pub fn update_state(
        &mut self,
        y_true: Tensor<'_>,
        y_pred: Tensor<'_>,
        weight: Option<Tensor<'_>>,
        mask: Option<Tensor<'_>>,
    ) -> Result<()> {
        match &mut self.source {
            Source::Metric { state, .. } => {
                update(state, &mut self.combiner, &[("y_true", y_true), ("y_pred", y_pred)], weight, mask)
            }
            Source::Loss(mean) => mean.update(y_true, y_pred, weight, mask),
        }
    }

    /// Takes in values, for a metric of values alone.
    ///
    /// # Errors
    /// The arrays don't fit, the metric needs more than values, or the plug-in fails.
    pub fn update_values(
        &mut self,
        values: Tensor<'_>,
        weight: Option<Tensor<'_>>,
        mask: Option<Tensor<'_>>,
    ) -> Result<()> {
        match &mut self.source {
            Source::Metric { state, .. } => update(state, &mut self.combiner, &[("values", values)], weight, mask),
            Source::Loss(_) => Err(Error::usage(format!("{} needs y_true and y_pred", self.name))),
        }
    }

    /// What it has come to.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn result(&self) -> Result<Outcome> {
        match &self.source {
            Source::Metric { state, .. } => state.result(),
            Source::Loss(mean) => Ok(mean.result()),
        }
    }

    /// Forgets what it has seen.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn reset_state(&mut self) -> Result<()> {
        match &mut self.source {
            Source::Metric { metric, state } => {
                // A state that a panic left half written can't be reset; a new one can be made.
                state.reset().or_else(|_| metric.new_state().map(|new| *state = new))
            }
            Source::Loss(mean) => {
                mean.reset();
                Ok(())
            }
        }
    }

    /// Takes in what another metric of the same class and configuration has seen.
    ///
    /// # Errors
    /// They can't be merged.
    pub fn merge_state(&mut self, other: &Metric) -> Result<()> {
        let settings = |metric: &Metric| -> Result<Map<String, Value>> {
            let mut config = metric.get_config()?;
            config.remove("name");
            Ok(config)
        };
        if self.full_name() == other.full_name() && settings(self)? != settings(other)? {
            return Err(Error::usage(format!("what {} has seen is of other settings", other.name)));
        }
        match (&mut self.source, &other.source) {
            (Source::Metric { metric, state }, Source::Metric { metric: of_other, state: others })
                if metric.full_name() == of_other.full_name() =>
            {
                state.merge(others)
            }
            (Source::Loss(mean), Source::Loss(others)) if mean.loss.full_name() == others.loss.full_name() => {
                mean.merge(others);
                Ok(())
            }
            _ => Err(Error::usage(format!(
                "what {} has seen can't be merged into {}",
                other.class_name(),
                self.class_name()
            ))),
        }
    }

    /// What it has seen as bytes, exact to the bit.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn get_state(&self) -> Result<Vec<u8>> {
        let (version, state) = match &self.source {
            Source::Metric { state, .. } => state.save()?,
            Source::Loss(mean) => (LossMean::VERSION, mean.save()),
        };
        let mut bytes = version.to_le_bytes().to_vec();
        bytes.extend_from_slice(&state);
        Ok(bytes)
    }

    /// Goes on from what [`get_state`](Self::get_state) gave. On an error the state is as it was.
    ///
    /// # Errors
    /// The bytes are of another metric, or damaged.
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
