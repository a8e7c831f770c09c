"""Components without a formula: Keras's compiled functions call their plug-ins, or say why they can't."""

import os
import pathlib
import subprocess
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import plugfit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 8)).astype("f")
Y = (X.sum(1, keepdims=True) > 0).astype("f")


@pytest.fixture
def keras():
    keras = pytest.importorskip("keras", reason="Keras isn't installed")
    pytest.importorskip(keras.backend.backend(), reason="Keras's backend isn't installed")
    return keras


@pytest.fixture
def jax(keras):
    if keras.backend.backend() != "jax":
        pytest.skip("JAX's")
    import jax

    return jax


@pytest.fixture
def tf(keras):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's")
    import tensorflow as tf

    return tf


def model(keras, optimizer, loss, metrics=(), classes=1, **settings):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(classes, activation="sigmoid")]
    made = keras.Sequential([keras.Input((8,)), *layers])
    # XLA can't compile plug-ins for TensorFlow.
    made.compile(optimizer, loss, metrics=list(metrics), **{"jit_compile": keras.backend.backend() == "jax", **settings})
    return made


def history(made, **settings):
    return made.fit(X, Y, epochs=2, verbose=0, shuffle=False, **settings).history


SETTINGS = [{}, {"run_eagerly": True, "jit_compile": False}, {"steps_per_execution": 3}]


@pytest.mark.parametrize("settings", SETTINGS, ids=["compiled", "eager", "several steps"])
def test_training_gives_the_numbers_of_keras(keras, settings):
    if keras.backend.backend() == "torch" and "steps_per_execution" in settings:
        pytest.skip("PyTorch has no steps_per_execution")
    metrics = [keras.metrics.AUC(name="auc"), keras.metrics.F1Score(threshold=0.5)]
    expected = history(model(keras, keras.optimizers.Muon(0.01), keras.losses.Hinge(), metrics, **settings))
    metrics = [plugfit.keras.metric("AUC", name="auc", engine="native"), plugfit.keras.metric("F1Score", threshold=0.5, engine="native")]
    optimizer = plugfit.keras.optimizer("Muon", learning_rate=0.01, engine="native")
    found = history(model(keras, optimizer, plugfit.keras.loss("Hinge", engine="native"), metrics, **settings))
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(np.ravel(found[name]), np.ravel(expected[name]), rtol=1e-3, err_msg=name)


# A metric of a test plug-in with a named result for each class that it has seen.
NAMED = """
import keras, numpy as np, plugfit, sys

plugfit.load_plugins(sys.argv[1])
x = np.random.default_rng(0).normal(size=(256, 8)).astype("f")
labels = x[:, :3].argmax(1)
on_jax = keras.backend.backend() == "jax"

def model(**settings):
    made = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
    metric = plugfit.keras.metric("demanding>ClassF1")
    made.compile("adam", "sparse_categorical_crossentropy", metrics=[metric], **settings)
    return made

for settings in ({"jit_compile": on_jax}, {"run_eagerly": True, "jit_compile": False}):
    made = model(**settings)
    found = made.fit(x, labels, epochs=2, verbose=0).history
    assert found.keys() == {"loss", "class_0", "class_1", "class_2"}, found
    found = made.evaluate(x, labels, verbose=0, return_dict=True)
    expected = plugfit.metrics.get("demanding>ClassF1")
    expected.update_state(labels, made.predict(x, verbose=0))
    for name, value in expected.result().items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)
if keras.backend.backend() != "torch":
    metric = plugfit.keras.metric("demanding>ClassF1")
    one_class = np.eye(3, dtype="f")[np.zeros(64, int)]
    made = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    made.compile(loss="sparse_categorical_crossentropy", metrics=[metric], jit_compile=on_jax)
    try:
        made.evaluate(one_class, np.zeros(64, int), verbose=0)
    except Exception as error:
        assert "run_eagerly=True" in str(error), error
    else:
        raise AssertionError("a result is missing")
"""


