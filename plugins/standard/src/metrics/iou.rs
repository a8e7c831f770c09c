//! Intersection over union of predicted and true classes. Jaccard 1901.
//!
//! An id that isn't a whole number is an error. A NaN score makes the value of every class NaN.

use super::overlaps::{Ids, Overlaps, formula};
use plugfit_api::{formula::Formula, prelude::*};

fn ids(sparse: bool, axis: i64) -> Ids {
    if sparse { Ids::Any } else { Ids::OneHot(axis) }
}

/// Returns how predictions are read if labels are one-hot.
fn classes(sparse: bool, axis: i64) -> Ids {
    if sparse { Ids::Classes } else { Ids::OneHot(axis) }
}

fn check(classes: u64, targets: &[u64]) -> Result<()> {
    match targets.iter().find(|target| **target >= classes) {
        Some(target) => Err(Error::config(
            "target_class_ids",
            format!("must be less than num_classes, {classes}, and {target} isn't"),
        )),
        None => Ok(()),
    }
}

macro_rules! iou {
    ($name:ident, $self:ident: $classes:expr, $ignored:expr, $ids:expr, $targets:expr) => {
        impl Metric for $name {
            with_state!(Overlaps);
            const STATE_VERSION: u32 = 2;
            fn info(&$self) -> MetricInfo {
                let dtypes: Vec<String> = ["int32", "float32", "float64", "int64", "uint8"].map(str::to_owned).to_vec();
                // If the class axis is the first axis, an id depends on all rows.
                let along_rows = $ids.iter().any(|ids| matches!(ids, Ids::OneHot(0)));
                MetricInfo {
                    dtypes: vec![dtypes; 2],
                    rows_independent: !along_rows,
                    zero_weight_is_absent: !along_rows,
                    ..MetricInfo::new(Direction::Maximize)
                }
            }
            fn update(&$self, overlaps: &mut Overlaps, inputs: &Inputs<'_>) -> Result<()> {
                overlaps.update($classes as usize, $ignored, $ids, inputs)
            }
            fn formula(&$self) -> Result<Formula> {
                formula($classes as usize, $ignored, $ids, $targets)
            }
            fn result(&$self, overlaps: &Overlaps) -> Result<Outcome> {
                Ok(overlaps.result($targets))
            }
        }
    };
}

/// The mean intersection over union of the target classes. Classes that occur neither in labels nor in predictions
/// don't count. As in Keras, whole ids out of range don't count either.
#[derive(Clone, Debug, Config)]
#[config(base(name = None), check = Self::check)]
#[config(examples = super::examples::IOU)]
pub struct IoU {
    /// The number of classes.
    #[config(range = 1..=100000)]
    num_classes: u64,
    /// The classes that count.
    target_class_ids: Vec<u64>,
    /// Elements with this label are ignored; the label may be out of range. Null: none is ignored.
    ignore_class: Option<i64>,
    /// Whether `y_true` contains class ids instead of a score for each class.
    #[config(default = true)]
    sparse_y_true: bool,
    /// Whether `y_pred` contains class ids instead of a score for each class.
    #[config(default = true)]
    sparse_y_pred: bool,
    /// The axis of the classes, for inputs that aren't class ids.
    #[config(default = -1)]
    axis: i64,
}

impl IoU {
    fn check(&self) -> Result<()> {
        check(self.num_classes, &self.target_class_ids)
    }
}

iou! {
    IoU, self: self.num_classes, self.ignore_class,
    [ids(self.sparse_y_true, self.axis), ids(self.sparse_y_pred, self.axis)],
    self.target_class_ids.iter().map(|&class| class as usize)
}

/// The mean intersection over union of all classes. As in Keras, whole ids out of range don't count.
#[derive(Clone, Debug, Config)]
#[config(base(name = None))]
#[config(examples = super::examples::MEAN_IOU)]
pub struct MeanIoU {
    /// The number of classes.
    #[config(range = 1..=100000)]
    num_classes: u64,
    /// Elements with this label are ignored; the label may be out of range. Null: none is ignored.
    ignore_class: Option<i64>,
    /// Whether `y_true` contains class ids instead of a score for each class.
    #[config(default = true)]
    sparse_y_true: bool,
    /// Whether `y_pred` contains class ids instead of a score for each class.
    #[config(default = true)]
    sparse_y_pred: bool,
    /// The axis of the classes, for inputs that aren't class ids.
    #[config(default = -1)]
    axis: i64,
}

iou! {
    MeanIoU, self: self.num_classes, self.ignore_class,
    [ids(self.sparse_y_true, self.axis), ids(self.sparse_y_pred, self.axis)],
    0..self.num_classes as usize
}

/// The mean intersection over union of predictions at or above a threshold and of those below.
/// A label other than 0 or 1 is an error.
#[derive(Clone, Debug, Config)]
#[config(base(name = None), check = Self::check)]
#[config(examples = super::examples::BINARY_IOU)]
pub struct BinaryIoU {
    /// The classes that count: 0 is below the threshold, 1 at or above it.
    #[config(default = [0, 1])]
    target_class_ids: Vec<u64>,
    /// Predictions at or above the threshold are of class 1.
    #[config(default = 0.5)]
    threshold: f64,
}

impl BinaryIoU {
    fn check(&self) -> Result<()> {
        check(2, &self.target_class_ids)
    }
}

iou! {
    BinaryIoU, self: 2, None, [Ids::Classes, Ids::Above(self.threshold)],
    self.target_class_ids.iter().map(|&class| class as usize)
}

/// The mean intersection over union of the target classes, for one-hot labels.
#[derive(Clone, Debug, Config)]
#[config(base(name = None), check = Self::check)]
#[config(examples = super::examples::ONE_HOT_IOU)]
pub struct OneHotIoU {
    /// The number of classes.
    #[config(range = 1..=100000)]
    num_classes: u64,
    /// The classes that count.
    target_class_ids: Vec<u64>,
    /// Elements with this label are ignored; the label may be out of range. Null: none is ignored.
    ignore_class: Option<i64>,
    /// Whether `y_pred` contains class ids instead of a score for each class.
    #[config(default = false)]
    sparse_y_pred: bool,
    /// The axis of the classes.
    #[config(default = -1)]
    axis: i64,
}

impl OneHotIoU {
    fn check(&self) -> Result<()> {
        check(self.num_classes, &self.target_class_ids)
    }
}

iou! {
    OneHotIoU, self: self.num_classes, self.ignore_class, [Ids::OneHot(self.axis), classes(self.sparse_y_pred, self.axis)],
    self.target_class_ids.iter().map(|&class| class as usize)
}

/// The mean intersection over union of all classes, for one-hot labels.
#[derive(Clone, Debug, Config)]
#[config(base(name = None))]
#[config(examples = super::examples::ONE_HOT_MEAN_IOU)]
pub struct OneHotMeanIoU {
    /// The number of classes.
    #[config(range = 1..=100000)]
    num_classes: u64,
    /// Elements with this label are ignored; the label may be out of range. Null: none is ignored.
    ignore_class: Option<i64>,
    /// Whether `y_pred` contains class ids instead of a score for each class.
    #[config(default = false)]
    sparse_y_pred: bool,
    /// The axis of the classes.
    #[config(default = -1)]
    axis: i64,
}

iou! {
    OneHotMeanIoU, self: self.num_classes, self.ignore_class, [Ids::OneHot(self.axis), classes(self.sparse_y_pred, self.axis)],
    0..self.num_classes as usize
}
