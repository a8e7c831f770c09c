"""Components give the numbers of Keras in tests/golden when called from Python."""

import fnmatch
import json
import pathlib

import numpy as np
import pytest

import plugfit

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"

# Cases whose numbers differ from Keras's; tests/tests/keras/differences.rs has the reasons.
BETTER = {
    "losses": [
        "CategoricalCrossentropy/config:axis=1/3d/smoothing",
        "CategoricalFocalCrossentropy/config:axis=1/3d/smoothing",
        "CosineSimilarity/edge/zero-vector",
        "CategoricalGeneralizedCrossEntropy/edge/zeros-ones",
        "BinaryFocalCrossentropy/edge/large-logits",
        "CategoricalFocalCrossentropy/edge/large-logits",
        "CTC/impossible*",
        "SparseCategoricalCrossentropy/edge/label-out-of-range",
    ],
    "metrics": [
        "RootMeanSquaredError/3d/mask*",
        "PearsonCorrelation/axis=0",
        "PearsonCorrelation/1d",
        "ConcordanceCorrelation/axis=0",
        "ConcordanceCorrelation/1d",
        "CosineSimilarity/axis=0",
        "R2Score/num_regressors=2*",
        "R2Score/class_aggregation=None,num_regressors=1*",
        "IoU/float-weight",
        "AUC/multi_label/thresholds",
    ],
    "optimizers": [],
}


def read(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def array(described, dtype=None):
    if described is None:
        return None
    if not isinstance(described, dict):
        return float(described)
    values = np.array([float(value) for value in described["data"]], np.float64)
    return values.astype(described["dtype"]).reshape(described["shape"])


def cases(name):
    better = BETTER[name]
    return [case for case in read(name)["cases"] if not any(fnmatch.fnmatchcase(case["id"], pattern.replace("[", "[[]")) for pattern in better)]


def near(found, expected, absolute=1e-6, relative=1e-5):
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=relative, atol=absolute)


def test_losses_and_their_gradients_equal_those_of_keras():
    failures, seen = [], cases("losses")
    for case in seen:
        try:
            loss = plugfit.losses.get(case["identifier"])
            arguments = [array(case[key]) for key in ("y_true", "y_pred", "sample_weight", "mask")]
            value = loss(*arguments)
            assert np.asarray(value).dtype == np.float32
            near(value, array(case["loss"]))
            near(loss.gradient(*arguments), array(case["gradient"]), relative=1e-4)
        except Exception as error:
            failures.append(f"{case['id']}: {str(error).strip()[:300]}")
    assert len(seen) > 780
    assert not failures, "\n".join(failures)


def outcome(value):
    return array(value) if isinstance(value, dict) else float(value)


def update(metric, batch):
    if batch.get("values") is not None:
        metric.update_state(array(batch["values"]), array(batch["sample_weight"]), mask=array(batch.get("mask")))
    else:
        metric.update_state(*(array(batch.get(key)) for key in ("y_true", "y_pred", "sample_weight", "mask")))


def test_metrics_equal_those_of_keras_after_every_batch_a_reset_and_a_merge():
    failures, seen = [], cases("metrics")
    for case in seen:
        try:
            if case["identifier"]["class_name"] == "MeanMetricWrapper":
                continue
            metric = plugfit.metrics.get(case["identifier"])
            for batch, expected in zip(case["batches"], case["results"]):
                update(metric, batch)
                near(metric.result(), outcome(expected))
            metric.reset_state()
            assert np.all((np.asarray(metric.result()) == 0) | np.isnan(metric.result()))
            update(metric, case["batches"][-1])
            near(metric.result(), outcome(case["after_reset_then_last_batch"]))
            if case.get("merged"):
                one, other = (plugfit.metrics.get(case["identifier"]) for _ in range(2))
                for metric, key in ((one, "first"), (other, "second")):
                    for index in case["merged"][key]:
                        update(metric, case["batches"][index])
                one.merge_state([other])
                near(one.result(), outcome(case["merged"]["result"]))
        except Exception as error:
            failures.append(f"{case['id']}: {type(error).__name__} {str(error).strip()[:300]}")
    assert len(seen) > 540
    assert not failures, "\n".join(failures)