def path_of_plugin():
    """Returns the path of a plug-in for tests. Load it in another process: it has an optimizer with the name of a
    standard one."""
    root = pathlib.Path(__file__).resolve().parents[2]
    library = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "debug" / "libdemanding.so"
    if not library.exists():
        pytest.skip("the test plug-in isn't built: cargo build -p demanding")
    return library


def test_named_results_are_metrics_of_their_own(keras):
    done = subprocess.run([sys.executable, "-c", NAMED, path_of_plugin()], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def test_loaded_weights_are_used_by_functions_that_are_compiled_already(keras, tmp_path):
    optimizers = [plugfit.keras.optimizer("Adam", learning_rate=0.01, engine="native") for _ in range(2)]
    first, second = (model(keras, optimizer, "mse") for optimizer in optimizers)
    history(first)
    first.save_weights(tmp_path / "a.weights.h5")
    history(second)
    history(second)
    second.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_allclose(history(second)["loss"], history(first)["loss"], rtol=1e-6)


def test_a_compiled_jax_function_calls_plugins_without_python(jax, keras):
    loss, metric = plugfit.keras.loss("Dice", engine="native"), plugfit.keras.metric("AUC", engine="native")
    optimizer, variable = plugfit.keras.optimizer("Muon"), keras.Variable(np.ones((4, 1), "f"))
    optimizer.build([variable])

    def step(optimizer_state, metric_state, value):
        of_loss, gradient = jax.value_and_grad(lambda value: loss(Y[:4], value))(value)
        metric_state = metric.stateless_update_state(metric_state, Y[:4], value)
        result = metric.stateless_result(metric_state)
        values, optimizer_state = optimizer.stateless_apply(optimizer_state, [gradient], [value])
        return of_loss, result, values, optimizer_state, metric_state

    state = [[one.value for one in each.variables] for each in (optimizer, metric)]
    text = jax.jit(step).lower(*state, variable.value).as_text()
    assert "callback" not in text
    for name in ("plugfit_loss", "plugfit_metric_update", "plugfit_metric_result", "plugfit_optimizer"):
        assert name in text


def test_the_values_and_gradients_in_jax_are_those_of_the_plugin(jax):
    y_true, y_pred = RNG.integers(0, 2, (6, 4)).astype("f"), RNG.random((6, 4)).astype("f")
    weight = np.array([1, 2, 0, 1, 0.5, 1], "f")
    for reduction in ("sum_over_batch_size", "sum", "none"):
        native = plugfit.losses.Hinge(reduction=reduction)
        loss = plugfit.keras.loss("Hinge", reduction=reduction, engine="native")
        f = jax.jit(jax.value_and_grad(lambda y_pred: (3 * loss(y_true, y_pred, weight)).sum()))
        value, gradient = f(y_pred)
        np.testing.assert_allclose(value, 3 * native(y_true, y_pred, weight).sum(), rtol=1e-6)
        np.testing.assert_allclose(gradient, 3 * native.gradient(y_true, y_pred, weight), rtol=1e-6)
        assert f(y_pred.astype(np.float16))[1].dtype == np.float16
    several = jax.jit(jax.vmap(lambda y_pred: plugfit.keras.loss("Dice", engine="native")(y_true, y_pred)))(np.stack([y_pred, y_true]))
    np.testing.assert_allclose(several, [plugfit.losses.Dice()(y_true, one) for one in (y_pred, y_true)], rtol=1e-6)


def test_an_error_of_a_plugin_is_one_of_jax_with_its_text(jax):
    loss = plugfit.keras.loss("SparseCategoricalCrossentropy", engine="native")
    f = jax.jit(lambda ids: loss(ids, np.ones((2, 3), "f")))
    f(np.array([0, 2]))
    with pytest.raises(ValueError, match="y_true contains 7 in row 1"):
        f(np.array([0, 7])).block_until_ready()
    f(np.array([0, 2]))


def test_a_function_is_compiled_for_one_plugin_and_one_metric(jax, monkeypatch):
    loss = plugfit.keras.loss("Tversky", alpha=0.123, engine="native")
    jax.jit(lambda y_pred: loss(Y, y_pred))(Y).block_until_ready()
    monkeypatch.setattr(plugfit._native, "xla_digest", lambda kind, name: "0" * 64)
    with pytest.raises(jax.errors.JaxRuntimeError, match="another plug-in"):
        jax.jit(lambda y_pred: loss(Y, y_pred))(Y).block_until_ready()
    metric = plugfit.keras.metric("AUC", engine="native")
    state = [one.value for one in metric.variables]
    update = jax.jit(lambda state: metric.stateless_update_state(state, Y, Y)).lower(state).compile()
    update(state)[0].block_until_ready()
    del metric
    with pytest.raises(jax.errors.JaxRuntimeError, match="doesn't exist anymore"):
        update(state)[0].block_until_ready()


def test_a_python_function_is_called_back(jax):
    halved = lambda y_true, y_pred: np.abs(y_true - y_pred).mean(-1) / 2
    halved.gradient = lambda y_true, y_pred: np.sign(y_pred - y_true) / 2
    loss = plugfit.keras.loss(halved)
    value, gradient = jax.jit(jax.value_and_grad(lambda y_pred: loss(Y, y_pred)))(np.full_like(Y, 0.5))
    np.testing.assert_allclose(value, 0.25)
    assert np.abs(gradient).max() > 0


def test_an_accelerator_waits_for_the_cpu_and_a_warning_says_so_once(jax, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    loss = plugfit.keras.loss("Dice", name="unheard", engine="native")
    loss._loss._name = "unheard"
    f = lambda y_pred: loss(Y, y_pred)
    with pytest.warns(UserWarning, match="no formula"):
        value = jax.jit(f)(np.full_like(Y, 0.5))
    np.testing.assert_allclose(value, plugfit.losses.Dice()(Y, np.full_like(Y, 0.5)), rtol=1e-6)


def refused(keras):
    yield model, ("adam", plugfit.keras.loss("Dice", engine="native"), [])
    yield model, (plugfit.keras.optimizer("Muon"), "mse", [])
    yield model, ("adam", "mse", [plugfit.keras.metric("AUC", engine="native")])


def test_xla_in_tensorflow_is_refused_with_what_to_do(tf, keras):
    for make, (optimizer, loss, metrics) in refused(keras):
        with pytest.raises(NotImplementedError, match="jit_compile=False"):
            history(make(keras, optimizer, loss, metrics, jit_compile=True))
    schedule = plugfit.keras.schedule("CosineDecay", initial_learning_rate=0.1, decay_steps=10, engine="native")
    with pytest.raises(NotImplementedError, match="jit_compile=False"):
        history(model(keras, keras.optimizers.SGD(schedule), "mse", jit_compile=True))
    assert np.isfinite(history(model(keras, keras.optimizers.SGD(schedule), "mse"))["loss"]).all()


def test_a_saved_model_of_tensorflow_contains_no_plugin(tf, tmp_path):
    loss = plugfit.keras.loss("Dice", engine="native")

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([4, 1])])
        def f(self, y_pred):
            return loss(Y[:4], y_pred)

    module = Module()
    module.f(tf.ones([4, 1]))
    with pytest.raises(NotImplementedError, match="SavedModel"):
        tf.saved_model.save(module, str(tmp_path))


