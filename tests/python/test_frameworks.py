"""Models trained in Keras and PyTorch with this package's components have the same curves as with the framework's own."""

import inspect
import json
import os
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import plugfit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 8)).astype("f")
Y = (X.sum(1, keepdims=True) > 0).astype("f")


def keras_model(keras):
    keras.utils.set_random_seed(1)
    layers = [keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1, activation="sigmoid")]
    return keras.Sequential(layers)


@pytest.fixture
def keras():
    keras = pytest.importorskip("keras", reason="Keras isn't installed")
    pytest.importorskip(keras.backend.backend(), reason="Keras's backend isn't installed")
    return keras


def compiled(keras, jit=True):
    model = keras_model(keras)
    own = plugfit.metrics.AUC(name="auc")
    model.compile(
        optimizer=plugfit.keras.optimizer(plugfit.optimizers.AdamW(0.01)),
        loss=plugfit.keras.loss("binary_crossentropy"),
        metrics=[plugfit.keras.metric(own), plugfit.keras.metric({"class_name": "MeanAbsoluteError", "config": {"name": "mae"}})],
        run_eagerly=not jit,
    )
    return model


@pytest.mark.parametrize("jit", [True, False])
def test_training_in_keras_gives_the_curve_of_keras(keras, jit):
    reference = keras_model(keras)
    metrics = [keras.metrics.AUC(name="auc"), keras.metrics.MeanAbsoluteError(name="mae")]
    reference.compile(optimizer=keras.optimizers.AdamW(0.01), loss="binary_crossentropy", metrics=metrics, run_eagerly=not jit)
    expected = reference.fit(X, Y, epochs=3, verbose=0, shuffle=False).history
    model = compiled(keras, jit)
    found = model.fit(X, Y, epochs=3, verbose=0, shuffle=False).history
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, err_msg=name)


def test_classes_have_the_arguments_of_keras(keras):
    kinds = ("losses", keras.losses), ("metrics", keras.metrics), ("optimizers", keras.optimizers), ("schedules", keras.optimizers.schedules)
    # Lists instead of tuples, and an empty list instead of None.
    otherwise = {("BinaryIoU", "target_class_ids"), ("Muon", "exclude_layers")}
    seen = 0
    for kind, theirs in kinds:
        module = getattr(plugfit, kind)
        for name in dir(module):
            cls = getattr(module, name)
            if not isinstance(cls, type) or getattr(cls, "_spec", None) is None or not hasattr(theirs, name):
                continue
            seen += 1
            own = list(inspect.signature(cls).parameters.values())
            given = [p for p in inspect.signature(getattr(theirs, name)).parameters.values() if p.kind is not p.VAR_KEYWORD]
            assert [p.name for p in own[: len(given)]] == [p.name for p in given], name
            for one, other in zip(own, given):
                if one.name != "name" and (name, one.name) not in otherwise:
                    assert one.default == other.default, (name, one.name)
    assert seen > 70
    assert plugfit.optimizers.Muon(exclude_layers=None).get_config()["exclude_layers"] in ([], None)


def test_keras_scales_the_loss_and_applies_constraints(keras):
    def curve(optimizer):
        keras.utils.set_random_seed(1)
        constrained = keras.layers.Dense(8, kernel_constraint=keras.constraints.NonNeg())
        model = keras.Sequential([constrained, keras.layers.Dense(1)])
        model.compile(optimizer, "mse")
        losses = model.fit(X, Y, epochs=3, verbose=0, shuffle=False).history["loss"]
        return [*losses, float(constrained.get_weights()[0].min())]

    expected = curve(keras.optimizers.SGD(0.1, loss_scale_factor=1024.0))
    found = curve(plugfit.keras.optimizer("SGD", learning_rate=0.1, loss_scale_factor=1024.0))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert found[-1] >= 0
    with pytest.raises(ValueError, match="LossScaleOptimizer"):
        plugfit.keras.optimizer(plugfit.optimizers.LossScaleOptimizer(plugfit.optimizers.SGD(0.1)))


