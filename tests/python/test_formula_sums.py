"""Metrics of sums: every engine adds the terms of a batch and computes the result as NumPy does in float64."""

import copy
import json
import os
import pickle

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import formulas
import plugfit
from plugfit._formula import Formula
from test_formula import Jax, Keras, Numpy, Torch

RNG = np.random.default_rng(0)
NAN, INF = float("nan"), float("inf")


@pytest.fixture(params=[Numpy, Jax, Torch, Keras], ids=lambda engine: engine.__name__)
def engine(request):
    return request.param()


def of(name):
    return Formula.from_json(getattr(formulas, name)())


def ratio(a, b):
    return np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b))


def scores(shape):
    """Returns scores that float16 and bfloat16 have."""
    return RNG.integers(0, 65, size=shape) / 64.0


def labels(shape):
    return RNG.integers(0, 2, size=shape).astype(float)


class Precision:
    name, batch = "precision", staticmethod(lambda: (labels((6, 3)), scores((6, 3))))

    def sums(y_true, y_pred, weight):
        positive = y_pred > 0.5
        return np.stack([(weight * y_true * positive).sum(), (weight * (1 - y_true) * positive).sum()])

    def result(sums):
        return sums[0] / sums.sum()


class Thresholds:
    name, batch = "thresholds", staticmethod(lambda: (labels((6, 3)), scores((6, 3))))

    def sums(y_true, y_pred, weight):
        bins = np.ceil(y_pred * 4)
        return np.stack([[(weight * kind)[bins == bin].sum() for bin in range(6)] for kind in (y_true, 1 - y_true)])

    def result(sums):
        return np.array([sums[0][bin + 1 :].sum() / sums[0].sum() for bin in range(5)])


class FScore:
    name, batch = "f_score", staticmethod(lambda: (labels((6, 3)), scores((6, 3))))

    def sums(y_true, y_pred, weight):
        positive = (y_pred > 0.5).astype(float)
        return np.stack([(weight * term).sum(0) for term in (y_true * positive, positive, y_true)])

    def result(sums):
        return ratio(2 * sums[0], sums[1] + sums[2])


class Areas:
    name, batch = "areas", staticmethod(lambda: (np.concatenate([np.eye(2, 3), 1 - np.eye(2, 3), labels((4, 3))]), scores((8, 3))))

    def sums(y_true, y_pred, weight):
        bins = np.minimum(np.floor(y_pred * 5), 4)
        weight = np.broadcast_to(weight, y_true.shape)
        return np.stack(
            [
                [[(weight * kind)[:, column][bins[:, column] == bin].sum() for bin in range(5)] for column in range(3)]
                for kind in (y_true, 1 - y_true)
            ]
        )

    def result(sums):
        areas = []
        for positives, negatives in zip(*sums):
            wins = sum(negatives[bin] * (positives[bin + 1 :].sum() + positives[bin] / 2) for bin in range(5))
            areas.append(wins / (positives.sum() * negatives.sum()))
        return np.mean(areas)


class Overlap:
    name, batch = "overlap", staticmethod(lambda: (RNG.integers(-1, 5, size=(6, 3)).astype(float), RNG.integers(0, 5, size=(6, 3)).astype(float)))

    def sums(y_true, y_pred, weight):
        weight = np.broadcast_to(weight, y_true.shape)
        both = [weight[(y_true == id) & (y_pred == id)].sum() for id in range(4)]
        return np.array([both, *([weight[ids == id].sum() for id in range(4)] for ids in (y_true, y_pred))])

    def result(sums):
        return ratio(sums[0], sums[1] + sums[2] - sums[0])


