//! The components of the plug-ins in this repository, as identifiers.

use plugfit::component::{Metric, further_inputs};
use plugfit::{Host, plugin::Kind};
use plugfit_api::Tensor;
use serde_json::{Value, json};

use crate::build::library;

/// Returns a host with the plug-ins whose losses and metrics take labels and predictions.
///
/// # Panics
/// Panics if a plug-in can't be built or loaded.
pub fn host() -> Host {
    ["calibration", "agreement", "quantile", "ranking", "segmentation"]
        .iter()
        .fold(Host::new(), |host, plugin| host.with_plugins(library(plugin)).expect("it loads"))
}

/// Returns the full names of all components of a kind.
pub fn names(host: &Host, kind: Kind) -> Vec<String> {
    let all = host.components(kind).into_iter();
    all.map(|(plugin, component)| {
        format!("{}>{}", plugin.label().split(' ').next().unwrap_or_default(), component.name)
    })
    .collect()
}

/// Updates a metric with a batch. Its further inputs are zeros in the shape of the predictions: one group of all rows.
///
/// # Errors
/// Returns the error of the metric.
pub fn update(
    metric: &mut Metric,
    y_true: Tensor<'_>,
    y_pred: Tensor<'_>,
    weight: Option<Tensor<'_>>,
    mask: Option<Tensor<'_>>,
) -> plugfit::Result<()> {
    let further: Vec<String> = further_inputs(&metric.info().inputs).map(str::to_owned).collect();
    if metric.info().inputs == ["values"] {
        return metric.update_values(y_pred, weight, mask);
    }
    if further.is_empty() {
        return metric.update_state(y_true, y_pred, weight, mask);
    }
    let zeros = vec![0_i64; y_pred.len()];
    let mut inputs = vec![("y_true", y_true), ("y_pred", y_pred)];
    inputs.extend(further.iter().map(|name| (name.as_str(), Tensor::new(&zeros, y_pred.shape()))));
    metric.update(&inputs, weight, mask)
}

/// Returns the identifier of a component with its required settings.
pub fn identifier(name: &str) -> Value {
    let config = match name.rsplit('>').next().unwrap_or(name) {
        "IoU" | "OneHotIoU" => json!({"num_classes": 4, "target_class_ids": [0, 2]}),
        "MeanIoU" | "OneHotMeanIoU" => json!({"num_classes": 4}),
        "PrecisionAtRecall" => json!({"recall": 0.5}),
        "RecallAtPrecision" => json!({"precision": 0.5}),
        "SensitivityAtSpecificity" => json!({"specificity": 0.5}),
        "SpecificityAtSensitivity" => json!({"sensitivity": 0.5}),
        "LossScaleOptimizer" => json!({"inner_optimizer": "adam"}),
        "MultiOptimizer" => json!({"optimizer_map": {"default_optimizer": "adam", "optimizer_map": {}}}),
        _ => json!({}),
    };
    json!({"class_name": name, "config": config})
}
