//! Agreement beyond chance, computed from a confusion matrix.
//!
//! A class id out of range is an error. If a score is NaN, the result is NaN.
use plugfit_api::prelude::*;

/// Matthews correlation of predicted and true classes, from -1 to 1; undefined if either is a single class.
/// Matthews 1975; multiclass: Gorodkin 2004.
#[derive(Clone, Debug, Config)]
#[config(aliases("mcc", "MCC"))]
pub struct MatthewsCorrelation;

/// Cohen's kappa of predicted and true classes: 1 is full agreement, 0 is chance level.
/// Cohen 1960; weighted: Cohen 1968.
#[derive(Clone, Debug, Config)]
#[config(aliases("kappa"))]
pub struct CohenKappa {
    /// The weighting of disagreements between classes.
    #[config(default = "none")]
    weights: Disagreement,
}

/// The weighting of a disagreement between two classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Choice)]
pub enum Disagreement {
    /// Every disagreement has weight 1.
    None,
    /// The weight is the distance between the class ids.
    Linear,
    /// The weight is the squared distance.
    Quadratic,
}

/// A weighted confusion matrix: rows are true classes, columns predicted classes.
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

    /// Returns the row sum (true) and the column sum (predicted) of each class.
    fn margins(&self) -> Vec<[f64; 2]> {
        let classes = self.classes();
        let row = |class: usize| self.weights[class * classes..][..classes].iter().sum();
        let column = |class: usize| self.weights[class..].iter().step_by(classes).sum();
        (0..classes).map(|class| [row(class), column(class)]).collect()
    }
}

macro_rules! confusion_metric {
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

confusion_metric!(MatthewsCorrelation, self, pairs => {
    let margins = pairs.margins();
    let all: f64 = margins.iter().map(|[actual, _]| actual).sum();
    let classes = pairs.classes();
    let correct: f64 = (0..classes).map(|class| pairs.weights[class * classes + class]).sum();
    let by_chance: f64 = margins.iter().map(|[actual, predicted]| actual * predicted).sum();
    let spread = |side: usize| all * all - margins.iter().map(|margin| margin[side] * margin[side]).sum::<f64>();
    Outcome::ratio(correct * all - by_chance, (spread(0) * spread(1)).sqrt())
});

confusion_metric!(CohenKappa, self, pairs => {
    let margins = pairs.margins();
    let all: f64 = margins.iter().map(|[actual, _]| actual).sum();
    let classes = pairs.classes();
    let disagreement = |i: usize| {
        let distance = (i / classes).abs_diff(i % classes) as f64;
        match self.weights {
            Disagreement::None => distance.min(1.0),
            Disagreement::Linear => distance,
            Disagreement::Quadratic => distance * distance,
        }
    };
    let cells = 0..pairs.weights.len();
    let observed: f64 = cells.clone().map(|i| disagreement(i) * pairs.weights[i] * all).sum();
    let expected = |i: usize| margins[i / classes][0] * margins[i % classes][1];
    let by_chance: f64 = cells.map(|i| disagreement(i) * expected(i)).sum();
    match Outcome::ratio(observed, by_chance) {
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
        // The expected values are scikit-learn's matthews_corrcoef and cohen_kappa_score of these ten rows.
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
    fn values_match_scikit_learn() {
        near(result(&MatthewsCorrelation), MATTHEWS);
        for (weights, expected) in
            [Disagreement::None, Disagreement::Linear, Disagreement::Quadratic].into_iter().zip(KAPPA)
        {
            near(result(&CohenKappa { weights }), expected);
        }
    }

    #[test]
    fn a_nan_score_with_weight_gives_nan() {
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

    /// Counts allocations, so that the test sees those of an update.
    #[global_allocator]
    static ALLOCATOR: plugfit_api::testing::Counting = plugfit_api::testing::Counting;

    #[test]
    fn follows_the_rules_for_plugins() {
        plugfit_api::testing::check(plugin());
    }
}
