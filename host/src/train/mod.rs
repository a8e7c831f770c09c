//! Training: fit, evaluate and predict over any [`Network`](crate::network::Network), and the files of a saved run.

pub mod callbacks;
pub(crate) mod check_targets;
pub mod checkpoint;
mod checksum;
mod feed;
mod fit;
mod fit_config;
mod folder_lock;
mod history;
pub mod model_file;
mod run_contents;
mod run_file;
mod run_folder;
mod run_record;
mod run_toml;
mod tensors;
mod trainer;
mod weights_file;

pub use fit::{Ended, Fit, Watch, fit};
pub use fit_config::{ClassWeight, ClassWeightRule, FitConfig};
pub use history::{Epoch, History};
pub use run_file::RunFile;
pub use run_folder::RunFolder;
pub use run_record::RunRecord;
pub use trainer::{Trainer, predict};
pub use weights_file::{load_weights, save_weights};
