"""Components for PyTorch: differentiable losses, ``torch.optim`` optimizers, and metrics with torchmetrics' interface.

A loss with a formula has all derivatives with respect to ``y_pred``, and works in ``torch.compile`` and ``torch.func`` and
on every device. The others have a first derivative, and are computed on the CPU; with a reduction they are operators of
PyTorch, so that ``torch.compile`` and ``torch.export`` keep them in one graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from .._config import with_settings
from ._loss import Criterion, Loss
from ._metric import Metric
from ._optimizer import Optimizer

__all__ = ["Criterion", "Loss", "Metric", "Optimizer", "loss", "metric", "optimizer"]

for _made in (Criterion, Loss, Metric, Optimizer):
    _made.__module__ = __name__


def loss(identifier: Any, *, engine=None, **settings: Any) -> Criterion:
    """Returns the loss for an identifier as a module with arguments in PyTorch's order: ``criterion(y_pred, y_true,
    sample_weight=None, mask=None)``. A name may have settings: ``loss("Huber", delta=2.0)``. Further inputs of a plug-in's
    loss are given by name. :class:`Loss` describes ``engine``.

    Raises ValueError if ``engine`` is ``"formula"`` and the loss has no formula.
    """
    return Criterion(with_settings(identifier, settings), engine)


def metric(identifier: Any, *, engine=None, sync_on_compute=True, **settings: Any) -> Metric:
    """Returns the metric for an identifier. A name may have settings: ``metric("AUC", curve="PR")``. :class:`Metric`
    describes ``engine`` and ``sync_on_compute``.

    Raises ValueError if ``engine`` is ``"formula"`` and the metric has no formula.
    """
    return Metric(with_settings(identifier, settings), engine, sync_on_compute)


def optimizer(params: Iterable[Any], identifier: Any, exclude_from_weight_decay: Iterable[str] = (), **settings: Any) -> Optimizer:
    """Returns the optimizer for an identifier, for parameters or named parameters. A name may have settings:
    ``optimizer(params, "AdamW", learning_rate=3e-4)``. PyTorch's names are known too: ``lr``, ``betas``, ``eps`` and
    ``foreach``.

    ``params`` may also be param groups with settings of their own: ``[{"params": biases, "weight_decay": 0.0}, ...]``.

    Raises ValueError if a setting is invalid, or is given under two names, or if ``exclude_from_weight_decay`` is given and
    the parameters have no names."""
    return Optimizer(params, identifier, exclude_from_weight_decay, **settings)
