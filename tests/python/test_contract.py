"""The contract of the Python interface: arrays, names, configurations, errors and states."""

import copy
import pickle

import numpy as np
import pytest

import plugfit
from plugfit import losses, metrics, optimizers, schedules

T = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
P = np.array([[0.2, 0.7], [0.6, 0.4]], np.float32)


def test_a_reduced_loss_is_a_float32_and_an_unreduced_loss_is_an_array():
    value = losses.get("mse")(T, P)
    assert type(value) is np.float32
    values = losses.get({"class_name": "MeanSquaredError", "config": {"reduction": "none"}})(T, P)
    assert values.dtype == np.float32 and values.shape == (2,)
    assert np.isclose(values.mean(), value)


@pytest.mark.parametrize("name", ["mse", "Huber", "binary_crossentropy", "KLDivergence", "Poisson", "LogCosh"])
@pytest.mark.parametrize("weight", [None, np.array([0.5, 2.0], np.float32)[:, None]])
def test_a_gradient_is_that_of_the_reduced_loss(name, weight):
    loss, step = losses.get(name), 1e-2
    derivatives = loss.gradient(T, P, weight)
    assert derivatives.shape == P.shape and derivatives.dtype == np.float32
    for place in np.ndindex(P.shape):
        up, down = P.copy(), P.copy()
        up[place] += step
        down[place] -= step
        difference = (float(loss(T, up, weight)) - float(loss(T, down, weight))) / (2 * step)
        assert np.isclose(derivatives[place], difference, rtol=2e-2, atol=2e-3)


def test_a_mask_rescales_weights_by_total_over_valid():
    mask = np.array([True, False])
    value = losses.get("mse")(T, P, None, mask)
    assert np.isclose(value, ((T[0] - P[0]) ** 2).mean())

    class Masked(np.ndarray):
        pass

    masked = P.view(Masked)
    masked._keras_mask = mask
    assert losses.get("mse")(T, masked) == value


def test_arrays_of_any_kind_give_the_same_result():
    value = losses.get("mse")(T, P)
    for kind in (list, np.float64, np.float16, "f>4", "strided", "fortran"):
        if kind is list:
            t, p = T.tolist(), P.tolist()
        elif kind == "f>4":
            t, p = T.astype(">f4"), P.astype(">f4")
        elif kind == "strided":
            t, p = np.repeat(T, 2, axis=1)[:, ::2], np.repeat(P, 3, axis=0)[::3]
        elif kind == "fortran":
            t, p = np.asfortranarray(T), np.asfortranarray(P)
        else:
            t, p = T.astype(kind), P.astype(kind)
        assert np.isclose(losses.get("mse")(t, p), value, rtol=1e-3), kind


def test_float64_stays_float64_in_metrics():
    values = np.full(3, 1.0 + 1e-12)
    assert metrics.Mean()(values) - 1.0 > 5e-13
    for name in ("mse", "RootMeanSquaredError", "MeanAbsoluteError", "LogCoshError"):
        assert 0 < metrics.get(name)(values, np.ones(3)) < 2e-12, name
    assert metrics.get("mse")([0, 1, 1, 0], [0.1, 0.8, 0.4, 0.6]) == pytest.approx(0.1925, rel=1e-12)


def test_a_state_of_another_metric_or_other_settings_is_refused():
    t, p = [0.0, 1.0, 1.0, 0.0], [0.2, 0.7, 0.1, 0.4]
    few, many = metrics.AUC(num_thresholds=10), metrics.AUC(name="other")
    few.update_state(t, p), many.update_state(t, p)
    before = many.result()
    for other in (few, metrics.Precision(), metrics.get("mse")):
        with pytest.raises(ValueError, match="of another metric than|other settings"):
            many.set_state(other.get_state())
    assert many.result() == before
    again = metrics.AUC()
    again.set_state(many.get_state())
    assert again.result() == before


def test_finalize_refuses_parameters_that_do_not_match():
    optimizer, param = optimizers.SGD(0.5, use_ema=True), np.ones(2, "f")
    optimizer.apply([param * 1], [param])
    for wrong in ([], [np.ones(3, "f")], [param, np.ones(2, "f")]):
        with pytest.raises(ValueError, match="built for"):
            optimizer.finalize(wrong)


def test_a_gradient_may_be_the_parameter_itself():
    shared, apart = np.ones(2, "f"), np.ones(2, "f")
    optimizers.SGD(0.1, weight_decay=5.0).apply([shared], [shared])
    optimizers.SGD(0.1, weight_decay=5.0).apply([apart.copy()], [apart])
    assert (shared == apart).all()


def test_a_copy_of_an_optimizer_uses_the_names_of_the_original():
    first, param = optimizers.Adam(0.1), np.ones(2, "f")
    first.apply([param * 1], [param], names=["a"])
    copy, other = pickle.loads(pickle.dumps(first)), param.copy()
    first.apply([param * 1], [param])
    copy.apply([other * 1], [other])
    assert (param == other).all()
    pending = optimizers.Adam(0.1)
    pending.set_state(copy.get_state())
    with pytest.raises(ValueError, match="it has no param_0"):
        pending.apply([other * 1], [other])
    assert pending.iterations == 2
    pending.apply([other * 1], [other], names=["a"])


def test_a_model_trains_with_the_rate_that_was_set():
    optimizer = optimizers.SGD(0.1)
    optimizer.learning_rate = 0.0
    model = plugfit.Model(["Dense(1)"])
    model.compile(optimizer, "mse")
    model.build((2,))
    before = model.get_weights()
    model.fit(np.ones((4, 2), "f"), np.ones((4, 1), "f"), batch_size=None)
    assert all((before[name] == values).all() for name, values in model.get_weights().items())
    with pytest.raises(ValueError, match="validation_data is"):
        model.fit(np.ones((4, 2), "f"), np.ones((4, 1), "f"), validation_data=(P,))


def test_rows_without_columns_are_accepted_and_none_is_refused():
    assert losses.get("mse").gradient(np.zeros((4, 0), "f"), np.zeros((4, 0), "f"), np.float32(1)).shape == (4, 0)
    with pytest.raises(ValueError, match="doesn't fit"):
        losses.get("mse").gradient(np.zeros((4, 0), "f"), np.zeros((4, 1), "f"), np.float32(1))
    for call in (losses.get("mse"), losses.get("mse").gradient):
        with pytest.raises(TypeError, match="y_true is None"):
            call(None, [[1.0]])


