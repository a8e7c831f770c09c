"""Metrics are scorers of scikit-learn."""

import copy
import pickle

import numpy as np
import pytest

import plugfit

pytest.importorskip("sklearn", reason="scikit-learn isn't installed")

from sklearn import ensemble, linear_model, metrics, model_selection, svm  # noqa: E402
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
    assert len(parallel) == 2 and repr(scorer) == "scorer('AUC', curve='PR')"


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


def multilabel(rng, only=None):
    x = rng.normal(size=(60, 3))
    y = (x[:, :2] + 0.3 * rng.normal(size=(60, 2)) > 0).astype(int)
    if only is not None:
        y[:, 1] = only
    return x, y


@pytest.mark.parametrize("only", [None, 0, 1])
def test_a_label_with_one_class_in_training_has_the_probability_of_that_class(only):
    rng = np.random.default_rng(0)
    (x, y), (new, truth) = multilabel(rng, only), multilabel(rng)
    forest = ensemble.RandomForestClassifier(10, random_state=0).fit(x, y)
    second = forest.predict_proba(new)[1][:, 1] if only is None else np.full(60, float(only))
    expected = np.stack([forest.predict_proba(new)[0][:, 1], second], 1)
    for name in ("BinaryAccuracy", "AUC", "mse"):
        found = abs(adapter.scorer(name)(forest, new, truth))
        assert found == pytest.approx(next(iter(plugfit.score(truth, expected, name).values())))


def test_several_labels_have_two_classes_and_no_positive_one():
    x, y = multilabel(np.random.default_rng(0))
    forest = ensemble.RandomForestClassifier(5, random_state=0).fit(x, y + [[0, 1]])
    with pytest.raises(ValueError, match="label 1.*1, 2.*0 and 1"):
        adapter.scorer("AUC")(forest, x, y)
    three = ensemble.RandomForestClassifier(5, random_state=0).fit(x, np.stack([y[:, 0], np.arange(60) % 3], 1))
    with pytest.raises(ValueError, match="label 1.*0, 1, 2.*0 and 1"):
        adapter.scorer("AUC")(three, x, y)
    with pytest.raises(ValueError, match="pos_label"):
        adapter.scorer("AUC", pos_label=1)(ensemble.RandomForestClassifier(5).fit(x, y), x, y)


@pytest.mark.parametrize("words", [False, True])
def test_the_f1_score_of_two_classes_compares_their_probabilities(words):
    y = np.where(Y == 1, "yes", "no") if words else Y
    model = linear_model.LogisticRegression().fit(X, y)
    predicted, positive = model.predict(X), "yes" if words else 1
    for average in ("macro", "weighted", "micro"):
        expected = metrics.f1_score(y, predicted, average=average)
        assert adapter.scorer("F1Score", average=average)(model, X, y) == pytest.approx(expected)
    assert adapter.scorer("F1Score")(model, X, y) == pytest.approx(metrics.f1_score(y, predicted, pos_label=positive))
    assert adapter.scorer("F1Score", threshold=0.5)(model, X, y) == pytest.approx(metrics.f1_score(y, predicted, pos_label=positive))
    negative = "no" if words else 0
    for settings in {}, {"threshold": 0.5}:
        found = adapter.scorer("FBetaScore", beta=2.0, pos_label=negative, **settings)(model, X, y)
        assert found == pytest.approx(metrics.fbeta_score(y, predicted, beta=2, pos_label=negative))
    with pytest.raises(ValueError, match="pos_label"):
        adapter.scorer("F1Score", average="macro", pos_label=negative)(model, X, y)


def test_settings_that_select_a_class_see_a_row_of_classes():
    model = linear_model.LogisticRegression().fit(X, Y)
    predicted = model.predict(X)
    for class_id in (0, 1):
        expected = metrics.recall_score(Y, predicted, pos_label=class_id)
        assert adapter.scorer("Recall", class_id=class_id)(model, X, Y) == pytest.approx(expected)
    assert adapter.scorer("Precision", top_k=1)(model, X, Y) == pytest.approx(metrics.accuracy_score(Y, predicted))


def test_labels_may_be_a_column():
    model = linear_model.LogisticRegression().fit(X, Y)
    for name in ("AUC", "BinaryAccuracy", "CategoricalAccuracy", "Accuracy"):
        scorer = adapter.scorer(name)
        assert scorer(model, X, Y[:, None]) == scorer(model, X, Y)


def test_a_positive_label_that_has_no_effect_is_refused():
    model = linear_model.LogisticRegression()
    for name, x, y in (("CategoricalAccuracy", X3, Y3), ("AUC", X3, Y3), ("CategoricalAccuracy", X, Y), ("Accuracy", X, Y)):
        with pytest.raises(ValueError, match="pos_label"):
            adapter.scorer(name, pos_label=1)(model.fit(x, y), x, y)
    with pytest.raises(ValueError, match="pos_label"):
        adapter.scorer("mse", pos_label=1)(linear_model.Ridge().fit(X, X[:, 0]), X, X[:, 0])


def test_the_first_response_method_that_the_estimator_has_is_used():
    machine, model = svm.LinearSVC().fit(X, Y), linear_model.LogisticRegression().fit(X, Y)
    scorer = adapter.scorer("AUC", num_thresholds=2000, response_method=("predict_proba", "predict"))
    assert scorer(model, X, Y) == adapter.scorer("AUC", num_thresholds=2000)(model, X, Y)
    assert scorer(machine, X, Y) == adapter.scorer("AUC", num_thresholds=2000, response_method="predict")(machine, X, Y)
    with pytest.raises(TypeError, match="LinearSVC has none of predict_proba"):
        adapter.scorer("AUC", response_method=["predict_proba"])(machine, X, Y)


def test_the_text_of_a_scorer_shows_what_was_given():
    assert repr(adapter.scorer("mse")) == "scorer('MeanSquaredError')"
    scorer = adapter.scorer("AUC", curve="PR", name="area", response_method="predict", pos_label="no", greater_is_better=False)
    assert repr(scorer) == "scorer('AUC', curve='PR', name='area', response_method='predict', pos_label='no', greater_is_better=False)"
    assert repr(adapter.scorer("MeanIoU", num_classes=3)) == "scorer('MeanIoU', num_classes=3)"
    assert repr(adapter.scorer("Huber", delta=2.0)) == "scorer('Huber', delta=2.0)"
    assert repr(adapter.scorer(own_metric, greater_is_better=True)) == "scorer('own_metric', greater_is_better=True)"
