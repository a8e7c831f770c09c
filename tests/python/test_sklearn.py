"""Metrics are scorers of scikit-learn."""

import copy
import pickle

import numpy as np
import pytest

import plugfit

pytest.importorskip("sklearn", reason="scikit-learn isn't installed")

from sklearn import linear_model, metrics, model_selection, svm  # noqa: E402
from sklearn.datasets import make_classification  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from plugfit import sklearn as adapter  # noqa: E402

X, Y = make_classification(120, 5, random_state=0)
X3, Y3 = make_classification(150, 6, n_informative=4, n_classes=3, random_state=0)


def scores(model, x, y, scorer):
    return model_selection.cross_val_score(model, x, y, scoring=scorer, cv=3, error_score="raise")


@pytest.mark.parametrize(
    ("scorer", "theirs"),
    [
        (adapter.scorer("AUC", num_thresholds=2000), "roc_auc"),
        (adapter.scorer("BinaryAccuracy"), "accuracy"),
        (adapter.scorer("Accuracy"), "accuracy"),
        (adapter.scorer("Precision"), "precision"),
        (adapter.scorer("BinaryCrossentropy"), "neg_log_loss"),
        (adapter.scorer("SparseCategoricalCrossentropy"), "neg_log_loss"),
        (adapter.scorer("CategoricalAccuracy"), "accuracy"),
    ],
    ids=lambda one: one if isinstance(one, str) else None,
)
def test_two_classes_are_scored_as_by_scikit_learn(scorer, theirs):
    model = make_pipeline(StandardScaler(), linear_model.LogisticRegression())
    np.testing.assert_allclose(scores(model, X, Y, scorer), scores(model, X, Y, theirs), atol=2e-3)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("SparseCategoricalAccuracy", "accuracy"), ("CategoricalAccuracy", "accuracy"), ("Accuracy", "accuracy"), ("CategoricalCrossentropy", "neg_log_loss")],
)
def test_more_classes_are_scored_as_by_scikit_learn(name, theirs):
    model = linear_model.LogisticRegression()
    np.testing.assert_allclose(scores(model, X3, Y3, adapter.scorer(name)), scores(model, X3, Y3, theirs), rtol=1e-5)


def test_regressors_are_scored_by_their_predictions():
    model, y = linear_model.Ridge(), X[:, 0] * 2 + X[:, 1]
    for name, theirs in (("MeanSquaredError", "neg_mean_squared_error"), ("R2Score", "r2")):
        np.testing.assert_allclose(scores(model, X, y, adapter.scorer(name)), scores(model, X, y, theirs), rtol=1e-4, atol=1e-6)


def test_a_search_prefers_smaller_errors():
    y = X[:, 0] * 2
    search = model_selection.GridSearchCV(linear_model.Ridge(), {"alpha": [1e-3, 1e5]}, scoring=adapter.scorer("mse"), cv=3)
    assert search.fit(X, y).best_params_ == {"alpha": 1e-3}
    several = model_selection.cross_validate(linear_model.Ridge(), X, y, scoring={"mse": adapter.scorer("mse"), "r2": adapter.scorer("R2Score")}, cv=3)
    assert {"test_mse", "test_r2"} <= set(several)


def test_labels_may_be_words_and_one_of_them_positive():
    words = np.where(Y == 1, "yes", "no")
    model = linear_model.LogisticRegression().fit(X, words)
    expected = metrics.roc_auc_score(Y, model.predict_proba(X)[:, 1])
    assert adapter.scorer("AUC", num_thresholds=2000)(model, X, words) == pytest.approx(expected, abs=2e-3)
    recall = metrics.recall_score(words, model.predict(X), pos_label="no")
    assert adapter.scorer("Recall", pos_label="no")(model, X, words) == pytest.approx(recall)
    with pytest.raises(ValueError, match="'maybe' isn't a class"):
        adapter.scorer("AUC")(model, X, np.full(len(X), "maybe"))


def test_weights_are_used():
    model, weight = linear_model.LogisticRegression().fit(X, Y), np.arange(len(Y)) % 3
    expected = metrics.accuracy_score(Y, model.predict(X), sample_weight=weight)
    assert adapter.scorer("BinaryAccuracy")(model, X, Y, sample_weight=weight) == pytest.approx(expected)


def test_probabilities_are_needed_unless_a_method_is_named():
    model = svm.LinearSVC().fit(X, Y)
    with pytest.raises(TypeError, match="CalibratedClassifierCV"):
        adapter.scorer("AUC")(model, X, Y)
    expected = metrics.accuracy_score(Y, model.predict(X))
    assert adapter.scorer("BinaryAccuracy", response_method="predict")(model, X, Y) == pytest.approx(expected)


def test_a_scorer_is_pickled_and_copied():
    scorer, model = adapter.scorer("AUC", curve="PR"), linear_model.LogisticRegression().fit(X, Y)
    for each in (pickle.loads(pickle.dumps(scorer)), copy.deepcopy(scorer)):
        assert each(model, X, Y) == scorer(model, X, Y)
    parallel = model_selection.cross_val_score(model, X, Y, scoring=scorer, cv=2, n_jobs=2, error_score="raise")
    assert len(parallel) == 2 and repr(scorer) == "scorer('auc')"


def own_metric(y_true, y_pred):
    return np.abs(y_true - y_pred).mean(-1)


def test_what_cannot_be_a_score_is_refused():
    with pytest.raises(ValueError, match="labels and predictions"):
        adapter.scorer("Mean")
    with pytest.raises(ValueError, match="greater_is_better"):
        adapter.scorer(own_metric)
    assert adapter.scorer(own_metric, greater_is_better=True).greater_is_better
    model = linear_model.LogisticRegression().fit(X3, Y3)
    with pytest.raises(ValueError, match="average='macro'"):
        adapter.scorer("F1Score")(model, X3, Y3)
    assert 0 < adapter.scorer("F1Score", average="macro")(model, X3, Y3) <= 1