def test_keras_can_wrap_optimizers(keras):
    def curve(sgd, adam):
        model = keras_model(keras)
        parts = keras.optimizers.OptimizerMap(sgd(), {".*kernel": adam(0.01)})
        model.compile(keras.optimizers.MultiOptimizer(parts, loss_scale_factor=4.0), "mse")
        losses = model.fit(X, Y, epochs=2, verbose=0, shuffle=False).history["loss"]
        model.compile(keras.optimizers.LossScaleOptimizer(sgd(), initial_scale=64.0), "mse")
        return losses + model.fit(X, Y, epochs=2, verbose=0, shuffle=False).history["loss"]

    expected = curve(lambda: keras.optimizers.SGD(0.1, loss_scale_factor=16.0), keras.optimizers.Adam)
    found = curve(
        lambda: plugfit.keras.optimizer("SGD", learning_rate=0.1, loss_scale_factor=16.0),
        lambda rate: plugfit.keras.optimizer("Adam", learning_rate=rate),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_keras_excludes_from_weight_decay_by_name_and_by_variable(keras):
    def decayed(optimizer, **excluded):
        model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(2)])
        variables = model.trainable_variables
        if excluded.pop("first", False):
            excluded["var_list"] = variables[:1]
        optimizer.exclude_from_weight_decay(**excluded)
        for variable in variables:
            variable.assign(np.ones(variable.shape, "f"))
        optimizer.apply([keras.ops.zeros(variable.shape) for variable in variables], variables)
        return [bool(keras.ops.convert_to_numpy(variable).flat[0] != 1) for variable in variables]

    for excluded in ({"var_names": ["^bias$"]}, {"var_names": ["^k", "x"]}, {"var_names": ["dense"]}, {"first": True}, {}):
        expected = decayed(keras.optimizers.SGD(0.1, weight_decay=0.5), **excluded)
        assert decayed(plugfit.keras.optimizer("SGD", learning_rate=0.1, weight_decay=0.5), **excluded) == expected, excluded
        expected = decayed(keras.optimizers.Muon(0.1, weight_decay=0.5, adam_weight_decay=0.5), **excluded)
        found = decayed(plugfit.keras.optimizer("Muon", learning_rate=0.1, weight_decay=0.5, adam_weight_decay=0.5), **excluded)
        assert found == expected, excluded


def test_keras_replaces_variables_by_their_gradients(keras):
    scale, weight = keras.Variable(np.ones(2, "f")), keras.Variable(np.ones(2, "f"))
    scale.overwrite_with_gradient = True
    optimizer = plugfit.keras.optimizer("SGD", learning_rate=0.5)
    gradient = keras.ops.convert_to_tensor(np.array([3, 4], "f"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        optimizer.apply([gradient, gradient], [scale, weight])
        optimizer.apply([gradient, gradient])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(scale), [3, 4])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), [-2, -3])


def test_a_subset_of_the_variables_can_be_trained_and_a_loss_keeps_its_dtype(keras):
    def step(optimizer):
        first, second = keras.Variable(np.ones(2, "f")), keras.Variable(np.ones(2, "f"))
        optimizer.build([first, second])
        optimizer.apply([keras.ops.convert_to_tensor(np.array([1, 2], "f"))], [second])
        with pytest.raises(ValueError, match="Unknown variable"):
            optimizer.apply([keras.ops.convert_to_tensor(np.ones(2, "f"))], [keras.Variable(np.ones(2, "f"))])
        return [keras.ops.convert_to_numpy(variable).tolist() for variable in (first, second)]

    expected = step(keras.optimizers.SGD(0.5)) if keras.backend.backend() == "torch" else [[1, 1], [0.5, 0]]
    assert step(plugfit.keras.optimizer("SGD", learning_rate=0.5)) == expected
    half = plugfit.keras.loss("mse", dtype="float16")
    assert keras.backend.standardize_dtype(half(np.ones((2, 1), "f"), np.zeros((2, 1), "f")).dtype) == "float16"


