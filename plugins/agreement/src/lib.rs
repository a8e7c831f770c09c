//! Agreement beyond what chance would give, from the counts of every pair of classes. An id that is no class is refused; where a score is
//! NaN, so is the result.
use plugfit_api::prelude::*;

/// Matthews correlation of predicted and true classes, from -1 to 1; undefined where either is a single class.
/// Matthews 1975; of many classes: Gorodkin 2004.
#[derive(Clone, Debug, Config)]
#[config(aliases("mcc", "MCC"))]
pub struct MatthewsCorrelation;

/// Cohen's kappa of predicted and true classes: 1 is agreement, 0 what chance gives. Cohen 1960; weighted: Cohen 1968.
#[derive(Clone, Debug, Config)]
#[config(aliases("kappa"))]
pub struct CohenKappa {
    /// How much classes that lie apart disagree.
    #[config(default = "none")]
    weights: Disagreement,
}

/// How much a pair of classes disagrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Choice)]
pub enum Disagreement {
    /// Every pair of two classes as much.
    None,
    /// By how many classes they lie apart.
    Linear,
    /// By its square.
    Quadratic,
}

/// The weight of each pair of a true and a predicted class, row by row.
#[state]
#[derive(Default)]
pub struct Pairs {
    weights: Vec<f64>,
}

impl Pairs {
    fn classes(&self) -> usize {
        self.weights.len().isqrt()
    }

    fn grow(&mut self, classes: usize) {
        let old = self.classes();
        if classes > old {
            let mut weights = vec![0.0; classes * classes];
            for (i, weight) in self.weights.iter().enumerate() {
                weights[i / old * classes + i % old] = *weight;
            }
            self.weights = weights;
        }
    }

    fn update(&mut self, inputs: &Inputs<'_>) -> Result<()> {
        let mut classes = self.classes();
        inputs.for_each_prediction(|prediction, weight| {
            classes = classes.max(prediction.label.max(prediction.class) + 1);
            if self.weights.len() < classes * classes {
                self.grow(classes);
            }
            self.weights[prediction.label * classes + prediction.class] += weight;
        })
    }

    fn merge(&mut self, other: &Pairs) {
        let mut other = other.clone();
        self.grow(other.classes());
        other.grow(self.classes());
        self.weights.iter_mut().zip(&other.weights).for_each(|(a, b)| *a += b);
    }

    /// How often each class is true, and is predicted.
    fn margins(&self) -> Vec<[f64; 2]> {
        let classes = self.classes();
        let row = |class: usize| self.weights[class * classes..][..classes].iter().sum();
        let column = |class: usize| self.weights[class..].iter().step_by(classes).sum();
        (0..classes).map(|class| [row(class), column(class)]).collect()
    }
}

macro_rules! of_pairs {
    ($name:ident, $self:ident, $pairs:ident => $result:expr) => {
        impl Metric for $name {
            type State = Pairs;
            fn info(&self) -> MetricInfo {
                MetricInfo::new(Direction::Maximize)
            }
            fn init(&self) -> Pairs {
                Pairs::default()
            }
            fn update(&self, pairs: &mut Pairs, inputs: &Inputs<'_>) -> Result<()> {
                pairs.update(inputs)
            }
            fn merge(&self, pairs: &mut Pairs, other: &Pairs) -> Result<()> {
                pairs.merge(other);
                Ok(())
            }
            fn result(&$self, $pairs: &Pairs) -> Result<Outcome> {
                Ok($result)
            }
        }
    };
}

of_pairs!(MatthewsCorrelation, self, pairs => {
    let margins = pairs.margins();
    let all: f64 = margins.iter().map(|[there, _]| there).sum();
    let classes = pairs.classes();
    let right: f64 = (0..classes).map(|class| pairs.weights[class * classes + class]).sum();
    let by_chance: f64 = margins.iter().map(|[there, predicted]| there * predicted).sum();
    let spread = |of: usize| all * all - margins.iter().map(|margin| margin[of] * margin[of]).sum::<f64>();
    Outcome::ratio(right * all - by_chance, (spread(0) * spread(1)).sqrt())
});