class Recalls:
    name, batch = "recalls", staticmethod(lambda: (RNG.integers(0, 4, size=12).astype(float), scores((12, 4))))

    def sums(y_true, y_pred, weight):
        weight = np.broadcast_to(np.reshape(weight, -1), 12)
        hit = y_pred[np.arange(12), y_true.astype(int)] == y_pred.max(-1)
        return np.stack([[(weight * term)[y_true == id].sum() for id in range(4)] for term in (hit, np.ones(12))])

    def result(sums):
        return ratio(sums[0], sums[1])


METRICS = [Precision, Thresholds, FScore, Areas, Overlap, Recalls]


@pytest.fixture(params=METRICS, ids=lambda metric: metric.name)
def metric(request):
    return request.param


def weights_of(metric, y_pred):
    """Returns weights of each shape that fits, in the shape of the labels, and in the one that is given."""
    rows = RNG.integers(0, 3, size=(len(y_pred), 1)) / 2
    yield 1.0, None
    yield 0.5, np.array(0.5)
    yield rows, rows[:, 0]
    yield rows, rows
    if metric is not Recalls:
        elements = RNG.integers(0, 3, size=y_pred.shape) / 2
        yield elements, elements


def call(engine, formula, y_true, y_pred, weight=None):
    given = [engine.tensor(np.asarray(one)) for one in (y_true, y_pred)]
    return engine.function(formula)(*given, *([] if weight is None else [engine.tensor(np.asarray(weight))]))


def test_sums_and_results_are_those_of_numpy(engine, metric):
    formula = of(metric.name)
    f = engine.function(formula)
    for dtype in (np.float32, np.float64):
        y_true, y_pred = metric.batch()
        for weight, given in weights_of(metric, y_pred):
            expected = metric.sums(y_true, y_pred, weight)
            found = call(engine, formula, y_true.astype(dtype), y_pred.astype(dtype), given)
            assert tuple(found.shape) == f.shape(y_pred.shape[1]) == expected.shape
            np.testing.assert_array_equal(np.asarray(found), expected)
            if f.undefined is None or not np.asarray(f.undefined(found)):
                np.testing.assert_allclose(np.asarray(f.result(found)), metric.result(expected), rtol=2e-6)


def test_an_undefined_result_is_nan(engine, metric):
    f = engine.function(of(metric.name))
    sums = engine.tensor(np.zeros(f.shape(3)))
    if f.undefined is None:
        np.testing.assert_array_equal(np.asarray(f.result(sums)), 0)
    else:
        assert np.asarray(f.undefined(sums)).shape == () and np.asarray(f.undefined(sums)) and np.isnan(np.asarray(f.result(sums))).all()


def test_a_unit_of_weight_0_adds_nothing_even_if_it_is_nan(engine, metric):
    y_true, y_pred = metric.batch()
    weight = np.ones(len(y_pred))
    weight[[1, 3]] = 0
    expected = metric.sums(y_true, y_pred, weight[:, None])
    for wrong in (NAN, INF):
        y_pred[1], y_true[3] = wrong, NAN
        np.testing.assert_array_equal(np.asarray(call(engine, of(metric.name), y_true, y_pred, weight)), expected)


def test_an_element_of_weight_0_adds_nothing_even_if_it_is_nan(engine):
    for metric in (Precision, Thresholds, FScore, Areas, Overlap):
        y_true, y_pred = metric.batch()
        weight = np.ones(y_pred.shape)
        weight[1, 2] = weight[2, 0] = 0
        expected = metric.sums(y_true, y_pred, weight)
        y_pred[1, 2], y_true[2, 0] = NAN, NAN
        np.testing.assert_array_equal(np.asarray(call(engine, of(metric.name), y_true, y_pred, weight)), expected)


def test_a_batch_without_rows_adds_nothing(engine, metric):
    y_true, y_pred = (one[:0] for one in metric.batch())
    for weight in (None, np.ones(0)):
        found = np.asarray(call(engine, of(metric.name), y_true, y_pred, weight))
        assert found.shape == of(metric.name).numpy().shape(y_pred.shape[1]) and not found.any()


