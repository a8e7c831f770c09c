use super::*;
use crate::Tensor;
use plugfit_formula::{Formula as Document, Role, Shape};

/// The share of the labels above 0 in each bin of width 1 of the predictions, from 0.
#[derive(Config)]
struct Shares {
    /// The number of bins.
    #[config(default = 3)]
    bins: usize,
}

impl SumMetric<2> for Shares {
    const DIRECTION: Direction = Direction::Neither;
    const SUMS: [&'static str; 2] = ["all", "above"];
    fn layout(&self) -> SumLayout {
        SumLayout::new(Each::Element).with_bins(self.bins)
    }
    fn terms<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> [Term<R>; 2] {
        let bin = y_pred.single().floor();
        let above = R::select(y_true.single().gt(R::from(0.0)), R::from(1.0), R::from(0.0));
        [Term::in_bin(bin, R::from(1.0)), Term::in_bin(bin, above)]
    }
    fn result<R: Real>(&self, sums: Sums<'_, R, 2>) -> SumResult<R> {
        sums.each(|[all, above]| above / all).undefined_if(sums.totals()[0].eq(R::from(0.0)))
    }
}

/// The greatest mean of a column.
#[derive(Config)]
struct GreatestMean;

impl SumMetric<2> for GreatestMean {
    const DIRECTION: Direction = Direction::Neither;
    const SUMS: [&'static str; 2] = ["value", "weight"];
    fn layout(&self) -> SumLayout {
        SumLayout { by_column: true, ..SumLayout::new(Each::Element) }
    }
    fn terms<R: Real>(&self, _: Row<'_, R>, y_pred: Row<'_, R>) -> [Term<R>; 2] {
        [y_pred.single().into(), R::from(1.0).into()]
    }
    fn result<R: Real>(&self, sums: Sums<'_, R, 2>) -> SumResult<R> {
        sums.max(|[value, weight]| value / weight).into()
    }
}

fn updated<const K: usize, T: SumMetric<K>>(
    metric: &BySums<T, K>,
    y_true: &[f32],
    y_pred: &[f32],
    shape: &[i64],
    weight: Option<&[f32]>,
) -> State {
    let mut state = metric.init();
    let tensors = [("y_true", Tensor::new(y_true, shape)), ("y_pred", Tensor::new(y_pred, shape))];
    let weight = weight.map(|weight| Tensor::new(weight, shape));
    metric.update(&mut state, &Inputs::new(&tensors, weight, None)).unwrap();
    state
}

const Y_TRUE: [f32; 6] = [1.0, 0.0, 1.0, 1.0, 0.0, f32::NAN];
const Y_PRED: [f32; 6] = [0.5, 0.75, 2.0, 7.0, -0.5, f32::NAN];
const WEIGHT: [f32; 6] = [1.0, 3.0, 2.0, 1.0, 1.0, 0.0];

#[test]
fn a_term_outside_the_bins_and_one_of_weight_0_are_ignored() {
    let metric = BySums::new(Shares { bins: 3 });
    let state = updated(&metric, &Y_TRUE, &Y_PRED, &[6], Some(&WEIGHT));
    assert_eq!(state.sums, [4.0, 0.0, 2.0, 1.0, 0.0, 2.0]);
    match metric.result(&state).unwrap() {
        Outcome::Array { shape, values } => {
            assert_eq!(shape, [3]);
            assert_eq!((values[0], values[2]), (0.25, 1.0));
            assert!(values[1].is_nan());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(metric.result(&metric.init()).unwrap(), Outcome::Undefined);
}

#[test]
fn columns_have_sums_of_their_own_and_their_number_is_fixed() {
    let metric = BySums::new(GreatestMean);
    let mut state = updated(&metric, &[0.0; 6], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], None);
    assert_eq!(state.sums, [5.0, 7.0, 9.0, 2.0, 2.0, 2.0]);
    assert_eq!(metric.result(&state).unwrap(), Outcome::Scalar(4.5));
    let other = updated(&metric, &[0.0; 6], &[1.0; 6], &[3, 2], None);
    metric.merge(&mut state, &other).unwrap_err();
    let tensors = [("y_true", Tensor::new(&[0.0f32; 2], &[1, 2])), ("y_pred", Tensor::new(&[0.0f32; 2], &[1, 2]))];
    metric.update(&mut state, &Inputs::new(&tensors, None, None)).unwrap_err();
    metric.merge(&mut state, &metric.init()).unwrap();
    let mut nothing = metric.init();
    metric.merge(&mut nothing, &state).unwrap();
    assert_eq!(nothing.sums, state.sums);
}

#[test]
fn the_recorded_sums_are_those_of_the_state() {
    let shares = BySums::new(Shares { bins: 3 });
    let formula = Document::read(&shares.formula().unwrap().0).unwrap();
    formula.check_role(Role::Metric).unwrap();
    let [y_true, y_pred, weight] = [Y_TRUE, Y_PRED, WEIGHT].map(|numbers| numbers.map(f64::from));
    let sums = formula.interpret_sums(&[&y_true, &y_pred], &weight, Shape { rows: 6, columns: 1 }).unwrap();
    assert_eq!(sums.concat(), updated(&shares, &Y_TRUE, &Y_PRED, &[6], Some(&WEIGHT)).sums);
    assert_eq!(formula.interpret_result(&sums, 1).unwrap().unwrap()[0], 0.25);
    let empty = vec![vec![0.0; 3]; 2];
    assert_eq!(formula.interpret_result(&empty, 1).unwrap(), None);

    let greatest = BySums::new(GreatestMean);
    let formula = Document::read(&greatest.formula().unwrap().0).unwrap();
    formula.check_role(Role::Metric).unwrap();
    let (y_true, y_pred) = ([0.0; 6], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let sums = formula.interpret_sums(&[&y_true, &y_pred], &[1.0; 2], Shape { rows: 2, columns: 3 }).unwrap();
    assert_eq!(sums, [[5.0, 7.0, 9.0], [2.0, 2.0, 2.0]]);
    assert_eq!(formula.interpret_result(&sums, 3).unwrap(), Some(vec![4.5]));
}
