"""Optimizers of ``plugfit.torch`` are what PyTorch's users expect of ``torch.optim.Optimizer``."""

import copy
import io
import pickle

import numpy as np
import pytest

import plugfit

torch = pytest.importorskip("torch", reason="PyTorch isn't installed")

from plugfit import torch as adapter  # noqa: E402

ELEMENTWISE = ["Adam", "Lion", "Ftrl", "Nadam", "Adamax"]


def parameters(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in ((3, 2), (4,))]


def give_gradients(params, step=0):
    generator = torch.Generator().manual_seed(step)
    for param in params:
        param.grad = torch.randn(param.shape, generator=generator).to(param.dtype)


def trained(optimizer, steps=5, start=0, step=None):
    params = [param for group in optimizer.param_groups for param in group["params"]]
    for number in range(start, start + steps):
        give_gradients(params, number)
        (step or optimizer.step)()
    return [param.detach().double().clone() for param in params]


def assert_close(found, expected, rtol=1e-5, atol=1e-6):
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


SETTINGS = [
    {},
    {"weight_decay": 0.1, "clipnorm": 0.5},
    {"clipvalue": 0.1},
    {"global_clipnorm": 0.5},
    {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
    {"gradient_accumulation_steps": 2, "loss_scale_factor": 4.0},
    {"learning_rate": plugfit.schedules.CosineDecay(0.1, 10)},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings) or "default")
def test_the_formula_computes_the_steps_of_the_plugin(settings):
    single, double = (adapter.optimizer(parameters(dtype), "Adam", **settings) for dtype in (torch.float32, torch.float64))
    assert_close(trained(single), trained(double))
    assert single._moved and not double._moved


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_step_is_compiled_to_one_graph(name):
    torch._dynamo.reset()
    eager, compiled = (adapter.optimizer(parameters(), name, weight_decay=0.1) for _ in range(2))
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    found = trained(compiled, step=torch.compile(compiled.step, fullgraph=True, backend="aot_eager"))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before + 1
    assert_close(found, trained(eager))


def test_eager_and_compiled_steps_continue_each_other():
    torch._dynamo.reset()
    eager, mixed = (adapter.optimizer(parameters(), "Adam") for _ in range(2))
    compiled = torch.compile(mixed.step, backend="aot_eager")
    trained(mixed, 2)
    trained(mixed, 2, 2, compiled)
    assert_close(trained(mixed, 2, 4), trained(eager, 6))


def test_a_group_has_settings_of_its_own():
    one, other = parameters()
    groups = [{"params": [one]}, {"params": [other], "weight_decay": 0.0, "learning_rate": 0.5}]
    optimizer = adapter.optimizer(groups, "SGD", lr=0.1, weight_decay=0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(0.1), 0.5]
    before = [param.detach().clone() for param in (one, other)]
    for param in (one, other):
        param.grad = torch.zeros_like(param)
    optimizer.step()
    np.testing.assert_allclose(one.detach(), before[0] * 0.95, rtol=1e-6)
    assert (other == before[1]).all()
    # A setting can change between the steps.
    optimizer.param_groups[1]["weight_decay"] = 1.0
    optimizer.step()
    np.testing.assert_allclose(other.detach(), before[1] * 0.5, rtol=1e-6)


def test_a_changed_setting_keeps_the_state():
    double, single = (adapter.optimizer(parameters(dtype), "Adam") for dtype in (torch.float64, torch.float32))
    for optimizer in (double, single):
        trained(optimizer, 2)
        optimizer.param_groups[0]["betas"] = (0.5, 0.9)
    assert_close(trained(single, 2, 2), trained(double, 2, 2))


def test_settings_have_pytorchs_names():
    optimizer = adapter.optimizer([{"params": parameters(), "betas": (0.8, 0.9), "eps": 1e-4}], "AdamW")
    (group,) = optimizer.param_groups
    assert group["betas"] == (0.8, 0.9) and group["epsilon"] == 1e-4 and group["weight_decay"] == 0.004
    assert adapter.optimizer(parameters(), "Adam", beta_1=0.5).param_groups[0]["betas"] == (0.5, 0.999)


