//! The names of the layers of a network.

use std::collections::{HashMap, HashSet};

use super::{LayerKind, NetworkConfig};
use crate::{Error, Result};

/// Returns the names of all layers, trunk first: the configured name; else, for the last layer of a head, the name of
/// the output; else the name of the kind, numbered from the second on, as in Keras.
///
/// # Errors
/// Returns a usage error if two layers, outputs or embeddings have the same name, or a name is invalid.
pub fn layer_names(config: &NetworkConfig) -> Result<Vec<String>> {
    let mut given: Vec<(Option<&str>, &LayerKind)> =
        config.layers.iter().map(|layer| (layer.name.as_deref(), &layer.kind)).collect();
    let mut outputs = HashSet::new();
    for (output, layers) in &config.outputs {
        let path = format!("network.outputs.{output}");
        if output.is_empty() || output.contains('/') {
            return Err(Error::usage("an output's name must not be empty or have a \"/\"").with("in", path));
        }
        if !outputs.insert(output) {
            return Err(Error::usage(format!("two outputs are called \"{output}\"")).with("in", path));
        }
        let Some(last) = layers.len().checked_sub(1) else {
            return Err(Error::usage(format!("the output \"{output}\" has no layers")).with("in", path));
        };
        given.extend(layers.iter().enumerate().map(|(i, layer)| {
            let name = layer.name.as_deref().or((i == last).then_some(output.as_str()));
            (name, &layer.kind)
        }));
    }
    let mut taken: HashSet<String> = HashSet::new();
    for embedding in &config.embeddings {
        if !taken.insert(embedding.layer_name()) {
            return Err(Error::usage(format!("two embeddings are called \"{}\"", embedding.name))
                .with("in", "network.embeddings"));
        }
    }
    // The first number of each kind that may be free.
    let mut next: HashMap<String, usize> = HashMap::new();
    for name in given.iter().filter_map(|(name, _)| *name) {
        if !taken.insert(name.to_owned()) {
            return Err(
                Error::usage(format!("two layers are called \"{name}\"")).hint("give one of them another \"name\"")
            );
        }
    }
    Ok(given
        .into_iter()
        .map(|(name, kind)| match name {
            Some(name) => name.to_owned(),
            None => {
                let kind = snake_case(kind.class_name());
                let next = next.entry(kind.clone()).or_default();
                loop {
                    let name = if *next == 0 { kind.clone() } else { format!("{kind}_{next}") };
                    *next += 1;
                    if taken.insert(name.clone()) {
                        break name;
                    }
                }
            }
        })
        .collect())
}

/// Returns a class name as Keras writes it in the names of layers: "batch_normalization".
fn snake_case(class: &str) -> String {
    let mut name = String::new();
    for (i, letter) in class.chars().enumerate() {
        if letter.is_uppercase() && i > 0 {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}