of_pairs!(CohenKappa, self, pairs => {
    let margins = pairs.margins();
    let all: f64 = margins.iter().map(|[there, _]| there).sum();
    let classes = pairs.classes();
    let apart = |i: usize| {
        let distance = (i / classes).abs_diff(i % classes) as f64;
        match self.weights {
            Disagreement::None => distance.min(1.0),
            Disagreement::Linear => distance,
            Disagreement::Quadratic => distance * distance,
        }
    };
    let cells = 0..pairs.weights.len();
    let found: f64 = cells.clone().map(|i| apart(i) * pairs.weights[i] * all).sum();
    let expected = |i: usize| margins[i / classes][0] * margins[i % classes][1];
    let by_chance: f64 = cells.map(|i| apart(i) * expected(i)).sum();
    match Outcome::ratio(found, by_chance) {
        Outcome::Scalar(ratio) => Outcome::Scalar(1.0 - ratio),
        undefined => undefined,
    }
});

export_plugin! { metrics: [CohenKappa, MatthewsCorrelation] }

#[cfg(test)]
mod tests {
    use super::*;
    use plugfit_api::Tensor;

    fn result<M: Metric<State = Pairs>>(metric: &M) -> Outcome {
        // Ten rows, of which scikit-learn's matthews_corrcoef and cohen_kappa_score say what stands below.
        let y_true = [2.0_f32, 0.0, 2.0, 2.0, 0.0, 1.0, 1.0, 0.0, 2.0, 1.0];
        let classes = [0, 0, 2, 2, 0, 2, 1, 0, 1, 1];
        let scores: Vec<f32> =
            classes.iter().flat_map(|&class| (0..3).map(move |i| f32::from(u8::from(i == class)))).collect();
        let tensors = [("y_true", Tensor::new(&y_true, &[10])), ("y_pred", Tensor::new(&scores, &[10, 3]))];
        let mut pairs = metric.init();
        metric.update(&mut pairs, &Inputs::new(&tensors, None, None)).unwrap();
        metric.result(&pairs).unwrap()
    }

    fn near(outcome: Outcome, expected: f64) {
        assert!(
            matches!(outcome, Outcome::Scalar(value) if (value - expected).abs() < 1e-9),
            "{outcome:?}, {expected}"
        );
    }

    #[test]
    fn values_are_those_of_scikit_learn() {
        near(result(&MatthewsCorrelation), MATTHEWS);
        for (weights, expected) in
            [Disagreement::None, Disagreement::Linear, Disagreement::Quadratic].into_iter().zip(KAPPA)
        {
            near(result(&CohenKappa { weights }), expected);
        }
    }

    #[test]
    fn nan_in_a_score_that_counts_is_nan() {
        let (y_true, y_pred) = ([0.0_f32, 1.0, 1.0], [0.9_f32, 0.1, 0.2, 0.8, 0.4, f32::NAN]);
        let tensors = [("y_true", Tensor::new(&y_true, &[3])), ("y_pred", Tensor::new(&y_pred, &[3, 2]))];
        let result = |metric: &dyn Fn(&Inputs<'_>) -> Outcome, weight: f32| {
            let weight = [1.0, 1.0, weight];
            metric(&Inputs::new(&tensors, Some(Tensor::new(&weight, &[3])), None))
        };
        fn of<M: Metric<State = Pairs>>(metric: M) -> impl Fn(&Inputs<'_>) -> Outcome {
            move |inputs| {
                let mut pairs = metric.init();
                metric.update(&mut pairs, inputs).unwrap();
                metric.result(&pairs).unwrap()
            }
        }
        let kappa = of(CohenKappa { weights: Disagreement::Linear });
        for metric in [&of(MatthewsCorrelation) as &dyn Fn(&Inputs<'_>) -> Outcome, &kappa] {
            assert!(matches!(result(metric, 1.0), Outcome::Scalar(value) if value.is_nan()));
            near(result(metric, 0.0), 1.0);
        }
    }

    const MATTHEWS: f64 = 0.5606060606060606;
    const KAPPA: [f64; 3] = [0.5522388059701493, 0.5652173913043479, 0.5774647887323943];

    /// So that the test sees what an update asks for.
    #[global_allocator]
    static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;

    #[test]
    fn holds_what_a_plugin_must() {
        plugfit_api::testing::check(plugin());
    }
}
