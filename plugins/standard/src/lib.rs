//! Keras's catalogue, as one plug-in: a file a family, formula first.

mod losses;
mod metrics;
mod optimizers;
mod schedules;

use losses::*;
use plugfit_api::export_plugin;

export_plugin! {
    losses: [
        BinaryCrossentropy,
        BinaryFocalCrossentropy,
        CategoricalCrossentropy,
        CategoricalFocalCrossentropy,
        CategoricalGeneralizedCrossEntropy,
        CategoricalHinge,
        Circle,
        CosineSimilarity,
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
    metrics: [],
    optimizers: [],
    schedules: [],
}
