//! Formats a network in one line.

use super::{Activation, ColumnEmbedding, LayerConfig, LayerKind, NetworkConfig};
use crate::text::grouped;

/// Formats a summary such as "64 > 128 relu > 10 softmax, 9,610 parameters"; heads are in parentheses, with their
/// names.
pub fn summary(config: &NetworkConfig, input_shape: &[usize], parameter_count: usize) -> String {
    let input = input_shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let mut steps = vec![input];
    if !config.embeddings.is_empty() {
        let column = |embedding: &ColumnEmbedding| {
            format!("{}: {} x {}", embedding.name, grouped(embedding.categories), embedding.dim)
        };
        let columns: Vec<String> = config.embeddings.iter().map(column).collect();
        steps.push(format!("embeddings ({})", columns.join(", ")));
    }
    steps.extend(config.layers.iter().map(layer));
    if !config.outputs.is_empty() {
        let head = |(name, layers): &(String, Vec<LayerConfig>)| {
            format!("{name}: {}", layers.iter().map(layer).collect::<Vec<_>>().join(" > "))
        };
        steps.push(format!("({})", config.outputs.iter().map(head).collect::<Vec<_>>().join(" | ")));
    }
    format!("{}, {} parameters", steps.join(" > "), grouped(parameter_count))
}

fn layer(layer: &LayerConfig) -> String {
    match &layer.kind {
        LayerKind::Dense { units, activation: Activation::Linear, .. } => units.to_string(),
        LayerKind::Dense { units, activation, .. } => format!("{units} {}", activation.name()),
        LayerKind::Activation(activation) => activation.name().to_owned(),
        LayerKind::Dropout { rate, .. } => format!("dropout {rate}"),
        LayerKind::Flatten => "flatten".to_owned(),
        LayerKind::Embedding { input_dim, output_dim, .. } => {
            format!("embedding {} x {output_dim}", grouped(*input_dim))
        }
        LayerKind::BatchNormalization { .. } => "batch normalization".to_owned(),
        LayerKind::LayerNormalization { .. } => "layer normalization".to_owned(),
        LayerKind::Rescaling { .. } => "rescaling".to_owned(),
        LayerKind::Add { from } => format!("add {from}"),
    }
}
