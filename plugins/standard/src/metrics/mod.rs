//! Metrics: a file a family. Those that are the mean of a loss's values need no code here.

mod accuracy;
mod auc;
mod confusion;
mod counts;
mod distances;
mod means;

pub use accuracy::{
    Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
};
pub use auc::Auc;
pub use counts::{FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives};
pub use distances::{CosineSimilarity, LogCoshError, RootMeanSquaredError};
pub use means::{Mean, Sum};