def test_sparse_gradients_of_jax_are_accepted(keras):
    if keras.backend.backend() != "jax":
        pytest.skip("JAX's")
    from jax.experimental.sparse import BCOO

    weight = keras.Variable(np.ones((3, 2), "f"))
    gradient = np.array([[0, 0], [1, 2], [0, 0]], "f")
    plugfit.keras.optimizer("SGD", learning_rate=1.0).apply([BCOO.fromdense(gradient)], [weight])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), 1 - gradient)


@pytest.mark.parametrize(
    "made",
    [
        plugfit.losses.Huber(2.0),
        plugfit.metrics.AUC(thresholds=[0.5]),
        plugfit.optimizers.Adam(plugfit.schedules.CosineDecay(0.1, 10)),
        plugfit.schedules.CosineDecay(0.1, 10),
    ],
    ids=lambda made: type(made).__name__,
)
def test_keras_deserializes_what_it_serialized(keras, made):
    serialized = json.loads(json.dumps(keras.saving.serialize_keras_object(made)))
    again = keras.saving.deserialize_keras_object(serialized)
    assert type(again) is type(made) and again.get_config() == made.get_config()
    assert made._registry.get(serialized).get_config() == made.get_config()


def test_means_use_the_mask_of_a_layer_as_in_keras(keras):
    rows = np.array([[1, 2, 0], [3, 0, 0]])
    targets = RNG.normal(size=(2, 3, 1)).astype("f")
    names = ["MeanAbsoluteError", "RootMeanSquaredError"]
    results = []
    for kind in (lambda name: getattr(keras.metrics, name)(), plugfit.keras.metric):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Embedding(4, 2, mask_zero=True), keras.layers.Dense(1)])
        model.compile("sgd", plugfit.keras.loss("mse"), metrics=[kind(name) for name in names], run_eagerly=True)
        results.append(model.evaluate(rows, targets, verbose=0))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


def test_fit_reports_the_error_of_a_batch(keras):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    model.compile(plugfit.keras.optimizer("sgd"), plugfit.keras.loss("mse"))
    with pytest.raises(ValueError, match="y_true of shape"):
        model.fit(X, np.ones((256, 4), "f"), verbose=0)


def test_settings_can_be_passed_with_a_name_in_keras(keras):
    optimizer = plugfit.keras.optimizer("SGD", learning_rate=0.5, clipnorm=1.0, engine="native")
    assert (float(optimizer.learning_rate), optimizer.clipnorm) == (0.5, 1.0)
    assert plugfit.keras.loss("Huber", delta=2.0, reduction="sum").get_config()["identifier"]["config"]["delta"] == 2.0
    assert plugfit.keras.metric({"class_name": "Precision", "config": {"top_k": 2}}, thresholds=0.4, name="p").name == "p"
    with pytest.raises(AttributeError, match="when the optimizer is created"):
        optimizer.clipnorm = 5.0
    with pytest.raises(ValueError, match="learning_rat"):
        plugfit.keras.optimizer("SGD", learning_rat=0.5)
    with pytest.raises(TypeError, match="can be added to a name"):
        plugfit.keras.optimizer(plugfit.optimizers.SGD(), learning_rate=0.5)


def test_keras_counts_updates_and_sets_the_rate_of_a_loaded_optimizer(keras, tmp_path):
    def model(rate):
        model = keras_model(keras)
        optimizer = plugfit.optimizers.SGD(rate, gradient_accumulation_steps=2)
        model.compile(plugfit.keras.optimizer(optimizer), plugfit.keras.loss("mse"))
        return model

    first, second = model(0.1), model(0.01)
    first.fit(X, Y, batch_size=len(X), epochs=6, verbose=0)
    assert int(first.optimizer.iterations) == 3
    first.save_weights(tmp_path / "x.weights.h5")
    second.fit(X, Y, batch_size=len(X), epochs=1, verbose=0)
    second.load_weights(tmp_path / "x.weights.h5")
    second.optimizer.learning_rate = 0.0
    before = second.get_weights()
    second.fit(X, Y, batch_size=len(X), epochs=2, verbose=0)
    assert all((a == b).all() for a, b in zip(before, second.get_weights()))