@pytest.mark.parametrize("error", [TypeError, ValueError])
def test_unknown_and_missing_arguments_are_refused_as_in_python_and_keras(error):
    with pytest.raises(error, match="unexpected keyword argument 'rate'"):
        optimizers.Adam(rate=0.1)
    with pytest.raises(error, match="num_classes"):
        metrics.MeanIoU()
    with pytest.raises(error, match="num_classes"):
        metrics.get("MeanIoU")
    with pytest.raises(error, match="could not interpret loss identifier: 3"):
        losses.get(3)


@pytest.mark.parametrize("bad", ["no", object(), np.array(["a", "b"]), {"a": 1}])
def test_arrays_without_numbers_are_a_type_error(bad):
    with pytest.raises(TypeError):
        losses.get("mse")(T, bad)
    with pytest.raises(TypeError):
        metrics.get("mse").update_state(T, bad)


def test_mismatched_shapes_are_a_value_error_and_leave_a_metric_unchanged():
    metric = metrics.get("mse")
    metric.update_state(T, P)
    before = metric.get_state()
    for bad in (np.ones((3, 2), np.float32), np.ones((2, 5), np.float32)):
        with pytest.raises(ValueError):
            metric.update_state(T, bad)
        with pytest.raises(ValueError):
            losses.get("mse")(T, bad)
    assert metric.get_state() == before


def test_a_sparse_crossentropy_along_another_axis_refuses_mismatched_shapes():
    loss = losses.SparseCategoricalCrossentropy(axis=0)
    with pytest.raises(ValueError):
        loss(np.zeros((4, 4)), np.full((2, 4, 4), 0.5))


def test_an_unknown_name_is_a_value_error_with_a_suggestion():
    with pytest.raises(ValueError, match="MeanSquaredError|mean_squared"):
        losses.get("mean_squared_eror")
    for module in (losses, metrics, optimizers, schedules):
        with pytest.raises(ValueError):
            module.get("nothing of this name")
        with pytest.raises(TypeError):
            module.get(5)
        with pytest.raises(ValueError):  # as Keras
            module.get(5)
        assert module.get(None) is None


def test_settings_are_checked():
    with pytest.raises(TypeError, match="dleta"):
        losses.Huber(dleta=1.0)
    with pytest.raises(ValueError):
        losses.get({"class_name": "Huber", "config": {"dleta": 1.0}})
    with pytest.raises(ValueError):
        metrics.AUC(curve="XY")
    for wrong in ({"beta": 1}, {"beta": "1.0"}, {"beta": -0.5}, {"threshold": 1}):
        with pytest.raises(ValueError):
            metrics.FBetaScore(**wrong)


def test_classes_accept_keras_positional_arguments_and_expose_their_settings():
    assert losses.Huber(2.0).delta == 2.0
    assert metrics.MeanIoU(3).num_classes == 3
    assert optimizers.SGD(0.1, 0.9).momentum == 0.9
    assert optimizers.AdamW(0.1, 0.2).weight_decay == 0.2
    assert schedules.CosineDecay(0.1, 100)(0) == pytest.approx(0.1)
    assert isinstance(losses.get("huber"), losses.Huber)
    assert metrics.MeanSquaredError(name="error").name == "error"
    assert "Huber" in dir(losses) and "MeanSquaredError" in dir(metrics)


def test_losses_as_functions_are_not_reduced():
    assert losses.mean_squared_error(T, P).shape == (2,)
    assert losses.huber(T, P, delta=0.1).shape == (2,)


def test_python_functions_are_wrapped():
    def squared(y_true, y_pred):
        return ((y_true - y_pred) ** 2).mean(-1)

    loss = losses.get(squared)
    assert loss.name == "squared" and np.isclose(loss(T, P), losses.get("mse")(T, P))
    weight = np.array([1.0, 3.0])
    assert np.isclose(loss(T, P, weight), losses.get("mse")(T, P, weight))
    metric = metrics.get(squared)
    metric.update_state(T, P)
    metric.update_state(P, P)
    assert np.isclose(metric.result(), losses.get("mse")(T, P) / 2)
    with pytest.raises(ValueError):
        loss.gradient(T, P)
    squared.gradient = lambda y_true, y_pred: (y_pred - y_true) * 2 / y_pred.shape[-1]
    np.testing.assert_allclose(losses.get(squared).gradient(T, P, weight), losses.get("mse").gradient(T, P, weight), rtol=1e-6)


class Squared(losses.Loss):
    def __init__(self, power=2, name=None, reduction="sum_over_batch_size"):
        super().__init__(name=name, reduction=reduction)
        self.power = power

    def call(self, y_true, y_pred):
        return (y_true - y_pred) ** self.power


def test_a_subclassed_loss_is_reduced_and_weighted_like_any_loss():
    weight = np.array([[1.0], [3.0]])
    loss = Squared()
    assert loss.name == "squared" and np.isclose(loss(T, P, weight), losses.get("mse")(T, P, weight))
    assert Squared(3, reduction="none")(T, P).shape == (2, 2)
    assert np.isclose(pickle.loads(pickle.dumps(Squared(reduction="sum")))(T, P), ((T - P) ** 2).sum())

    class Named(Squared):
        def __init__(self, **settings):
            super().__init__(**settings)

    class Fixed(Squared):
        def __init__(self):
            super().__init__(name="its_name")

    named = Named(name="given", reduction="sum")
    assert (named.name, named.reduction, named.get_config()["name"]) == ("given", "sum", "given")
    assert (Fixed().name, Fixed().get_config()["name"]) == ("its_name", "its_name")
    with pytest.raises(ValueError, match="Invalid value for argument `reduction`"):
        Squared(reduction="abc")
    with pytest.raises(TypeError, match="no formula"):
        losses.Loss()


def test_errors_have_the_messages_of_keras():
    with pytest.raises(ValueError, match="Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can"):
        optimizers.SGD(clipnorm=1.0, clipvalue=1.0)
    with pytest.raises(ValueError, match=r"Threshold values must be in \[0, 1\]. Received: \[-1, 2\]"):
        metrics.TruePositives(thresholds=[-1, 0.5, 2])
    with pytest.raises(ValueError, match="integer > 1"):
        metrics.AUC(num_thresholds=-1)
    with pytest.raises(ValueError, match="class_id"):
        metrics.Precision(class_id=2)([0, 1], [0.1, 0.9])
    with pytest.raises(ValueError, match="expects 2D inputs"):
        metrics.R2Score()([0.0, 1.0], [0.0, 1.0])
    with pytest.warns(SyntaxWarning, match="num_classes > 1"):
        losses.CategoricalCrossentropy()(np.ones((2, 1)), np.ones((2, 1)))


