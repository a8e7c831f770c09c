"""Keras and PyTorch have the sums of a metric in their own state."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import copy
import pickle

import numpy as np
import pytest

import formulas
import plugfit
from plugfit._formula import Formula
from test_formula_metrics import X, Y, compiled, keras, model  # noqa: F401
from test_formula_sums import Areas, FScore, Overlap, Precision, Recalls, Thresholds, of

RNG = np.random.default_rng(0)
NAN = float("nan")

#: A metric of the standard plug-in for each formula, and its settings. It has the shapes, names and undefined results.
OF = {
    "precision": ("Precision", {}),
    "thresholds": ("Recall", {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]}),
    "f_score": ("F1Score", {"threshold": 0.5}),
    "areas": ("AUC", {"multi_label": True}),
    "overlap": ("MeanIoU", {"num_classes": 4}),
    "recalls": ("SparseCategoricalAccuracy", {}),
    "total": ("Sum", {}),
    "mean_of_values": ("Mean", {}),
}
METRICS = [Precision, Thresholds, FScore, Areas, Overlap, Recalls]


@pytest.fixture(params=METRICS, ids=lambda metric: metric.name)
def metric(request):
    return request.param


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    for name, (class_name, _) in OF.items():
        monkeypatch.setattr(getattr(plugfit.metrics, class_name), "_find_formula", lambda self, name=name: of(name))


def made(name):
    class_name, settings = OF[name]
    return getattr(plugfit.metrics, class_name)(**settings)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch isn't installed")


def batches(metric, weighted=True):
    for index in range(3):
        y_true, y_pred = metric.batch()
        if metric is FScore:
            y_true[:3] = np.eye(3)
        weight = RNG.integers(0, 3, size=(len(y_pred), 1)) / 2 if weighted and index else None
        yield y_true, y_pred, weight


def numpy(keras, tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_keras_has_the_sums_of_all_batches(keras, metric):
    found = plugfit.keras.metric(made(metric.name), engine="formula")
    assert isinstance(found, plugfit.keras.FormulaMetric)
    before = numpy(keras, found.result())
    assert not before.any() and (before.shape == () or not of(metric.name).sums.by_column)
    for _ in range(2):
        expected = 0.0
        for y_true, y_pred, weight in batches(metric):
            found.update_state(y_true.astype("f"), y_pred.astype("f"), None if weight is None else weight[:, 0])
            expected = expected + metric.sums(y_true, y_pred, 1.0 if weight is None else weight)
        assert found.variables and all(variable.shape == expected.shape for variable in found.variables)
        np.testing.assert_allclose(numpy(keras, found.result()), metric.result(expected), rtol=1e-6)
        found.reset_state()
        assert not numpy(keras, found.result()).any()


def test_an_update_of_keras_is_compiled(keras, metric):
    found = plugfit.keras.metric(made(metric.name), engine="formula")
    y_true, y_pred = metric.batch()
    found.update_state(y_true, y_pred)
    found.reset_state()

    def step(state, y_true, y_pred, weight):
        state = found.stateless_update_state(state, y_true, y_pred, weight)
        return state, found.stateless_result(state)

    step, expected = compiled(keras, step), 0.0
    state = [keras.ops.convert_to_tensor(np.zeros(one.shape, one.dtype)) for one in found.variables]
    for _ in range(2):
        y_true, y_pred = metric.batch()
        weight = RNG.integers(0, 3, size=(len(y_pred), 1)) / 2
        expected = expected + metric.sums(y_true, y_pred, weight)
        state, result = step(state, *(keras.ops.convert_to_tensor(one.astype("f")) for one in (y_true, y_pred, weight[:, 0])))
    np.testing.assert_allclose(numpy(keras, result), metric.result(expected), rtol=1e-6)


def test_counts_of_keras_dont_stop_at_the_precision_of_float32(keras):
    found = plugfit.keras.metric(made("precision"), engine="formula")
    found.update_state(np.ones(1, "f"), np.ones(1, "f"), np.full(1, 2.0**24, "f"))
    for _ in range(64):
        found.update_state(np.zeros(1, "f"), np.ones(1, "f"))
        found.update_state(np.ones(1, "f"), np.ones(1, "f"))
    true, false = sum(numpy(keras, one).astype(float) for one in found.variables)
    assert (true, false) == (2**24 + 64, 64)
    assert numpy(keras, found.result()) == np.float32((2**24 + 64) / (2**24 + 128))


def test_masked_values_of_keras_are_ignored(keras, monkeypatch):
    found = plugfit.keras.metric(made("precision"), engine="formula")
    found._takes_masks = True
    y_pred = keras.ops.convert_to_tensor(np.array([[0.9], [NAN], [0.8]], "f"))
    keras.src.backend.set_keras_mask(y_pred, keras.ops.convert_to_tensor(np.array([True, False, True])))
    found.update_state(np.array([[1.0], [1.0], [0.0]], "f"), y_pred)
    assert numpy(keras, found.result()) == 0.5


def test_metrics_of_values_in_keras(keras):
    values, weight = np.array([[1.0, 2.0], [3.0, 4.0]], "f"), np.array([1.0, 3.0], "f")
    total, mean = (plugfit.keras.metric(made(name), engine="formula") for name in ("total", "mean_of_values"))
    theirs = keras.metrics.Sum(), keras.metrics.Mean()
    for metric, own in zip((total, mean), theirs):
        for _ in range(2):
            for arguments, named in ((values,), {}), ((values, weight), {}), ((values,), {"sample_weight": weight}):
                metric.update_state(*arguments, **named)
                own.update_state(*arguments, **named)
                assert numpy(keras, metric.result()) == pytest.approx(numpy(keras, own.result()))
        with pytest.raises(TypeError, match="too many positional arguments"):
            metric.update_state(values, weight, values)
        with pytest.raises(TypeError, match="missing a required argument: 'values'"):
            metric.update_state()


def test_a_batch_of_other_columns_is_refused(keras, torch):
    found, of_torch = plugfit.keras.metric(made("f_score"), engine="formula"), plugfit.torch.metric(made("f_score"), engine="formula")
    for columns in (3, 2):
        if columns == 2:
            with pytest.raises(ValueError, match="columns"):
                found.update_state(np.ones((4, 2), "f"), np.ones((4, 2), "f"))
            with pytest.raises(ValueError, match="columns"):
                of_torch.update(torch.ones(4, 2), torch.ones(4, 2))
        else:
            found.update_state(np.ones((4, 3), "f"), np.ones((4, 3), "f"))
            of_torch.update(torch.ones(4, 3), torch.ones(4, 3))
    of_torch.reset()
    of_torch.update(torch.ones(4, 2), torch.ones(4, 2))
    assert of_torch.compute().shape == (2,)


@pytest.mark.parametrize("settings", [{}, {"steps_per_execution": 3}, {"run_eagerly": True}], ids=str)
def test_training_in_keras_reports_numbers_and_evaluates_arrays(keras, settings):
    if keras.backend.backend() == "torch" and "steps_per_execution" in settings:
        pytest.skip("PyTorch has no steps_per_execution")
    weight = RNG.integers(0, 3, size=256).astype("f")
    histories = []
    for one in (keras.metrics.Precision(name="precision"), plugfit.keras.metric(made("precision"), engine="formula")):
        trained = model(keras, [one], **settings)
        histories.append(trained.fit(X, Y, sample_weight=weight, epochs=2, verbose=0, shuffle=False, batch_size=48).history["precision"])
    np.testing.assert_allclose(*histories, rtol=1e-5)
    trained = model(keras, [plugfit.keras.metric(made("f_score"), engine="formula", name="f1")], **settings)
    trained.fit(X, Y, epochs=1, verbose=0, batch_size=48)
    found = trained.evaluate(X, Y, verbose=0, return_dict=True)["f1"]
    positive = trained.predict(X, verbose=0) > 0.5
    expected = 2 * (Y * positive).sum() / (Y.sum() + positive.sum())
    np.testing.assert_allclose(np.asarray(found).reshape(-1), [expected], rtol=1e-5)


def test_a_saved_model_has_its_metrics_of_sums(keras, tmp_path):
    trained = model(keras, [plugfit.keras.metric(made("f_score"), engine="formula", name="f1"), plugfit.keras.metric(made("precision"))])
    expected = trained.evaluate(X, Y, verbose=0, return_dict=True)
    trained.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    found = again.evaluate(X, Y, verbose=0, return_dict=True)
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(np.asarray(found[name]), np.asarray(expected[name]), rtol=1e-6)


def tensors(torch, *arrays):
    return [None if one is None else torch.tensor(one) for one in arrays]


def test_pytorch_has_the_sums_of_all_batches(torch, metric):
    found = plugfit.torch.metric(made(metric.name), engine="formula")
    expected = 0.0
    assert not found.compute().any()
    for y_true, y_pred, weight in batches(metric):
        found.update(*tensors(torch, y_pred, y_true, None if weight is None else weight[:, 0]))
        expected = expected + metric.sums(y_true, y_pred, 1.0 if weight is None else weight)
    assert found.sums.dtype == torch.float64
    np.testing.assert_array_equal(found.sums, expected.reshape(-1))
    result = found.compute()
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result, metric.result(expected), rtol=1e-6)

    # A state moves to a fresh metric, and is copied, pickled and merged.
    fresh = plugfit.torch.metric(made(metric.name), engine="formula")
    fresh.load_state_dict(found.state_dict())
    merged = plugfit.torch.metric(made(metric.name), engine="formula")
    merged.merge([found, plugfit.torch.metric(made(metric.name), engine="formula")])
    copies = [fresh, merged, copy.deepcopy(found), pickle.loads(pickle.dumps(found))]
    y_true, y_pred = metric.batch()
    expected = expected + metric.sums(y_true, y_pred, 1.0)
    alone = metric.sums(y_true, y_pred, 1.0)
    for one in copies:
        one.update(*tensors(torch, y_pred, y_true))
        np.testing.assert_allclose(one.compute(), metric.result(expected), rtol=1e-6)
    batch = found(*tensors(torch, y_pred, y_true))
    if metric.name != "areas" or all((alone.sum(-1) > 0).reshape(-1)):
        np.testing.assert_allclose(batch, metric.result(alone), rtol=1e-6)
    np.testing.assert_allclose(found.compute(), metric.result(expected), rtol=1e-6)
    found.reset()
    assert not found.compute().any()


def test_a_row_of_pytorch_counts_once_if_rows_have_ids(torch, metric):
    found, expected = (plugfit.torch.metric(made(metric.name), engine="formula") for _ in range(2))
    y_true, y_pred = tensors(torch, *metric.batch())
    found.update(y_pred, y_true, ids=torch.arange(len(y_pred)))
    found.update(y_pred[:3], y_true[:3], ids=torch.arange(3))
    expected.update(y_pred, y_true)
    np.testing.assert_array_equal(found.compute(), expected.compute())


def test_an_update_of_pytorch_is_compiled_to_one_graph(torch, metric):
    torch._dynamo.reset()
    found = plugfit.torch.metric(made(metric.name), engine="formula")
    batch = tensors(torch, *metric.batch())
    found.update(*batch[::-1])
    update = torch.compile(found.update, fullgraph=True, backend="aot_eager")
    expected = found.sums.clone()
    for _ in range(2):
        y_true, y_pred = metric.batch()
        update(*tensors(torch, y_pred, y_true))
        expected = expected + metric.sums(y_true, y_pred, 1.0).reshape(-1)
    np.testing.assert_array_equal(found.sums, expected)


def test_metrics_of_values_in_pytorch(torch):
    values, weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1.0, 3.0])
    for name in ("total", "mean_of_values"):
        found, native = plugfit.torch.metric(made(name), engine="formula"), made(name)
        for given in (None, weight, torch.tensor(2.0)):
            found.update(values, None, given)
            native.update_state(values, given)
            assert float(found.compute()) == pytest.approx(float(native.result()))


def rank(number, store, results):
    import torch

    for name, (class_name, _) in OF.items():
        getattr(plugfit.metrics, class_name)._find_formula = lambda self, name=name: of(name)
    distributed = torch.distributed
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=number, world_size=2)
    found = []
    for name in ("precision", "f_score"):
        # The second rank has no batch.
        for has_batch in (True, number == 0):
            metric = plugfit.torch.metric(made(name), engine="formula")
            if has_batch:
                metric.update(torch.tensor([[0.9, 0.1], [0.8, 0.7]]), torch.tensor([[1.0, 0.0], [number, 1.0]]))
            found.append((metric.compute().tolist(), metric.compute().tolist(), len(metric.sums)))
    metric = plugfit.torch.metric(made("f_score"), engine="formula")
    metric.update(torch.ones(2, 2 + number), torch.ones(2, 2 + number))
    try:
        metric.compute()
    except ValueError as error:
        found.append((str(error), len(metric.sums)))
    results.put((number, found))
    distributed.destroy_process_group()


def test_ranks_of_pytorch_are_merged(torch, tmp_path):
    processes = torch.multiprocessing.get_context("spawn")
    results = processes.Queue()
    ranks = [processes.Process(target=rank, args=(number, tmp_path / "store", results)) for number in range(2)]
    [process.start() for process in ranks]
    found = dict(results.get(timeout=240) for _ in ranks)
    [process.join(timeout=60) for process in ranks]
    for number in range(2):
        both, one, columns, of_one, (error, length) = found[number]
        np.testing.assert_allclose(both[0], 5 / 6, rtol=1e-6)
        np.testing.assert_allclose(one[0], 2 / 3, rtol=1e-6)
        np.testing.assert_allclose(columns[0], [6 / 7, 1.0], rtol=1e-6)
        np.testing.assert_allclose(of_one[0], [2 / 3, 1.0], rtol=1e-6)
        # The state of a rank stays its own.
        assert both[0] == both[1] and of_one[0] == of_one[1] and of_one[2] == (6 if number == 0 else 0)
        assert "different numbers of columns" in error and length == 3 * (2 + number)
