//! Parameters that are trained otherwise than the rest.

use glob::Pattern;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result};

/// How the parameters of a pattern are trained, where it isn't as the rest: an entry of `[[compile.groups]]`. The first group that
/// a parameter's path matches is its own. (An optimizer of their own is MultiOptimizer's.)
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The paths, with `*` and `?`: `"dense_1/*"`, `"*/bias"`.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Multiplied into the learning rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate_factor: Option<f64>,
    /// In place of the optimizer's weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// False: they stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trainable: Option<bool>,
}

impl Group {
    /// # Errors
    /// The pattern is none, or a number can't be.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::usage(what));
        if let Err(error) = Pattern::new(&self.pattern) {
            return wrong(format!("\"{}\" is no pattern: {}", self.pattern, error.msg));
        }
        let numbers = [("learning_rate_factor", self.learning_rate_factor), ("weight_decay", self.weight_decay)];
        match numbers.into_iter().find(|(_, number)| number.is_some_and(|n| !(n.is_finite() && n >= 0.0))) {
            Some((key, number)) => wrong(format!("{key} can't be {}", number.unwrap_or(f64::NAN))),
            None => Ok(()),
        }
    }

    /// Whether a parameter of this path is one of them.
    pub fn matches(&self, path: &str) -> bool {
        Pattern::new(&self.pattern).is_ok_and(|pattern| pattern.matches(path))
    }
}

/// Reads a list of groups.
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
            .map_err(|error| Error::usage(format!("a group can't be that: {error}")));
        let checked = group.and_then(|group: Group| group.check().map(|()| group));
        checked.map_err(|error| error.with("in", format!("compile.groups[{index}]")))
    };
    groups.iter().enumerate().map(one).collect()
}
