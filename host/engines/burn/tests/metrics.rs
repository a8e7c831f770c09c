//! Metrics of tensors, compared with numbers computed by hand.

use burn::backend::NdArray;
use burn::tensor::{Int, Tensor};
use plugfit::{Host, Result};
use plugfit_burn::Metric;

#[test]
fn a_metric_accumulates_batches() -> Result<()> {
    let device = Default::default();
    let mut metric = Metric::new(&Host::new(), "SparseCategoricalAccuracy")?;
    assert_eq!(metric.inner().name(), "sparse_categorical_accuracy");
    let y_pred = Tensor::<NdArray, 2>::from_data([[0.75, 0.25], [0.0, 1.0]], &device);
    let ids = |ids: [i64; 2]| Tensor::<NdArray, 1, Int>::from_data(ids, &device);
    metric.update(ids([0, 1]), y_pred.clone())?;
    metric.update(ids([1, 0]), y_pred.clone())?;
    assert_eq!(metric.compute()?, 0.5);
    metric.reset()?;
    let weight = Tensor::<NdArray, 1>::from_data([3.0, 1.0], &device);
    metric.update_weighted(ids([0, 0]), y_pred, weight)?;
    assert_eq!(metric.compute()?, 0.75);
    Ok(())
}

#[test]
fn no_data_is_nan_and_several_numbers_are_no_number() -> Result<()> {
    let host = Host::new();
    assert!(Metric::new(&host, "AUC")?.compute()?.is_nan());
    let mut metric = Metric::new(&host, "F1Score")?;
    let one_hot = Tensor::<NdArray, 2>::from_data([[1.0, 0.0], [0.0, 1.0]], &Default::default());
    metric.update(one_hot.clone(), one_hot)?;
    assert!(metric.compute().unwrap_err().to_string().contains("use Metric::result"));
    Ok(())
}

#[test]
fn a_metric_of_values_takes_the_predictions_and_a_loss_is_its_mean() -> Result<()> {
    let device = Default::default();
    let y_true = Tensor::<NdArray<f64>, 2>::from_data([[1.0], [1.0]], &device);
    let y_pred = Tensor::<NdArray<f64>, 2>::from_data([[2.0], [4.0]], &device);
    for (name, expected) in [("Mean", 3.0), ("Huber", 1.5)] {
        let mut metric = Metric::new(&Host::new(), name)?;
        metric.update(y_true.clone(), y_pred.clone())?;
        assert_eq!(metric.compute()?, expected, "{name}");
    }
    Ok(())
}