def test_metrics_with_several_numbers_work_in_keras(keras):
    expected = keras.metrics.F1Score(threshold=0.5)
    model = keras_model(keras)
    made = plugfit.keras.metric(plugfit.metrics.F1Score(threshold=0.5))
    model.compile(optimizer="sgd", loss="binary_crossentropy", metrics=[made])
    found = model.evaluate(X, Y, verbose=0, return_dict=True)["f1_score"]
    expected.update_state(Y, model.predict(X, verbose=0))
    np.testing.assert_allclose(found, np.asarray(expected.result()), rtol=1e-5)


def test_settings_that_keras_omits_from_a_configuration_are_kept(keras):
    assert plugfit.losses.get(keras.losses.Huber(2.0)).delta == 2.0


def test_keras_resumes_from_a_saved_model(keras, tmp_path):
    model = compiled(keras)
    model.fit(X, Y, epochs=1, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    one = model.fit(X, Y, epochs=2, verbose=0, shuffle=False).history
    other = again.fit(X, Y, epochs=2, verbose=0, shuffle=False).history
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-6)


def test_keras_saves_functions_by_name(keras, tmp_path):
    @keras.saving.register_keras_serializable("tests")
    def halved(y_true, y_pred):
        return np.abs(y_true - y_pred) / 2

    halved.gradient = lambda y_true, y_pred: np.sign(y_pred - y_true) / 2
    model = keras_model(keras)
    model.compile(optimizer="sgd", loss=plugfit.keras.loss(halved), metrics=[plugfit.keras.metric(halved)])
    model.fit(X, Y, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.evaluate(X, Y, verbose=0), model.evaluate(X, Y, verbose=0), rtol=1e-5)
    assert plugfit.keras.loss({"fn": halved, "name": "x", "reduction": "sum"}).name == "x"

    class Own(plugfit.losses.Loss):
        def call(self, y_true, y_pred):
            return np.abs(y_true - y_pred)

    for settings in ({}, {"reduction": "sum"}):
        with pytest.raises(ValueError, match="user-defined class"):
            plugfit.keras.loss(Own(), **settings).get_config()


def test_keras_applies_sample_weights(keras):
    weight = RNG.random(256).astype("f")
    reference = keras_model(keras)
    reference.compile(optimizer="sgd", loss="binary_crossentropy")
    expected = reference.fit(X, Y, sample_weight=weight, epochs=2, verbose=0, shuffle=False).history["loss"]
    model = keras_model(keras)
    model.compile(optimizer="sgd", loss=plugfit.keras.loss("binary_crossentropy"))
    found = model.fit(X, Y, sample_weight=weight, epochs=2, verbose=0, shuffle=False).history["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch isn't installed")


def torch_curve(torch, criterion, optimizer_of):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1), torch.nn.Sigmoid())
    optimizer = optimizer_of(model)
    x, y, curve = torch.from_numpy(X), torch.from_numpy(Y), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve


def test_training_in_pytorch_gives_the_curve_of_pytorch(torch):
    from plugfit import torch as adapter

    expected = torch_curve(torch, torch.nn.functional.mse_loss, lambda model: torch.optim.SGD(model.parameters(), 0.1, momentum=0.9))
    settings = {"class_name": "SGD", "config": {"learning_rate": 0.1, "momentum": 0.9}}
    found = torch_curve(torch, adapter.loss("mse"), lambda model: adapter.optimizer(model.named_parameters(), settings))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_pytorch_optimizer_resumes_and_follows_a_scheduler(torch):
    from plugfit import torch as adapter

    def made(start):
        param = torch.nn.Parameter(torch.tensor(start))
        return param, adapter.optimizer([param], "adam")

    def step(param, optimizer):
        optimizer.zero_grad()
        (param**2).sum().backward()
        optimizer.step()

    one, optimizer = made([1.0, -2.0])
    for _ in range(3):
        step(one, optimizer)
    other, again = made(one.detach().tolist())
    again.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        step(one, optimizer)
        step(other, again)
    assert one.detach().numpy().tobytes() == other.detach().numpy().tobytes()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    before = one.detach().clone()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0005)
    step(one, optimizer)
    assert (before - one.detach()).abs().max() < 0.00075


