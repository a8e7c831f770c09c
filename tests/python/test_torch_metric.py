"""Metrics of ``plugfit.torch`` are modules with torchmetrics' interface."""

import copy
import pickle

import numpy as np
import pytest

import plugfit

torch = pytest.importorskip("torch", reason="PyTorch isn't installed")

from plugfit import torch as adapter  # noqa: E402

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.randint(0, 2, (12, 3), generator=GENERATOR).float()
SCORES = torch.rand(12, 3, generator=GENERATOR)
WEIGHTS = torch.tensor([0.0, 1.0, 2.0] * 4)
MEANS = ["BinaryAccuracy", "CategoricalAccuracy", "RootMeanSquaredError", "MeanSquaredError", "LogCosh", "BinaryCrossentropy"]
OTHERS = ["AUC", "Precision", "R2Score"]


@pytest.mark.parametrize("engine", [None, "formula"])
@pytest.mark.parametrize("name", MEANS + OTHERS)
@pytest.mark.parametrize("weights", [None, WEIGHTS, WEIGHTS[:, None]], ids=["none", "vector", "column"])
def test_batches_give_the_result_of_the_plugin(name, weights, engine):
    if (name, engine) == ("R2Score", "formula"):
        pytest.skip("it has no formula")
    metric, expected = adapter.metric(name, engine=engine), plugfit.metrics.get(name)
    for start in range(0, 12, 4):
        batch = slice(start, start + 4)
        weight = None if weights is None else weights[batch]
        metric.update(SCORES[batch], LABELS[batch], weight)
        expected.update_state(LABELS[batch], SCORES[batch], weight)
    np.testing.assert_allclose(metric.compute(), expected.result(), rtol=1e-6)
    assert (metric.sums.numel() == 2) == (name in MEANS)
    metric.reset()
    expected.reset_state()
    np.testing.assert_allclose(metric.compute(), expected.result())


def test_a_value_of_weight_0_is_ignored_even_if_it_is_nan():
    metric = adapter.metric("MeanSquaredError")
    metric.update(torch.tensor([[torch.nan], [1.0]]), torch.zeros(2, 1), torch.tensor([0.0, 2.0]))
    assert metric.compute() == 1.0


def test_weights_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="doesn't fit"):
        adapter.metric("MeanSquaredError").update(SCORES, LABELS, torch.ones(5))


def test_sums_stay_in_float64():
    metric = adapter.metric("MeanSquaredError", engine="formula")
    module = torch.nn.Sequential(torch.nn.Linear(1, 1), metric).half()
    assert module[0].weight.dtype == torch.float16 and module[1].sums.dtype == torch.float64
    metric.update(torch.full((1, 1), 2.0**13), torch.zeros(1, 1))
    for _ in range(3):
        metric.update(torch.ones(1, 1), torch.zeros(1, 1))
    assert metric.sums[0] == 2.0**26 + 3
    assert module.to("meta")[1].device.type == "meta"
    assert "1.sums" not in module.state_dict() and module.to_empty(device="cpu")[1].compute() == 0


def test_a_device_without_float64_gets_the_state():
    def moved(tensor):
        assert tensor.dtype != torch.float64
        return tensor.to("meta")

    assert adapter.metric("MeanSquaredError")._apply(moved).sums.device.type == "meta"


@pytest.mark.parametrize("engine", [None, "formula", "native"])
@pytest.mark.parametrize("name", ["MeanSquaredError", "AUC"])
def test_the_state_is_saved_copied_and_pickled_with_a_model(name, engine):
    metric = adapter.metric(name, engine=engine)
    metric.update(SCORES[:6], LABELS[:6])
    model, other = torch.nn.ModuleDict({"metric": metric}), torch.nn.ModuleDict({"metric": adapter.metric(name, engine=engine)})
    other.load_state_dict(model.state_dict())
    copies = [other["metric"], copy.deepcopy(metric), pickle.loads(pickle.dumps(metric)), metric.clone()]
    for each in [metric, *copies]:
        each.update(SCORES[6:], LABELS[6:])
    assert {float(each.compute()) for each in copies} == {float(metric.compute())}