def test_a_bin_that_does_not_exist_counts_nothing(engine):
    ids = np.array([0.0, 3.0, 4.0, -1.0, 1.5, NAN, INF, -INF, 2.0**40, -0.0])
    found = np.asarray(call(engine, of("overlap"), ids, np.zeros(10)))
    np.testing.assert_array_equal(found, [[2, 0, 0, 0], [2, 0, 0, 1], [10, 0, 0, 0]])


def test_a_term_that_is_nan_is_added_to_its_sum_only(engine):
    d = formulas.Document(formulas.ELEMENTS, each="element")
    r = formulas.of_sums(("a",), "element")
    formula = Formula.from_json(formulas.sums(d, r.json(result=0), {"a": (1, 0)}, bins=3))
    found = np.asarray(call(engine, formula, np.array([0.0, 1.0, 2.0, 5.0]), np.array([NAN, 1.0, INF, NAN])))
    np.testing.assert_array_equal(found, [[NAN, 1.0, INF]])


def test_partial_sums_lose_no_digits_and_batch_sums_are_over_all_rows(engine):
    r = formulas.of_sums(("a",), "element")
    document = r.json(result=r.add(r.row_before(0), r.mul(r.row_after(0), r.const(10.0))))
    d = formulas.Document(formulas.ELEMENTS, each="row")
    formula = Formula.from_json(formulas.sums(d, document, {"a": (1, d.index())}, bins=4, by_column=True))
    f = engine.function(formula)
    rows = np.array([[[1.0, 2.0, 3.0, 4.0], [1e30, 1.0, -1e30, 0.0], [1.0, 0.0, 1.0, NAN], [INF, 1.0, 1.0, 1.0]]])
    expected = [[90, 71, 43, 6], [-1e31, -9e30, 1e30, 0.0], [NAN, NAN, NAN, 2.0], [30, INF, INF, INF]]
    np.testing.assert_allclose(np.asarray(f.result(engine.tensor(rows))), expected, rtol=1e-6)
    after = r.json(result=r.row_after(0))
    d = formulas.Document(formulas.ELEMENTS, each="row")
    f = engine.function(Formula.from_json(formulas.sums(d, after, {"a": (1, d.index())}, bins=4, by_column=True)))
    # A difference from the sum of the row would lose these digits.
    found = f.result(engine.tensor(np.array([[[1e9, 1.0, 2.0, 3.0]]], "f")))
    np.testing.assert_array_equal(np.asarray(found), [[6, 5, 3, 0]])


def test_units_are_elements_rows_lines_or_vectors(engine):
    def sums(shape, each, axis, level):
        d = formulas.Document(formulas.ELEMENTS, each=each, axis=axis)
        r = formulas.of_sums(("a",), "scalar")
        term = 1 if level == "element" else d.row_max(1)
        return Formula.from_json(formulas.sums(d, r.json(result=0), {"a": term})), *(np.arange(1.0, 1 + np.prod(shape)).reshape(shape) for _ in range(2))

    def found(given, weight=None):
        return float(np.asarray(call(engine, *given, weight))[0])

    cube = np.arange(1.0, 25).reshape(2, 3, 4)
    assert found(sums((2, 3, 4), "element", -1, "element")) == 300
    assert found(sums((2, 3, 4), "row", -1, "row")) == cube.max(-1).sum()
    assert found(sums((2, 3, 4), "line", 1, "row")) == cube.max(1).sum()
    assert found(sums((4,), "row", -1, "row")) == 10
    weight = np.array([1.0, 3.0])
    assert found(sums((2, 3, 4), "line", 1, "row"), weight) == (cube.max(1) * weight[:, None]).sum()
    assert found(sums((2, 3, 4), "line", 1, "element"), weight) == (cube * weight[:, None, None]).sum()
    weight = RNG.random((2, 3, 4)).astype("f").astype(float)
    assert found(sums((2, 3, 4), "line", 1, "element"), weight) == pytest.approx((cube * weight).sum(), rel=1e-6)
    assert found(sums((2, 3, 4), "line", 1, "row"), weight[:, 0]) == pytest.approx((cube.max(1) * weight[:, 0]).sum(), rel=1e-6)
    with pytest.raises(ValueError, match="one line over all samples"):
        found(sums((4,), "line", -1, "row"))


