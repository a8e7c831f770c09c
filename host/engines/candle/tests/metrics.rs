//! Metrics of tensors, compared with numbers computed by hand.

use candle_core::{DType, Device, Result, Tensor};
use plugfit::Host;
use plugfit_candle::Metric;

#[test]
fn a_metric_accumulates_batches_of_any_dtype() -> Result<()> {
    let mut metric = Metric::new(&Host::new(), "SparseCategoricalAccuracy").unwrap();
    assert_eq!(metric.inner().name(), "sparse_categorical_accuracy");
    let y_pred = Tensor::new(&[[0.75_f32, 0.25], [0.0, 1.0]], &Device::Cpu)?;
    metric.update(&Tensor::new(&[0_u32, 1], &Device::Cpu)?, &y_pred)?;
    metric.update(&Tensor::new(&[1_i64, 0], &Device::Cpu)?, &y_pred.to_dtype(DType::BF16)?)?;
    assert_eq!(metric.compute()?, 0.5);
    metric.reset()?;
    metric.update(&Tensor::new(&[0_u8, 0], &Device::Cpu)?, &y_pred.to_dtype(DType::F64)?)?;
    assert_eq!(metric.compute()?, 0.5);
    Ok(())
}

#[test]
fn weights_count() -> Result<()> {
    let mut metric = Metric::new(&Host::new(), "MeanAbsoluteError").unwrap();
    let y_true = Tensor::new(&[[0.0_f32], [0.0]], &Device::Cpu)?;
    let y_pred = Tensor::new(&[[1.0_f32], [5.0]], &Device::Cpu)?;
    metric.update_weighted(&y_true, &y_pred, &Tensor::new(&[3.0_f32, 1.0], &Device::Cpu)?)?;
    assert_eq!(metric.compute()?, 2.0);
    Ok(())
}

#[test]
fn a_metric_of_values_takes_the_predictions_and_a_loss_is_its_mean() -> Result<()> {
    let host = Host::new();
    let y_true = Tensor::new(&[[1.0_f32], [1.0]], &Device::Cpu)?;
    let y_pred = Tensor::new(&[[2.0_f32], [4.0]], &Device::Cpu)?;
    for (name, expected) in [("Mean", 3.0), ("Huber", 1.5)] {
        let mut metric = Metric::new(&host, name).unwrap();
        metric.update(&y_true, &y_pred)?;
        assert_eq!(metric.compute()?, expected, "{name}");
    }
    Ok(())
}

#[test]
fn no_data_is_nan_and_several_numbers_are_no_number() -> Result<()> {
    let host = Host::new();
    assert!(Metric::new(&host, "AUC").unwrap().compute()?.is_nan());
    let mut metric = Metric::new(&host, "F1Score").unwrap();
    let one_hot = Tensor::new(&[[1.0_f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
    metric.update(&one_hot, &one_hot)?;
    assert!(metric.compute().unwrap_err().to_string().contains("use Metric::result"));
    Ok(())
}