def test_the_thresholds_of_an_auc_determine_num_thresholds():
    auc = metrics.AUC(thresholds=[0.5])
    assert auc.num_thresholds == 3 and np.allclose(auc.thresholds, [0.0, 0.5, 1.0], atol=1e-6)
    assert metrics.AUC.from_config(auc.get_config()).get_config() == auc.get_config()


def test_an_f_score_accepts_a_weight_for_each_class_of_each_row():
    score = metrics.FBetaScore(threshold=0.5)
    score.update_state([[1, 1], [1, 0]], [[0.2, 0.6], [0.2, 0.6]], sample_weight=[[0.5, 0.2], [0.3, 0.8]])
    assert np.allclose(score.result(), [0.0, 1 / 3])


def test_an_exception_of_a_python_function_is_raised():
    def broken(y_true, y_pred):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        losses.get(broken)(T, P)
    assert losses.get("mse")(T, T) == 0.0


@pytest.mark.parametrize("second", [1, 3])
@pytest.mark.parametrize("weight", [None, np.array([0.5, 2.0], np.float32)])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "none", None])
def test_a_function_with_another_number_of_values_for_the_same_shapes_is_refused(reduction, weight, second):
    count = 2

    def values(y_true, y_pred):
        return np.resize((y_true - y_pred) ** 2, count)

    if reduction is None:
        call = metrics.get(values).update_state
    else:
        call = losses.LossFunctionWrapper(values, reduction=reduction)
    call(T, P, weight)
    count = second
    with pytest.raises(ValueError, match=f"returned {second} values"):
        call(T, P, weight)
    count = 2
    call(T, P, weight)


def test_a_metric_of_values_accepts_weights_as_second_argument():
    mean = metrics.Mean()
    mean.update_state([1.0, 3.0, 5.0], [1, 1, 0])
    assert mean.result() == 2.0
    mean.update_state(values=[8.0], sample_weight=[2])
    assert mean.result() == 5.0


def test_an_undefined_result_is_that_of_keras():
    assert metrics.Mean().result() == 0.0
    assert metrics.AUC().result() == 0.0
    assert np.isnan(metrics.R2Score().result())


def test_iou_ignores_ids_out_of_range_and_counts_above_2_to_24():
    iou = metrics.MeanIoU(2)
    iou.update_state([0, 1, 7, -1], [0, 1, 0, 1])
    assert iou.result() == 1.0
    count = 2**24 + 3
    state = metrics.TruePositives()
    ones = np.ones(1 << 20, np.float32)
    for _ in range(16):
        state.update_state(ones, ones)
    state.update_state(ones[:3], ones[:3])
    assert state.result() == count


def test_pickles_of_an_older_version_load():
    huber = b"cplugfit._component\n_restored\n(Vloss\n(dVclass_name\nVHuber\nsVconfig\n(dVdelta\nF2.0\nssNNN(ttR."
    assert pickle.loads(huber).delta == 2.0
    made = b"ccopy_reg\n_reconstructor\n(cplugfit._nested\nOptimizerMap\nc__builtin__\ndict\n(dVa\nVadam\nstR"
    optimizer_map = pickle.loads(made + b"(dVdefault_optimizer\nVsgd\nsb.")
    assert optimizer_map == {"a": "adam"} and optimizer_map.default_optimizer == "sgd"


def test_functions_of_a_module_are_picklable():
    for function in (losses.get, metrics.serialize, optimizers.deserialize, schedules.get):
        assert pickle.loads(pickle.dumps(function)) == function


def test_bytes_and_pickle_preserve_a_state_exactly():
    rng = np.random.default_rng(0)
    for name in ("AUC", "mse", "F1Score", "PearsonCorrelation", "MeanSquaredError"):
        whole, half = metrics.get(name), metrics.get(name)
        t, p = rng.integers(0, 2, (64, 3)).astype("f"), rng.random((64, 3)).astype("f")
        whole.update_state(t, p)
        half.update_state(t[:30], p[:30])
        other = pickle.loads(pickle.dumps(half))
        other.update_state(t[30:], p[30:])
        third = metrics.get(name)
        third.set_state(other.get_state())
        assert third.get_state() == other.get_state()
        rest = metrics.get(name)
        rest.update_state(t[30:], p[30:])
        half.merge_state([rest])
        np.testing.assert_allclose(half.result(), whole.result(), rtol=1e-6)
        np.testing.assert_allclose(other.result(), whole.result(), rtol=1e-6)
        with pytest.raises(ValueError):
            third.set_state(b"damaged")
    with pytest.raises(TypeError):
        metrics.Mean().merge_state([5])
    with pytest.raises(ValueError):
        metrics.Mean().merge_state([metrics.AUC()])


def test_an_optimizer_updates_in_place_and_skips_a_gradient_of_none():
    optimizer = optimizers.SGD(0.5)
    a, b = np.ones(2, np.float32), np.ones((2, 2), np.float32).T
    strided = np.ones((4, 2), np.float32)[::2]
    with pytest.warns(UserWarning):
        optimizer.apply([np.ones(2), None, np.ones((2, 2))], [a, b, strided], ["a", "b", "c"])
    assert a.tolist() == [0.5, 0.5] and b.tolist() == [[1, 1], [1, 1]] and strided.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert optimizer.iterations == 1


@pytest.mark.parametrize(
    "grads, params, error",
    [
        ([np.ones(3)], [np.ones(2, np.float32)], ValueError),
        ([np.ones(2)], [np.ones(2)], TypeError),
        ([np.ones(2)], [[1.0, 2.0]], TypeError),
        ([], [np.ones(2, np.float32)], ValueError),
    ],
)
def test_parameters_that_can_not_be_written_are_refused(grads, params, error):
    with pytest.raises(error):
        optimizers.get("adam").apply(grads, params)


def test_parameters_that_share_memory_or_are_read_only_are_refused():
    a = np.ones(4, np.float32)
    with pytest.raises(ValueError):
        optimizers.get("sgd").apply([np.ones(4), np.ones(2)], [a, a[1:3]])
    a.flags.writeable = False
    with pytest.raises(TypeError):
        optimizers.get("sgd").apply([np.ones(4)], [a])