def test_weights_that_dont_fit_are_refused(engine):
    y_true, y_pred = Precision.batch()
    for name in ("precision", "f_score", "areas"):
        for shape in ((5,), (6, 2), (6, 3, 1, 1), (3, 6)):
            with pytest.raises(ValueError, match="doesn't fit the values"):
                call(engine, of(name), y_true, y_pred, np.ones(shape))
    ids, y_pred = Recalls.batch()
    with pytest.raises(ValueError, match="doesn't fit the values"):
        call(engine, of("recalls"), ids, y_pred, np.ones((12, 4)))
    d, r = formulas.Document(formulas.ELEMENTS, each="row"), formulas.of_sums(("a", "b"), "scalar")
    mixed = Formula.from_json(formulas.sums(d, r.json(result=0), {"a": 1, "b": d.row_sum(1)}))
    np.testing.assert_array_equal(np.asarray(call(engine, mixed, np.ones((2, 2)), np.ones((2, 2)), np.array([1.0, 2.0]))), [6, 6])
    with pytest.raises(ValueError, match="rows have one weight"):
        call(engine, mixed, np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="y_true of shape"):
        call(engine, of("precision"), np.ones((6, 2)), np.ones((6, 3)))


def test_a_row_counts_as_a_scalar_or_as_an_array_of_columns(engine):
    d, r = formulas.Document(formulas.ELEMENTS, each="row"), formulas.of_sums(("a",), "element")
    for keys, expected in ({"bins": 2}, 5.0), ({"by_column": True}, 5.0), ({"bins": 2, "by_column": True}, [3.0, 7.0]):
        r = formulas.of_sums(("a",), "element")
        term = (1, d.const(0.0)) if "bins" in keys else 1
        f = engine.function(Formula.from_json(formulas.sums(d, r.json(result=r.row_sum(0)), {"a": term}, **keys)))
        sums = np.array([[[1.0, 2.0], [3.0, 4.0]]]) if len(keys) == 2 else np.array([[2.0, 3.0]])
        np.testing.assert_array_equal(np.asarray(f.result(engine.tensor(sums))), expected)


def test_each_column_has_the_term_of_its_row(engine):
    d, r = formulas.Document(formulas.ELEMENTS, each="row"), formulas.of_sums(("a", "b"), "element")
    formula = Formula.from_json(formulas.sums(d, r.json(result=0), {"a": d.row_max(1), "b": d.const(1.0)}, by_column=True))
    rows, weight = np.array([[1.0, 4.0], [3.0, 2.0]]), np.array([[1.0, 2.0], [0.0, 3.0]])
    np.testing.assert_array_equal(np.asarray(call(engine, formula, rows, rows)), [[7, 7], [2, 2]])
    np.testing.assert_array_equal(np.asarray(call(engine, formula, rows, rows, weight)), [[4, 17], [1, 5]])


def test_a_metric_of_values_has_one_input(engine):
    values = np.array([[1.0, 2.0], [3.0, NAN]])
    f = engine.function(of("total"))
    assert np.asarray(f(engine.tensor(values[:, 0])))[0] == 4
    found = f(engine.tensor(values), engine.tensor(np.array([[1.0, 1.0], [2.0, 0.0]])))
    assert np.asarray(found)[0] == np.asarray(f.result(found)) == 9
    np.testing.assert_array_equal(np.asarray(engine.function(of("mean_of_values"))(engine.tensor(values))), values)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_predictions_of_low_precision_are_counted_in_full_precision(engine, metric, dtype):
    if isinstance(engine, Numpy):
        pytest.skip("NumPy has no bfloat16")
    y_true, y_pred = metric.batch()
    many = 512
    tensors = [engine.tensor(np.tile(one, (many,) + (1,) * (one.ndim - 1)).astype("f")) for one in (y_true, y_pred)]
    name = keras_backend() if isinstance(engine, Keras) else type(engine).__name__.lower()
    tensors[1] = cast(name, tensors[1], dtype)
    found = engine.function(of(metric.name))(*tensors)
    np.testing.assert_array_equal(np.asarray(found), many * metric.sums(y_true, y_pred, 1.0))


