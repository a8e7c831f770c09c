//! Keras's catalogue, as one plug-in: a file a family, formula first.
//!
//! What Keras 3.15.1 says is what is said here, but for this:
//!
//! * What nothing was seen of is undefined, where Keras says 0 or NaN; so is an AUC while a class is missing.
//! * A loss refuses labels of another shape than the predictions, which Keras broadcasts, and class ids that are none. What has weight 0
//!   is left out of values and gradients, even if it is NaN.
//! * Label smoothing divides by the length of the axis that has the classes (as Keras 3.16).
//! * The mask counts for RootMeanSquaredError too.
//! * IoU counts weights as they are, and R2Score's adjustment counts rows (as Keras 3.16).
//! * A metric of NaN is NaN, where Keras's accuracies, counts and F-scores take it for a number. What has weight 0 isn't looked at.
//! * Labels of two classes are 0 and 1, where a metric counts them, and lie between 0 and 1 for a binary cross-entropy; class ids are whole, and
//!   those of a class. Others are refused with their row. Labels aren't broadcast. Integers are compared as integers.
//! * Along the first axis PearsonCorrelation, ConcordanceCorrelation and the metric CosineSimilarity are those of all samples, where Keras has
//!   the mean of the batches'.
//! * AUC tells apart logits whose probabilities are 0 or 1 in float32.
//! * A focal loss of logits is computed from the logits: Keras clips their probabilities at 1e-7, and a sure and wrong prediction has no
//!   slope there.
//! * Where Keras has NaN or infinity on the way to a number, the number is given: of the cosine of zeros and of very long vectors, of
//!   focal losses with a gamma below 1, of a generalized cross-entropy's edge, of Huber's with a large delta, of cross-entropies with a
//!   logit of minus infinity for a class that is no label, or with an infinite one that is right.
//! * Sums are float64, and metrics take float64 predictions as they are.
//! * Averages of squares stay finite, and what is added to them is never so small that a step without a gradient is NaN. A step of Ftrl
//!   at a learning rate of 0 changes nothing. A loss scale stays at 1 at least, or at what it starts at if that is less.
//! * An optimizer inside another keeps no averages and no sums of its own; what is excluded from weight decay is so in both.
//!
//! Tversky's `alpha` weighs false negatives and `beta` false positives, as in Keras 3.15.1's code and tests; Keras 3.16 exchanged them,
//! as its documentation had it.
//!
//! The metric SparseCategoricalCrossentropy with `ignore_class` is Keras's: without weights a row that is ignored counts as a value of 0, beside
//! weights it doesn't count. The loss leaves it out of both. IoU and MeanIoU, as in Keras's tests, leave out a pair of whole ids of which one
//! is none of the classes; their `ignore_class` is one of `y_true`.

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

/// So that the test sees what an update asks for.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;

#[test]
fn holds_what_a_plugin_must() {
    plugfit_api::testing::check(plugin());
}