@pytest.mark.parametrize("setting", [{"maximize": True}, {"momentum": 0.9}, {"weight_decy": 0.1}])
def test_a_setting_that_the_optimizer_lacks_is_refused(setting):
    with pytest.raises(ValueError, match="which this optimizer doesn't have; it has lr, "):
        adapter.optimizer([{"params": parameters(), **setting}], "Adam")
    with pytest.raises(ValueError, match="weight_decay"):
        adapter.optimizer([{"params": parameters(), "weight_decay": -1.0}], "Adam")
    assert adapter.optimizer([{"params": parameters(), "layer": 3}], "Adam").param_groups[0]["layer"] == 3


def test_a_group_can_be_added_later():
    one, other = parameters()
    optimizer = adapter.optimizer([("one", one)], "Adam", exclude_from_weight_decay="^other$", weight_decay=0.5)
    trained(optimizer, 2)
    optimizer.add_param_group({"params": [("other", other)], "lr": 0.25})
    before = other.detach().clone()
    one.grad, other.grad = torch.zeros_like(one), torch.zeros_like(other)
    optimizer.step()
    assert (other == before).all()
    assert optimizer.state[one]["step"] == 3 and optimizer.state[other]["step"] == 1


def test_a_parameter_without_a_gradient_stays_and_has_no_state():
    params = parameters()
    for optimizer in (adapter.optimizer(params, "Adam"), adapter.optimizer(parameters(torch.float64), "Adam")):
        one, other = optimizer.param_groups[0]["params"]
        before = other.detach().clone()
        one.grad = torch.ones_like(one)
        optimizer.step()
        assert (other == before).all() and set(optimizer.state) == {one}
        # It joins later, in the count of the group.
        other.grad = torch.ones_like(other)
        optimizer.step()
        assert (other != before).all() and optimizer.state[other]["step"] == 2


def test_clipping_by_the_global_norm_sees_all_groups():
    together = adapter.optimizer(parameters(), "SGD", global_clipnorm=0.5)
    apart = adapter.optimizer([{"params": [param]} for param in parameters()], "SGD", global_clipnorm=0.5)
    assert_close(trained(together), trained(apart))


@pytest.mark.parametrize("name", ["Adam", "Muon", "Lamb"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_state_dict_has_tensors_and_continues_bit_for_bit(name, dtype):
    optimizer = adapter.optimizer(parameters(dtype), name)
    trained(optimizer, 3)
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    saved = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    state = saved["state"][0]
    assert all(isinstance(value, torch.Tensor) for value in state.values()) and state["step"] == 3
    assert any(value.shape == (3, 2) and value.dtype == torch.float32 for value in state.values())
    again = adapter.optimizer(parameters(dtype), name)
    with torch.no_grad():
        for param, other in zip(again.param_groups[0]["params"], optimizer.param_groups[0]["params"]):
            param.copy_(other)
    again.load_state_dict(saved)
    for one, other in zip(trained(optimizer, 3, 3), trained(again, 3, 3)):
        assert (one == other).all()
    # The loaded dict isn't the optimizer's state.
    assert saved["state"][0]["step"] == 3


def test_old_state_dicts_load():
    (one, other), (again, rest) = parameters(), parameters()
    optimizer = plugfit.optimizers.Adam(0.5)
    for _ in range(2):
        optimizer.apply([torch.ones_like(one), torch.ones_like(other)], [one, other], ["one", "other"])
    bytes_of_state = torch.frombuffer(bytearray(optimizer.get_state()), dtype=torch.uint8)
    old = {"state": {}, "param_groups": [{"lr": 0.5, "params": [0, 1]}], "plugfit": bytes_of_state}
    loaded = adapter.optimizer([("one", again), ("other", rest)], "Adam")
    loaded.load_state_dict(old)
    with torch.no_grad():
        again.copy_(one), rest.copy_(other)
    again.grad, rest.grad = torch.ones_like(again), torch.ones_like(rest)
    loaded.step()
    optimizer.apply([torch.ones_like(one), torch.ones_like(other)], [one, other])
    assert (again == one).all() and (rest == other).all()


def test_the_state_is_copied_and_pickled():
    optimizer = adapter.optimizer(parameters(), "Adam")
    trained(optimizer, 2)
    copies = copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))
    expected = trained(optimizer, 2, 2)
    for each in copies:
        assert all((one == other).all() for one, other in zip(trained(each, 2, 2), expected))


