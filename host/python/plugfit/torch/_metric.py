"""Metrics for PyTorch."""

from __future__ import annotations

import numpy as np

import torch

from .. import metrics as _metrics
from ._arrays import array


class Metric:
    """A metric with torchmetrics' interface: ``update(preds, target)``, ``compute()``, ``reset()``, ``merge(others)``,
    ``sync()``."""

    def __init__(self, identifier):
        self.metric = _metrics.get(identifier)._fresh_copy()
        #: The state of this rank alone, while the metric has the merged state of all ranks.
        self._own = None

    def update(self, preds, target=None, sample_weight=None):
        """Updates the state with a batch, in torchmetrics' order of arguments. A metric of ``values`` takes them as
        ``preds``."""
        self.unsync()
        if self.metric._takes_values:
            self.metric.update_state(array(preds), array(sample_weight))
        else:
            self.metric.update_state(array(target), array(preds), array(sample_weight))

    def compute(self):
        """Returns the result: a float32 tensor, or a dict of them."""
        result = self.metric.result()
        if isinstance(result, dict):
            return {name: torch.tensor(float(value)) for name, value in result.items()}
        return torch.tensor(np.asarray(result), dtype=torch.float32)

    def forward(self, preds, target=None, sample_weight=None):
        """Updates the state with a batch, and returns the result of this batch alone."""
        batch = Metric(self.metric)
        batch.update(preds, target, sample_weight)
        self.merge([batch])
        return batch.compute()

    __call__ = forward

    def reset(self):
        """Resets the state."""
        self._own = None
        self.metric.reset_state()

    def merge(self, others):
        """Merges the states of other metrics into this one."""
        self.unsync()
        self.metric.merge_state([other.metric for other in others])

    def sync(self, group=None):
        """Merges the states of all ranks of ``torch.distributed``, until the next update."""
        import torch.distributed as distributed

        if not (distributed.is_available() and distributed.is_initialized()):
            return
        self.unsync()
        own = self.metric.get_state()
        states = [None] * distributed.get_world_size(group)
        distributed.all_gather_object(states, own, group=group)
        self.metric.reset_state()
        for state in states:
            other = Metric(self.metric)
            other.metric.set_state(state)
            self.metric.merge_state([other.metric])
        self._own = own

    def unsync(self):
        """Restores the state of this rank after :meth:`sync`."""
        if self._own is not None:
            self.metric.set_state(self._own)
            self._own = None

    def state_dict(self):
        """Returns the state of this rank."""
        return {"state": self._own or self.metric.get_state()}

    def load_state_dict(self, state):
        """Restores what state_dict returned."""
        self._own = None
        self.metric.set_state(state["state"])
