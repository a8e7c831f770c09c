"""Components for Keras: ``model.compile(optimizer=plugfit.keras.optimizer("Prodigy", weight_decay=0.01), ...)``.

The classes derive from ``keras.losses.Loss``, ``keras.metrics.Metric`` and ``keras.optimizers.Optimizer``, and support
Keras's JAX and PyTorch backends. A compiled JAX function calls them on the CPU through a callback. They are serialized
by their identifier; a Python function is serialized by the name under which it is registered
(``keras.saving.register_keras_serializable``).
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

# Register the standard classes now, so that Keras can deserialize them.
for _registry in (_losses._registry, _metrics._registry, _optimizers._registry, _schedules._registry):
    for _class in _registry.classes.values():
        _class._register_with_keras()


def loss(identifier: Any, *, name=None, reduction=None, dtype=None, **settings: Any) -> Loss:
    """Returns the loss for an identifier, for ``compile`` in Keras. A name may have settings: ``loss("Huber",
    delta=2.0)``."""
    return Loss(with_settings(identifier, settings), name=name, reduction=reduction, dtype=dtype)


def metric(identifier: Any, *, name=None, dtype=None, **settings: Any) -> Metric:
    """Returns the metric for an identifier, for ``compile`` in Keras. A name may have settings:
    ``metric("Precision", top_k=3)``."""
    return Metric(with_settings(identifier, settings), name=name, dtype=dtype)


def optimizer(identifier: Any, *, name=None, **settings: Any) -> Optimizer:
    """Returns the optimizer for an identifier, for ``compile`` in Keras. A name may have settings:
    ``optimizer("SGD", momentum=0.9)``."""
    return Optimizer(with_settings(identifier, settings), name=name)
