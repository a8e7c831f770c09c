//! Converts `Compile` from and to JSON: Keras's `compile_config`, and the `[compile]` table of a run file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Compile, LossWeights, PerOutput};
use crate::component::read_groups;
use crate::text::nearest;
use crate::{Error, Identifier, Result};

const KEYS: [&str; 7] = ["optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "groups", "keras"];

/// Keys of Keras that affect how training runs, not its results; they are ignored.
const IGNORED: [&str; 4] = ["run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss"];

impl Compile {
    /// Reads `{"optimizer": ..., "loss": ..., "loss_weights": ..., "metrics": ..., "weighted_metrics": ...}`, all of
    /// them optional. Paths are relative to `folder`. Also accepts `groups`, a list of [`Group`](super::Group)s, and
    /// `keras`, the path of a `.keras` archive whose `compile_config` provides the keys that are missing.
    ///
    /// # Errors
    /// Returns a usage error if a key is unknown, or if loss weights aren't numbers. Identifiers are validated when
    /// they are resolved.
    pub fn from_json(config: &Value, folder: Option<&Path>) -> Result<Self> {
        let Value::Object(config) = config else {
            return Err(Error::usage("compile must be a table").with("found", config.to_string()));
        };
        if let Some(archive) = config.get("keras") {
            let path =
                archive.as_str().ok_or_else(|| Error::usage("keras must be a path").with("in", "compile.keras"))?;
            let path = folder.map_or_else(|| Path::new(path).to_owned(), |folder| folder.join(path));
            let mut stored = stored_by_keras(&path).map_err(|error| error.with("in", "compile.keras"))?;
            stored.extend(
                config.iter().filter(|(key, _)| *key != "keras").map(|(key, value)| (key.clone(), value.clone())),
            );
            return Self::from_json(&Value::Object(stored), folder);
        }
        if let Some(unknown) =
            config.keys().find(|key| !KEYS.contains(&key.as_str()) && !IGNORED.contains(&key.as_str()))
        {
            let error =
                Error::usage(format!("compile has no setting \"{unknown}\"")).with("in", format!("compile.{unknown}"));
            return Err(match nearest(unknown, KEYS)[..] {
                [near, ..] => error.hint(format!("did you mean \"{near}\"?  It has: {}", KEYS.join(", "))),
                [] => error.with("has", KEYS.join(", ")),
            });
        }
        let per_output = |key: &str| {
            let given = PerOutput::from(config.get(key).cloned().unwrap_or_default());
            folder.map_or_else(|| given.clone(), |folder| given.clone().relative_to(folder))
        };
        let default = Compile::default();
        let optimizer =
            config.get("optimizer").map_or(default.optimizer, |optimizer| Identifier::from(optimizer.clone()));
        Ok(Compile {
            optimizer: folder.map_or_else(|| optimizer.clone(), |folder| optimizer.clone().relative_to(folder)),
            loss: per_output("loss"),
            loss_weights: loss_weights(config.get("loss_weights").unwrap_or(&Value::Null))?,
            metrics: per_output("metrics"),
            weighted_metrics: per_output("weighted_metrics"),
            groups: read_groups(config.get("groups"))?,
            outputs: default.outputs,
        })
    }

    /// Reads the compile configuration from a `.keras` archive.
    ///
    /// # Errors
    /// Returns an error if the archive can't be read, or if the model in it wasn't compiled.
    pub fn from_keras(path: &Path) -> Result<Self> {
        Self::from_json(&Value::Object(stored_by_keras(path)?), None)
    }

    /// Returns every identifier with its position, such as `compile.metrics[0]`.
    pub fn identifiers(&self) -> Vec<(String, Identifier)> {
        let optimizer = ("compile.optimizer".to_owned(), self.optimizer.clone());
        let parts = [
            ("compile.loss", &self.loss),
            ("compile.metrics", &self.metrics),
            ("compile.weighted_metrics", &self.weighted_metrics),
        ];
        let placed = parts.into_iter().flat_map(|(place, tree)| tree.placed(place));
        std::iter::once(optimizer).chain(placed.map(|placed| (placed.place, placed.identifier))).collect()
    }

    /// Writes the form that [`from_json`](Self::from_json) reads. Instances and closures are written as names only.
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "optimizer": self.optimizer.to_json(),
            "loss": self.loss.to_json(),
            "loss_weights": self.loss_weights.to_json(),
            "metrics": self.metrics.to_json(),
            "weighted_metrics": self.weighted_metrics.to_json(),
        });
        if !self.groups.is_empty() {
            json["groups"] = json!(self.groups);
        }
        json
    }
}