def test_weight_decay_precedes_the_step_and_respects_exclusions():
    for name in ("SGD", "Adam", "RMSprop", "Lion"):
        plain, decaying = getattr(optimizers, name)(0.1), getattr(optimizers, name)(0.1, weight_decay=0.5)
        decaying.exclude_from_weight_decay(var_names=["^bias"])
        grads = [np.array([0.3, -0.2], np.float32), np.array([0.1], np.float32)]
        p, q = [np.array([1.0, 2.0], np.float32), np.array([3.0], np.float32)], None
        q = [values.copy() for values in p]
        p[0] -= p[0] * np.float32(0.5 * 0.1)
        plain.apply(grads, p, ["kernel", "bias"])
        decaying.apply(grads, q, ["kernel", "bias"])
        for one, other in zip(p, q):
            np.testing.assert_allclose(one, other, rtol=1e-6)
    with pytest.raises(ValueError):
        decaying.exclude_from_weight_decay(var_names=["kernel"])
    assert optimizers.AdamW(weight_decay=0.0).weight_decay == 0.0
    with pytest.raises(ValueError):
        optimizers.AdamW(weight_decay=None)


def test_expressions_for_exclusion_are_those_of_python_and_checked_immediately():
    names = ["encoder/kernel", "encoder/bias", "scale"]

    def decayed(optimizer):
        values = [np.ones((2, 2), np.float32), np.ones(2, np.float32), np.ones(2, np.float32)]
        optimizer.apply([np.zeros_like(value) for value in values], values, names)
        return [name for name, value in zip(names, values) if value.flat[0] != 1]

    inner = optimizers.SGD(1.0, weight_decay=0.5)
    made = [
        lambda: optimizers.SGD(1.0, weight_decay=0.5),
        lambda: optimizers.Muon(1.0, weight_decay=0.5, adam_weight_decay=0.5),
        lambda: optimizers.LossScaleOptimizer(inner, initial_scale=1.0),
    ]
    for make in made:
        for words, left in (("^sc", names[:2]), ("bias$", [names[0], names[2]]), (["kernel|bias"], names[2:]), ("^bias", names)):
            optimizer = make()
            optimizer.exclude_from_weight_decay(var_names=words)
            assert decayed(optimizer) == left, words
        optimizer = make()
        optimizer.exclude_from_weight_decay(var_list=["scale"], var_names=["(?<=encoder/)bias"])
        assert decayed(optimizer) == names[:1]
    for wrong in ("b[ia", ["fine", "*"], [3]):
        optimizer = made[0]()
        with pytest.raises(ValueError, match="isn't a regular expression, in var_names"):
            optimizer.exclude_from_weight_decay(var_names=wrong)
        assert decayed(optimizer) == names


def test_a_class_of_another_package_is_not_replaced_by_the_standard_class_of_that_name():
    for module, name in ((losses, "Huber"), (optimizers, "SGD"), (metrics, "AUC")):
        for registered in (f"mypackage>{name}", f"Custom>{name}", name, None):
            config = {"class_name": name, "module": "mypackage.parts", "registered_name": registered, "config": {}}
            with pytest.raises(ValueError, match="mypackage"):
                module.get(config)
        own = {"class_name": name, "module": "keras.src.whatever", "registered_name": name, "config": {}}
        assert module.get(own).get_config() == getattr(module, name)().get_config()
        for made in (getattr(module, name)(), module.get(name)):
            assert module.get(module.serialize(made)).get_config() == made.get_config()


def test_the_learning_rate_is_a_float32_and_can_be_set():
    optimizer = optimizers.get("adam")
    assert optimizer.get_config()["learning_rate"] == float(np.float32(0.001)) == optimizer.learning_rate
    optimizer.learning_rate = 0.25
    assert optimizer.learning_rate == 0.25 and optimizer.get_config()["learning_rate"] == 0.25
    scheduled = optimizers.SGD(schedules.ExponentialDecay(0.1, 10, 0.5))
    with pytest.raises(TypeError):
        scheduled.learning_rate = 0.1
    again = optimizers.SGD.from_config(scheduled.get_config())
    assert again.get_config() == scheduled.get_config()


def test_an_optimizer_resumes_exactly_from_its_state():
    rng = np.random.default_rng(1)
    grads = [rng.normal(size=(5, 3)).astype("f") for _ in range(8)]
    for name in ("Adam", "SGD", "Lamb", "Muon", "Adafactor"):
        one = optimizers.get(name)
        p = rng.normal(size=(5, 3)).astype("f")
        for grad in grads[:4]:
            one.apply([grad], [p], ["kernel"])
        other, q = pickle.loads(pickle.dumps(one)), p.copy()
        assert other.iterations == 4
        for grad in grads[4:]:
            one.apply([grad], [p], ["kernel"])
            other.apply([grad], [q], ["kernel"])
        assert p.tobytes() == q.tobytes(), name


def test_some_missing_gradients_are_a_warning_and_only_missing_gradients_an_error():
    p = [np.ones(1, np.float32), np.ones(1, np.float32)]
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizers.SGD(0.5).apply([None, np.ones(1)], p)
    assert p[0] == 1.0 and p[1] == 0.5
    with pytest.raises(ValueError, match="No gradients provided"):
        optimizers.SGD(0.5).apply([None, None], p)


def test_optimizers_that_wrap_optimizers_are_configured_as_in_keras():
    scaled = optimizers.LossScaleOptimizer(optimizers.SGD(0.5), initial_scale=4.0)
    assert set(scaled.get_config()) == {"name", "initial_scale", "dynamic_growth_steps", "inner_optimizer"}
    p = np.ones(1, np.float32)
    scaled.apply([np.array([4.0])], [p])
    assert p[0] == 0.5 and scaled.loss_scale == 4.0
    for wrong in ({"weight_decay": 0.5}, {"dynamic": False}, {"foo": 1}):
        with pytest.raises(ValueError):
            optimizers.LossScaleOptimizer("sgd", **wrong)
    parts = optimizers.OptimizerMap(optimizers.SGD(0.5), {"dense/.*": optimizers.SGD(0.25)})
    multi = optimizers.MultiOptimizer.from_config(optimizers.MultiOptimizer(parts).get_config())
    params = [np.ones(1, np.float32), np.ones(1, np.float32)]
    multi.apply([np.ones(1), np.ones(1)], params, ["dense/kernel", "other"])
    assert params[0] == 0.75 and params[1] == 0.5
    assert parts("dense/kernel").learning_rate == 0.25
    with pytest.raises(ValueError):
        parts["dense/.*"] = "adam"
    with pytest.raises(ValueError):
        parts["other"] = multi
    with pytest.raises(ValueError, match="inside another optimizer"):
        optimizers.MultiOptimizer(optimizers.OptimizerMap(optimizers.SGD(use_ema=True)))
    foreign = optimizers.ForeignOptimizer(type("SGD", (), {"param_groups": [], "defaults": {}})())
    with pytest.raises(TypeError, match="plugfit.optimizers.SGD"):
        optimizers.MultiOptimizer(optimizers.OptimizerMap(foreign))


