"""Metrics for PyTorch."""

from __future__ import annotations

import copy
import math
import sys

import numpy as np

import torch

from .. import metrics as _metrics
from .._component import formula_of
from . import _sums
from ._arrays import array, ordered
from ._rows import Rows


class Metric(torch.nn.Module):
    """A metric as a module with torchmetrics' interface: ``update(preds, target)``, ``compute()``, ``reset()``,
    ``forward``. ``torchmetrics.MetricCollection`` and Lightning's ``self.log`` accept it if torchmetrics was imported before
    the metric was made.

    PyTorch computes a metric that has a formula, on the device of the tensors and in ``torch.compile``. Its state is a
    buffer of sums in float64, which moves with ``to()`` and keeps its dtype; it is empty until the first batch if each
    column has sums of its own. The plug-in computes the others on the CPU. ``engine="formula"`` and ``engine="native"``
    choose one; a class id that is no class makes a mean NaN and adds nothing to other sums by the formula, and is an error
    by the plug-in.

    ``compute`` merges the states of all ranks of ``torch.distributed`` if it is initialized, unless ``sync_on_compute`` is
    False: all ranks must call it.
    """

    # What torchmetrics and Lightning read of a metric.
    is_differentiable = False
    full_state_update = False
    dist_sync_on_step = False
    compute_on_cpu = False

    def __init__(self, identifier, engine=None, sync_on_compute=True):
        super().__init__()
        self.metric = _metrics.get(identifier)._fresh_copy()
        self._engine, self.sync_on_compute = engine, sync_on_compute
        # A formula has the usual inputs only.
        if self.metric._further and engine == "formula":
            raise ValueError(f"{self.metric.name} has inputs that a formula doesn't take: {', '.join(self.metric._further)}")
        self._formula = None if self.metric._further else formula_of(self.metric, engine)
        if self._formula is not None:
            # torch.compile can't import the module of the function that is made here.
            self._formula.metric("torch")
        # For a metric without a formula it only tells the device.
        self.register_buffer("sums", torch.zeros(self._least(), dtype=torch.float64))
        self._rows = Rows()
        #: The state of this rank alone, while the metric has the merged state of all ranks.
        self._own = None
        self._defaults, self._reductions = {}, {}
        self._update_count, self._computed, self._forward_cache = 0, None, None
        _register()

    def _least(self):
        """Returns the number of sums before the first batch."""
        if self._formula is None or self._has_columns():
            return 0
        return math.prod(self._formula.metric("torch").shape())

    def _has_columns(self):
        """Returns whether the number of sums depends on the columns of the first batch."""
        return self._formula is not None and self._formula.sums is not None and self._formula.sums.by_column

    @property
    def higher_is_better(self):
        """True if greater values are better, False if smaller ones are, else None."""
        return {"maximize": True, "minimize": False}.get(self.metric.direction)

    @property
    def device(self):
        """The device of the state and of results."""
        return self.sums.device

    @property
    def update_called(self):
        """Whether there was an update since the last reset."""
        return self._update_count > 0

    @property
    def update_count(self):
        """The number of updates since the last reset."""
        return self._update_count

    @torch.no_grad()
    def update(self, preds, target=None, sample_weight=None, ids=None, **inputs):
        """Updates the state with a batch, in torchmetrics' order of arguments. A metric of ``values`` takes them as
        ``preds``. Further inputs of a plug-in's metric are given by name.

        ``ids`` are an integer for each row. A row whose id was seen before, on any rank, isn't counted: such as rows that a
        sampler repeats to fill the last batch. These rows are kept in memory until ``reset``.

        Raises ValueError if shapes don't fit, or if an input is missing or unknown.
        """
        columns = [preds, target, sample_weight, *ordered(self.metric, inputs)]
        self.unsync()
        self._update_count, self._computed = self._update_count + 1, None
        if ids is not None:
            self._rows.add(ids, columns, self.metric._further)
        else:
            self._add(*columns)

    def _add(self, preds, target, sample_weight, *further):
        inputs = {name: array(values) for name, values in zip(self.metric._further, further)}
        if self._formula is not None:
            self._add_sums(_sums.of_batch(self.metric, self._formula, target, preds, sample_weight))
        elif self.metric._takes_values:
            self.metric.update_state(array(preds), array(sample_weight), **inputs)
        else:
            self.metric.update_state(array(target), array(preds), array(sample_weight), **inputs)

    def _add_sums(self, found):
        if self._has_columns() and len(self.sums) == 0:
            self.sums = self.sums.new_zeros(len(found))
        if len(found) not in (0, len(self.sums)):
            raise ValueError(f"there are {len(found)} sums of columns, and {len(self.sums)} until now: batches have different numbers of columns")
        if len(found):
            self.sums += found.to(self.device)

    @torch.no_grad()
    def compute(self):
        """Returns the result of all ranks: a float32 tensor, or a dict of them."""
        was_synced = self._own is not None
        if self.sync_on_compute:
            self.sync()
        self._computed = self._local_result()
        if not was_synced:
            self.unsync()
        return self._computed

    def _local_result(self):
        if len(self._rows):
            counted = copy.deepcopy(self)
            counted._count(self._rows.batches())
            return counted._local_result()
        if self._formula is not None:
            return _sums.result(self.metric, self._formula, self.sums)
        result = self.metric.result()
        if isinstance(result, dict):
            return {name: torch.tensor(float(value), device=self.device) for name, value in result.items()}
        return torch.tensor(np.asarray(result), dtype=torch.float32, device=self.device)

    def _count(self, batches):
        """Counts rows in the state, and keeps them no longer."""
        self._rows = Rows()
        for columns in batches:
            self._add(*columns)

    def forward(self, preds, target=None, sample_weight=None, ids=None, **inputs):
        """Updates the state with a batch, and returns the result of this batch alone, on this rank."""
        batch = Metric(self.metric, self._engine, sync_on_compute=False).to(self.device)
        batch.update(preds, target, sample_weight, **inputs)
        if ids is None:
            self.merge([batch])
            self._update_count, self._computed = self._update_count + 1, None
        else:
            self.update(preds, target, sample_weight, ids, **inputs)
        self._forward_cache = batch.compute()
        return self._forward_cache

    def reset(self):
        """Resets the state."""
        self._own, self._rows = None, Rows()
        self._update_count, self._computed, self._forward_cache = 0, None, None
        self.metric.reset_state()
        if self._has_columns():
            self.sums = self.sums.new_zeros(0)
        else:
            self.sums.zero_()

    @torch.no_grad()
    def merge(self, others):
        """Merges the states of other metrics into this one. Rows with ids aren't merged.

        Raises ValueError if another metric has other settings, or another engine.
        """
        self.unsync()
        others = list(others)
        if any((other._formula is None) != (self._formula is None) or len(other._rows) for other in others):
            raise ValueError("metrics of different engines, or with rows that have ids, can't be merged: sync merges those of all ranks")
        # This refuses other settings.
        self.metric.merge_state([other.metric for other in others])
        for other in others:
            self._add_sums(other.sums)

    @torch.no_grad()
    def sync(self, group=None):
        """Merges the states of all ranks of ``torch.distributed``, until the next update."""
        distributed = torch.distributed
        if not (distributed.is_available() and distributed.is_initialized()):
            return
        self.unsync()
        own = (self.sums.clone(), self.metric.get_state(), self._rows)
        # Rows may have ids on some ranks only.
        self._count(self._rows.batches(self._rows.owned(group)))
        if self._formula is not None:
            if self._has_columns():
                # A rank without a batch doesn't know the number of columns.
                lengths = [None] * distributed.get_world_size(group)
                distributed.all_gather_object(lengths, len(self.sums), group=group)
                if len({*lengths, 0}) > 2:
                    self._own = own
                    self.unsync()
                    raise ValueError(f"the ranks have {lengths} sums of columns: batches have different numbers of columns")
                self.sums = self.sums if len(self.sums) else self.sums.new_zeros(max(lengths))
            distributed.all_reduce(self.sums, group=group)
        else:
            states = [None] * distributed.get_world_size(group)
            distributed.all_gather_object(states, self.metric.get_state(), group=group)
            self.metric.reset_state()
            for state in states:
                other = self.metric._fresh_copy()
                other.set_state(state)
                self.metric.merge_state([other])
        self._own = own

    def unsync(self):
        """Restores the state of this rank after :meth:`sync`."""
        if self._own is not None:
            self.sums, state, self._rows = self._own
            self.metric.set_state(state)
            self._own = None

    def clone(self, prefix=None, postfix=None):
        """Returns a copy with its own state."""
        return copy.deepcopy(self)

    def get_extra_state(self):
        """Returns the state of this rank that isn't in buffers, for ``state_dict``."""
        self.unsync()
        state = torch.frombuffer(bytearray(self.metric.get_state()), dtype=torch.uint8)
        return {"state": state, "rows": (self._rows._ids, self._rows._batches), "updates": self._update_count}

    def set_extra_state(self, state):
        """Restores what get_extra_state returned."""
        self._own = None
        self.metric.set_state(state["state"].cpu().numpy().tobytes())
        self._rows = Rows()
        self._rows._ids, self._rows._batches = map(list, state["rows"])
        self._update_count = state["updates"]

    def _load_from_state_dict(self, state_dict, prefix, *arguments):
        if f"{prefix}state" in state_dict:  # of an older version, which had the plug-in's bytes only
            if self._formula is not None:
                raise ValueError(f'the state of {self.metric.name} is one of the plug-in: load it into Metric(..., engine="native")')
            state = torch.frombuffer(bytearray(state_dict.pop(f"{prefix}state")), dtype=torch.uint8)
            state_dict[f"{prefix}_extra_state"] = {"state": state, "rows": ([], []), "updates": 1}
            state_dict[f"{prefix}sums"] = torch.zeros_like(self.sums)
        saved = state_dict.get(f"{prefix}sums")
        if self._has_columns() and isinstance(saved, torch.Tensor) and saved.dim() == 1 and len(saved) % len(self._formula.sums.terms) == 0:
            self.sums = self.sums.new_zeros(len(saved))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def _apply(self, fn, recurse=True):
        # Sums keep their dtype if a module becomes one of another dtype.
        self.sums = self.sums.to(fn(self.sums).device)
        return self

    def _filter_kwargs(self, **kwargs):
        """Returns the arguments that ``update`` has. MetricCollection passes all arguments to each metric."""
        known = ("preds", "target", "sample_weight", "ids", *self.metric._further)
        return {name: value for name, value in kwargs.items() if name in known}

    def extra_repr(self):
        """Returns the name, which ``print`` shows."""
        return self.metric.name


def _register():
    """Makes metrics instances of torchmetrics' class, if torchmetrics is imported."""
    torchmetrics = sys.modules.get("torchmetrics")
    if hasattr(torchmetrics, "Metric") and not issubclass(Metric, torchmetrics.Metric):
        torchmetrics.Metric.register(Metric)
