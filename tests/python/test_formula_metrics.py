"""Metrics with a formula give in Keras what their plug-ins give, and keep their state in Keras's variables."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import plugfit
from test_formula_golden import run, with_formulas
from test_golden import array, near

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 8)).astype("f")
Y = (X.sum(1, keepdims=True) > 0).astype("f")
NAN, INF = float("nan"), float("inf")


@pytest.fixture
def keras():
    keras = pytest.importorskip("keras", reason="Keras isn't installed")
    pytest.importorskip(keras.backend.backend(), reason="Keras's backend isn't installed")
    return keras


def number(keras, made):
    return float(keras.ops.convert_to_numpy(made.result()))


def model(keras, metrics, **settings):
    keras.utils.set_random_seed(1)
    made = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])
    made.compile("sgd", "mse", metrics=metrics, **settings)
    return made


def test_the_golden_metrics(keras):
    def one(case, made):
        metric = plugfit.keras.metric(made)
        assert isinstance(metric, plugfit.keras.FormulaMetric)
        for index, batch in enumerate(case["batches"]):
            y_true, y_pred, weight, mask = (array(batch.get(key)) for key in ("y_true", "y_pred", "sample_weight", "mask"))
            if "values" in batch:
                metric.update_state(array(batch["values"]), weight)
            else:
                y_pred = keras.ops.convert_to_tensor(y_pred)
                if mask is not None:
                    keras.src.backend.set_keras_mask(y_pred, keras.ops.convert_to_tensor(mask))
                metric.update_state(y_true, y_pred, weight)
            near(keras.ops.convert_to_numpy(metric.result()), array(case["results"][index]))

    run(with_formulas("metrics", plugfit.metrics), 20, one)


# The shapes of y_true, y_pred, weights and masks.
BATCHES = [
    ((4, 3), (4, 3), None, None),
    ((4, 3), (4, 3), (), None),
    ((4, 3), (4, 3), (4,), None),
    ((4, 3), (4, 3), (4, 1), (4,)),
    ((4,), (4,), (4,), None),
    ((4,), (4, 1), (4,), None),
    ((4, 1), (4,), (4, 1), None),
    ((4, 5, 3), (4, 5, 3), None, (4, 5)),
    ((4, 5, 3), (4, 5, 3), (4,), None),
    ((4, 5, 3), (4, 5, 3), (4, 5), (4, 5)),
    ((4, 5, 3), (4, 5, 3), (4, 1), (4, 5)),
    ((4, 5, 3), (4, 5, 3), (4, 5, 1), None),
    ((4, 5, 3), (4, 5, 3), (5,), None),
]


@pytest.mark.parametrize("name", ["MeanAbsoluteError", "RootMeanSquaredError", "BinaryAccuracy", "CategoricalAccuracy", "KLDivergence", "Huber"])
@pytest.mark.parametrize("shapes", BATCHES, ids=str)
def test_weights_and_masks_are_those_of_the_plugin(keras, name, shapes):
    native, metric = plugfit.metrics.get(name), plugfit.keras.metric(name, engine="formula")
    for _ in range(2):
        true, pred, weight, mask = shapes
        y_true, y_pred = RNG.integers(0, 2, size=true).astype("f"), RNG.random(pred).astype("f")
        weight = None if weight is None else RNG.integers(0, 3, size=weight).astype("f")
        mask = None if mask is None else RNG.integers(0, 2, size=mask).astype(bool)
        # As in Keras, RootMeanSquaredError doesn't use the mask of predictions.
        tensor = keras.ops.convert_to_tensor(y_pred)
        if mask is not None:
            keras.src.backend.set_keras_mask(tensor, keras.ops.convert_to_tensor(mask))
        try:
            native.update_state(y_true, y_pred, weight, None if name == "RootMeanSquaredError" else mask)
        except ValueError:
            with pytest.raises(ValueError, match="sample_weight of shape"):
                metric.update_state(y_true, tensor, weight)
            return
        metric.update_state(y_true, tensor, weight)
    np.testing.assert_allclose(number(keras, metric), native.result(), rtol=2e-5)


def test_weights_that_dont_fit_are_refused(keras):
    metric = plugfit.keras.metric("MeanAbsoluteError")
    for weight in ((3,), (4, 3), (4, 1, 1)):
        with pytest.raises(ValueError, match="sample_weight of shape"):
            metric.update_state(np.ones((4, 3), "f"), np.ones((4, 3), "f"), np.ones(weight, "f"))
    with pytest.raises(ValueError, match="y_true of shape"):
        metric.update_state(np.ones((4, 3), "f"), np.ones((4, 2), "f"))


def test_values_of_weight_0_are_ignored_even_if_they_are_nan(keras):
    metric = plugfit.keras.metric("MeanSquaredError")
    metric.update_state(np.zeros((3, 2), "f"), np.array([[1, 1], [NAN, INF], [3, 3]], "f"), np.array([1, 0, 1], "f"))
    assert number(keras, metric) == 5
    metric = plugfit.keras.metric("SparseCategoricalAccuracy")
    metric.update_state(np.array([1, -1]), np.array([[0, 1], [0, 1]], "f"), np.array([1, 0], "f"))
    assert number(keras, metric) == 1
    metric.update_state(np.array([-1]), np.array([[0, 1]], "f"))
    assert np.isnan(number(keras, metric)) or number(keras, metric) == 0.5


def test_an_undefined_result_is_that_of_the_plugin(keras):
    assert number(keras, plugfit.keras.metric("MeanSquaredError")) == 0
    metric = plugfit.keras.metric("MeanSquaredError")
    metric.update_state(np.ones((2, 1), "f"), np.zeros((2, 1), "f"))
    assert number(keras, metric) == 1
    metric.reset_state()
    assert number(keras, metric) == 0


def compiled(keras, f):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(f)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(f, jit_compile=True)
    return f


def test_sums_dont_stop_at_the_precision_of_float32(keras):
    metric = plugfit.keras.metric("MeanAbsoluteError")
    many = np.float32(2**24)
    update = compiled(keras, lambda state, y_pred, weight: metric.stateless_update_state(state, np.zeros((1, 1), "f"), y_pred, weight))
    state = [keras.ops.convert_to_tensor(np.zeros(one.shape, one.dtype)) for one in metric.variables]
    tensor = lambda *numbers: keras.ops.convert_to_tensor(np.array(numbers, "f"))
    state = update(state, tensor([1.0]), tensor(many))
    for _ in range(64):
        state = update(state, tensor([3.0]), tensor(1.0))
    value, count = (sum(keras.ops.convert_to_numpy(one).astype(float)[index] for one in state) for index in range(2))
    assert (value, count) == (2**24 + 3 * 64, 2**24 + 64)
    found = keras.ops.convert_to_numpy(metric.stateless_result(state))
    assert found == np.float32(value / count)
    state = update(state, tensor([INF]), tensor(1.0))
    assert keras.ops.convert_to_numpy(metric.stateless_result(state)) == INF


@pytest.mark.parametrize("settings", [{}, {"steps_per_execution": 3}, {"run_eagerly": True}], ids=str)
def test_training_reports_the_numbers_of_keras(keras, settings):
    if keras.backend.backend() == "torch" and "steps_per_execution" in settings:
        pytest.skip("PyTorch has no steps_per_execution")
    names = ["MeanAbsoluteError", "RootMeanSquaredError", "BinaryAccuracy"]
    weight = RNG.integers(0, 3, size=256).astype("f")
    histories = []
    for metrics in ([getattr(keras.metrics, name)() for name in names], [plugfit.keras.metric(name) for name in names]):
        made = model(keras, metrics, weighted_metrics=[plugfit.keras.metric("mae", name="weighted")], **settings)
        histories.append(made.fit(X, Y, sample_weight=weight, epochs=2, verbose=0, shuffle=False, batch_size=48).history)
    assert histories[0].keys() == histories[1].keys()
    for name in histories[0]:
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-5, err_msg=name)


def test_a_compiled_metric_calls_nothing_on_the_host(keras):
    if keras.backend.backend() != "jax":
        pytest.skip("JAX's")
    import jax

    for name, y_true in (("SparseCategoricalAccuracy", np.zeros(4, int)), ("BinaryAccuracy", np.zeros((4, 3), "f"))):
        metric = plugfit.keras.metric(name)

        def step(state, y_pred, weight):
            state = metric.stateless_update_state(state, y_true, y_pred, weight)
            return state, metric.stateless_result(state)

        text = str(jax.make_jaxpr(step)([one.value for one in metric.variables], np.ones((4, 3), "f"), np.ones(4, "f")))
        assert "callback" not in text


def test_a_saved_model_has_its_metrics(keras, tmp_path):
    made = model(keras, [plugfit.keras.metric("RootMeanSquaredError", name="rmse")])
    expected = made.evaluate(X, Y, verbose=0)
    made.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.evaluate(X, Y, verbose=0), expected, rtol=1e-6)


def test_an_engine_can_be_forced(keras):
    with pytest.raises(ValueError, match="no formula"):
        plugfit.keras.metric("R2Score", engine="formula")
    assert isinstance(plugfit.keras.metric("R2Score"), plugfit.keras.Metric)
    assert isinstance(plugfit.keras.metric("mae", engine="native"), plugfit.keras.Metric)
    with pytest.raises(ValueError, match="engine is"):
        plugfit.keras.metric("mae", engine="xla")
