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
        BinaryIoU,
        CategoricalAccuracy,
        ConcordanceCorrelation,
        metrics::CosineSimilarity,
        F1Score,
        FBetaScore,
        FalseNegatives,
        FalsePositives,
        IoU,
        LogCoshError,
        Mean,
        MeanIoU,
        OneHotIoU,
        OneHotMeanIoU,
        PearsonCorrelation,
        Precision,
        PrecisionAtRecall,
        R2Score,
        Recall,
        RecallAtPrecision,
        RootMeanSquaredError,
        SensitivityAtSpecificity,
        SparseCategoricalAccuracy,
        SparseTopKCategoricalAccuracy,
        SpecificityAtSensitivity,
        Sum,
        TopKCategoricalAccuracy,
        TrueNegatives,
        TruePositives,
    ],
    optimizers: [Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, LossScaleOptimizer, MultiOptimizer, Muon, Nadam, RmsProp, ScheduleFreeAdamW, Sgd],
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
    use plugfit_api::serde_json::json;
    let steps = json!({"boundaries": [10, 20], "values": [0.1, 0.05, 0.01]});
    let classes = json!({"num_classes": 4, "target_class_ids": [0, 2]});
    plugfit_api::testing::check_with(
        plugin(),
        &[
            ("PiecewiseConstantDecay", steps),
            ("IoU", classes.clone()),
            ("OneHotIoU", classes),
            ("LossScaleOptimizer", json!({"inner_optimizer": "Adam", "initial_scale": 16.0})),
            (
                "MultiOptimizer",
                json!({"optimizer_map": {"default_optimizer": "SGD", "optimizer_map": {".*/bias": "Adam"}}}),
            ),
        ],
    );
}
