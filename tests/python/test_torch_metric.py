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


@pytest.mark.parametrize("name", MEANS + OTHERS)
@pytest.mark.parametrize("weights", [None, WEIGHTS, WEIGHTS[:, None]], ids=["none", "vector", "column"])
def test_batches_give_the_result_of_the_plugin(name, weights):
    metric, expected = adapter.metric(name), plugfit.metrics.get(name)
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
    metric = adapter.metric("MeanSquaredError")
    module = torch.nn.Sequential(torch.nn.Linear(1, 1), metric).half()
    assert module[0].weight.dtype == torch.float16 and module[1].sums.dtype == torch.float64
    metric.update(torch.full((1, 1), 2.0**13), torch.zeros(1, 1))
    for _ in range(3):
        metric.update(torch.ones(1, 1), torch.zeros(1, 1))
    assert metric.sums[0] == 2.0**26 + 3
    assert module.to("meta")[1].device.type == "meta"


@pytest.mark.parametrize("name", ["MeanSquaredError", "AUC"])
def test_the_state_is_saved_copied_and_pickled_with_a_model(name):
    metric = adapter.metric(name)
    metric.update(SCORES[:6], LABELS[:6])
    model, other = torch.nn.ModuleDict({"metric": metric}), torch.nn.ModuleDict({"metric": adapter.metric(name)})
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
        adapter.metric("MeanSquaredError").load_state_dict({"state": old.get_state()})


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


def test_metrics_of_other_settings_are_not_merged():
    with pytest.raises(ValueError):
        adapter.metric("AUC").merge([adapter.metric("AUC", curve="PR")])
    with pytest.raises(ValueError, match="engines"):
        adapter.metric("mse").merge([adapter.metric("mse", engine="native")])


def test_an_update_is_compiled_to_one_graph():
    torch._dynamo.reset()
    metric = adapter.metric("BinaryAccuracy")
    update = torch.compile(metric.update, fullgraph=True, backend="aot_eager")
    for start in (0, 6):
        update(SCORES[start : start + 6], LABELS[start : start + 6])
    np.testing.assert_allclose(metric.compute(), plugfit.metrics.get("BinaryAccuracy")(LABELS, SCORES), rtol=1e-6)


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
    results.put((number, found))
    distributed.destroy_process_group()


def test_ranks_are_merged_and_padded_rows_count_once(tmp_path):
    processes = torch.multiprocessing.get_context("spawn")
    results = processes.Queue()
    ranks = [processes.Process(target=rank, args=(number, tmp_path / "store", results)) for number in range(2)]
    [process.start() for process in ranks]
    found = dict(results.get(timeout=120) for _ in ranks)
    [process.join(timeout=60) for process in ranks]
    for number in range(2):
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