def test_settings_can_be_passed_with_a_name_in_pytorch(torch):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = plugfit.torch.optimizer([weight], "AdamW", lr=0.5, weight_decay=0.25)
    assert optimizer.param_groups[0]["lr"] == 0.5 and optimizer.param_groups[0]["weight_decay"] == 0.25
    assert plugfit.torch.loss("Huber", delta=2.0).loss.delta == 2.0
    assert plugfit.torch.metric("AUC", curve="PR").metric.curve == "PR"
    with pytest.raises(ValueError, match="another optimizer's state"):
        optimizer.load_state_dict(torch.optim.SGD([weight], 0.1).state_dict())


def test_a_gradient_for_labels_or_weights_is_refused_in_pytorch(torch):
    from plugfit import torch as adapter

    criterion = adapter.loss("mse", engine="native")
    y_pred = torch.ones(3, 1, requires_grad=True)
    for others in ((torch.ones(3, 1, requires_grad=True), None), (torch.zeros(3, 1), torch.ones(3, requires_grad=True))):
        with pytest.raises(NotImplementedError, match="detach"):
            criterion(y_pred, *others)


def test_a_pytorch_optimizer_is_copied_and_pickled_with_the_names_of_its_group(torch):
    import copy
    import pickle

    from plugfit import torch as adapter

    weight, bias = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    given = plugfit.optimizers.SGD(0.1, weight_decay=0.5)
    given.exclude_from_weight_decay(var_names=["bias"])
    given.learning_rate = 0.2
    groups = [{"params": [("weight", weight), ("bias", bias)]}]
    optimizer = adapter.optimizer(groups, given)
    assert isinstance(groups[0]["params"][0], tuple)
    weight.grad = bias.grad = torch.zeros(2)
    for each in (optimizer, copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        params = each.param_groups[0]["params"]
        before = params[0].detach().clone()
        for param in params:
            param.grad = torch.zeros(2)
        each.step()
        np.testing.assert_allclose(params[0].detach(), before * 0.9, rtol=1e-6)
        assert (params[1] == 1).all() and each.state_dict()["state"][0]["step"] > 0


def test_a_string_in_exclude_from_weight_decay_is_one_expression_in_pytorch(torch):
    from plugfit import torch as adapter

    weight, bias = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    given = [("weight", weight), ("bias", bias)]
    optimizer = adapter.optimizer(given, "SGD", exclude_from_weight_decay="^bias$", learning_rate=0.1, weight_decay=0.5)
    weight.grad = bias.grad = torch.zeros(2)
    optimizer.step()
    assert (weight < 1).all() and (bias == 1).all()


def rank(number, store, results):
    import torch

    from plugfit import torch as adapter

    distributed = torch.distributed
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=number, world_size=2)
    metric = adapter.metric("AUC")
    metric.update(torch.from_numpy(X[number::2, 0] / 4 + 0.5), torch.from_numpy(Y[number::2, 0]))
    metric.sync()
    total = adapter.metric("Sum")
    sums = []
    for sees_more in (True, False, True):
        if sees_more:
            total.update(torch.ones(1))
        total.sync()
        sums.append(total.compute().item())
    results.put((metric.compute().item(), sums))
    distributed.destroy_process_group()


def test_metrics_of_several_ranks_are_merged(torch, tmp_path):
    processes = torch.multiprocessing.get_context("spawn")
    results = processes.Queue()
    ranks = [processes.Process(target=rank, args=(number, tmp_path / "store", results)) for number in range(2)]
    [process.start() for process in ranks]
    found = [results.get(timeout=120) for _ in ranks]
    [process.join(timeout=60) for process in ranks]
    whole = plugfit.score(Y[:, 0], X[:, 0] / 4 + 0.5, "AUC")["auc"]
    np.testing.assert_allclose([auc for auc, _ in found], [whole, whole], rtol=1e-6)
    # A second sync counts nothing twice.
    assert [sums for _, sums in found] == [[2.0, 2.0, 4.0]] * 2


