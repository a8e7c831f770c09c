//! Keras's catalogue, as one plug-in: a file a family, formula first.

mod losses;
mod metrics;
mod optimizers;
mod schedules;

use losses::*;
use metrics::*;
use optimizers::*;
use plugfit_api::export_plugin;
use schedules::*;

export_plugin! {
    losses: [
        BinaryCrossentropy,
        BinaryFocalCrossentropy,
        CategoricalCrossentropy,
        CategoricalFocalCrossentropy,
        CategoricalGeneralizedCrossEntropy,
        CategoricalHinge,
        Circle,
        losses::CosineSimilarity,
        Ctc,
        Dice,
        Hinge,
        Huber,
        KLDivergence,
        LogCosh,
        MeanAbsoluteError,
        MeanAbsolutePercentageError,
        MeanSquaredError,
        MeanSquaredLogarithmicError,
        Poisson,
        SparseCategoricalCrossentropy,
        SquaredHinge,
        Tversky,
    ],
    // A loss's name among the metrics means the mean of its values, so that the losses aren't repeated here.
    metrics: [
        Accuracy,
        Auc,
        BinaryAccuracy,
        CategoricalAccuracy,
        metrics::CosineSimilarity,
        FalseNegatives,
        FalsePositives,
        LogCoshError,
        Mean,
        Precision,
        Recall,
        RootMeanSquaredError,
        SparseCategoricalAccuracy,
        SparseTopKCategoricalAccuracy,
        Sum,
        TopKCategoricalAccuracy,
        TrueNegatives,
        TruePositives,
    ],
    optimizers: [Adam, AdamW, RmsProp, Sgd],
    schedules: [
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
    ],
}

#[test]
fn holds_what_a_plugin_must() {
    let steps = plugfit_api::serde_json::json!({"boundaries": [10, 20], "values": [0.1, 0.05, 0.01]});
    plugfit_api::testing::check_with(plugin(), &[("PiecewiseConstantDecay", steps)]);
}