def test_a_changed_state_is_used():
    optimizer = adapter.optimizer(parameters(), "SGD", momentum=0.9, lr=1.0)
    trained(optimizer, 1)
    params = optimizer.param_groups[0]["params"]
    before = params[0].detach().clone()
    (name,) = set(optimizer.state[params[0]]) - {"step"}
    for param in params:
        optimizer.state[param][name].zero_()
        param.grad = torch.zeros_like(param)
    optimizer.step()
    assert (params[0] == before).all()


def test_low_precision_has_copies_in_float32():
    half = adapter.optimizer(parameters(torch.bfloat16), "SGD", lr=1e-4)
    (param, _) = half.param_groups[0]["params"]
    start = param.detach().clone()
    for _ in range(200):
        param.grad = torch.ones_like(param)
        half.step()
    # bfloat16 alone would round each step away.
    np.testing.assert_allclose(half.state[param]["master"], start.float() - 200e-4, rtol=1e-4, atol=1e-5)
    assert (param == half.state[param]["master"].bfloat16()).all()
    # A parameter that was changed elsewhere has a new copy.
    with torch.no_grad():
        param.fill_(5.0)
    half.step()
    assert (half.state[param]["master"] == np.float32(5 - 1e-4)).all()


def scheduler_of(name, optimizer):
    schedulers = torch.optim.lr_scheduler
    return {
        "OneCycleLR": lambda: schedulers.OneCycleLR(optimizer, 0.1, total_steps=8),
        "CyclicLR": lambda: schedulers.CyclicLR(optimizer, 0.01, 0.1, 2),
        "CosineAnnealingWarmRestarts": lambda: schedulers.CosineAnnealingWarmRestarts(optimizer, 3),
        "ReduceLROnPlateau": lambda: schedulers.ReduceLROnPlateau(optimizer, patience=0),
        "SequentialLR": lambda: schedulers.SequentialLR(optimizer, [schedulers.LinearLR(optimizer), schedulers.ExponentialLR(optimizer, 0.5)], [2]),
    }[name]()


@pytest.mark.parametrize("name", ["OneCycleLR", "CyclicLR", "CosineAnnealingWarmRestarts", "ReduceLROnPlateau", "SequentialLR"])
def test_schedulers_of_pytorch_move_rate_and_momentum(name):
    def curve(optimizer):
        scheduler, found = scheduler_of(name, optimizer), []
        for number in range(7):
            found.extend(trained(optimizer, 1, number))
            scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
        return found

    theirs = torch.optim.Adam(parameters(), lr=0.01, eps=1e-7)
    assert_close(curve(adapter.optimizer(parameters(), "Adam", lr=0.01)), curve(theirs), rtol=1e-4, atol=1e-5)


def test_a_tensor_is_a_learning_rate():
    rate = torch.tensor(0.5)
    for dtype in (torch.float32, torch.float64):
        optimizer = adapter.optimizer([{"params": parameters(dtype), "lr": rate}], "SGD")
        start = optimizer.param_groups[0]["params"][0].detach().clone()
        assert_close(trained(optimizer, 1)[:1], [start.double() - 0.5 * optimizer.param_groups[0]["params"][0].grad.double()])


