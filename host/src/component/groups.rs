//! Parameter groups: parameters with different training settings.

use glob::Pattern;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result};

/// Training settings for the parameters that match a pattern: an entry of `[[compile.groups]]`. A parameter belongs to
/// the first group that matches its path. (Use MultiOptimizer for different optimizers.)
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// A pattern for parameter paths, with `*` and `?`: `"dense_1/*"`, `"*/bias"`.
    #[serde(rename = "match")]
    pub pattern: String,
    /// A factor for the learning rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate_factor: Option<f64>,
    /// Replaces the optimizer's weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Whether the parameters are trained; `false` leaves them unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trainable: Option<bool>,
}

impl Group {
    /// Checks the pattern and the numbers.
    ///
    /// # Errors
    /// Returns an error if the pattern is invalid, or if a number is negative or not finite.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::usage(what));
        if let Err(error) = Pattern::new(&self.pattern) {
            return wrong(format!("\"{}\" isn't a pattern: {}", self.pattern, error.msg));
        }
        let numbers = [("learning_rate_factor", self.learning_rate_factor), ("weight_decay", self.weight_decay)];
        match numbers.into_iter().find(|(_, number)| number.is_some_and(|n| !(n.is_finite() && n >= 0.0))) {
            Some((key, number)) => wrong(format!("{key} can't be {}", number.unwrap_or(f64::NAN))),
            None => Ok(()),
        }
    }

    /// Returns whether a parameter path matches the pattern.
    pub fn matches(&self, path: &str) -> bool {
        Pattern::new(&self.pattern).is_ok_and(|pattern| pattern.matches(path))
    }
}

/// Reads a list of groups from JSON.
pub fn read(value: Option<&Value>) -> Result<Vec<Group>> {
    let groups = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(groups)) => groups,
        Some(other) => {
            return Err(Error::usage("groups must be a list of tables")
                .with("in", "compile.groups")
                .with("found", other.to_string()));
        }
    };
    let one = |(index, group): (usize, &Value)| {
        let group = serde_json::from_value(group.clone())
            .map_err(|error| Error::usage(format!("the group is invalid: {error}")));
        let checked = group.and_then(|group: Group| group.check().map(|()| group));
        checked.map_err(|error| error.with("in", format!("compile.groups[{index}]")))
    };
    groups.iter().enumerate().map(one).collect()
}