TOLERANCE = {"Muon": (1e-4, 1e-4), "Adafactor": (1e-5, 1e-4), "Nadam": (1e-5, 1e-4), "Ftrl": (1e-5, 1e-4)}


def test_optimizer_steps_equal_those_of_keras():
    failures, seen = [], cases("optimizers")
    for case in seen:
        try:
            optimizer = plugfit.optimizers.get(case["identifier"])
            params = [array(param["value"]) for param in case["params"]]
            words = (case.get("exclude_from_weight_decay") or {}).get("var_names")
            if words:
                optimizer.exclude_from_weight_decay(var_names=words)
            absolute, relative = TOLERANCE.get(case["identifier"]["class_name"], (1e-5, 1e-5))
            names = [param["path"] for param in case["params"]]
            for step, gradients in enumerate(case["gradients"]):
                optimizer.apply([array(gradient) for gradient in gradients], params, names)
                for param, expected in zip(params, case["params_after"][step]):
                    near(param, array(expected), absolute, relative)
                # A step that LossScaleOptimizer skips because its gradients aren't finite counts as a step.
                if case["identifier"]["class_name"] != "LossScaleOptimizer":
                    assert optimizer.iterations == case["iterations_after"][step]
            if case.get("params_finalized"):
                optimizer.finalize(params)
                for param, expected in zip(params, case["params_finalized"]):
                    near(param, array(expected), absolute, relative)
        except Exception as error:
            failures.append(f"{case['id']}: {type(error).__name__} {str(error).strip()[:300]}")
    assert len(seen) > 100
    assert not failures, "\n".join(failures)


def test_schedules_equal_those_of_keras():
    for case in read("schedules")["cases"]:
        schedule = plugfit.schedules.get(case["identifier"])
        rates = np.array([schedule(step) for step in case["steps"]])
        off = set(case.get("off_in_float32", []))
        keep = [index for index, step in enumerate(case["steps"]) if step not in off]
        scale = abs(float(case["values"][0])) or 1.0
        np.testing.assert_allclose(rates[keep], np.array(case["values"], float)[keep], atol=1e-5 * scale, err_msg=case["id"])


MODULES = {"loss": plugfit.losses, "metric": plugfit.metrics, "optimizer": plugfit.optimizers, "schedule": plugfit.schedules}

def test_default_configurations_have_keras_keys_and_values():
    for case in read("identifiers")["defaults"]:
        if "config" not in case or case["class_name"] in ("Loss", "Metric"):
            continue
        made = getattr(MODULES[case["kind"]], case["class_name"])(**case["required_args_used"])
        config = made.get_config()
        assert config == case["config"], case["class_name"]
        again = type(made).from_config(config)
        assert again.get_config() == config


def test_identifiers_that_keras_resolves_are_resolved():
    for case in read("identifiers")["resolved"]:
        if case["identifier"] in ("Loss", "Metric", "metric"):
            continue  # the abstract classes
        made = MODULES[case["kind"]].get(case["identifier"])
        assert (made is None) == (case["identifier"] is None), case


@pytest.mark.parametrize("kind", MODULES)
def test_identifiers_that_keras_refuses_are_refused_with_listed_exceptions(kind):
    # Documented differences: names of Keras's own objects that Keras refuses, and integers.
    names = {"huber_loss", "huber", "fbeta_score", "logcosh", "kld", "KLD", "Lamb", "lamb", "adam_w", "MSE"}
    for case in read("identifiers")["refused"]:
        identifier = case["identifier"]
        name = identifier.get("class_name") if isinstance(identifier, dict) else identifier
        name = str(name)
        taken = name in names or "generalized" in name.lower() or name in ("SGD", "Adam", "function")
        if case["kind"] == kind and not taken:
            with pytest.raises((ValueError, TypeError)):
                MODULES[kind].get(identifier)
