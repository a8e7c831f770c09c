//! The weights of true and predicted classes, and how class ids are read.

use super::{confusion_formula::MOST_LISTED, one_if};
use plugfit_api::{
    Plain, Scratch,
    formula::{Formula, Traced},
    prelude::*,
    simd::{Kernel, dispatch},
};

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
pub enum Ids {
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
    /// The position of the greatest element of each row, if it is computed in advance; NaN if an element is NaN.
    greatest: Option<Scratch<f32>>,
}

/// Finds the greatest score of each row.
struct Greatest<'s, 'g> {
    scores: &'s [f32],
    along: usize,
    greatest: &'g mut [f32],
}

impl Kernel for Greatest<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (row, greatest) in self.scores.chunks_exact(self.along).zip(self.greatest) {
            *greatest = Row::new(Plain::slice(row)).argmax().0;
        }
    }
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
        let is_row = matches!(ids, Ids::OneHot(_)) && between == 1 && (1..1 << f32::MANTISSA_DIGITS).contains(&along);
        let greatest = tensor.as_slice::<f32>().filter(|_| is_row).map(|scores| {
            let mut greatest = Scratch::of_length(scores.len() / along);
            dispatch(Greatest { scores, along, greatest: &mut greatest });
            greatest
        });
        Ok(Reader { tensor, name, ids, along, between, greatest })
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
            Ids::OneHot(_) if self.greatest.is_some() => match self.greatest.as_ref().map_or(f32::NAN, |ids| ids[i]) {
                id if id.is_nan() => return Id::Nan,
                id => id as usize,
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
    /// Adds a batch.
    ///
    /// # Errors
    /// Returns an error if the inputs don't fit each other, or if an id is invalid.
    pub fn update(&mut self, classes: usize, ignored: Option<i64>, ids: [Ids; 2], inputs: &Inputs<'_>) -> Result<()> {
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

    /// Adds the weights of other batches.
    pub fn merge(&mut self, other: &Overlaps) -> Result<()> {
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
    pub fn result(&self, targets: impl Iterator<Item = usize>) -> Outcome {
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

/// Records the mean over those target classes that occur in labels or predictions.
///
/// # Errors
/// Returns an error if there is no formula for how the ids are read.
pub fn formula(
    classes: usize,
    ignored: Option<i64>,
    ids: [Ids; 2],
    targets: impl ExactSizeIterator<Item = usize>,
) -> Result<Formula> {
    let each = match ids {
        [Ids::Any | Ids::Classes, Ids::Any | Ids::Classes | Ids::Above(_)] => Each::Element,
        [Ids::Any | Ids::Classes, Ids::OneHot(-1)] => Each::ClassId,
        [Ids::OneHot(axis), Ids::OneHot(_)] => Each::Line(axis),
        _ => return Err(Error::unsupported("labels and predictions lie along different axes")),
    };
    let targets: Vec<usize> = targets.collect();
    let Some(&first) = targets.first() else { return Err(Error::unsupported("it has no target classes")) };
    let has_all = targets.iter().copied().eq(0..classes);
    if !has_all && targets.len() > MOST_LISTED {
        return Err(Error::unsupported("it has too many target classes"));
    }
    let number = |number: f64| -> Traced { Real::from(number) };
    let read = move |ids: Ids, row: Row<'_, Traced>| match ids {
        Ids::OneHot(_) => row.argmax(),
        Ids::Above(threshold) => {
            let x = row.single();
            Traced::select(x.eq(x), one_if::<Traced>(x.ge(number(f64::from(threshold as f32)))), number(f64::NAN))
        }
        Ids::Any | Ids::Classes => row.single(),
    };
    Formula::of_sums(
        ["both", "labels", "predictions"],
        &SumLayout { bins: classes, ..SumLayout::new(each) },
        |y_true, y_pred| {
            let (t, p) = (read(ids[0], y_true), read(ids[1], y_pred));
            let (zero, none) = (number(0.0), number(-1.0));
            let is_class = |id: Traced| id.ge(zero) & id.lt(number(classes as f64));
            let is_refused = |id: Traced, ids: Ids| match ids {
                Ids::Classes => !(is_class(id) & id.floor().eq(id)),
                _ => !id.floor().eq(id),
            };
            let is_refused = is_refused(t, ids[0]) | is_refused(p, ids[1]);
            let is_ignored = ignored.map(|ignored| t.eq(number(ignored as f64)));
            let counts = is_class(t) & is_class(p);
            // A NaN or an id that is refused makes the first target NaN.
            let put = |bin: Traced| {
                let bin = Traced::select(counts, bin, none);
                let bin = Traced::select(is_refused, number(first as f64), bin);
                let value = Traced::select(is_refused, number(f64::NAN), number(1.0));
                Term::in_bin(is_ignored.map_or(bin, |is_ignored| Traced::select(is_ignored, none, bin)), value)
            };
            [put(Traced::select(t.eq(p), t, none)), put(t), put(p)]
        },
        |sums| {
            let is_target = |index: Traced| {
                let listed = targets.iter().map(|&target| index.eq(number(target as f64)));
                listed.reduce(|some, other| some | other).filter(|_| !has_all)
            };
            let sum_over_classes = |term: &dyn Fn(Traced, Traced) -> Traced| {
                sums.sum_around(|bin| {
                    let [both, labels, predictions] = bin.here;
                    let either = labels + predictions - both;
                    let occurs = either.gt(number(1e-9)) | !either.eq(either);
                    let counts = is_target(bin.index).map_or(occurs, |is_target| occurs & is_target);
                    Traced::select(counts, term(both, either), number(0.0))
                })
            };
            SumResult::ratio(sum_over_classes(&|both, either| both / either), sum_over_classes(&|_, _| number(1.0)))
        },
    )
}
