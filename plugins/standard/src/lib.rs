//! Keras's catalogue of losses, metrics, optimizers and schedules, as one plug-in.
//!
//! All components behave as in Keras 3.15.1, with these differences:
//!
//! * A metric without any data is undefined; Keras returns 0 or NaN. An AUC is also undefined if a class is missing.
//! * A loss returns an error for labels whose shape differs from that of the predictions, which Keras broadcasts, and
//!   for class ids out of range. Samples of weight 0 don't contribute to values and gradients, even if they are NaN.
//! * Label smoothing divides by the length of the class axis (as in Keras 3.16).
//! * RootMeanSquaredError applies the mask too.
//! * IoU uses weights unchanged, and the adjustment of R2Score uses the number of rows (as in Keras 3.16).
//! * A metric of NaN inputs is NaN; Keras's accuracies, counts and F-scores treat NaN as a number. Inputs of weight 0
//!   are ignored.
//! * Binary labels must be 0 or 1 for metrics that count them, and from 0 to 1 for binary cross-entropies. Class ids
//!   must be whole numbers in range. Any other label is an error that reports its row. Labels aren't broadcast.
//!   Integers are compared as integers.
//! * Along the first axis, PearsonCorrelation, ConcordanceCorrelation and the metric CosineSimilarity are computed over
//!   all samples; Keras returns the mean over batches.
//! * AUC distinguishes logits whose probabilities are 0 or 1 in float32.
//! * Focal losses of logits are computed from the logits. Keras clips the probabilities at 1e-7, so the derivative of a
//!   confident wrong prediction is 0.
//! * The correct number is returned in cases in which an intermediate value of Keras is NaN or infinite: cosines of
//!   zero vectors and of very long vectors, focal losses with a gamma below 1, generalized cross-entropy at its
//!   boundary, Huber with a large delta, and cross-entropies with a logit of minus infinity for a class with label 0 or
//!   an infinite logit for the true class.
//! * Sums are float64, and metrics don't convert float64 predictions. The terms of float32 inputs are computed in
//!   float32.
//! * Averages of squares stay finite, and epsilon has a lower bound, so that a step without a gradient isn't NaN. A
//!   step of Ftrl at a learning rate of 0 changes nothing. A loss scale is at least 1, or at least its initial value if
//!   that is less than 1.
//! * An optimizer nested in another has no weight averages and no gradient accumulation. A parameter excluded from
//!   weight decay is excluded in both optimizers.
//!
//! Tversky's `alpha` is the weight of false negatives and `beta` that of false positives, as in the code and tests of
//! Keras 3.15.1. Keras 3.16 exchanged them, to match its documentation.
//!
//! As in Keras, in the metric SparseCategoricalCrossentropy with `ignore_class`, an ignored row counts as a value of 0
//! without weights and doesn't count with weights. In the loss, it doesn't count in either case. As in Keras's tests,
//! IoU and MeanIoU ignore a pair of whole ids if one of them is out of range; their `ignore_class` refers to `y_true`.
//!
//! # Formulas
//!
//! All components have a formula for other engines, except for these:
//!
//! * the losses Circle and CTC, which are functions of whole arrays;
//! * the metric R2Score, whose moments would lose digits as plain sums;
//! * the optimizers Adafactor, LossScaleOptimizer, MultiOptimizer, Muon and ScheduleFreeAdamW, which are functions of
//!   whole tensors or of several;
//! * some configurations of others, which say why: metrics with `top_k`, with thresholds that aren't in ascending order,
//!   of sorted class ids, or along the first axis; AUC of logits; losses with `ignore_class`.

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
    // A loss name in this list is the metric of the mean of the loss's values.
    metrics: [
        Accuracy,
        Auc,
        BinaryAccuracy,
        BinaryCrossentropy,
        BinaryIoU,
        CategoricalAccuracy,
        CategoricalCrossentropy,
        CategoricalHinge,
        ConcordanceCorrelation,
        metrics::CosineSimilarity,
        F1Score,
        FBetaScore,
        FalseNegatives,
        FalsePositives,
        IoU,
        KLDivergence,
        LogCoshError,
        Mean,
        MeanAbsoluteError,
        MeanAbsolutePercentageError,
        MeanIoU,
        MeanSquaredError,
        MeanSquaredLogarithmicError,
        OneHotIoU,
        OneHotMeanIoU,
        PearsonCorrelation,
        Poisson,
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

/// Counts allocations, so that the test sees those of an update.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;

#[test]
fn follows_the_rules_for_plugins() {
    plugfit_api::testing::check(plugin());
}