def test_iterations_count_updates_and_finalize_writes_averages():
    optimizer = optimizers.SGD(1.0, gradient_accumulation_steps=2)
    p = np.zeros(1, np.float32)
    for grad in (1.0, 3.0, 5.0):
        optimizer.apply([np.array([grad])], [p])
    assert optimizer.iterations == 1 and p[0] == -2.0
    averaging = optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    p = np.zeros(1, np.float32)
    for _ in range(2):
        averaging.apply([np.ones(1)], [p])
    averaging.finalize([p])
    assert p[0] == -1.5


def test_the_steps_of_a_schedule_are_integers():
    schedule = schedules.ExponentialDecay(0.1, 10, 0.5)
    assert schedule(np.int64(10)) == pytest.approx(0.05) and schedule(10.0) == pytest.approx(0.05)
    assert schedule(-1) == schedule(0)
    with pytest.raises(ValueError):
        schedule(0.5)
    with pytest.raises(TypeError):
        schedule("1")


def test_a_model_learns_and_its_history_is_keras_like():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)).astype("f")
    y = (x.sum(1) > 0).astype("i4")
    model = plugfit.Model(["Dense(16, activation=relu)", "Dense(1, activation=sigmoid)"], seed=3)
    seen = []
    model.compile(optimizer=optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["accuracy", lambda t, p: abs(t - p).mean(-1)])
    history = model.fit(x, y, epochs=5, validation_split=0.25, on_epoch_end=lambda epoch, logs: seen.append(epoch))
    assert history.epoch == seen == [0, 1, 2, 3, 4]
    assert history.history["val_accuracy"][-1] > 0.9 and history.history["loss"][-1] < history.history["loss"][0]
    assert model.predict(x).shape == (400, 1)
    logs = model.evaluate(x, y)
    assert logs["accuracy"] > 0.9
    again = plugfit.Model(["Dense(16, activation=relu)", "Dense(1, activation=sigmoid)"])
    again.build((4,))
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    with pytest.raises(ValueError):
        plugfit.Model(["Dense(1)"]).fit(x, y)


def test_scores_of_columns():
    found = plugfit.score([0, 1, 1, 0], [0.1, 0.8, 0.4, 0.6], ["BinaryAccuracy", "AUC", "AUC"])
    assert list(found) == ["binary_accuracy", "auc", "auc_1"] and found["binary_accuracy"] == 0.5
    pandas = pytest.importorskip("pandas", reason="pandas isn't installed")
    frame = pandas.DataFrame({"t": [0, 1, 1, 0], "p": [0.1, 0.8, 0.4, 0.6]})
    assert plugfit.score(frame["t"], frame["p"], "AUC")["auc"] == found["auc"]


def test_missing_plugins_are_reported(tmp_path):
    with pytest.raises(FileNotFoundError):
        plugfit.load_plugins(tmp_path / "nowhere")
    text = tmp_path / "libtext.so"
    text.write_text("no library")
    with pytest.raises(plugfit.PluginError):
        plugfit.load_plugins(text)
    with pytest.warns(UserWarning, match="libtext"):
        plugfit.load_plugins(tmp_path)


def test_states_of_other_settings_are_not_merged():
    fine, coarse = plugfit.metrics.AUC(num_thresholds=50), plugfit.metrics.AUC(num_thresholds=20)
    [metric.update_state([0, 1], [0.2, 0.7]) for metric in (fine, coarse)]
    before = fine.get_state()
    with pytest.raises(ValueError, match="other settings"):
        fine.merge_state([coarse])
    assert fine.get_state() == before
    named = plugfit.metrics.AUC(num_thresholds=50, name="another")
    named.merge_state([fine])
    assert named.result() == fine.result()


def test_an_optimizer_refuses_the_state_of_another():
    params = lambda: [np.ones(3, "f")]
    adam, sgd = plugfit.optimizers.Adam(), plugfit.optimizers.SGD()
    [optimizer.apply([np.ones(3, "f")], params()) for optimizer in (adam, sgd)]
    with pytest.raises(ValueError):
        sgd.set_state(adam.get_state())
    with pytest.raises(ValueError):
        adam.set_state(sgd.get_state())


@pytest.mark.parametrize("unseen", [copy.copy, copy.deepcopy, lambda metric: metric.merge_state([metrics.F1Score()]) or metric])
def test_a_rejected_first_batch_leaves_no_trace(unseen):
    metric = unseen(metrics.F1Score())
    with pytest.raises(ValueError):
        metric.update_state(np.ones((2, 3)), np.ones((2, 3)), np.ones(5))
    metric.update_state(np.eye(2), np.eye(2))
    assert np.allclose(metric.result(), 1)


def test_losses_accept_their_settings_in_keras_order_and_a_name():
    assert losses.Huber(2.0, name="x").get_config() == {"delta": 2.0, "name": "x", "reduction": "sum_over_batch_size"}
    assert losses.MeanSquaredError("sum", name="x").reduction == "sum"
    assert losses.CategoricalCrossentropy(True, 0.1, -1, dtype="float32").axis == -1
    assert losses.LossFunctionWrapper(lambda y_true, y_pred: y_pred, name="x").name == "x"


def test_more_than_eight_axes_are_refused_with_their_number():
    many = np.zeros((1,) * 9, np.float32)
    for refused in (metrics.MeanSquaredError().update_state, losses.get("mse")):
        with pytest.raises(ValueError, match="9 axes, and at most 8"):
            refused(many, many)


@pytest.mark.parametrize("dtype", ["float16", np.float16, np.dtype("float16"), "mixed_float16", {"config": {"name": "mixed_float16"}}])
def test_dtypes_are_names_types_and_policies(dtype):
    assert losses.Huber(dtype=dtype)(np.ones(2), np.zeros(2)).dtype == np.float16
    assert metrics.Mean(dtype=dtype).get_config()["dtype"] == "float16"


@pytest.mark.parametrize("wrong", ["float31", 1, [1]])
def test_an_invalid_dtype_is_refused(wrong):
    for make in (losses.Huber, metrics.Mean, lambda dtype: metrics.get({"class_name": "Mean", "config": {"dtype": dtype}})):
        with pytest.raises(ValueError, match="dtype"):
            make(dtype=wrong)