def test_states_of_older_versions_load():
    old = plugfit.metrics.get("MeanSquaredError")
    old.update_state(LABELS, SCORES)
    native = adapter.metric("MeanSquaredError", engine="native")
    native.load_state_dict({"state": old.get_state()})
    assert native.compute() == np.float32(old.result())
    with pytest.raises(ValueError, match='engine="native"'):
        adapter.metric("MeanSquaredError", engine="formula").load_state_dict({"state": old.get_state()})
    # A later version had the sums in a buffer, and the formula wherever there was one.
    fresh = torch.frombuffer(bytearray(plugfit.metrics.get("MeanSquaredError").get_state()), dtype=torch.uint8)
    state = {"sums": torch.tensor([6.0, 4.0], dtype=torch.float64), "_extra_state": {"state": fresh, "rows": ([], []), "updates": 2}}
    model = torch.nn.ModuleDict({"metric": adapter.metric("MeanSquaredError")})
    model.load_state_dict({f"metric.{name}": value for name, value in state.items()})
    metric = model["metric"]
    metric.update(torch.full((2, 1), 3.0), torch.zeros(2, 1))
    assert (metric.compute(), metric.update_count) == (4.0, 3)
    with pytest.raises(ValueError, match='engine="formula"'):
        native.load_state_dict(state)
    # Its metrics of the plug-in had no sums.
    bytes_ = torch.frombuffer(bytearray(old.get_state()), dtype=torch.uint8)
    metric.load_state_dict({"sums": torch.zeros(0), "_extra_state": {"state": bytes_, "rows": ([], []), "updates": 1}})
    assert metric.compute() == np.float32(old.result())


@pytest.mark.parametrize("name", ["MeanSquaredError", "AUC"])
def test_a_call_returns_the_result_of_the_batch(name):
    metric = adapter.metric(name)
    metric.update(SCORES[:6], LABELS[:6])
    np.testing.assert_allclose(metric(SCORES[6:], LABELS[6:]), plugfit.metrics.get(name)(LABELS[6:], SCORES[6:]), rtol=1e-6)
    np.testing.assert_allclose(metric.compute(), plugfit.metrics.get(name)(LABELS, SCORES), rtol=1e-6)
    assert metric.update_count == 2


@pytest.mark.parametrize("name", ["MeanSquaredError", "AUC"])
def test_a_row_counts_once_if_rows_have_ids(name):
    metric = adapter.metric(name)
    metric.update(SCORES[:8], LABELS[:8], ids=torch.arange(8))
    metric.update(SCORES[[8, 9, 10, 11, 0, 1]], LABELS[[8, 9, 10, 11, 0, 1]], ids=torch.tensor([8, 9, 10, 11, 0, 1]))
    np.testing.assert_allclose(metric.compute(), plugfit.metrics.get(name)(LABELS, SCORES), rtol=1e-6)
    with pytest.raises(ValueError, match="each row has one id"):
        metric.update(SCORES, LABELS, ids=torch.arange(3))
    for ids in (torch.linspace(0.2, 0.7, 12), [0.0] * 12, torch.zeros(12, dtype=torch.bool)):
        with pytest.raises(TypeError, match="ids are integers"):
            metric.update(SCORES, LABELS, ids=ids)


def test_metrics_of_other_settings_are_not_merged():
    with pytest.raises(ValueError):
        adapter.metric("AUC").merge([adapter.metric("AUC", curve="PR")])
    with pytest.raises(ValueError, match="engines"):
        adapter.metric("mse", engine="formula").merge([adapter.metric("mse", engine="native")])


@pytest.mark.parametrize("engine", ["formula", "native"])
def test_a_metric_without_an_update_is_merged_with_the_engine_of_the_other(engine):
    metric, other, empty = adapter.metric("mse"), adapter.metric("mse", engine=engine), adapter.metric("mse")
    other.update(SCORES, LABELS)
    other.merge([empty])
    metric.merge([other, empty])
    metric.update(SCORES, LABELS)
    assert metric.compute() == other.compute() and metric._engine_of_state() == engine