def test_native_optimizers_are_wrapped(torch):
    given = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    optimizer = plugfit.optimizers.get(given)
    p, q = np.ones(2, np.float32), np.ones(1, np.float32)
    optimizer.apply([np.ones(2), None], [p, q])
    assert p.tolist() == [0.5, 0.5] and q.tolist() == [1.0] and optimizer.iterations == 1


def test_native_optimizers_use_the_settings_of_their_group(torch):
    for made, rate in (
        (lambda param: torch.optim.SGD([{"params": [param], "lr": 0.5}], lr=0.1), 0.5),
        (lambda param: torch.optim.AdamW([param], lr=0.1, weight_decay=0.0), 0.1),
    ):
        wrapped, param = plugfit.optimizers.get(made(torch.nn.Parameter(torch.ones(2)))), np.ones(2, "f")
        assert wrapped.learning_rate == pytest.approx(rate)
        wrapped.apply([np.ones(2, "f")], [param])
        np.testing.assert_allclose(param, 1 - rate, rtol=1e-5)


def test_native_keras_optimizers_are_wrapped(keras):
    optimizer = plugfit.optimizers.get(keras.optimizers.SGD(0.5))
    p, q = np.ones(2, np.float32), np.ones(1, np.float32)
    optimizer.apply([np.ones(2), None], [p, q])
    assert p.tolist() == [0.5, 0.5] and q.tolist() == [1.0]


def test_tensors_of_the_frameworks_are_accepted(torch):
    t, p = torch.zeros(3), torch.ones(3, requires_grad=True)
    assert plugfit.losses.get("mse")(t, p) == 1.0
    assert plugfit.metrics.get("mse")(t.bfloat16(), p.bfloat16()) == 1.0
    param = torch.nn.Parameter(torch.ones(2))
    plugfit.optimizers.SGD(0.5).apply([torch.ones(2)], [param])
    assert param.tolist() == [0.5, 0.5]


def foreign(framework):
    """Yields makers of optimizers of a framework."""
    if framework == "torch":
        torch = pytest.importorskip("torch", reason="PyTorch isn't installed")
        yield lambda: plugfit.optimizers.get(torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.5))
    else:
        keras = pytest.importorskip("keras", reason="Keras isn't installed")
        yield lambda: plugfit.optimizers.get(keras.optimizers.Adam(0.5))
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            yield lambda: plugfit.optimizers.get(tf.compat.v1.train.AdamOptimizer(0.5))


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_a_wrapped_optimizer_refuses_gradients_and_parameters_of_other_shapes(framework):
    for make in foreign(framework):
        for grads in ([np.ones((3, 2))], [np.ones(6)], [np.ones(())], [np.ones((2, 3)), np.ones(1)]):
            optimizer, param = make(), np.ones((2, 3), "f")
            with pytest.raises(ValueError, match="shape|gradients for"):
                optimizer.apply(grads, [param])
            assert (param == 1).all() and optimizer.iterations == 0
        with pytest.raises(ValueError, match="2 names for 1 parameters"):
            optimizer.apply([np.ones((2, 3))], [param], names=["a", "b"])
        optimizer.apply([np.ones((2, 3))], [param])
        before = param.copy()
        for others in ([np.ones((3, 2), "f")], [param, np.ones(1, "f")]):
            with pytest.raises(ValueError, match="belongs to parameters"):
                optimizer.apply([np.ones_like(one) for one in others], others)
        assert (param == before).all() and optimizer.iterations == 1


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_a_state_of_other_parameters_changes_nothing_of_a_wrapped_optimizer(framework):
    for make in foreign(framework):
        def stepped(*shapes):
            optimizer, params = make(), [np.ones(shape, "f") for shape in shapes]
            optimizer.apply([np.ones(shape) for shape in shapes], params)
            return optimizer, params

        (one, params), expected = stepped((2,), (3,)), stepped((2,), (3,))
        for shapes in ([(2,), (4,)], [(2,)], [(2,), (3,), (1,)]):
            other, own = stepped(*shapes)
            other.apply([np.full(shape, 5.0) for shape in shapes], own)
            with pytest.raises(ValueError):
                one.set_state(other.get_state())
            assert one.iterations == 1
        for optimizer, arrays in ((one, params), expected):
            optimizer.apply([np.full(2, 3.0), np.full(3, 3.0)], arrays)
        np.testing.assert_array_equal(np.concatenate(params), np.concatenate(expected[1]))


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_a_state_from_before_the_first_step_makes_a_wrapped_optimizer_new(framework):
    for make in foreign(framework):
        optimizer, new, param, other = make(), make(), np.ones(2, "f"), np.ones(2, "f")
        fresh = optimizer.get_state()
        optimizer.set_state(fresh)
        optimizer.apply([np.array([1.0, -3.0])], [param.copy()])
        if "tensorflow.python.training" in repr(optimizer):
            with pytest.raises(ValueError, match="forget"):
                optimizer.set_state(fresh)
            continue
        optimizer.set_state(fresh)
        for each, array in ((optimizer, param), (new, other)):
            each.apply([np.array([2.0, 1.0])], [array])
        assert (param == other).all() and optimizer.iterations == 1
        with pytest.raises(ValueError, match="after its first step"):
            make().set_state(new.get_state())


