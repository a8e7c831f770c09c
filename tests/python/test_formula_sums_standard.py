"""The metrics of sums of the standard plug-in give by their formulas what the plug-in gives."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import plugfit
from test_formula_metrics import keras  # noqa: F401

RNG = np.random.default_rng(0)


def binary(shape=(64, 3)):
    return RNG.integers(0, 2, size=shape).astype("f"), RNG.random(shape).astype("f")


def one_hot(shape=(64, 4)):
    y_pred = RNG.random(shape).astype("f")
    return np.eye(shape[1], dtype="f")[RNG.integers(0, shape[1], size=shape[0])], y_pred


def ids(shape=(64, 3)):
    return tuple(RNG.integers(0, 4, size=shape).astype("int32") for _ in range(2))


METRICS = [
    ("Precision", {}, binary),
    ("Precision", {"thresholds": [0.2, 0.5, 0.9]}, binary),
    ("Precision", {"top_k": 2}, one_hot),
    ("Recall", {"class_id": 1}, binary),
    ("Recall", {"thresholds": [0.9, 0.1, 0.3]}, binary),
    ("TruePositives", {"thresholds": 0.3}, binary),
    ("FalseNegatives", {"thresholds": [0.25, 0.5, 0.75]}, binary),
    ("AUC", {}, binary),
    ("AUC", {"curve": "PR"}, binary),
    ("AUC", {"thresholds": [0.1, 0.4, 0.45], "summation_method": "majoring"}, binary),
    ("AUC", {"multi_label": True, "num_thresholds": 50}, binary),
    ("AUC", {"multi_label": True, "label_weights": [1.0, 2.0, 0.5]}, binary),
    ("F1Score", {}, one_hot),
    ("F1Score", {"threshold": 0.5, "average": "macro"}, binary),
    ("FBetaScore", {"beta": 2.0, "threshold": 0.5, "average": "weighted"}, binary),
    ("FBetaScore", {"beta": 0.5, "average": "micro"}, one_hot),
    ("MeanIoU", {"num_classes": 4}, ids),
    ("IoU", {"num_classes": 4, "target_class_ids": [0, 2], "ignore_class": 1}, ids),
    ("BinaryIoU", {"threshold": 0.4}, binary),
    ("OneHotMeanIoU", {"num_classes": 4}, one_hot),
    ("SensitivityAtSpecificity", {"specificity": 0.6}, binary),
    ("PrecisionAtRecall", {"recall": 0.6}, binary),
]


@pytest.fixture(params=METRICS, ids=lambda given: f"{given[0]}{given[1] or ''}")
def given(request):
    class_name, settings, batch = request.param
    made = getattr(plugfit.metrics, class_name)(**settings)
    try:
        made.formula()
    except ValueError as error:
        pytest.skip(str(error))
    return made, batch


def batches(batch):
    """Yields three batches: without weights, with weights of rows that contain 0, and an empty one."""
    yield *batch(), None
    y_true, y_pred = batch()
    yield y_true, y_pred, RNG.integers(0, 3, size=len(y_pred)).astype("f")
    yield y_true[:0], y_pred[:0], None


def test_in_keras(keras, given):
    made, batch = given
    metric = plugfit.keras.metric(made, engine="formula")
    assert isinstance(metric, plugfit.keras.FormulaMetric)
    for y_true, y_pred, weight in batches(batch):
        metric.update_state(y_true, y_pred, weight)
        made.update_state(y_true, y_pred, weight)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(metric.result()), made.result(), rtol=3e-5, atol=1e-6)


def test_in_pytorch(given):
    torch = pytest.importorskip("torch", reason="PyTorch isn't installed")
    made, batch = given
    metric = plugfit.torch.metric(made, engine="formula")
    for y_true, y_pred, weight in batches(batch):
        metric.update(torch.tensor(y_pred), torch.tensor(y_true), None if weight is None else torch.tensor(weight))
        made.update_state(y_true, y_pred, weight)
        np.testing.assert_allclose(metric.compute(), made.result(), rtol=1e-6)


def test_weights_of_elements_are_those_of_the_plugin(keras, given):
    torch = pytest.importorskip("torch", reason="PyTorch isn't installed")
    made, batch = given
    y_true, y_pred = batch()
    weight = RNG.integers(0, 3, size=y_pred.shape).astype("f")
    metrics = plugfit.keras.metric(made, engine="formula"), plugfit.torch.metric(made, engine="formula")
    if made.formula().each == "line":
        with pytest.raises(ValueError, match="sample_weight"):
            metrics[0].update_state(y_true, y_pred, weight)
        return
    made.update_state(y_true, y_pred, weight)
    metrics[0].update_state(y_true, y_pred, weight)
    metrics[1].update(*(torch.tensor(one) for one in (y_pred, y_true, weight)))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(metrics[0].result()), made.result(), rtol=3e-5, atol=1e-6)
    np.testing.assert_allclose(metrics[1].compute(), made.result(), rtol=1e-6)


def test_results_without_data_are_those_of_the_plugin(keras, given):
    pytest.importorskip("torch", reason="PyTorch isn't installed")
    made, _ = given
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(plugfit.keras.metric(made).result()), made.result())
    np.testing.assert_array_equal(plugfit.torch.metric(made).compute(), made.result())


def test_a_compiled_update_calls_nothing_on_the_host(keras, given):
    if keras.backend.backend() != "jax":
        pytest.skip("JAX's")
    import jax

    made, batch = given
    metric, (y_true, y_pred) = plugfit.keras.metric(made), batch()
    metric.update_state(y_true, y_pred)

    def step(state, y_true, y_pred, weight):
        state = metric.stateless_update_state(state, y_true, y_pred, weight)
        return state, metric.stateless_result(state)

    state, weight = [one.value for one in metric.variables], np.ones(len(y_pred), "f")
    assert "callback" not in str(jax.make_jaxpr(step)(state, y_true, y_pred, weight))
    made.update_state(y_true, y_pred)
    made.update_state(y_true, y_pred)
    np.testing.assert_allclose(jax.jit(step)(state, y_true, y_pred, weight)[1], made.result(), rtol=3e-5, atol=1e-6)