def test_a_native_loss_in_tensorflow_has_one_derivative(tf):
    y_true, y_pred = RNG.integers(0, 2, (6, 4)).astype("f"), RNG.random((6, 4)).astype("f")
    weight = np.array([1, 2, 0, 1, 0.5, 1], "f")
    for reduction in ("sum_over_batch_size", "none"):
        native = plugfit.losses.Hinge(reduction=reduction)
        loss = plugfit.keras.loss("Hinge", reduction=reduction, engine="native")

        @tf.function
        def f(y_pred):
            with tf.GradientTape() as tape:
                tape.watch(y_pred)
                value = tf.reduce_sum(3 * loss(y_true, y_pred, weight))
            return value, tape.gradient(value, y_pred)

        value, gradient = f(tf.constant(y_pred))
        np.testing.assert_allclose(value, 3 * native(y_true, y_pred, weight).sum(), rtol=1e-6)
        np.testing.assert_allclose(gradient, 3 * native.gradient(y_true, y_pred, weight), rtol=1e-6)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        with tf.GradientTape() as outer:
            variable = tf.Variable(y_pred)
            _, gradient = f(variable)
        outer.gradient(gradient, variable)


def test_an_optimizer_of_keras_takes_a_schedule_of_plugfit(keras, tmp_path):
    jit = keras.backend.backend() == "jax"
    expected = history(model(keras, keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)), "mse"))["loss"]
    made = model(keras, keras.optimizers.SGD(plugfit.schedules.CosineDecay(0.1, 10)), "mse", jit_compile=jit)
    np.testing.assert_allclose(history(made)["loss"], expected, rtol=1e-4)
    made.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == made.optimizer.get_config()
    assert plugfit.schedules.get(made.optimizer._learning_rate) is made.optimizer._learning_rate