/// Returns the `compile_config` in the `config.json` of a `.keras` archive.
fn stored_by_keras(path: &Path) -> Result<Map<String, Value>> {
    const MAX_BYTES: u64 = 1 << 28;
    let bad = |why: String| Error::failure(format!("{} isn't a model saved by Keras: {why}", path.display()));
    let file = File::open(path).map_err(|error| Error::failure(format!("cannot read {}: {error}", path.display())))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| bad(error.to_string()))?;
    let mut text = String::new();
    let entry = archive.by_name("config.json").map_err(|error| bad(error.to_string()))?;
    entry.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| bad(error.to_string()))?;
    let mut config: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    match config["compile_config"].take() {
        Value::Object(compile) => Ok(compile),
        _ => Err(Error::failure(format!("the model in {} was saved without being compiled", path.display()))),
    }
}

fn loss_weights(value: &Value) -> Result<LossWeights> {
    let wrong = || {
        Error::usage("loss weights must be a number, a list of numbers, or a table by output name")
            .with("in", "compile.loss_weights")
            .with("found", value.to_string())
    };
    let number = |value: &Value| value.as_f64().ok_or_else(wrong);
    Ok(match value {
        Value::Null => LossWeights::None,
        Value::Number(_) => LossWeights::All(number(value)?),
        Value::Array(weights) => LossWeights::List(weights.iter().map(number).collect::<Result<_>>()?),
        Value::Object(table) => match tuple(table) {
            Some(items) => return loss_weights(items),
            None => LossWeights::Table(
                table.iter().map(|(name, weight)| Ok((name.clone(), number(weight)?))).collect::<Result<_>>()?,
            ),
        },
        Value::Bool(_) | Value::String(_) => return Err(wrong()),
    })
}

/// Returns the list in Keras's serialized form of a tuple.
fn tuple(object: &Map<String, Value>) -> Option<&Value> {
    (object.get("class_name").is_some_and(|name| name == "__tuple__")).then(|| object.get("items")).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keras_config_is_read_and_written_back() {
        let keras = json!({
            "optimizer": {"module": "keras.optimizers", "class_name": "SGD", "config": {"learning_rate": 0.1},
                "registered_name": null},
            "loss": {"flag": "bce", "kind": "ce"},
            "loss_weights": {"flag": 0.5, "kind": 2.0},
            "metrics": {"flag": ["accuracy"], "kind": null},
            "weighted_metrics": null,
        });
        let mut stored = keras.clone();
        stored["run_eagerly"] = json!(false);
        stored["steps_per_execution"] = json!(1);
        stored["jit_compile"] = json!(true);
        let compile = Compile::from_json(&stored, None).expect("a compile config");
        assert_eq!(compile.to_json(), keras);
        assert_eq!(Compile::from_json(&json!({}), None).expect("nothing is needed").optimizer.to_json(), "rmsprop");
    }

    #[test]
    fn loss_weights_have_three_forms() {
        for (value, want) in [
            (json!(null), LossWeights::None),
            (json!(0.5), LossWeights::All(0.5)),
            (json!([1, 0.5]), LossWeights::List(vec![1.0, 0.5])),
            (json!({"a": 2}), LossWeights::table([("a", 2.0)])),
            (json!({"class_name": "__tuple__", "items": [1.0]}), LossWeights::List(vec![1.0])),
        ] {
            assert_eq!(loss_weights(&value).expect("weights"), want);
        }
        assert!(loss_weights(&json!("1")).is_err() && loss_weights(&json!(["a"])).is_err());
    }

    #[test]
    fn an_unknown_key_is_rejected() {
        let error = Compile::from_json(&json!({"metric": ["a"]}), None).expect_err("no such key").to_string();
        assert!(error.contains("no setting \"metric\"") && error.contains("did you mean \"metrics\""), "{error}");
    }
}