def keras_backend():
    import keras

    return keras.backend.backend()


def cast(name, tensor, dtype):
    if name == "torch":
        import torch

        return tensor.to(getattr(torch, dtype))
    if name == "jax":
        return tensor.astype(dtype)
    import tensorflow as tf

    return tf.cast(tensor, dtype)


def compiled(engine, f):
    name = keras_backend() if isinstance(engine, Keras) else type(engine).__name__.lower()
    if name == "jax":
        import jax

        return jax.jit(f)
    if name == "torch":
        import torch

        torch._dynamo.reset()
        return torch.compile(f, backend="aot_eager", fullgraph=True)
    import tensorflow as tf

    return tf.function(f, jit_compile=True)


def test_sums_and_results_are_compiled(engine, metric):
    if isinstance(engine, Numpy):
        pytest.skip("NumPy compiles nothing")
    f = engine.function(of(metric.name))

    def step(state, y_true, y_pred, weight):
        state = state + f(y_true, y_pred, weight)
        return state, f.result(state)

    step = compiled(engine, step)
    state, expected = engine.tensor(np.zeros(f.shape(metric.batch()[1].shape[1]))), 0.0
    for _ in range(2):
        y_true, y_pred = metric.batch()
        weight = np.linspace(0, 2, len(y_pred)).round(1)
        expected = expected + metric.sums(y_true, y_pred, weight[:, None])
        state, result = step(state, *(engine.tensor(one) for one in (y_true, y_pred, weight)))
    np.testing.assert_allclose(np.asarray(state), expected, rtol=2e-6)
    np.testing.assert_allclose(np.asarray(result), metric.result(expected), rtol=2e-5)


def test_tensorflow_compiles_batches_of_unknown_length():
    tf = pytest.importorskip("tensorflow", reason="TensorFlow isn't installed")
    if keras_backend() != "tensorflow":
        pytest.skip("TensorFlow's")
    for metric in METRICS:
        f, (y_true, y_pred) = of(metric.name).keras(), metric.batch()
        lengths = [[None, *one.shape[1:]] for one in (y_true, y_pred)]
        signature = [tf.TensorSpec(shape, tf.float64) for shape in (*lengths, [None])]
        weight = np.ones(len(y_pred))
        found = tf.function(f, input_signature=signature)(y_true, y_pred, weight)
        np.testing.assert_array_equal(found, metric.sums(y_true, y_pred, 1.0))


def test_counts_of_a_batch_are_exact_below_the_precision_of_float32(engine):
    many = 2**24 - 7
    for name, expected in (("total", [many]), ("histogram", [[many, 0]])):
        d, r = formulas.Document(formulas.VALUES, each="element"), formulas.of_sums(("a",), "element")
        formula = of("total") if name == "total" else Formula.from_json(formulas.sums(d, r.json(result=0), {"a": (0, d.const(0.0))}, bins=2))
        np.testing.assert_array_equal(np.asarray(engine.function(formula)(engine.tensor(np.ones(many, "f")))), expected)


def test_a_formula_of_sums_is_pickled_and_printed():
    formula = pickle.loads(pickle.dumps(of("thresholds")))
    assert formula.kind == "sums" and formula.sums.bins == 6 and "row_after 0" in str(formula)
    assert formula.sums.terms == ("positives", "negatives") and formula.sums.result_length == 5


