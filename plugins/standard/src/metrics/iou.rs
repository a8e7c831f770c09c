//! Intersection over union of predicted and true classes. Jaccard 1901.
//!
//! An id that isn't a whole number is an error. A NaN score makes the value of every class NaN.

use plugfit_api::{Tensor, prelude::*};

/// The weights of each class; initially empty.
#[state]
#[derive(Default)]
pub struct Overlaps {
    classes: Vec<Overlap>,
}

/// The weights of one class.
#[state]
#[derive(Default)]
struct Overlap {
    /// The weight of elements of this class in both labels and predictions.
    both: f64,
    /// The weight of elements with this label.
    there: f64,
    /// The weight of elements with this prediction.
    predicted: f64,
}

/// How class ids are read from a tensor.
#[derive(Clone, Copy, Debug)]
enum Ids {
    /// Elements are ids. As in Keras's tests, a pair with an id out of range doesn't count.
    Any,
    /// Elements are ids, and an id out of range is an error.
    Classes,
    /// The id is the index of the greatest element along this axis.
    OneHot(i64),
    /// The id is 1 if the element is at least the threshold, else 0.
    Above(f64),
}

/// Reads the ids of a tensor.
struct Reader<'a> {
    tensor: Tensor<'a>,
    name: &'static str,
    ids: Ids,
    /// The length of the class axis, and its stride in elements.
    along: usize,
    between: usize,
}

/// An id that was read.
#[derive(Clone, Copy, PartialEq)]
enum Id {
    Class(usize),
    /// An id out of range.
    Other,
    /// One of the scores is NaN.
    Nan,
}

impl<'a> Reader<'a> {
    fn new(tensor: Tensor<'a>, ids: Ids, name: &'static str) -> Result<Self> {
        let (mut along, mut between) = (1, 1);
        if let Ids::OneHot(axis) = ids {
            let shape = tensor.shape();
            let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
            let lengths = usize::try_from(axis).ok().and_then(|axis| shape.get(axis..)).filter(|rest| !rest.is_empty());
            let Some([first, behind @ ..]) = lengths else {
                return Err(Error::input(format!("{name} of shape {shape:?} has no axis {axis}")));
            };
            (along, between) = (*first as usize, behind.iter().product::<i64>() as usize);
        }
        Ok(Reader { tensor, name, ids, along, between })
    }

    fn count(&self) -> usize {
        self.tensor.len().checked_div(self.along).unwrap_or(0)
    }

    fn get(&self, i: usize, classes: usize) -> Id {
        let class = match self.ids {
            Ids::Any | Ids::Classes => {
                let id = self.tensor.get_f64(i);
                if id < 0.0 {
                    return Id::Other;
                }
                id as usize
            }
            Ids::Above(threshold) => match self.tensor.get_f64(i) {
                value if value.is_nan() => return Id::Nan,
                value => usize::from(value as f32 >= threshold as f32),
            },
            Ids::OneHot(_) => {
                let at = |class: usize| (i / self.between * self.along + class) * self.between + i % self.between;
                let mut best = (0, f64::NEG_INFINITY);
                for class in 0..self.along {
                    match self.tensor.get_f64(at(class)) {
                        value if value.is_nan() => return Id::Nan,
                        value if value > best.1 => best = (class, value),
                        _ => {}
                    }
                }
                best.0
            }
        };
        if class < classes { Id::Class(class) } else { Id::Other }
    }

    /// Checks the ids, except for those that are `absent`: of weight 0 or of the ignored class.
    fn check(&self, inputs: &Inputs<'_>, classes: usize, absent: impl Fn(usize) -> bool) -> Result<()> {
        let name = self.name;
        match self.ids {
            Ids::OneHot(axis) if self.along > classes => {
                let shape = self.tensor.shape();
                let message = format!("{name} of shape {shape:?} has {} classes along axis {axis}, not", self.along);
                Err(Error::input(format!("{message} the {classes} of num_classes")))
            }
            Ids::Above(_) | Ids::OneHot(_) => Ok(()),
            Ids::Any => inputs.check_whole_numbers(name, absent),
            Ids::Classes => inputs.check_class_ids(name, Some(classes), absent),
        }
    }
}

