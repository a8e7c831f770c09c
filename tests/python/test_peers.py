"""Metrics agree with scikit-learn and torchmetrics, on random data of 20 shapes each."""

import numpy as np
import pytest

import plugfit

SHAPES = [(int(rows), int(columns)) for rows, columns in zip(np.random.default_rng(0).integers(2, 500, 20), [1, 2, 3, 5, 8] * 4)]


def close(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
def test_scikit_learn_agrees(shape):
    sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn isn't installed")
    rng = np.random.default_rng(shape[0])
    t, p, w = rng.random(shape), rng.random(shape), rng.random(shape[0])
    score = lambda name, t=t, p=p, w=None: list(plugfit.score(t, p, [name], w).values())[0]
    close(score("mse"), sk.mean_squared_error(t, p))
    close(score("mae", w=w), sk.mean_absolute_error(t, p, sample_weight=w))
    close(score("RootMeanSquaredError"), np.sqrt(sk.mean_squared_error(t, p)))
    close(score("R2Score"), sk.r2_score(t, p))
    labels, scores = rng.integers(0, 2, shape[0]), rng.random(shape[0])
    labels[:2] = [0, 1]
    close(score("BinaryAccuracy", labels, scores), sk.accuracy_score(labels, scores > 0.5))
    close(score("Precision", labels, scores), sk.precision_score(labels, scores > 0.5, zero_division=0))
    close(score("Recall", labels, scores, w), sk.recall_score(labels, scores > 0.5, sample_weight=w, zero_division=0))
    # Keras's AUC uses 200 thresholds.
    close(score("AUC", labels, scores), sk.roc_auc_score(labels, scores), 2e-2)
    classes = shape[1] + 1
    ids, probabilities = rng.integers(0, classes, shape[0]), rng.dirichlet(np.ones(classes), shape[0])
    close(score("SparseCategoricalAccuracy", ids, probabilities), sk.accuracy_score(ids, probabilities.argmax(1)))
    close(score("SparseCategoricalCrossentropy", ids, probabilities), sk.log_loss(ids, probabilities, labels=range(classes)), 1e-4)
    one_hot = np.eye(classes)[ids]
    f1 = sk.f1_score(ids, probabilities.argmax(1), average=None, labels=range(classes), zero_division=0)
    close(score("F1Score", one_hot, probabilities), f1)


@pytest.mark.parametrize("shape", SHAPES)
def test_torchmetrics_agrees(shape):
    torch = pytest.importorskip("torch", reason="PyTorch isn't installed")
    tm = pytest.importorskip("torchmetrics.functional", reason="torchmetrics isn't installed")
    from plugfit import torch as adapter

    torch.manual_seed(shape[0])
    t, p = torch.rand(shape), torch.rand(shape)

    def score(identifier, p, t):
        metric = adapter.metric(identifier)
        half = len(p) // 2
        metric.update(p[:half], t[:half])
        other = adapter.metric(identifier)
        other.update(p[half:], t[half:])
        metric.merge([other])
        return metric.compute().numpy()

    close(score("mse", p, t), tm.mean_squared_error(p, t))
    close(score("mae", p, t), tm.mean_absolute_error(p, t))
    labels, scores = torch.randint(0, 2, (shape[0],)), torch.rand(shape[0])
    close(score("BinaryAccuracy", scores, labels), tm.accuracy(scores, labels, task="binary"))
    close(score("Precision", scores, labels), tm.precision(scores, labels, task="binary"))
    close(score("Recall", scores, labels), tm.recall(scores, labels, task="binary"))
    classes = shape[1] + 1
    ids, probabilities = torch.randint(0, classes, (shape[0],)), torch.softmax(torch.randn(shape[0], classes), 1)
    accuracy = tm.accuracy(probabilities, ids, task="multiclass", num_classes=classes, average="micro")
    close(score("SparseCategoricalAccuracy", probabilities, ids), accuracy)
    guess = probabilities.argmax(1)
    jaccard = tm.jaccard_index(guess, ids, task="multiclass", num_classes=classes, average="none").numpy()
    seen = np.array([bool(((guess == c) | (ids == c)).any()) for c in range(classes)])
    close(score(plugfit.metrics.MeanIoU(classes), guess, ids), jaccard[seen].mean())
