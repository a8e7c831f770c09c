"""Metrics in Python: labels, class ids, weights and special values."""

import numpy as np
import pytest

from plugfit import metrics

NAN = float("nan")


@pytest.mark.parametrize("dtype, largest", [(np.int64, 2**63 - 1), (np.uint64, 2**64 - 1)])
def test_the_greatest_ids_of_a_type_are_compared_as_integers(dtype, largest):
    for number in (2**53 + 1, largest):
        ids, others = np.array([number, 7], dtype), np.array([number - 1, 7], dtype)
        assert metrics.Accuracy()(ids, others) == 0.5
        assert metrics.Accuracy()(ids, ids) == 1.0
        rows = np.stack([others, others], axis=-1)
        assert metrics.SparseTopKCategoricalAccuracy(k=2, from_sorted_ids=True)(ids, rows) == 0.5
        with pytest.raises(ValueError, match=f"{number} in row 0"):
            metrics.SparseCategoricalAccuracy()(ids, np.eye(2, 9, dtype="f4"))


@pytest.mark.parametrize("name", ["SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy"])
@pytest.mark.parametrize("wrong", [3, -1, 1.5, NAN])
def test_an_invalid_class_id_is_refused_with_its_row_unless_its_weight_is_0(name, wrong):
    scores = np.array([[0.1, 0.8, 0.1], [0.7, 0.2, 0.1]], "f4")
    metric = metrics.get(name)
    with pytest.raises(ValueError, match="in row 1"):
        metric.update_state([1, wrong], scores)
    assert metric.result() == 0
    metric.update_state([1, wrong], scores, [1.0, 0.0])
    assert metric.result() == 1


def test_targets_are_not_broadcast():
    for name in ("MeanSquaredError", "BinaryAccuracy", "Precision", "AUC", "R2Score", "PearsonCorrelation"):
        for y_true in (np.array([0.0, 1.0, 1.0]), np.array([[0.0], [1.0], [1.0]])):
            with pytest.raises(ValueError):
                metrics.get(name).update_state(y_true, np.full((3, 3), 0.4))


def test_iou_of_out_of_range_ids_is_that_of_keras_tests():
    for y_true, y_pred in (([0, 2], [0, 1]), ([0, 1], [0, 2]), ([-1, 0], [0, 0]), ([0, 1], [-1, 1])):
        assert metrics.IoU(num_classes=2, target_class_ids=[0, 1])(y_true, y_pred) == 1
        assert metrics.MeanIoU(num_classes=2)(y_true, y_pred) == 1
    assert metrics.MeanIoU(num_classes=3, ignore_class=255)([0, 1, 2, 255], [0, 1, 1, 1]) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="0.5 in row 1"):
        metrics.MeanIoU(num_classes=2)([0, 0.5], [0, 1])


def test_ignore_class_gives_the_results_of_keras_tests():
    ignoring = metrics.SparseCategoricalCrossentropy
    y_true, y_pred = [0, 1, 2], [[0.8, 0.1, 0.1], [0.05, 0.95, 0], [0.1, 0.8, 0.1]]
    assert ignoring(ignore_class=0)(y_true, y_pred) == pytest.approx(0.78462, abs=1e-5)
    assert ignoring(ignore_class=0)(y_true, y_pred, [0.5, 1.5, 2.0]) == pytest.approx(1.33774646, abs=1e-5)
    logits = np.array([[10, 1, 1], [1, 9, 0], [1, 8, 1]], "f4")
    assert ignoring(ignore_class=0, from_logits=True)(y_true, logits) == pytest.approx(2.33409, abs=1e-5)


def test_negative_weights_give_the_results_of_keras_tests_and_nan_is_refused():
    assert metrics.Mean()([1, 3, 5, 7], [-1, -1, 0, 0]) == 2
    auc = metrics.AUC(num_thresholds=3, curve="PR")
    assert auc([0, 0, 1, 1], [0, 0.5, 0.3, 0.9], [-1, -2, -3, -4]) == 0
    with pytest.raises(ValueError, match="sample_weight is NaN in row 2"):
        metrics.AUC()([0, 0, 1, 1], [0, 0.5, 0.3, 0.9], [1, 2, NAN, 4])


@pytest.mark.parametrize("size", [24, 8, 3, 1])
@pytest.mark.parametrize("rank", [1, 2])
def test_correlations_along_axis_0_are_the_same_for_batches_and_the_whole(size, rank):
    rng = np.random.default_rng(7)
    a = rng.normal(size=24)
    b = 2 * a + rng.normal(size=24)
    metric = metrics.PearsonCorrelation(axis=0)
    for i in range(0, 24, size):
        metric.update_state(*(x[i : i + size].reshape((-1, 1)[:rank]) for x in (a, b)))
    assert metric.result() == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_saturated_logits_are_distinguished():
    y, z = np.array([0, 1, 1, 0, 1, 1]), np.array([41.25, 41.5, 43.0, 42.0, 40.5, 44.0], "f4")
    for logits in (z, z + 1000, z - 120, z.astype("f8")):
        assert metrics.AUC(from_logits=True)(y, logits) == pytest.approx(0.625)