impl Overlaps {
    fn update(&mut self, classes: usize, ignored: Option<i64>, ids: [Ids; 2], inputs: &Inputs<'_>) -> Result<()> {
        let y_true = Reader::new(inputs.y_true()?, ids[0], "y_true")?;
        let y_pred = Reader::new(inputs.y_pred()?, ids[1], "y_pred")?;
        let count = y_true.count();
        if y_pred.count() != count {
            let shapes = (y_true.tensor.shape(), y_pred.tensor.shape());
            let message = format!(
                "y_true of shape {:?} and y_pred of shape {:?} contain different numbers of classes",
                shapes.0, shapes.1
            );
            return Err(Error::input(message));
        }
        // One weight for all elements, one for each, or one for each index of the leading axes.
        let each = match inputs.weight() {
            None => None,
            Some(weight) if !weight.is_empty() && count % weight.len() == 0 => Some((weight, count / weight.len())),
            Some(_) if count == 0 => None,
            Some(weight) => {
                let shape = weight.shape();
                return Err(Error::input(format!("sample_weight of shape {shape:?} doesn't fit {count} classes")));
            }
        };
        let weight = |i: usize| each.map_or(1.0, |(weight, each)| weight.get_f64(i / each));
        let is_ignored = |i: usize| match (ignored, ids[0]) {
            (Some(ignored), Ids::Any | Ids::Classes) => {
                y_true.tensor.get_f64(i) == ignored as f64 && y_true.tensor.get_whole(i) == Some(ignored.into())
            }
            (Some(ignored), _) => {
                usize::try_from(ignored).is_ok_and(|class| y_true.get(i, classes) == Id::Class(class))
            }
            (None, _) => false,
        };
        y_true.check(inputs, classes, |i| weight(i) == 0.0 || is_ignored(i))?;
        y_pred.check(inputs, classes, |i| weight(i) == 0.0 || is_ignored(i))?;
        if self.classes.is_empty() {
            self.classes.resize(classes, Overlap::default());
        }
        if self.classes.len() != classes {
            return Err(Error::state(format!("the state has {} classes, not {classes}", self.classes.len())));
        }
        for i in 0..count {
            let weight = weight(i);
            if weight == 0.0 || is_ignored(i) {
                continue;
            }
            match (y_true.get(i, classes), y_pred.get(i, classes)) {
                (Id::Class(t), Id::Class(p)) => {
                    self.classes[t].there += weight;
                    self.classes[p].predicted += weight;
                    if t == p {
                        self.classes[t].both += weight;
                    }
                }
                (Id::Nan, _) | (_, Id::Nan) => {
                    self.classes.iter_mut().for_each(|class| class.predicted = f64::NAN);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: &Overlaps) -> Result<()> {
        if self.classes.is_empty() {
            self.classes.clone_from(&other.classes);
            return Ok(());
        }
        for (own, other) in self.classes.iter_mut().zip(&other.classes) {
            own.both += other.both;
            own.there += other.there;
            own.predicted += other.predicted;
        }
        Ok(())
    }

    /// Returns the mean over those target classes that occur in labels or predictions.
    fn result(&self, targets: impl Iterator<Item = usize>) -> Outcome {
        let (mut sum, mut seen) = (0.0, 0.0);
        for class in targets.filter_map(|target| self.classes.get(target)) {
            let either = class.there + class.predicted - class.both;
            if either > 1e-9 || either.is_nan() {
                sum += class.both / either;
                seen += 1.0;
            }
        }
        Outcome::ratio(sum, seen)
    }
}

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
            type State = Overlaps;
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
            fn init(&self) -> Overlaps {
                Overlaps::default()
            }
            fn update(&$self, overlaps: &mut Overlaps, inputs: &Inputs<'_>) -> Result<()> {
                overlaps.update($classes as usize, $ignored, $ids, inputs)
            }
            fn merge(&self, overlaps: &mut Overlaps, other: &Overlaps) -> Result<()> {
                overlaps.merge(other)
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
#[config(
    example = r#"{"config": {"num_classes": 3, "target_class_ids": [0, 2]}, "y_true": [0, 1, 2, 2, 1, 0], "y_pred": [0, 2, 2, 1, 1, 0], "gives": 0.6666667}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 3, "target_class_ids": [0, 1], "ignore_class": 2, "sparse_y_pred": false}, "y_true": [2, 1, 0, 1], "y_pred": [[0.2, 0.3, 0.5], [0.1, 0.7, 0.2], [0.5, 0.5, 0.1], [0.1, 0.4, 0.5]], "gives": 0.7499999}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 3, "target_class_ids": [0, 1], "sparse_y_pred": false, "axis": 0}, "y_true": [1, 0, 1], "y_pred": [[0.6, 0.3, 0.2], [0.3, 0.7, 0.8]], "gives": 0.1666667}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 2, "target_class_ids": [0, 1]}, "y_true": [0, 2, 0, 1], "y_pred": [0, 1, -1, 0], "gives": 0.25}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 2, "target_class_ids": [0]}, "y_true": [0, 0.5], "y_pred": [0, 1], "refused": "0.5 in row 1"}"#
)]
#[config(example = r#"{"config": {"num_classes": 2, "target_class_ids": [2]}, "refused": "target_class_ids"}"#)]
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
#[config(
    example = r#"{"config": {"num_classes": 3}, "y_true": [0, 1, 2, 2, 1, 0], "y_pred": [0, 2, 2, 1, 1, 0], "gives": 0.5555556}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 3, "ignore_class": 1}, "y_true": [0, 1, 2, 2, 1, 0], "y_pred": [0, 2, 2, 1, 1, 0], "gives": 0.5}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 4}, "y_true": [0, 1, 2, 2, 1, 0], "y_pred": [0, 2, 2, 1, 1, 0], "sample_weight": [1, 2, 4, 1, 3, 1], "gives": 0.6904762}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 3, "sparse_y_true": false, "sparse_y_pred": false, "axis": 1}, "y_true": [[[1, 0], [0, 1], [0, 0]], [[0, 0], [0, 0], [1, 1]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.5, 0.1], [0.3, 0.2], [0.2, 0.7]]], "gives": 0.6666667}"#
)]
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
#[config(
    example = r#"{"config": {"threshold": 0.45}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.5}"#
)]
#[config(
    example = r#"{"config": {"threshold": 0.5}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 4, 1, 1, 3, 1, 2], "gives": 0.6493506}"#
)]
#[config(
    example = r#"{"config": {"target_class_ids": [1], "threshold": 0.3}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 4, 1, 1, 3, 1, 2], "gives": 0.7272727}"#
)]
#[config(
    example = r#"{"batches": [{"y_true": [0, 1, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6]}, {"y_true": [[1, 0]], "y_pred": [[0.5, 0.2]], "sample_weight": [[1, 4]]}], "gives": 0.6071429}"#
)]
#[config(
    example = r#"{"config": {"threshold": 0.5}, "y_true": [0, 1], "y_pred": [0.4, 0.3], "sample_weight": 0.5, "gives": 0.25}"#
)]
#[config(example = r#"{"y_true": [0, -1], "y_pred": [0.4, 0.3], "refused": "-1 in row 1"}"#)]
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
#[config(
    example = r#"{"config": {"num_classes": 4, "target_class_ids": [0, 2]}, "y_true": [[0, 0, 1], [1, 0, 0]], "y_pred": [[0.2, 0.3, 0.5], [0.1, 0.2, 0.7]], "gives": 0.25}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 3, "target_class_ids": [0, 2]}, "y_true": [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]], "y_pred": [[0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.5, 0.3, 0.1], [0.1, 0.4, 0.5]], "gives": 0.1666667}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 3, "target_class_ids": [0, 2], "axis": 1}, "y_true": [[[1, 0], [0, 1], [0, 0]], [[0, 0], [0, 0], [1, 1]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.5, 0.1], [0.3, 0.2], [0.2, 0.7]]], "gives": 0.5}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 2, "target_class_ids": [0], "axis": 0}, "y_true": [[1, 0, 0], [0, 1, 0]], "y_pred": [[0.6, 0.3, 0.2], [0.3, 0.7, 0.8]], "gives": 0.4999999}"#
)]
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
#[config(
    example = r#"{"config": {"num_classes": 4}, "y_true": [[0, 0, 1], [1, 0, 0]], "y_pred": [[0.2, 0.3, 0.5], [0.1, 0.2, 0.7]], "gives": 0.25}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 3}, "y_true": [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]], "y_pred": [[0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.5, 0.3, 0.1], [0.1, 0.4, 0.5]], "gives": 0.1111111}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 3, "sparse_y_pred": true, "ignore_class": 1}, "y_true": [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]], "y_pred": [2, 2, 1, 0], "gives": 0.5}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 3, "axis": 1}, "y_true": [[[1, 0], [0, 1], [0, 0]], [[0, 0], [0, 0], [1, 1]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.5, 0.1], [0.3, 0.2], [0.2, 0.7]]], "gives": 0.6666667}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 2, "axis": 0}, "y_true": [[1, 0, 0], [0, 1, 0]], "y_pred": [[0.6, 0.3, 0.2], [0.3, 0.7, 0.8]], "gives": 0.5}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 2, "sparse_y_pred": true}, "y_true": [[1, 0], [0, 1]], "y_pred": [0, 2], "refused": "2 in row 1"}"#
)]
#[config(
    example = r#"{"config": {"num_classes": 2}, "y_true": [[1, 0], [0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.5, 0.2, 0.3]], "refused": "num_classes"}"#
)]
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
