//! How often each class was taken for which.

use ndarray::ArrayViewD;

/// Of each true class how often each class was predicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// What the classes are called.
    pub names: Vec<String>,
    /// True class after true class.
    pub counts: Vec<usize>,
}

/// More rows and columns than can be looked at.
const MOST: usize = 40;

impl Confusion {
    /// Of true classes and the scores `[N, classes]` of a model; none where that isn't what they are, or where there are too many.
    pub fn new(ids: &[usize], scores: &ArrayViewD<'_, f32>, names: Option<&[String]>) -> Option<Self> {
        let &[rows, columns] = scores.shape() else { return None };
        // A single column is the probability of class 1.
        let classes = columns.max(2);
        if rows != ids.len() || classes > MOST || ids.iter().any(|&id| id >= classes) {
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
