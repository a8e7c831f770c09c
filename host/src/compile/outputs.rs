//! Assigns losses and metrics to outputs.

use super::tree::{LossWeights, PerOutput, Placed};
use crate::{Error, Result};

/// The outputs of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outputs<'a> {
    /// Their names; empty if unnamed.
    pub names: &'a [String],
    /// The number of outputs.
    pub count: usize,
}

/// A loss of an output before resolution.
#[derive(Clone, Debug)]
pub(super) struct LossChoice {
    pub placed: Placed,
    /// Its factor in the total; `None` is 1.
    pub weight: Option<f64>,
}

impl Outputs<'_> {
    fn index(&self, name: &str, place: &str) -> Result<usize> {
        if self.names.is_empty() && self.count == 1 {
            return Ok(0); // a single unnamed output matches any name
        }
        self.names.iter().position(|output| output == name).ok_or_else(|| {
            let error = Error::usage(format!("no output is called \"{name}\"")).with("in", format!("{place}.{name}"));
            error.near_or_all(name, self.names.iter().map(String::as_str))
        })
    }

    /// Returns the entries of a table in the order of the outputs.
    fn by_name<'t, T>(&self, table: &'t [(String, T)], place: &str) -> Result<Vec<Option<&'t T>>> {
        if self.names.is_empty() && self.count > 1 {
            return Err(Error::usage(format!("the outputs have no names, and {place} is a table by output name"))
                .hint(format!("give {place} as a list, or the outputs names")));
        }
        let mut entries = vec![None; self.count];
        for (name, entry) in table {
            let place = &mut entries[self.index(name, place)?];
            if place.is_some() {
                return Err(Error::usage(format!(
                    "there is only one output, but the table has several entries, such as \"{name}\""
                )));
            }
            *place = Some(entry);
        }
        Ok(entries)
    }

    fn name(&self, index: usize) -> String {
        self.names.get(index).cloned().unwrap_or_else(|| format!("number {}", index + 1))
    }

    fn wrong_length(&self, place: &str, length: usize) -> Error {
        let outputs: Vec<String> = (0..self.count).map(|index| self.name(index)).collect();
        Error::usage(format!("{place} is a list of {length}, and there are {} outputs", self.count))
            .with("outputs", outputs.join(", "))
            .hint(format!("write a list with an entry for each, or a table: {place} = {{ {} = ... }}", outputs[0]))
    }

    /// Returns the losses of each output. Several losses of one output are added, as in Keras.
    pub fn losses(&self, loss: &PerOutput, weights: &LossWeights) -> Result<Vec<Vec<LossChoice>>> {
        const PLACE: &str = "compile.loss";
        let each: Vec<Vec<Placed>> = match loss {
            _ if loss.is_none() => return Ok(vec![Vec::new(); self.count]),
            PerOutput::One(_) => vec![loss.placed(PLACE); self.count],
            PerOutput::List(_) if self.count == 1 => vec![loss.placed(PLACE)],
            PerOutput::List(list) if list.len() == self.count => {
                list.iter().enumerate().map(|(i, entry)| entry.placed(&format!("{PLACE}[{i}]"))).collect()
            }
            PerOutput::List(list) => return Err(self.wrong_length(PLACE, list.len())),
            PerOutput::Table(table) => {
                let entries = self.by_name(table, PLACE)?;
                if let Some(missing) = entries.iter().position(Option::is_none) {
                    let name = self.name(missing);
                    return Err(Error::usage(format!("{PLACE} has no entry for the output \"{name}\""))
                        .hint(format!("write {name} = null in it for an output without a loss")));
                }
                let named = |(i, entry): (usize, &Option<&PerOutput>)| {
                    let place = self.names.get(i).map_or_else(|| PLACE.to_owned(), |name| format!("{PLACE}.{name}"));
                    entry.map_or_else(Vec::new, |entry| entry.placed(&place))
                };
                entries.iter().enumerate().map(named).collect()
            }
        };
        self.weighted(each, weights)
    }

    /// Assigns the weights to the losses, and drops losses that are none.
    fn weighted(&self, each: Vec<Vec<Placed>>, weights: &LossWeights) -> Result<Vec<Vec<LossChoice>>> {
        const PLACE: &str = "compile.loss_weights";
        let losses: usize = each.iter().map(Vec::len).sum();
        let flat: Vec<Option<f64>> = match weights {
            LossWeights::None => vec![None; losses],
            LossWeights::All(weight) => vec![Some(*weight); losses],
            LossWeights::List(weights) if weights.len() == losses => weights.iter().copied().map(Some).collect(),
            LossWeights::List(weights) => {
                let message = format!("there are {losses} losses and {} loss weights", weights.len());
                return Err(Error::usage(message).with("in", PLACE).hint("each loss needs one"));
            }
            LossWeights::Table(table) => {
                let entries = self.by_name(table, PLACE)?;
                if let Some(missing) = entries.iter().position(Option::is_none) {
                    let message = format!("there is no loss weight for the output \"{}\"", self.name(missing));
                    return Err(Error::usage(message).with("in", PLACE).hint("1.0 leaves a loss as it is"));
                }
                each.iter().zip(entries).flat_map(|(losses, weight)| vec![weight.copied(); losses.len()]).collect()
            }
        };
        if let Some(weight) = flat.iter().flatten().find(|weight| !weight.is_finite()) {
            return Err(Error::usage(format!("a loss weight is {weight}")).with("in", PLACE).hint("it must be finite"));
        }
        let mut weights = flat.into_iter();
        let weighted = |losses: Vec<Placed>| {
            let choices = losses.into_iter().map(|placed| LossChoice { placed, weight: weights.next().flatten() });
            choices.filter(|choice| !choice.placed.identifier.is_none()).collect()
        };
        Ok(each.into_iter().map(weighted).collect())
    }

    /// Returns the metrics of each output; `argument` is "metrics" or "weighted_metrics".
    pub fn metrics(&self, metrics: &PerOutput, argument: &str) -> Result<Vec<Vec<Placed>>> {
        let place = format!("compile.{argument}");
        if metrics.is_none() {
            return Ok(vec![Vec::new(); self.count]);
        }
        match metrics {
            PerOutput::One(_) => (0..self.count).map(|_| single_output_metrics(metrics, &place)).collect(),
            PerOutput::List(_) if self.count == 1 => Ok(vec![single_output_metrics(metrics, &place)?]),
            PerOutput::List(list) if list.len() == self.count => list
                .iter()
                .enumerate()
                .map(|(i, entry)| single_output_metrics(entry, &format!("{place}[{i}]")))
                .collect(),
            PerOutput::List(list) => Err(self.wrong_length(&place, list.len())),
            PerOutput::Table(table) => {
                let entries = self.by_name(table, &place)?;
                let named = |(i, entry): (usize, Option<&PerOutput>)| match entry {
                    None => Ok(Vec::new()),
                    Some(entry) => {
                        let name = self.names.get(i).map_or_else(|| place.clone(), |name| format!("{place}.{name}"));
                        single_output_metrics(entry, &name)
                    }
                };
                entries.into_iter().enumerate().map(named).collect()
            }
        }
    }
}