SAVED = """
import sys
import numpy as np, keras, plugfit.keras

if len(sys.argv) == 3:
    plugfit.load_plugins(sys.argv[2])
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, activation="softmax")])
    metric = plugfit.keras.metric("demanding>ClassF1")
    made.compile("sgd", "sparse_categorical_crossentropy", metrics=[metric])
    made.fit(np.ones((4, 3), "f"), np.array([0, 1, 2, 0]), verbose=0)
    made.save(sys.argv[1])
else:
    keras.saving.load_model(sys.argv[1])
"""


def test_loading_a_model_says_which_plugin_is_missing_and_how_to_give_it(keras, tmp_path):
    program = [sys.executable, "-c", SAVED, tmp_path / "model.keras"]
    done = subprocess.run([*program, path_of_plugin()], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert 'no plug-in is called "demanding"' in done.stderr and "plugfit.load_plugins" in done.stderr, done.stderr[-3000:]


def test_optimizers_of_tensorflow_are_adopted(tf):
    gradients = RNG.normal(size=(3, 4)).astype("f")
    v1 = tf.compat.v1.train
    for given, own in (
        (v1.GradientDescentOptimizer(0.1), "SGD"),
        (v1.AdagradOptimizer(0.1), "Adagrad"),
        (v1.AdamOptimizer(0.1, epsilon=1e-7), "Adam"),
        (tf.keras.optimizers.Adam(0.1), "Adam"),
    ):
        optimizer = plugfit.optimizers.get(given)
        assert isinstance(optimizer, plugfit.optimizers.ForeignOptimizer)
        expected = plugfit.optimizers.get({"class_name": own, "config": {"learning_rate": 0.1}})
        params, others = np.ones(4, "f"), np.ones(4, "f")
        unchanged = np.ones(1, "f")
        for gradient in gradients:
            optimizer.apply([gradient, None], [params, unchanged])
            expected.apply([gradient], [others])
        np.testing.assert_allclose(params, others, rtol=1e-4)
        assert unchanged == 1 and optimizer.iterations == 3 and optimizer.learning_rate == np.float32(0.1)
        state, before = optimizer.get_state(), params.copy()
        optimizer.apply([gradients[0], None], [params, unchanged])
        optimizer.set_state(state)
        optimizer.apply([gradients[0], None], [before, unchanged])
        np.testing.assert_array_equal(params, before)
        optimizer.learning_rate = 0.0
        optimizer.apply([gradients[0], None], [params, unchanged])
        np.testing.assert_allclose(params, before, rtol=1e-6)


def test_an_error_of_a_plugin_outside_of_a_compiled_function_has_the_text_of_the_plugin_alone(jax, keras):
    loss = plugfit.keras.loss("SparseCategoricalCrossentropy", engine="native")
    labels, y_pred = np.array([0, 7]), np.ones((2, 3), "f")
    with pytest.raises(ValueError) as expected:
        plugfit.losses.SparseCategoricalCrossentropy()(labels, y_pred)
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    made.compile("sgd", loss, run_eagerly=True)
    for compute in (
        lambda: loss(labels, y_pred),
        lambda: jax.grad(lambda y_pred: loss(labels, y_pred))(y_pred),
        lambda: made.fit(y_pred, labels, verbose=0),
    ):
        with pytest.raises(ValueError) as found:
            compute()
        assert type(found.value) is ValueError and str(found.value) == str(expected.value)


def test_a_compiled_result_has_the_form_of_the_first_batch():
    from plugfit.keras import _probe

    def numbers(result, *form):
        metric = plugfit.metrics.Mean()
        metric._result = lambda: result
        return [one.tolist() for one in _probe.numbers(metric, *form)]

    assert numbers(None, [], (2,)) == [[0, 0]] and numbers(None, ["a", "b"], ()) == [0, 0]
    assert numbers(np.ones(2), [], (2,)) == [[1, 1]] and numbers({"b": 1, "a": 2}, ["a", "b"], ()) == [2, 1]
    for result, form in (
        (np.float64(1), ([], (2,))),
        (np.ones(2), ([], (3,))),
        (np.float64(1), (["a", "b"], ())),
        ({"a": 1}, ([], ())),
        ({}, ([], ())),
        ({"a": 1}, (["a", "b"], ())),
    ):
        with pytest.raises(ValueError, match="run_eagerly=True"):
            numbers(result, *form)


def test_a_schedule_refuses_steps_that_are_not_whole():
    for step in (1.5, np.nan, np.inf, np.float32(0.5)):
        with pytest.raises(ValueError, match="whole number"):
            plugfit.schedules.CosineDecay(0.1, 10)(step)


WIDE = """
import jax, keras, numpy as np, plugfit

x = np.random.default_rng(0).normal(size=(64, 8))
y = (x.sum(1, keepdims=True) > 0).astype(float)
loss = plugfit.keras.loss("Hinge", engine="native", dtype="float64")
value = jax.jit(loss)(y, x[:, :1])
assert value.dtype == np.float64 and np.isclose(value, plugfit.losses.Hinge(dtype="float64")(y, x[:, :1]), rtol=1e-12)
schedule = plugfit.keras.schedule("CosineDecay", initial_learning_rate=0.1, decay_steps=10, engine="native")
assert "plugfit_schedule" in jax.jit(schedule).lower(np.int64(3)).as_text()
for step in (np.int64(3), np.uint64(3), np.float64(3), 3):
    assert np.isclose(jax.jit(schedule)(step), plugfit.schedules.CosineDecay(0.1, 10)(3))
made = keras.Sequential([keras.Input((8,), dtype="float64"), keras.layers.Dense(1, activation="sigmoid", dtype="float64")])
optimizer = plugfit.keras.optimizer("Muon", learning_rate=0.01, engine="native")
made.compile(optimizer, plugfit.keras.loss("Hinge", engine="native"), metrics=[plugfit.keras.metric("AUC", engine="native")], jit_compile=True)
assert np.isfinite(made.fit(x, y, epochs=2, verbose=0).history["loss"]).all()
rate = jax.numpy.asarray(0.5)
assert rate.dtype == np.float64
weight = keras.Variable(np.ones(3, "f"))
sgd = plugfit.keras.optimizer("SGD", engine="native")
sgd.build([weight])
from plugfit.keras import _jax_optimizer
step = jax.jit(lambda value, rate: _jax_optimizer.updated(sgd, [value], [value], [True], rate, True))
assert step(weight.value, rate)[0].tolist() == [0.5] * 3
"""


def test_jax_with_64_bits_calls_plugins(jax):
    environment = {**os.environ, "JAX_ENABLE_X64": "1"}
    done = subprocess.run([sys.executable, "-c", WIDE], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