DERIVATIVES = [[0.1, -0.2], [0.5, 0.1], [0.2, 0.2], [-0.4, 0.3], [0.3, 0.3], [0.1, 0.1]]


@pytest.mark.parametrize(
    ("settings", "derivatives", "finalized", "expected"),
    [
        ({"use_ema": True, "gradient_accumulation_steps": 2}, DERIVATIVES, True, [0.9707101, -2.0037749]),
        ({"use_ema": True, "gradient_accumulation_steps": 2, "ema_overwrite_frequency": 3}, DERIVATIVES[:5], False, [0.9719001, -1.9997499]),
        ({"use_ema": True, "ema_overwrite_frequency": 3}, [*DERIVATIVES[:2], None], False, [0.9805, -1.9818999]),
        ({"use_ema": True}, [*DERIVATIVES[:2], None, DERIVATIVES[3]], True, [0.9804501, -1.9857099]),
        ({"gradient_accumulation_steps": 2}, [DERIVATIVES[0], None, *DERIVATIVES[2:4]], False, [1.005, -2.0150001]),
    ],
)
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_averages_and_accumulated_gradients_are_updated_as_in_keras(settings, derivatives, finalized, expected):
    # From Keras 3.15.1 on JAX.
    momentum = {"ema_momentum": 0.9} if settings.get("use_ema") else {}
    optimizer = optimizers.SGD(0.1, **settings, **momentum)
    params = [np.array([1, -2], np.float32), np.ones(1, np.float32)]
    for derivative in derivatives:
        optimizer.apply([None if derivative is None else np.array(derivative, np.float32), np.full(1, 0.5, np.float32)], params)
    if finalized:
        optimizer = pickle.loads(pickle.dumps(optimizer))
        optimizer.finalize(params)
    np.testing.assert_allclose(params[0], expected, rtol=1e-6)


def test_an_empty_batch_has_no_values():
    assert losses.MeanSquaredError(reduction="none")(np.zeros((0, 3)), np.zeros((0, 3))).shape == (0,)
    assert losses.MeanSquaredError(reduction=None)(np.zeros((0, 2, 3)), np.zeros((0, 2, 3))).shape == (0, 2)


def test_a_result_without_data_has_the_shape_of_the_thresholds():
    for made in (metrics.Recall(thresholds=[0.2, 0.6]), metrics.Precision(thresholds=[0.2, 0.6])):
        np.testing.assert_array_equal(made.result(), [0, 0])
    assert np.shape(metrics.Recall().result()) == np.shape(metrics.Recall(thresholds=[0.5]).result()) == ()


@pytest.mark.parametrize("name", ["BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy"])
def test_crossentropies_refuse_ids_where_each_class_has_a_value(name):
    predictions = np.full((3, 3), 1 / 3)
    for labels in ([0, 1, 1], [[0], [1], [1]]):
        with pytest.raises(ValueError, match="same shape"):
            getattr(losses, name)()(np.array(labels, float), predictions)
    losses.BinaryCrossentropy()([0.0, 1.0], [[0.5], [0.5]])


def test_score_applies_weights_and_refuses_missing_values():
    columns = [0.0, 1, 1, 0], [0.1, 0.8, 0.4, 0.6]
    weighed = plugfit.score(*columns, ["mse", "BinaryAccuracy"], sample_weight=[1, 0, 0, 2])
    np.testing.assert_allclose(weighed["mean_squared_error"], (0.01 + 2 * 0.36) / 3, rtol=1e-6)
    np.testing.assert_allclose(weighed["binary_accuracy"], 1 / 3, rtol=1e-6)
    for missing in ([0, 1, None, 0], np.ma.masked_array([0, 1, 1, 0], [False, False, True, False])):
        with pytest.raises(ValueError, match="y_true lacks 1 of its 4 values, the first in row 2"):
            plugfit.score(missing, columns[1], "mse")
    assert np.isnan(plugfit.score(np.array([0, np.nan]), np.array([0.5, 0.5]), "mse")["mean_squared_error"])


def test_an_error_of_an_invalid_count_contains_the_argument():
    model = plugfit.Model(["Dense(units=1)"])
    model.compile("sgd", "mse")
    x, y = np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
    for name, wrong in (("epochs", -1), ("batch_size", 0), ("batch_size", -4), ("validation_freq", 0), ("steps_per_epoch", 0)):
        with pytest.raises(ValueError, match=f"`{name}` is at least"):
            model.fit(x, y, **{name: wrong})
    with pytest.raises(TypeError, match="`epochs` is a whole number"):
        model.fit(x, y, epochs=1.5)
    with pytest.raises(ValueError, match="delta=nan"):
        losses.Huber(delta=float("nan"))


def test_a_vector_is_one_row_of_classes():
    assert metrics.CategoricalAccuracy()([0.0, 0, 1], [1.5, 1.0, 0.9]) == 0
    assert metrics.TopKCategoricalAccuracy(k=2)([1.0, 0, 0], [0.58, 0.81, 0.72]) == 0
    with pytest.raises(ValueError):
        metrics.CategoricalAccuracy().update_state([0.0, 0, 1], [1.5, 1.0, 0.9], [1.0, 2.0, 3.0])


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint64])
def test_integers_that_float32_rounds_are_exact_in_metrics(dtype):
    assert metrics.Accuracy()(np.array([2**24 + 1], dtype), np.array([2**24], dtype)) == 0
    assert metrics.MeanAbsoluteError()(np.array([10**8 + 1, 10**8 + 2], dtype), np.array([10**8] * 2, dtype)) == 1.5


def test_class_weights_are_applied_once_and_refuse_unknown_classes():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(64, 3)).astype("f"), random.integers(0, 3, 64)

    def trained(**weights):
        model = plugfit.Model(["Dense(3, activation=softmax)"], seed=1)
        model.compile("SGD", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=2, shuffle=False, **weights)
        return model.predict(x)

    by_class = trained(class_weight={0: 3.0, 2: 0.5})
    np.testing.assert_array_equal(by_class, trained(sample_weight=np.array([3.0, 1.0, 0.5], "f")[y]))
    assert not np.array_equal(by_class, trained())
    for weights, says in [({3: 1.0}, "no class \"3\""), ({0: -1.0}, "is -1"), ({0: float("nan")}, "nan"), ({"a": 1.0}, "no class \"a\"")]:
        with pytest.raises(ValueError, match=says):
            trained(class_weight=weights)
    for weights, says in [({0: 1e39}, "is 1e39"), ({0: 1e-50}, "is 1e-50")]:
        with pytest.raises(ValueError, match=says):
            trained(class_weight=weights)