/// Returns the metrics of one output: one, none, or a list without gaps.
fn single_output_metrics(entry: &PerOutput, place: &str) -> Result<Vec<Placed>> {
    match entry {
        PerOutput::One(identifier) if identifier.is_none() => Ok(Vec::new()),
        PerOutput::One(_) => Ok(entry.placed(place)),
        PerOutput::Table(_) => Err(Error::usage("a table by output name can't be nested").with("in", place)),
        PerOutput::List(_) => {
            let metrics = entry.placed(place);
            match metrics.iter().find(|metric| metric.identifier.is_none()) {
                None => Ok(metrics),
                Some(gap) => Err(Error::usage("a metric was expected, none is given")
                    .with("in", &gap.place)
                    .hint("leave it out")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn losses(outputs: &[&str], loss: Value, weights: &LossWeights) -> Result<Vec<Vec<String>>> {
        let names = names(outputs);
        let losses = Outputs { names: &names, count: names.len() }.losses(&loss.into(), weights)?;
        let text = |LossChoice { placed, weight }: &LossChoice| match weight {
            None => placed.identifier.to_string(),
            Some(weight) => format!("{weight} {}", placed.identifier),
        };
        Ok(losses.iter().map(|losses| losses.iter().map(text).collect()).collect())
    }

    fn metrics(outputs: &[&str], metrics: Value) -> Result<Vec<Vec<String>>> {
        let names = names(outputs);
        let metrics = Outputs { names: &names, count: names.len() }.metrics(&metrics.into(), "metrics")?;
        Ok(metrics.iter().map(|metrics| metrics.iter().map(|metric| metric.place.clone()).collect()).collect())
    }

    #[test]
    fn losses_are_assigned_to_outputs() {
        for (outputs, loss, want) in [
            (&["out"][..], json!("mse"), json!([["mse"]])),
            (&["out"], json!(["mse"]), json!([["mse"]])),
            (&["out"], json!({"out": "mse"}), json!([["mse"]])),
            (&["out"], json!(["mse", "mae"]), json!([["mse", "mae"]])),
            (&["out"], json!(null), json!([[]])),
            (&["a", "b"], json!("mse"), json!([["mse"], ["mse"]])),
            (&["a", "b"], json!(["mse", null]), json!([["mse"], []])),
            (&["a", "b"], json!({"b": "mse", "a": "mae"}), json!([["mae"], ["mse"]])),
            (&["a", "b"], json!([["mse", "mae"], "mse"]), json!([["mse", "mae"], ["mse"]])),
        ] {
            assert_eq!(json!(losses(outputs, loss.clone(), &LossWeights::None).expect("losses")), want, "{loss}");
        }
    }

    #[test]
    fn weights_are_assigned_to_losses() {
        let two = |weights: LossWeights| json!(losses(&["a", "b"], json!(["mse", "mae"]), &weights).expect("losses"));
        assert_eq!(two(0.5.into()), json!([["0.5 mse"], ["0.5 mae"]]));
        assert_eq!(two([0.5, 2.0].into()), json!([["0.5 mse"], ["2 mae"]]));
        assert_eq!(two(LossWeights::table([("b", 2.0), ("a", 0.5)])), json!([["0.5 mse"], ["2 mae"]]));
        let none = losses(&["a", "b"], json!([null, "mae"]), &[0.5, 2.0].into()).expect("losses");
        assert_eq!(json!(none), json!([[], ["2 mae"]]));
    }

    #[test]
    fn metrics_are_assigned_to_outputs() {
        for (outputs, given, want) in [
            (&["out"][..], json!(["a", ["b"]]), json!([["compile.metrics[0]", "compile.metrics[1][0]"]])),
            (&["out"], json!("a"), json!([["compile.metrics"]])),
            (&["out"], json!({"out": "a"}), json!([["compile.metrics.out"]])),
            (&["x", "y"], json!(["a", "b"]), json!([["compile.metrics[0]"], ["compile.metrics[1]"]])),
            (&["x", "y"], json!([null, ["b"]]), json!([[], ["compile.metrics[1][0]"]])),
            (&["x", "y"], json!({"y": ["b"]}), json!([[], ["compile.metrics.y[0]"]])),
            (&["x", "y"], json!([]), json!([[], []])),
        ] {
            assert_eq!(json!(metrics(outputs, given.clone()).expect("metrics")), want, "{given}");
        }
    }

    #[test]
    fn entries_without_an_output_are_rejected() {
        let two = &["flag", "kind"][..];
        for (loss, weights, expected) in [
            (json!({"nope": "mse", "kind": "mse"}), LossWeights::None, "no output is called \"nope\""),
            (json!({"kind": "mse"}), LossWeights::None, "no entry for the output \"flag\""),
            (json!(["mse", "mse", "mse"]), LossWeights::None, "a list of 3, and there are 2 outputs"),
            (json!(["mse", "mse"]), [1.0].into(), "2 losses and 1 loss weights"),
            (json!("mse"), LossWeights::table([("flag", 1.0)]), "no loss weight for the output \"kind\""),
            (json!("mse"), f64::NAN.into(), "a loss weight is NaN"),
        ] {
            let error = losses(two, loss, &weights).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
        for (given, expected) in [
            (json!({"nope": ["a"]}), "no output is called \"nope\""),
            (json!(["a", "b", "c"]), "a list of 3"),
            (json!([[null], "a"]), "a metric was expected"),
        ] {
            let error = metrics(two, given).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(metrics(&["out"], json!([null])).is_err());
    }
}
