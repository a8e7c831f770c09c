"""Components as Keras's own classes: ``model.compile(optimizer=plugfit.keras.optimizer("Prodigy", weight_decay=0.01), ...)``.

Losses, metrics and optimizers here are real ``keras.losses.Loss``, ``keras.metrics.Metric`` and ``keras.optimizers.Optimizer``, on Keras's
JAX and PyTorch backends; within a compiled JAX function they are called back on the CPU. They serialize by their identifier; a Python
function by the name that Keras knows it by (``keras.saving.register_keras_serializable``).
"""

from __future__ import annotations

from typing import Any

from .. import losses as _losses
from .. import metrics as _metrics
from .. import optimizers as _optimizers
from .. import schedules as _schedules
from .._config import with_settings
from ._loss import Loss
from ._metric import Metric
from ._optimizer import Optimizer

__all__ = ["Loss", "Metric", "Optimizer", "loss", "metric", "optimizer"]

for _made in (Loss, Metric, Optimizer):
    _made.__module__ = __name__

# What Keras serialized is found, from the first on.
for _registry in (_losses._registry, _metrics._registry, _optimizers._registry, _schedules._registry):
    for _class in _registry.classes.values():
        _class._let_keras_know()


def loss(identifier: Any, *, name=None, reduction=None, dtype=None, **settings: Any) -> Loss:
    """A loss by its identifier, to compile a Keras model with; by its name it takes settings: ``loss("Huber", delta=2.0)``."""
    return Loss(with_settings(identifier, settings), name=name, reduction=reduction, dtype=dtype)


def metric(identifier: Any, *, name=None, dtype=None, **settings: Any) -> Metric:
    """A metric by its identifier, to compile a Keras model with; by its name it takes settings: ``metric("Precision", top_k=3)``."""
    return Metric(with_settings(identifier, settings), name=name, dtype=dtype)


def optimizer(identifier: Any, *, name=None, **settings: Any) -> Optimizer:
    """An optimizer by its identifier, to compile a Keras model with; by its name it takes settings: ``optimizer("SGD", momentum=0.9)``."""
    return Optimizer(with_settings(identifier, settings), name=name)