def test_an_extension_module_is_skipped_in_a_folder_and_refused_as_a_file(tmp_path, recwarn):
    import shutil

    shutil.copy(plugfit._native.__file__, tmp_path / "lib_native.so")
    plugfit.load_plugins(tmp_path)
    assert not recwarn.list
    with pytest.raises(plugfit.PluginError, match="extension module of Python"):
        plugfit.load_plugins(tmp_path / "lib_native.so")


def test_an_invalid_class_id_is_refused_with_its_row():
    p = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3]], np.float32)
    for name in ("SparseCategoricalCrossentropy", "CategoricalGeneralizedCrossEntropy"):
        for bad in (3, -1, 1.5, np.nan, 2.0**40):
            with pytest.raises(ValueError, match=r"row 1 \(from 0\)"):
                losses.get(name)(np.array([0, bad]), p)
            # An id of weight 0 isn't checked.
            assert np.isfinite(losses.get(name)(np.array([0, bad]), p, np.array([1.0, 0.0], np.float32)))
    ignoring = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    assert np.isclose(ignoring(np.array([0, -1]), p), -np.log(0.7))


@pytest.mark.parametrize("name", ["mse", "huber", "binary_crossentropy", "kl_divergence", "hinge", "dice", "cosine_similarity"])
@pytest.mark.parametrize("shapes", [((3,), (3, 3)), ((3, 1), (3, 3)), ((3, 3), (3, 1)), ((1, 3), (3, 3)), ((1,), (3,)), ((), (3,))])
def test_labels_that_need_broadcasting_are_refused(name, shapes):
    with pytest.raises(ValueError):
        losses.get(name)(np.ones(shapes[0], np.float32), np.full(shapes[1], 0.5, np.float32))


@pytest.mark.parametrize("placeholder", [np.nan, np.inf, -np.inf, 3e38])
def test_the_inputs_of_a_row_of_weight_0_do_not_affect_a_model(placeholder):
    def trained(value):
        x = np.random.default_rng(0).normal(size=(40, 4)).astype("f")
        y, weight = (x.sum(1) > 0).astype("i4"), np.ones(40, "f")
        x[[3, 17, 39]], weight[[3, 17, 39]] = value, 0
        model = plugfit.Model(["Dense(8, activation=gelu)", "Dense(1, activation=sigmoid)"], seed=3)
        model.compile(optimizer="adam", loss="binary_crossentropy", weighted_metrics=["accuracy"])
        history = model.fit(x, y, sample_weight=weight, epochs=2, batch_size=8).history
        return history, model.get_weights()

    (history, weights), (expected, zeros) = trained(placeholder), trained(0)
    assert history == expected
    for name in zeros:
        np.testing.assert_array_equal(weights[name], zeros[name])


def test_values_of_weight_0_are_excluded_from_results_and_gradients():
    y, p = np.array([[1.0], [np.nan], [3.0]], np.float32), np.array([[2.0], [5.0], [5.0]], np.float32)
    for name in ("mse", "Huber", "LogCosh", "Hinge", lambda t, q: (q - t)[..., 0] ** 2):
        loss = losses.get(name)
        for arguments in ({"mask": np.array([True, False, True])}, {"sample_weight": np.array([1, 0, 1], np.float32)}):
            assert np.isfinite(loss(y, p, **arguments))
            if not callable(name):
                derivatives = loss.gradient(y, p, **arguments).ravel()
                assert np.isfinite(derivatives).all() and derivatives[1] == 0
    values = losses.MeanSquaredError(reduction="none")(y, p, np.array([1, 0, 1], np.float32))
    assert np.array_equal(values, [1, 0, 4])


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_float64_is_computed_in_float64():
    rng = np.random.default_rng(3)
    t, p = rng.uniform(0.1, 0.9, (5, 4)), rng.uniform(0.1, 0.9, (5, 4))
    one_hot, ids = np.eye(4)[[0, 3, 1, 2, 2]], np.array([0, 3, 1, 2, 2])
    signs = np.where(t > 0.5, 1.0, -1.0)
    cosine = lambda: -((t / np.linalg.norm(t, axis=-1, keepdims=True)) * (p / np.linalg.norm(p, axis=-1, keepdims=True))).sum(-1)
    expected = {
        "mse": (t, ((t - p) ** 2).mean(-1)),
        "mae": (t, np.abs(t - p).mean(-1)),
        "mape": (t, 100 * np.abs((t - p) / t).mean(-1)),
        "msle": (t, ((np.log1p(t) - np.log1p(p)) ** 2).mean(-1)),
        "huber": (t, (0.5 * (t - p) ** 2).mean(-1)),
        "LogCosh": (t, np.log(np.cosh(p - t)).mean(-1)),
        "Poisson": (t, (p - t * np.log(p + 1e-7)).mean(-1)),
        "KLDivergence": (t, (t * np.log(t / p)).sum(-1)),
        "binary_crossentropy": (t, -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(-1)),
        "Hinge": (signs, np.maximum(1 - signs * p, 0).mean(-1)),
        "SquaredHinge": (signs, (np.maximum(1 - signs * p, 0) ** 2).mean(-1)),
        "CategoricalHinge": (one_hot, np.maximum(((1 - one_hot) * p).max(-1) - (one_hot * p).sum(-1) + 1, 0)),
        "CosineSimilarity": (t, cosine()),
        "CategoricalCrossentropy": (one_hot, -np.log((p / p.sum(-1, keepdims=True))[np.arange(5), ids])),
        "SparseCategoricalCrossentropy": (ids, -np.log((p / p.sum(-1, keepdims=True))[np.arange(5), ids])),
        "CategoricalGeneralizedCrossEntropy": (ids, (1 - p[np.arange(5), ids] ** 0.5) / 0.5),
    }
    for name, (y_true, values) in expected.items():
        loss = losses.get(name, dtype="float64")
        found = loss(y_true, p)
        assert found.dtype == np.float64 and np.isclose(found, values.mean(), rtol=1e-12, atol=1e-15), (name, found, values.mean())
        derivatives = loss.gradient(y_true, p)
        assert derivatives.dtype == np.float64 and derivatives.shape == p.shape
        unreduced = losses.get({"class_name": name, "config": {"reduction": "none", "dtype": "float64"}})(y_true, p)
        assert unreduced.dtype == np.float64 and np.allclose(unreduced, values, rtol=1e-12, atol=1e-15), name
    logits = rng.normal(size=(5, 4))
    for name, y_true in (("CategoricalCrossentropy", one_hot), ("SparseCategoricalCrossentropy", ids)):
        loss = getattr(losses, name)(from_logits=True, dtype="float64")
        assert np.isclose(loss(y_true, logits), -np.log(softmax(logits)[np.arange(5), ids]).mean(), rtol=1e-12)
        assert np.allclose(loss.gradient(y_true, logits), (softmax(logits) - one_hot) / 5, rtol=1e-12, atol=1e-15)
    weight = rng.uniform(size=5)
    weighted = losses.MeanSquaredError(reduction="sum", dtype=np.float64)
    assert np.isclose(weighted(t, p, weight), (((t - p) ** 2).mean(-1) * weight).sum(), rtol=1e-14)
    assert np.allclose(weighted.gradient(t, p, weight), (p - t) / 2 * weight[:, None], rtol=1e-14)
    assert float(losses.MeanSquaredError(dtype="float64")([[1.7e9]], [[1.7e9 + 0.25]])) == 0.0625
    assert float(losses.MeanSquaredError()(np.array([[1.7e9]]), np.array([[1.7e9 + 0.25]]))) == 0.0
    function = losses.LossFunctionWrapper(lambda a, b: ((a - b) ** 2).mean(-1), dtype="float64")
    assert np.isclose(function(t, p), ((t - p) ** 2).mean(), rtol=1e-14)
    for double in (losses.MeanSquaredError(dtype="float64"), losses.get({"class_name": "mse", "config": {"dtype": "float64"}})):
        single = losses.get(double, dtype="float32")
        assert single(t, p).dtype == np.float32 and single.gradient(t, p).dtype == np.float32 and single.dtype == "float32"
        assert losses.get(single, dtype="float64").gradient(t, p).dtype == np.float64


