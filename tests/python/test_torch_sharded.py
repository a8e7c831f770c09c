"""Optimizers of ``plugfit.torch`` with parameters of which each rank has a part: DTensors, such as those of FSDP2."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch isn't installed")

from plugfit import torch as adapter  # noqa: E402


def parameters():
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 2), (4,))]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    distributed = pytest.importorskip("torch.distributed.tensor", reason="torch.distributed isn't available")
    store = tmp_path_factory.mktemp("mesh") / "store"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def sharded(mesh):
    from torch.distributed.tensor import Shard, distribute_tensor

    return [torch.nn.Parameter(distribute_tensor(param.detach(), mesh, [Shard(0)])) for param in parameters()]


def test_distributed_parameters_are_updated_by_the_formula(mesh):
    from torch.distributed.tensor import DTensor, Shard, distribute_tensor

    params, settings = sharded(mesh), {"global_clipnorm": 0.5, "weight_decay": 0.1}
    optimizer, expected = adapter.optimizer(params, "Adam", **settings), adapter.optimizer(parameters(), "Adam", **settings)
    for number in range(3):
        generator = torch.Generator().manual_seed(number)
        for param, other in zip(params, expected.param_groups[0]["params"]):
            other.grad = torch.randn(other.shape, generator=generator)
            param.grad = distribute_tensor(other.grad, mesh, [Shard(0)])
        optimizer.step()
        expected.step()
    for param, other in zip(params, expected.param_groups[0]["params"]):
        np.testing.assert_allclose(param.full_tensor().detach(), other.detach(), rtol=1e-5, atol=1e-6)
    assert isinstance(optimizer.state[params[0]]["momentum"], DTensor)


def test_fully_sharded_modules_are_trained_and_saved(mesh):
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
    from torch.distributed.fsdp import fully_shard

    model = fully_shard(torch.nn.Linear(4, 2), mesh=mesh)
    optimizer = adapter.optimizer(model.parameters(), "Adam", lr=0.1)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        # The initial weights are random, and far from this result.
        loss = (model(torch.ones(3, 4)) - 10).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    saved = get_optimizer_state_dict(model, optimizer)
    again = adapter.optimizer(model.parameters(), "Adam", lr=0.1)
    set_optimizer_state_dict(model, again, saved)
    weight = model.weight
    assert again.state[weight]["step"] == 5
    assert (again.state[weight]["velocity"].full_tensor() == optimizer.state[weight]["velocity"].full_tensor()).all()


def test_an_optimizer_of_matrices_refuses_distributed_parameters(mesh):
    optimizer = adapter.optimizer(sharded(mesh), "Muon")
    for param in optimizer.param_groups[0]["params"]:
        param.grad = torch.zeros_like(param)
    with pytest.raises(ValueError, match="needs whole matrices"):
        optimizer.step()
