"""Components with a formula give in Keras and PyTorch what their plug-ins give, and what the framework's own give."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import plugfit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 8)).astype("f")
Y = (X.sum(1, keepdims=True) > 0).astype("f")
NAN = float("nan")


@pytest.fixture
def keras():
    keras = pytest.importorskip("keras", reason="Keras isn't installed")
    pytest.importorskip(keras.backend.backend(), reason="Keras's backend isn't installed")
    return keras


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch isn't installed")


def model(keras, optimizer, loss, **settings):
    keras.utils.set_random_seed(1)
    made = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])
    made.compile(optimizer, loss, **settings)
    return made


def curve(made, **settings):
    return made.fit(X, Y, epochs=3, verbose=0, shuffle=False, **settings).history["loss"]


def decay_of_keras(keras):
    return keras.optimizers.schedules.ExponentialDecay(0.1, 10, np.exp(-1))


SETTINGS = [{}, {"weight_decay": 0.1}, {"clipnorm": 0.01}, {"use_ema": True, "ema_overwrite_frequency": 3}, {"gradient_accumulation_steps": 2}]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: next(iter(settings), "default"))
@pytest.mark.parametrize("eager", [False, True], ids=["jit", "eager"])
def test_training_by_formulas_in_keras_gives_the_curve_of_keras(keras, settings, eager):
    expected = curve(model(keras, keras.optimizers.Adam(0.01, **settings), keras.losses.Huber(0.5), run_eagerly=eager))
    optimizer = plugfit.keras.optimizer("Adam", learning_rate=0.01, **settings)
    assert isinstance(optimizer, plugfit.keras.FormulaOptimizer)
    found = curve(model(keras, optimizer, plugfit.keras.loss("Huber", delta=0.5), run_eagerly=eager))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_engines_give_the_same_curve(keras):
    # XLA can't compile plug-ins for TensorFlow.
    jit = keras.backend.backend() == "jax"
    curves = [
        curve(model(keras, plugfit.keras.optimizer("Adam", engine=engine), plugfit.keras.loss("mse", engine=engine), jit_compile=jit))
        for engine in ("native", "formula")
    ]
    np.testing.assert_allclose(curves[0], curves[-1], rtol=1e-4)


def test_a_model_is_saved_and_resumed_with_its_slots(keras, tmp_path):
    made = model(keras, plugfit.keras.optimizer("Adam", learning_rate=0.01, weight_decay=0.1), plugfit.keras.loss("Huber", engine="formula"))
    curve(made)
    made.optimizer.learning_rate = 0.02
    made.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer, plugfit.keras.FormulaOptimizer) and again.optimizer.weight_decay == 0.1
    assert float(keras.ops.convert_to_numpy(again.optimizer.learning_rate)) == pytest.approx(0.02)
    assert len(again.optimizer.variables) == 2 + 2 * 4
    assert again.loss.get_config() == made.loss.get_config()
    np.testing.assert_allclose(curve(again), curve(made), rtol=1e-5)


def test_several_steps_are_compiled_together_and_slots_are_arguments(keras):
    expected = curve(model(keras, keras.optimizers.Adam(0.01), "mse"))
    steps = 1 if keras.backend.backend() == "torch" else 4
    made = model(keras, plugfit.keras.optimizer("Adam", learning_rate=0.01), plugfit.keras.loss("mse"), steps_per_execution=steps)
    np.testing.assert_allclose(curve(made), expected, rtol=1e-4)
    if keras.backend.backend() != "jax":
        return
    import jax

    optimizer, variable = plugfit.keras.optimizer("Adam", learning_rate=0.1), keras.Variable(np.ones(2, "f"))
    optimizer.build([variable])
    state = [one.value for one in optimizer.variables]
    (value,), state = jax.jit(optimizer.stateless_apply)(state, [np.ones(2, "f")], [variable.value])
    np.testing.assert_allclose(value, 0.9, rtol=1e-5)
    np.testing.assert_allclose(state[2], 0.1, rtol=1e-5)


def test_a_compiled_step_calls_nothing_on_the_host(keras):
    if keras.backend.backend() != "jax":
        pytest.skip("JAX's")
    import jax

    loss, optimizer = plugfit.keras.loss("Huber"), plugfit.keras.optimizer("Adam")
    variable = keras.Variable(np.ones((4, 1), "f"))
    optimizer.build([variable])

    def step(state, value, y_true):
        gradient = jax.grad(lambda value: loss(y_true, value, np.ones(4, "f")))(value)
        return optimizer.stateless_apply(state, [gradient], [value])

    text = str(jax.make_jaxpr(step)([one.value for one in optimizer.variables], variable.value, np.zeros((4, 1), "f")))
    assert "callback" not in text


def test_the_plugin_updates_variables_of_pytorch_in_place_unless_the_formula_is_forced(keras, monkeypatch):
    if keras.backend.backend() != "torch":
        pytest.skip("PyTorch's")
    taken = []
    update = plugfit.optimizers.Adam._update
    monkeypatch.setattr(plugfit.optimizers.Adam, "_update", lambda self, *arguments: taken.append(1) or update(self, *arguments), raising=False)
    gradient = keras.ops.convert_to_tensor(np.array([1, 2], "f"))
    for engine, uses in ((None, 1), ("formula", 0)):
        taken.clear()
        # Variables with one gradient, and one of another dtype, which the plug-in doesn't update.
        variables = [keras.Variable(np.ones(2, "f")) for _ in range(2)]
        optimizer = plugfit.keras.optimizer("Adam", learning_rate=0.1, engine=engine)
        optimizer.apply([gradient, gradient], variables)
        half = keras.Variable(np.ones(2), dtype="bfloat16")
        plugfit.keras.optimizer("Adam", learning_rate=0.1, engine=engine).apply([gradient], [half])
        assert len(taken) == uses
        for variable in (*variables, half):
            np.testing.assert_allclose(keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32")), 0.9, rtol=2e-3)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(optimizer.variables[2]), [0.1, 0.2], rtol=1e-6)


def test_variables_are_excluded_from_weight_decay(keras):
    given = plugfit.optimizers.Adam(0.1, weight_decay=0.5)
    given.exclude_from_weight_decay(var_names=["^bias$"])
    optimizer = plugfit.keras.optimizer(given)
    weight, bias = (keras.Variable(np.ones(2, "f"), name=name) for name in ("weight", "bias"))
    zeros = keras.ops.zeros(2)
    optimizer.apply([zeros, zeros], [weight, bias])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), 0.95, rtol=1e-6)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(bias), 1)


def test_a_schedule_is_a_schedule_of_keras(keras):
    expected = curve(model(keras, keras.optimizers.Adam(decay_of_keras(keras)), "mse"))
    schedule = plugfit.keras.schedule("ExponentialDecay", initial_learning_rate=0.1, decay_steps=10, decay_rate=float(np.exp(-1)))
    np.testing.assert_allclose(curve(model(keras, keras.optimizers.Adam(schedule), "mse")), expected, rtol=1e-4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(again(5)), 0.1 * np.exp(-0.5), rtol=1e-6)


def test_a_schedule_without_a_formula_is_computed_by_its_plugin(keras, monkeypatch):
    def refuse(schedule):
        raise ValueError("it is a function of whole numbers")

    monkeypatch.setattr(plugfit.schedules.CosineDecay, "_formula", refuse)
    expected = curve(model(keras, keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)), "mse"))
    schedule = plugfit.keras.schedule("CosineDecay", initial_learning_rate=0.1, decay_steps=10)
    jit = keras.backend.backend() == "jax"
    np.testing.assert_allclose(curve(model(keras, keras.optimizers.SGD(schedule), "mse", jit_compile=jit)), expected, rtol=1e-4)
    with pytest.raises(ValueError, match="no formula"):
        plugfit.keras.schedule("CosineDecay", initial_learning_rate=0.1, decay_steps=10, engine="formula")


def test_a_component_without_a_formula_says_so():
    for made in (plugfit.losses.CTC(), plugfit.optimizers.Muon(), plugfit.losses.get(lambda y_true, y_pred: y_true)):
        with pytest.raises(ValueError, match="has no formula"):
            made.formula()
    assert plugfit.losses.Huber().formula() is not None


def test_an_engine_can_be_forced(keras):
    with pytest.raises(ValueError, match="no formula"):
        plugfit.keras.loss("CTC", engine="formula")
    with pytest.raises(ValueError, match="no formula"):
        plugfit.keras.optimizer("Muon", engine="formula")
    with pytest.raises(ValueError, match="engine is"):
        plugfit.keras.loss("CTC", engine="xla")
    assert isinstance(plugfit.keras.optimizer("Adam", engine="native"), plugfit.keras.Optimizer)
    assert isinstance(plugfit.keras.optimizer("Muon"), plugfit.keras.Optimizer)


# The shapes of y_true, y_pred, weights and masks.
BATCHES = [
    ((4, 3), (4, 3), None, None),
    ((4,), (4, 1), (4,), None),
    ((4, 1), (4, 1), (4, 1), (4,)),
    ((4, 5, 3), (4, 5, 3), (4, 5), (4, 5)),
    ((4, 5, 3), (4, 5, 3), (4, 1), (4, 5)),
    ((4, 5, 3), (4, 5, 3), (4, 5, 1), None),
    ((4, 3), (4, 3), (), None),
    ((4, 3), (4, 3), None, (4,)),
]
REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "none", "mean_with_sample_weight"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shapes", BATCHES, ids=str)
def test_weights_masks_and_reductions_are_those_of_the_plugin(torch, shapes, reduction):
    true, pred, weight, mask = shapes
    y_true, y_pred = RNG.normal(size=true).astype("f"), RNG.normal(size=pred).astype("f")
    weight = None if weight is None else RNG.integers(0, 3, size=weight).astype("f")
    mask = None if mask is None else RNG.integers(0, 2, size=mask).astype(bool)
    results = []
    for engine in ("native", "formula"):
        loss = plugfit.torch.Loss({"class_name": "Huber", "config": {"reduction": reduction}}, engine)
        tensor = torch.tensor(y_pred, requires_grad=True)
        value = loss(torch.tensor(y_true), tensor, weight, mask)
        (value**2).sum().backward()
        results.append((value.detach().numpy(), tensor.grad.numpy()))
    assert results[0][0].shape == results[1][0].shape
    for native, formula in zip(*results):
        np.testing.assert_allclose(formula, native, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shapes", BATCHES, ids=str)
def test_keras_reduces_as_the_plugin_does(keras, shapes, reduction):
    true, pred, weight, mask = shapes
    y_true, y_pred = RNG.normal(size=true).astype("f"), RNG.normal(size=pred).astype("f")
    weight = None if weight is None else RNG.integers(0, 3, size=weight).astype("f")
    mask = None if mask is None else RNG.integers(0, 2, size=mask).astype(bool)
    expected = plugfit.losses.Huber(reduction=reduction)(y_true, y_pred, weight, mask)
    given = keras.ops.convert_to_tensor(y_pred)
    if mask is not None:
        keras.src.backend.set_keras_mask(given, keras.ops.convert_to_tensor(mask))
    found = plugfit.keras.loss("Huber", reduction=reduction, engine="formula")(y_true, given, weight)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_keras_ignores_masked_weights_even_if_they_are_nan(keras, reduction):
    weight, mask = np.array([1, NAN, 2], "f"), np.array([True, False, True])
    y_true, y_pred = np.zeros((3, 2), "f"), np.ones((3, 2), "f")
    for shape in (3,), (3, 1):
        expected = plugfit.losses.Huber(reduction=reduction)(y_true, y_pred, weight.reshape(shape), mask)
        given = keras.ops.convert_to_tensor(y_pred)
        keras.src.backend.set_keras_mask(given, keras.ops.convert_to_tensor(mask))
        found = plugfit.keras.loss("Huber", reduction=reduction, engine="formula")(y_true, given, weight.reshape(shape))
        np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-5, atol=1e-6)


def test_values_of_weight_0_are_ignored_even_if_they_are_nan(keras, torch):
    y_true, y_pred, weight = np.zeros((3, 2), "f"), np.array([[1, 2], [NAN, NAN], [3, 4]], "f"), np.array([1, 0, 1], "f")
    for engine in ("native", "formula"):
        tensor = torch.tensor(y_pred, requires_grad=True)
        plugfit.torch.Loss("mse", engine)(torch.tensor(y_true), tensor, weight).backward()
        np.testing.assert_allclose(tensor.grad, np.array([[1, 2], [0, 0], [3, 4]]) / 3, rtol=1e-6)
    found = plugfit.keras.loss("mse", engine="formula")(y_true, y_pred, weight)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), 15 / 3, rtol=1e-6)


def test_class_ids_of_weight_0_need_no_class(keras):
    loss = plugfit.keras.loss("SparseCategoricalCrossentropy", from_logits=True, engine="formula")
    logits = RNG.normal(size=(3, 4)).astype("f")
    expected = plugfit.losses.SparseCategoricalCrossentropy(from_logits=True)([0, 3, -1], logits, [1.0, 1.0, 0.0])
    found = loss(np.array([0, 3, -1]), logits, np.array([1, 1, 0], "f"))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-5)


def test_pytorch_takes_the_plugin_on_the_cpu_and_the_formula_otherwise(torch, monkeypatch):
    loss = plugfit.torch.Loss("mse")
    taken = []
    by_formula = loss._by_formula
    monkeypatch.setattr(loss, "_by_formula", lambda *arguments: taken.append(1) or by_formula(*arguments))
    y_true, y_pred = torch.zeros(3, 2), torch.ones(3, 2)

    def takes_formula(f, *arguments):
        taken.clear()
        f(*arguments)
        return bool(taken)

    assert not takes_formula(loss, y_true, y_pred) and not takes_formula(loss, y_true.double(), y_pred.double())
    assert takes_formula(loss, y_true, y_pred.bfloat16())
    assert takes_formula(loss, y_true.clone().requires_grad_(), y_pred.clone().requires_grad_())
    assert takes_formula(loss, y_true, y_pred, torch.ones(3, requires_grad=True))
    assert takes_formula(torch.func.grad(lambda y_pred: loss(y_true, y_pred)), y_pred)
    assert takes_formula(loss, y_true.to("meta"), y_pred.to("meta"))
    compiled = torch.compile(plugfit.torch.Loss("mse"), fullgraph=True, backend="aot_eager")
    tensor = y_pred.clone().requires_grad_()
    compiled(y_true, tensor).backward()
    np.testing.assert_allclose(tensor.grad, 1 / 3, rtol=1e-6)


def test_the_dtype_of_a_pytorch_loss_is_float64_for_float64_and_else_float32(torch):
    for engine in ("native", "formula"):
        loss = plugfit.torch.Loss("mse", engine)
        for dtype, result in ((torch.float64, torch.float64), (torch.float32, torch.float32), (torch.bfloat16, torch.float32)):
            y_pred = torch.full((3, 2), 1 / 3, dtype=dtype, requires_grad=True)
            value = loss(torch.zeros(3, 2), y_pred)
            value.backward()
            assert value.dtype == result and y_pred.grad.dtype == dtype
            assert float(value) == pytest.approx(float(y_pred[0, 0]) ** 2, rel=1e-14 if dtype == torch.float64 else 1e-6)


def test_a_second_derivative_is_that_of_the_formula_or_is_refused(torch):
    y_true, y_pred = torch.zeros(3, 2), torch.ones(3, 2, requires_grad=True)
    for engine in (None, "formula"):
        value = plugfit.torch.Loss("mse", engine)(y_true, y_pred)
        (gradient,) = torch.autograd.grad(value, y_pred, create_graph=True)
        (second,) = torch.autograd.grad(gradient.sum(), y_pred)
        np.testing.assert_allclose(second, np.full((3, 2), 1 / 3), rtol=1e-6)
    value = plugfit.torch.Loss("mse", "native")(y_true, y_pred)
    (gradient,) = torch.autograd.grad(value, y_pred, create_graph=True)
    np.testing.assert_allclose(gradient.detach(), np.full((3, 2), 1 / 3), rtol=1e-6)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()


@pytest.mark.parametrize("name", ["Hinge", "SquaredHinge"])
@pytest.mark.parametrize("labels", [(0.0, 1.0), (-1.0, 1.0)])
def test_a_weight_of_0_does_not_change_which_labels_a_batch_has(torch, name, labels):
    y = torch.tensor(RNG.choice(labels, (8, 3)).astype("f"))
    p = torch.tensor(RNG.normal(size=(8, 3)).astype("f"))
    weight = torch.ones(8)
    weight[3] = 0
    values = [plugfit.torch.loss(name, engine=engine)(p, y, weight) for engine in ("native", "formula")]
    assert float(values[1]) == pytest.approx(float(values[0]), rel=1e-5)


@pytest.mark.parametrize("loss", ["MeanSquaredError", "CategoricalCrossentropy"])
@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
def test_weights_match_a_column_of_values_as_in_keras(keras, loss, reduction):
    y, p = RNG.random((8, 1, 3)).astype("f"), RNG.random((8, 1, 3)).astype("f") + 0.1
    weight = RNG.random(8).astype("f")
    weight[2] = 0
    own = getattr(keras.losses, loss)(reduction=reduction)(y, p, weight)
    found = plugfit.keras.loss(loss, reduction=reduction, engine="formula")(y, p, weight)
    assert float(found) == pytest.approx(float(own), rel=1e-5)


def test_weights_that_fit_no_value_are_refused(keras):
    y = p = np.ones((8, 3), "f")
    with pytest.raises(ValueError, match=r"sample_weight of shape \(5,\) doesn't fit the values of shape \(8,\)"):
        plugfit.keras.loss("MeanSquaredError", engine="formula")(y, p, np.ones(5, "f"))


def test_a_vector_of_outputs_may_have_weights(keras):
    y, p = RNG.random(16).astype("f"), RNG.random(16).astype("f")
    weight = RNG.random(16).astype("f")
    own = keras.losses.MeanSquaredError()(y, p, weight)
    found = plugfit.keras.loss("MeanSquaredError", engine="formula")(y, p, weight)
    assert float(found) == pytest.approx(float(own), rel=1e-5)


@pytest.mark.parametrize("name", ["SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy"])
def test_an_id_that_is_no_class_makes_an_accuracy_nan(name):
    values = plugfit.metrics.get(name).formula().numpy()(np.array([1.0, 5.0, -1.0, 0.5]), np.eye(4, 3))
    assert np.isnan(values[1:]).all() and not np.isnan(values[0])
