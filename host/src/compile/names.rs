//! Names the columns of the log.

use std::collections::HashMap;

/// A metric before its column is named.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unnamed<'a> {
    /// The output's name, if there are several outputs.
    pub output: Option<&'a str>,
    /// The metric's name.
    pub metric: &'a str,
    /// Whether it is a weighted metric.
    pub weighted: bool,
}

/// Names the columns like Keras: `output_metric`, with a number after repeated names, and with the prefix "weighted"
/// for a weighted metric whose name is taken.
pub(super) fn columns(metrics: &[Unnamed<'_>]) -> Vec<String> {
    // The log already has the total under "loss"; Keras would overwrite it.
    let mut taken: HashMap<String, usize> = HashMap::from([("loss".to_owned(), 1)]);
    metrics.iter().map(|metric| column(metric, &mut taken)).collect()
}

fn column(metric: &Unnamed<'_>, taken: &mut HashMap<String, usize>) -> String {
    let prefixed = |name: &str| metric.output.map_or_else(|| name.to_owned(), |output| format!("{output}_{name}"));
    let mut name = prefixed(metric.metric);
    if metric.weighted && taken.contains_key(&name) {
        name = prefixed(&format!("weighted_{}", metric.metric));
    }
    match taken.get_mut(&name) {
        None => {
            taken.insert(name.clone(), 1);
            name
        }
        Some(count) => {
            let numbered = format!("{name}_{count}");
            *count += 1;
            if taken.contains_key(&numbered) {
                return column(metric, taken); // the numbered name is taken; try the next number
            }
            taken.insert(numbered.clone(), 1);
            numbered
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(metrics: &[(&'static str, &'static str)], weighted: &[(&'static str, &'static str)]) -> Vec<String> {
        let unnamed = |&(output, metric): &(&'static str, &'static str), weighted| Unnamed {
            output: (!output.is_empty()).then_some(output),
            metric,
            weighted,
        };
        let metrics = metrics.iter().map(|metric| unnamed(metric, false));
        let all: Vec<Unnamed<'_>> = metrics.chain(weighted.iter().map(|metric| unnamed(metric, true))).collect();
        columns(&all)
    }

    #[test]
    fn repeated_names_are_numbered_and_weighted_ones_prefixed() {
        let one = [("", "mse"), ("", "mse"), ("", "mae")];
        assert_eq!(named(&one, &one), ["mse", "mse_1", "mae", "weighted_mse", "weighted_mse_1", "weighted_mae"]);
        assert_eq!(named(&[], &[("", "mse")]), ["mse"]);
        assert_eq!(named(&[("", "mse"), ("", "mse"), ("", "mse")], &[]), ["mse", "mse_1", "mse_2"]);
    }

    #[test]
    fn with_several_outputs_the_output_precedes_the_name() {
        let two = [("left", "mae"), ("left", "mae"), ("right", "mae")];
        assert_eq!(
            named(&two, &two),
            ["left_mae", "left_mae_1", "right_mae", "left_weighted_mae", "left_weighted_mae_1", "right_weighted_mae"]
        );
    }

    #[test]
    fn column_names_are_unique() {
        assert_eq!(named(&[("", "a"), ("", "a_1"), ("", "a"), ("", "loss")], &[]), ["a", "a_1", "a_2", "loss_1"]);
    }
}