def test_the_first_update_chooses_the_engine():
    metric = adapter.metric("BinaryAccuracy")
    meta = [one.to("meta") for one in (SCORES, LABELS)]
    metric.update(SCORES, LABELS)
    assert metric._engine_of_state() == "native" and metric.clone()._engine_of_state() == "native"
    metric.reset()
    assert metric._engine_of_state() is None and metric.compute() == 0
    torch._dynamo.reset()
    torch.compile(metric.update, fullgraph=True, backend="eager")(SCORES, LABELS)
    metric.update(SCORES, LABELS)
    assert metric._engine_of_state() == "formula" and metric.update_count == 2
    other = adapter.metric("BinaryAccuracy")
    other.load_state_dict(metric.state_dict())
    assert other._engine_of_state() == "formula" and other.compute() == metric.compute()
    with pytest.raises(ValueError, match='engine="formula"'):
        adapter.metric("BinaryAccuracy", engine="native").load_state_dict(metric.state_dict())
    other = adapter.metric("BinaryAccuracy").to("meta")
    other.update(*meta)
    assert other._engine_of_state() == "formula"
    assert adapter.metric("R2Score")._engine_of_state() == "native"


def test_predictions_of_low_precision_have_errors_in_float32():
    for engine in ("formula", "native"):
        for dtype in (torch.float16, torch.bfloat16):
            metric = adapter.metric("MeanSquaredError", engine=engine)
            metric.update(torch.full((2, 1), 300.0, dtype=dtype), torch.zeros(2, 1, dtype=dtype), torch.ones(2, dtype=dtype))
            assert metric.compute() == 90000


@pytest.mark.parametrize("engine", ["formula", "native"])
def test_a_missing_target_is_refused(engine):
    metric = adapter.metric("MeanSquaredError", engine=engine)
    for call in (metric.update, metric):
        with pytest.raises(TypeError, match="mean_squared_error needs target"):
            call(SCORES)
    assert metric.update_count == 0


COPIES = {"new": lambda one: one, "copied": copy.deepcopy, "pickled": lambda one: pickle.loads(pickle.dumps(one))}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_updates_are_compiled_once_to_one_graph(copied):
    torch._dynamo.reset()
    metric, expected, graphs = copied(adapter.metric("BinaryAccuracy")), plugfit.metrics.get("BinaryAccuracy"), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    update = torch.compile(metric.update, fullgraph=True, backend=backend)
    for index in range(24):
        rows = slice(index % 12, index % 12 + 1)
        update(SCORES[rows], LABELS[rows])
        expected.update_state(LABELS[rows], SCORES[rows])
    assert len(graphs) == 1 and metric.update_count == 24
    np.testing.assert_allclose(metric.compute(), expected.result(), rtol=1e-6)


def test_a_state_is_updated_inside_and_outside_of_inference_mode():
    metric = adapter.metric("F1Score", engine="formula")
    with torch.inference_mode():
        metric.update(SCORES, LABELS)
        metric.compute()
    metric.update(SCORES, LABELS)
    with torch.inference_mode():
        metric.reset()
    metric.update(SCORES, LABELS)
    np.testing.assert_allclose(metric.compute(), plugfit.metrics.get("F1Score")(LABELS, SCORES), rtol=1e-6)


def test_collections_of_torchmetrics_have_the_metrics():
    torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics isn't installed")
    metrics = {"rmse": adapter.metric("RootMeanSquaredError"), "auc": adapter.metric("AUC"), "theirs": torchmetrics.MeanSquaredError()}
    collection = torchmetrics.MetricCollection(metrics, prefix="val_")
    collection.update(SCORES, LABELS)
    found = collection.compute()
    np.testing.assert_allclose(found["val_rmse"] ** 2, found["val_theirs"], rtol=1e-5)
    assert found["val_auc"] == np.float32(plugfit.metrics.get("AUC")(LABELS, SCORES))
    batch = collection(SCORES[:4], LABELS[:4])
    assert batch["val_auc"] == np.float32(plugfit.metrics.get("AUC")(LABELS[:4], SCORES[:4]))
    copied = collection.clone(prefix="test_")
    collection.reset()
    assert collection["auc"].update_count == 0 and copied["auc"].update_count == 2
    assert metrics["auc"].higher_is_better is True and metrics["rmse"].higher_is_better is False


def errors_of_a_wrapped_model(number, engine):
    """DistributedDataParallel replaces buffers by those of the first rank."""
    model = torch.nn.Linear(1, 1)
    model.metric = adapter.metric("MeanSquaredError", engine=engine)
    model.register_buffer("steps", torch.zeros(1))
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    for _ in range(3):
        wrapped(torch.ones(4, 1)).sum().backward()
        model.metric.update(torch.full((4, 1), float(number)), torch.zeros(4, 1))
    return model.metric.compute().item()


