//! Metrics, one file for each family. A metric that is the mean of a loss's values needs no code here.

mod accuracy;
mod auc;
mod confusion;
mod correlation;
mod counts;
mod distances;
mod f_score;
mod iou;
mod means;
mod moments;
mod operating_point;
mod r2;
mod saturated;

pub use accuracy::{
    Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
};
pub use auc::Auc;
pub use correlation::{ConcordanceCorrelation, CosineSimilarity, PearsonCorrelation};
pub use counts::{FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives};
pub use distances::{LogCoshError, RootMeanSquaredError};
pub use f_score::{F1Score, FBetaScore};
pub use iou::{BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU};
pub use means::{Mean, Sum};
pub use operating_point::{PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity, SpecificityAtSensitivity};
pub use r2::R2Score;