@pytest.mark.parametrize("engine", [None, "native", "formula"])
def test_an_optimizer_for_keras_refuses_gradients_of_other_shapes_and_counts(keras, engine):
    variables = [keras.Variable(np.ones((2, 3), "f")), keras.Variable(np.ones(3, "f"))]
    optimizer = plugfit.keras.optimizer("SGD", learning_rate=0.5, engine=engine)
    optimizer.build(variables)
    tensor = lambda shape: keras.ops.ones(shape)
    for grads, of in (
        ([tensor((2, 3))], variables),
        ([tensor((2, 3))], None),
        ([tensor((2, 3)), tensor(3), tensor(3)], variables),
        ([tensor((3, 2)), tensor(3)], variables),
        ([tensor((2, 3)), tensor(1)], None),
        ([tensor(()), None], variables),
        ([tensor((2, 3)), tensor(3)], variables[1:]),
    ):
        with pytest.raises(ValueError, match="gradients for|shape"):
            optimizer.apply(grads, of)
    assert all((keras.ops.convert_to_numpy(variable) == 1).all() for variable in variables)


@pytest.mark.parametrize("name", ["Mean", "AUC"])
def test_a_metric_for_keras_refuses_other_arguments(keras, name):
    metric, ones = plugfit.keras.metric(name), np.ones(3, "f")
    first = {"values": ones} if name == "Mean" else {"y_true": ones, "y_pred": ones}
    given = list(first.values())
    metric.update_state(*given, ones)
    metric.update_state(*given, sample_weight=None)
    metric.update_state(**first, sample_weight=ones)
    for args, kwargs, text in (
        ([*given, ones, ones], {}, "too many"),
        (given, {next(iter(first)): ones}, "multiple values"),
        ([*given, ones], {"sample_weight": ones}, "multiple values"),
        (given, {"weights": ones}, "unexpected"),
        (given[1:], {}, "missing"),
        ([None, *given[1:]], {}, "is None"),
    ):
        with pytest.raises(TypeError, match=text):
            metric.update_state(*args, **kwargs)


def test_gradients_that_share_memory_with_variables_give_the_numbers_of_keras(keras):
    if keras.backend.backend() != "torch":
        pytest.skip("PyTorch's")
    import torch

    def step(make):
        memory = torch.arange(8, dtype=torch.float32)
        variables = [keras.Variable(np.ones(4, "f")) for _ in range(3)]
        optimizer = make()
        optimizer.build(variables)
        # A variable's own value, and two gradients that overlap.
        optimizer.apply([variables[0].value.detach(), memory[:4], memory[2:6]], variables)
        # Two variables that share memory.
        variables[1].value.data = variables[2].value.data
        optimizer.apply([torch.ones(4), torch.ones(4), torch.ones(4)], variables)
        return [keras.ops.convert_to_numpy(variable).tolist() for variable in variables]

    expected = step(lambda: keras.optimizers.SGD(0.5, momentum=0.9))
    for engine in (None, "formula"):
        found = step(lambda: plugfit.keras.optimizer("SGD", learning_rate=0.5, momentum=0.9, engine=engine))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