def engines_of_ranks(number):
    """The second rank has no update, or one of another engine."""
    found = []
    for engine in ("formula", "native"):
        metric = adapter.metric("mse", engine=engine if number == 0 else None)
        if number == 0:
            metric.update(SCORES, LABELS)
        found += [metric.compute().item(), metric._engine_of_state()]
    metric = adapter.metric("mse")
    found.append(metric.compute().item())
    metric = adapter.metric("mse", engine=("formula", "native")[number])
    metric.update(SCORES, LABELS)
    try:
        metric.compute()
    except ValueError as error:
        found.append(str(error))
    metric.sync_on_compute = False
    return [*found, metric.compute().item()]


def rank(number, store, results):
    distributed = torch.distributed
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=number, world_size=2)
    found = []
    for name in ("MeanSquaredError", "AUC"):
        metric = adapter.metric(name)
        metric.update(SCORES[number::2], LABELS[number::2])
        of_all, alone = metric.compute().item(), adapter.metric(name, sync_on_compute=False)
        alone.update(SCORES[number::2], LABELS[number::2])
        # Both ranks have the first row, as a sampler pads the last batch.
        padded = adapter.metric(name)
        rows = [*range(number, 12, 2), 0]
        padded.update(SCORES[rows], LABELS[rows], ids=torch.tensor(rows))
        # The merged state isn't counted again.
        found.append((of_all, metric.compute().item(), padded.compute().item(), padded.compute().item(), alone.compute().item()))
    results.put((number, found, [errors_of_a_wrapped_model(number, engine) for engine in (None, "formula")], engines_of_ranks(number)))
    distributed.destroy_process_group()


def test_ranks_are_merged_and_padded_rows_count_once(tmp_path):
    processes = torch.multiprocessing.get_context("spawn")
    results = processes.Queue()
    ranks = [processes.Process(target=rank, args=(number, tmp_path / "store", results)) for number in range(2)]
    [process.start() for process in ranks]
    found, of_wrapped, of_engines = {}, {}, {}
    for _ in ranks:
        number, found[number], of_wrapped[number], of_engines[number] = results.get(timeout=240)
    [process.join(timeout=60) for process in ranks]
    mean = pytest.approx(float(plugfit.metrics.get("mse")(LABELS, SCORES)), rel=1e-6)
    for number in range(2):
        assert of_wrapped[number] == [0.5, 0.5]
        own = ["formula", "native"] if number == 0 else [None, None]
        *engines, error, alone = of_engines[number]
        assert engines == [mean, own[0], mean, own[1], 0.0] and alone == mean
        assert "the ranks have the engines ['formula', 'native']" in error
        for name, (*of_all, alone) in zip(("MeanSquaredError", "AUC"), found[number]):
            np.testing.assert_allclose(of_all, plugfit.metrics.get(name)(LABELS, SCORES), rtol=1e-6)
            np.testing.assert_allclose(alone, plugfit.metrics.get(name)(LABELS[number::2], SCORES[number::2]), rtol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_updates_the_state_without_the_host():
    metric = adapter.metric("BinaryAccuracy").cuda()
    preds, target, weight = SCORES.cuda(), LABELS.cuda(), WEIGHTS.cuda()
    torch.cuda.set_sync_debug_mode("error")
    metric.update(preds, target, weight)
    torch.cuda.set_sync_debug_mode("default")
    assert metric.compute().device.type == "cuda"

def test_an_update_is_compiled_for_batches_of_any_size():
    for name in ("Accuracy", "MeanSquaredError", "Precision", "AUC", "SparseCategoricalAccuracy"):
        torch._dynamo.reset()
        metric, native = adapter.metric(name, engine="formula"), plugfit.metrics.get(name)
        update = torch.compile(metric.update, fullgraph=True, backend="aot_eager")
        for rows in (5, 7, 11, 13):
            y_true, y_pred = np.arange(rows) % 2, np.linspace(0, 1, rows, dtype="f")
            if name == "SparseCategoricalAccuracy":
                y_pred = np.stack([y_pred, 1 - y_pred], axis=1)
            update(torch.tensor(y_pred), torch.tensor(y_true))
            native.update_state(y_true, y_pred)
        np.testing.assert_allclose(metric.compute(), native.result(), rtol=1e-6)
