//! Confusion matrices.

use ndarray::ArrayViewD;

/// The number of samples for each pair of true and predicted class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// The names of the classes.
    pub names: Vec<String>,
    /// The counts, row by row; one row per true class.
    pub counts: Vec<usize>,
}

/// The maximum number of classes: a larger matrix is unreadable.
const MAX_CLASSES: usize = 40;

impl Confusion {
    /// Counts the true classes against the predictions from scores `[N, classes]`. Returns `None` if `ids` aren't class
    /// ids for these scores, or there are too many classes.
    pub fn new(ids: &[usize], scores: &ArrayViewD<'_, f32>, names: Option<&[String]>) -> Option<Self> {
        let &[rows, columns] = scores.shape() else { return None };
        // A single column is the probability of class 1.
        let classes = columns.max(2);
        if rows != ids.len() || classes > MAX_CLASSES || ids.iter().any(|&id| id >= classes) {
            return None;
        }
        let mut counts = vec![0; classes * classes];
        for (row, &id) in scores.rows().into_iter().zip(ids) {
            let predicted = match columns {
                1 => usize::from(row[0] > 0.5),
                _ => (1..columns).fold(0, |best, i| if row[i] > row[best] { i } else { best }),
            };
            counts[id * classes + predicted] += 1;
        }
        let name =
            |class: usize| names.and_then(|names| names.get(class)).cloned().unwrap_or_else(|| class.to_string());
        Some(Confusion { names: (0..classes).map(name).collect(), counts })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn each_pair_of_classes_is_counted() {
        let scores = array![[0.9_f32, 0.1], [0.2, 0.8], [0.6, 0.4]].into_dyn();
        let confusion = Confusion::new(&[0, 1, 1], &scores.view(), None).expect("two classes");
        assert_eq!(confusion.counts, [1, 0, 1, 1]);
        assert_eq!(confusion.names, ["0", "1"]);
        let one = array![[0.9_f32], [0.2]].into_dyn();
        assert_eq!(Confusion::new(&[1, 1], &one.view(), None).expect("two classes").counts, [0, 0, 1, 1]);
        assert_eq!(Confusion::new(&[5], &array![[0.5_f32, 0.5]].into_dyn().view(), None), None);
    }
}