def test_a_rate_that_comes_from_a_schedule_is_not_changed_from_outside():
    optimizer = adapter.optimizer(parameters(), "SGD", learning_rate=plugfit.schedules.CosineDecay(0.1, 10))
    trained(optimizer, 2)
    assert optimizer.param_groups[0]["lr"] < 0.1
    optimizer.param_groups[0]["lr"] = 0.01
    with pytest.raises(ValueError, match="comes from its schedule"):
        trained(optimizer, 1)


def test_closures_hooks_and_zero_grad_are_those_of_pytorch():
    optimizer, calls = adapter.optimizer(parameters(), "SGD"), []
    params = optimizer.param_groups[0]["params"]
    optimizer.register_step_pre_hook(lambda *_: calls.append("pre"))
    optimizer.register_step_post_hook(lambda *_: calls.append("post"))

    def closure():
        optimizer.zero_grad()
        loss = sum((param**2).sum() for param in params)
        loss.backward()
        return loss

    first, second = optimizer.step(closure), optimizer.step(closure)
    assert second < first and calls == ["pre", "post"] * 2
    optimizer.zero_grad()
    assert all(param.grad is None for param in params)


def test_a_gradient_scaler_skips_infinite_gradients():
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    optimizer = adapter.optimizer(parameters(), "SGD", lr=1.0)
    (param, _) = optimizer.param_groups[0]["params"]
    start = param.detach().clone()
    scaler.scale((param * 1.0).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    np.testing.assert_allclose(param.detach(), start - 1, rtol=1e-6)
    param.grad.fill_(float("inf"))
    scaler.step(optimizer)
    assert torch.isfinite(param).all()


def test_what_the_plugin_cannot_update_is_refused():
    for dtype, given in ((torch.float64, "Muon"), (torch.float64, "Lamb")):
        with pytest.raises(ValueError, match="has no formula.*float64.*AdamW"):
            trained(adapter.optimizer(parameters(dtype), given), 1)
    with pytest.raises(ValueError, match="clip_grad_norm_"):
        trained(adapter.optimizer([{"params": [param]} for param in parameters()], "Lamb", global_clipnorm=1.0), 1)
    sparse = adapter.optimizer(parameters(), "SGD")
    param = sparse.param_groups[0]["params"][0]
    param.grad = torch.zeros_like(param).to_sparse()
    with pytest.raises(ValueError, match="dense"):
        sparse.step()


def test_finalize_evaluates_at_the_averages():
    found = []
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        optimizer = adapter.optimizer(parameters(dtype), "SGD", use_ema=True, ema_momentum=0.5, lr=0.5)
        trained(optimizer, 3)
        optimizer.finalize()
        param = optimizer.param_groups[0]["params"][0]
        assert (param == optimizer.state[param]["ema"].to(dtype)).all()
        found.append(param.detach().double())
    assert_close(found[:1], found[1:2])
    free = adapter.optimizer(parameters(), "ScheduleFreeAdamW")
    before = trained(free, 3)
    free.finalize()
    assert (free.param_groups[0]["params"][0] != before[0]).any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("foreach", [True, False])
def test_a_gpu_computes_the_step_without_the_host(foreach):
    params = [torch.nn.Parameter(param.detach().cuda()) for param in parameters()]
    optimizer, expected = adapter.optimizer([{"params": params, "foreach": foreach}], "AdamW"), adapter.optimizer(parameters(), "AdamW")
    for number in range(3):
        give_gradients(expected.param_groups[0]["params"], number)
        for param, other in zip(params, expected.param_groups[0]["params"]):
            param.grad = other.grad.cuda()
        torch.cuda.set_sync_debug_mode("error")
        optimizer.step()
        torch.cuda.set_sync_debug_mode("default")
        expected.step()
    assert_close([param.detach().cpu() for param in params], [param.detach() for param in expected.param_groups[0]["params"]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finalize_follows_a_changed_setting(dtype):
    optimizer = adapter.optimizer(parameters(dtype), "Adam", lr=0.1, use_ema=True, ema_momentum=0.5)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=8)
    for number in range(5):
        trained(optimizer, 1, number)
        scheduler.step()
    params = optimizer.param_groups[0]["params"]
    averages = [optimizer.state[param]["ema"].clone() for param in params]
    trained(optimizer, 0)
    optimizer.finalize()
    assert all((param == average).all() for param, average in zip(params, averages))


@pytest.mark.parametrize("changes", [{"momentum": 0.9}, {"use_ema": True}, {"gradient_accumulation_steps": 2}, {"nesterov": True}], ids=str)
def test_a_changed_setting_may_change_the_slots(changes):
    curves = []
    for dtype in (torch.float32, torch.float64):
        optimizer = adapter.optimizer(parameters(dtype), "SGD", lr=0.1)
        trained(optimizer, 2)
        before = {key: optimizer.param_groups[0][key] for key in changes}
        optimizer.param_groups[0].update(changes)
        curve = trained(optimizer, 2, 2)
        optimizer.param_groups[0].update(before)
        curves.append([*curve, *trained(optimizer, 2, 4)])
        assert optimizer.state[optimizer.param_groups[0]["params"][0]]["step"] == 6
    assert_close(*curves)


def test_a_changed_setting_keeps_the_plugins_state(monkeypatch):
    optimizer, expected = (adapter.optimizer(parameters(), "Adam") for _ in range(2))
    trained(optimizer, 1), trained(expected, 1)
    monkeypatch.setattr(optimizer, "_take_state", None)
    for number in range(1, 4):
        optimizer.param_groups[0]["betas"] = expected.param_groups[0]["betas"] = (0.9 - number / 10, 0.99)
        expected.state  # moves the state to tensors
        assert_close(trained(optimizer, 1, number), trained(expected, 1, number), 0, 0)
    monkeypatch.undo()
    for param, other in zip(optimizer.param_groups[0]["params"], expected.param_groups[0]["params"]):
        for name, value in expected.state[other].items():
            assert (optimizer.state[param][name] == value).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_learning_rate_is_kept_as_it_is_given(dtype):
    for settings in ({"lr": 0.1}, {"learning_rate": 0.1}, {"lr": np.float64(0.1)}):
        assert adapter.optimizer(parameters(dtype), "SGD", **settings).param_groups[0]["lr"] == 0.1
    assert adapter.optimizer(parameters(dtype), {"class_name": "SGD", "config": {"learning_rate": 0.1}}).param_groups[0]["lr"] == 0.1
    param = torch.nn.Parameter(torch.zeros(2, dtype=dtype))
    optimizer = adapter.optimizer([param], "SGD", lr=0.1)
    param.grad = torch.ones_like(param)
    optimizer.step()
    assert (param == -torch.tensor(0.1, dtype=dtype)).all()
    rate = torch.tensor(0.1)
    optimizer = adapter.optimizer(parameters(dtype), "SGD", lr=rate)
    assert optimizer.param_groups[0]["lr"] is rate and optimizer.defaults["lr"] is rate


def test_arguments_have_pytorchs_names():
    optimizer = adapter.optimizer(parameters(), "AdamW", lr=0.1, betas=(0.8, 0.9), eps=1e-4, foreach=True, differentiable=False)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["betas"], group["epsilon"], group["foreach"]) == (0.1, (0.8, 0.9), 1e-4, True)
    same = adapter.Optimizer(parameters(), "AdamW", lr=0.1, betas=(0.8, 0.9), eps=1e-4)
    assert_close(trained(optimizer), trained(same))


@pytest.mark.parametrize("settings", [{"lr": 0.1, "learning_rate": 0.2}, {"eps": 0.1, "epsilon": 0.1}, {"betas": (0.1, 0.2), "beta_2": 0.1}], ids=str)
def test_two_names_of_a_setting_are_refused(settings):
    with pytest.raises(ValueError, match="are the same setting"):
        adapter.optimizer(parameters(), "Adam", **settings)
    with pytest.raises(ValueError, match="are the same setting"):
        adapter.optimizer([{"params": parameters(), **settings}], "Adam")


def test_exclusions_need_names():
    with pytest.raises(ValueError, match=r"exclude_from_weight_decay selects parameters by name.*named_parameters\(\)"):
        adapter.optimizer(parameters(), "Adam", exclude_from_weight_decay="bias")
    with pytest.raises(ValueError, match="exclude_layers"):
        adapter.optimizer(parameters(), "Muon", exclude_layers=["head"])
    names = plugfit.optimizers.OptimizerMap("Adam", {"head.*": "SGD"})
    with pytest.raises(ValueError, match="optimizer_map"):
        adapter.optimizer(parameters(), plugfit.optimizers.MultiOptimizer(names))
    optimizer = adapter.optimizer([("weight", parameters()[0])], "Adam", exclude_from_weight_decay="bias")
    with pytest.raises(ValueError, match="exclude_from_weight_decay"):
        optimizer.add_param_group({"params": parameters()[1:]})
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": iter([("bias", parameters()[1])])})
    assert len(optimizer.param_groups) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf"), torch.tensor(-1.0)], ids=str)
def test_an_invalid_learning_rate_is_refused(dtype, rate):
    optimizer = adapter.optimizer(parameters(dtype), "SGD", lr=0.1)
    before = trained(optimizer, 1)
    optimizer.param_groups[0]["lr"] = rate
    with pytest.raises(ValueError, match="can't be a learning rate"):
        trained(optimizer, 1)
    assert_close(trained(optimizer, 0), before)


@pytest.mark.parametrize("settings", [{}, {"gradient_accumulation_steps": 2}], ids=str)
def test_the_rate_of_a_schedule_is_shown_by_every_engine(settings):
    schedule = plugfit.schedules.CosineDecay(0.1, 10)
    single, double = (adapter.optimizer(parameters(dtype), "SGD", learning_rate=schedule, **settings) for dtype in (torch.float32, torch.float64))
    for number in range(4):
        assert_close(trained(single, 1, number), trained(double, 1, number))
        assert single.param_groups[0]["lr"] == pytest.approx(double.param_groups[0]["lr"], rel=1e-6)
        assert isinstance(double.param_groups[0]["lr"], float)
    assert single.param_groups[0]["lr"] < 0.1
    double.param_groups[0]["lr"] = 0.5
    with pytest.raises(ValueError, match="comes from its schedule"):
        trained(double, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rate", [0.1, plugfit.schedules.CosineDecay(0.1, 10)], ids=["number", "schedule"])
def test_a_distributed_checkpoint_creates_the_state(dtype, rate):
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    def made():
        model = torch.nn.Linear(3, 2).to(dtype)
        torch.nn.init.ones_(model.weight), torch.nn.init.ones_(model.bias)
        return model, adapter.optimizer(model.parameters(), "AdamW", learning_rate=rate, weight_decay=0.5)

    model, optimizer = made()
    before = [param.detach().clone() for param in model.parameters()]
    empty = get_optimizer_state_dict(model, optimizer)
    # The step that creates the state changes no parameter.
    assert all((param == other).all() for param, other in zip(model.parameters(), before)) and len(empty["state"]) == 2
    trained(optimizer, 3)
    saved = get_optimizer_state_dict(model, optimizer)
    again, restored = made()
    set_optimizer_state_dict(again, restored, saved)
    again.load_state_dict(model.state_dict())
    assert_close(trained(restored, 2, 3), trained(optimizer, 2, 3), 0, 0)


def test_a_state_is_restored_in_the_dtype_of_the_model():
    for name in ("Adam", "SGD"):
        single = adapter.optimizer(parameters(), name, use_ema=True)
        trained(single, 2)
        for dtype in (torch.float64, torch.bfloat16):
            other = adapter.optimizer(parameters(dtype), name)
            other.load_state_dict(single.state_dict())
            expected = torch.float64 if dtype == torch.float64 else torch.float32
            assert {value.dtype for state in other.state.values() for slot, value in state.items() if slot != "step"} == {expected}
            trained(other, 1)
            back = adapter.optimizer(parameters(), name)
            back.load_state_dict(other.state_dict())
            assert {value.dtype for state in back.state.values() for value in state.values()} == {torch.float32}
            assert not any("master" in state for state in back.state.values())
            trained(back, 1)


@pytest.mark.parametrize("name", ["Adam", "Muon", "Nadam"])
def test_a_state_of_another_shape_is_refused(name):
    saved = adapter.optimizer([torch.nn.Parameter(torch.ones(2, 3))], name)
    trained(saved, 1)
    other = adapter.optimizer([("weight", torch.nn.Parameter(torch.ones(3, 2)))], name)
    with pytest.raises(ValueError, match=r"of weight has the shape \[2, 3\], and the parameter \[3, 2\]"):
        other.load_state_dict(saved.state_dict())
    # The optimizer is as it was.
    assert not other.state
    trained(other, 1)


def test_the_state_of_another_optimizer_is_refused():
    saved = adapter.optimizer(parameters(), "Adam")
    trained(saved, 1)
    with pytest.raises(ValueError, match="another optimizer's state: that of Adam, and this optimizer is Nadam"):
        adapter.optimizer(parameters(), "Nadam").load_state_dict(saved.state_dict())
    # Older states have no name.
    state = saved.state_dict()
    for group in state["param_groups"]:
        del group["class_name"]
    adapter.optimizer(parameters(), "Adam").load_state_dict(state)
    # A group of another optimizer may be given.
    reused = adapter.optimizer(adapter.optimizer(parameters(), "Adam", weight_decay=0.1).param_groups, "AdamW")
    assert reused.param_groups[0]["class_name"] == "AdamW"


def test_a_group_of_a_schedule_can_be_given_to_another_optimizer():
    optimizer = adapter.optimizer(parameters(), "SGD", learning_rate=plugfit.schedules.CosineDecay(0.1, 10))
    again = adapter.optimizer(optimizer.param_groups, "SGD")
    assert again.param_groups[0]["schedule"] == optimizer.param_groups[0]["schedule"] is not None
    trained(again, 2)
    assert again.param_groups[0]["lr"] < 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("setting", [{"eps": 100.0}, {"maximize": True}, {"beta_1": 0.5}, {"learning_rate": 1.0}, {"differentiable": True}], ids=str)
def test_a_setting_that_is_added_later_is_not_ignored(dtype, setting):
    optimizer = adapter.optimizer(parameters(dtype), "Adam")
    trained(optimizer, 1)
    optimizer.param_groups[0]["of_the_user"] = 1
    trained(optimizer, 1)
    optimizer.param_groups[0].update(setting)
    with pytest.raises(ValueError, match=next(iter(setting))):
        trained(optimizer, 1)


@pytest.mark.parametrize("setting", [{"differentiable": True}, {"learning_rat": 1.0}], ids=str)
def test_a_setting_of_a_group_is_not_ignored(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        adapter.optimizer([{"params": parameters(), **setting}], "Adam")


def test_a_sparse_gradient_is_refused_with_the_setting_that_avoids_it():
    embedding = torch.nn.Embedding(3, 2, sparse=True)
    optimizer = adapter.optimizer(embedding.parameters(), "SGD")
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="sparse=False"):
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("name", ["SGD", "Muon"])
def test_every_low_precision_has_a_copy_in_float32(dtype, name):
    optimizer = adapter.optimizer(parameters(dtype), name, lr=0.25)
    params = optimizer.param_groups[0]["params"]
    before = [param.detach().float() for param in params]
    for param in params:
        param.grad = torch.ones_like(param, dtype=torch.float32).to(dtype)
    optimizer.step()
    for param, start in zip(params, before):
        assert param.dtype == dtype and optimizer.state[param]["master"].dtype == torch.float32
        assert (optimizer.state[param]["master"] < start).all() and (param == optimizer.state[param]["master"].to(dtype)).all()