def changed(document, **keys):
    document = copy.deepcopy(document)
    document["sums"].update(keys)
    return document


PLAIN, BINNED, COLUMNS = (json.loads(getattr(formulas, name)()) for name in ("precision", "thresholds", "f_score"))


def nested(**keys):
    return changed(PLAIN, result={**PLAIN["sums"]["result"], **keys})


INVALID = {
    "no object": {**PLAIN, "sums": [1]},
    "no bins": changed(BINNED, bins=0),
    "bins that are a mask": changed(PLAIN, bins=True),
    "bins that are no number": changed(BINNED, bins="6"),
    "too many bins": changed(BINNED, bins=2**24 + 1),
    "too many bins of all sums": changed(
        {**BINNED, "outputs": [*BINNED["outputs"], ["term.more", 0], ["bin.more", 1]]}, bins=2**24
    ),
    "bins without a number": changed(PLAIN, bins=2),
    "a number of the bin without bins": changed(BINNED, bins=1),
    "by_column that is a number": changed(COLUMNS, by_column=1),
    "a result_length below 0": changed(BINNED, result_length=-1),
    "a result_length that isn't whole": changed(BINNED, result_length=1.5),
    "no result": {**PLAIN, "sums": {"bins": 1}},
    "a result that isn't a document": changed(PLAIN, result=[]),
    "a result of another version": nested(version=2),
    "a result with sums": nested(sums=PLAIN["sums"]),
    "other sums": nested(inputs=[["tp", "scalar"], ["fn", "scalar"]]),
    "sums in another order": nested(inputs=[["fp", "scalar"], ["tp", "scalar"]]),
    "sums of another level": nested(inputs=[["tp", "element"], ["fp", "element"]]),
    "a result without a result": nested(outputs=[["undefined", 0]]),
    "another output of the result": nested(outputs=[["result", 0], ["value", 0]]),
    "no term": {**PLAIN, "outputs": []},
    "a term without a name": {**PLAIN, "outputs": [["term.", 1], ["term.fp", 1]]},
    "two terms of a name": {**PLAIN, "outputs": [["term.tp", 1], ["term.fp", 1], ["term.tp", 0]]},
    "another output": {**PLAIN, "outputs": [*PLAIN["outputs"], ["value", 0]]},
    "an unknown node": {**PLAIN, "outputs": [["term.tp", 99], ["term.fp", 1]]},
    "another input": {**PLAIN, "inputs": [["y_true", "element"], ["mean", "scalar"]]},
    "values and labels": {**PLAIN, "inputs": [["values", "element"], ["y_pred", "element"]]},
    "a sum over the batch in a term": {**PLAIN, "nodes": [*PLAIN["nodes"], ["row_before", 1]]},
    "a result alone": PLAIN["sums"]["result"],
}


@pytest.mark.parametrize("why", INVALID)
def test_an_invalid_document_is_refused(why):
    for document in (PLAIN, BINNED, COLUMNS):
        Formula.from_json(json.dumps(document))
    with pytest.raises(ValueError, match="the formula is invalid"):
        Formula.from_json(json.dumps(INVALID[why]))


def test_levels_of_terms_are_checked():
    def refused(match, document):
        with pytest.raises(ValueError, match=match):
            Formula.from_json(document)

    d, r = formulas.Document(formulas.ELEMENTS, each="row"), formulas.of_sums(("a",), "element")
    refused("has a bin for each element", formulas.sums(d, r.json(result=0), {"a": (d.row_sum(1), 1)}, bins=2))
    refused("undefined is a number for each element", formulas.sums(d, r.json(result=0, undefined=0), {"a": (1, 1)}, bins=2))
    refused("isn't a number for each row", formulas.sums(d, r.json(result=r.batch_sum(0)), {"a": (1, 1)}, bins=2))