def test_elements_of_weight_0_in_a_row_are_ignored():
    model = plugfit.Model(["Dense(1, activation=sigmoid)"])
    model.compile("sgd", "binary_crossentropy")
    x, y = np.ones((4, 2, 3), "f4"), np.ones((4, 2, 1), "f4")
    y[:, 1] = -1
    weight = np.array([[1, 0]] * 4, "f4")
    model.fit(x, y, sample_weight=weight, epochs=1)
    assert np.isfinite(model.evaluate(x, y, sample_weight=weight)["loss"])
    with pytest.raises(ValueError, match="-1 in row"):
        model.fit(x, y, sample_weight=np.ones((4, 2), "f4"), epochs=1)


def test_a_state_that_does_not_fit_leaves_seed_learning_rate_and_exclusions():
    def made():
        made = optimizers.SGD(0.1, weight_decay=0.5)
        made.exclude_from_weight_decay(var_names=["bias"])
        made.set_seed(3)
        return made

    def step(optimizer, names, shape):
        params = [np.ones(shape, "f") for _ in names]
        optimizer.apply([np.zeros(shape) for _ in names], params, names)
        return [param.tolist() for param in params]

    saved = optimizers.Adam()
    saved.apply([np.ones(2)], [np.ones(2, "f")], ["kernel"])
    optimizer = made()
    optimizer.set_state(saved.get_state())
    optimizer.learning_rate = 0.25
    with pytest.raises(ValueError, match="doesn't fit"):
        step(optimizer, ["bias"], (2,))
    assert optimizer.learning_rate == 0.25 and not optimizer._is_built
    optimizer.set_state(made().get_state())
    optimizer.learning_rate = 0.25
    # The failed build excluded a parameter of this name.
    assert step(optimizer, ["kernel", "bias"], (2,)) == [[0.875] * 2, [1.0] * 2]
    assert optimizer.learning_rate == 0.25


def test_a_failed_restore_keeps_the_seed():
    def steps(optimizer):
        param = np.ones(4, "f")
        optimizer.apply([np.ones(4)], [param], ["a"])
        return optimizer.get_state(), param.tobytes()

    saved = optimizers.SGD(momentum=0.5)
    saved.apply([np.ones(1)], [np.ones(1, "f")], ["other"])
    tried, fresh = optimizers.get("SGD"), optimizers.get("SGD")
    for optimizer in (tried, fresh):
        optimizer.set_seed(7)
    tried.set_state(saved.get_state())
    with pytest.raises(ValueError, match="doesn't fit"):
        steps(tried)
    tried.set_state(optimizers.get("SGD").get_state())
    assert steps(tried) == steps(fresh)


def test_a_learning_rate_that_is_set_after_loading_a_state_is_used():
    saved = optimizers.SGD(0.1)
    saved.learning_rate = 0.5
    saved.apply([np.ones(1)], [np.ones(1, "f")])
    optimizer, param = optimizers.SGD(0.1), np.ones(1, "f")
    optimizer.set_state(saved.get_state())
    optimizer.learning_rate = 0.25
    optimizer.apply([np.ones(1)], [param])
    assert param == 0.75 and optimizer.learning_rate == 0.25


def test_a_step_refuses_parameters_of_other_shapes_than_the_first():
    optimizer, param = optimizers.get("Muon"), np.ones((2, 3), "f")
    optimizer.apply([param * 2], [param])
    for others in ([np.ones((3, 2), "f")], [np.ones(6, "f")], [param, np.ones(1, "f")]):
        with pytest.raises(ValueError, match="built for"):
            optimizer.apply([np.ones_like(one) for one in others], others)
        with pytest.raises(ValueError, match="built for"):
            optimizer.finalize(others)


def test_an_update_alone_refuses_other_shapes_and_shared_memory():
    optimizer, update = optimizers.SGD(momentum=0.5), [[np.ones((2, 3), "f")], [np.ones((2, 3), "f")], [[np.ones((2, 3), "f")]]]
    optimizer._update(*update, 0.1, 0)
    other = np.ones((3, 2), "f")
    for place, wrong, text in ((1, [other], r"grads\[0\] has the shape"), (2, [[other]], r"slots\[0\]\[0\] has the shape")):
        with pytest.raises(ValueError, match=text):
            optimizer._update(*update[:place], wrong, *update[place + 1 :], 0.1, 0)
    with pytest.raises(ValueError, match=r"params\[0\] and slots\[0\]\[0\] share memory|slots\[0\]\[0\] and params\[0\] share memory"):
        optimizer._update(update[0], update[1], [update[0]], 0.1, 0)
