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

    A metric has one of two engines, which ``engine="formula"`` and ``engine="native"`` choose. By the formula, PyTorch
    computes the metric, on the device of the tensors and in ``torch.compile``. The plug-in computes it on the CPU, where it
    is faster. By default the first update after the metric was made or reset chooses: the plug-in if all tensors are on the
    CPU and ``torch.compile`` isn't tracing, else the formula. All later updates have the same engine, also those of copies
    and of metrics that load the ``state_dict``. A metric without a formula always has the plug-in. A class id that is no
    class makes a mean NaN and adds nothing to other sums by the formula, and is an error by the plug-in.

    The state of a formula is a vector of sums in float64, or float32 on Apple's GPUs, which have no float64. It moves with
    ``to()`` and keeps its dtype; it is empty until the first batch if each column has sums of its own. It isn't a buffer:
    ``DistributedDataParallel`` replaces buffers by those of the first rank.

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
        self._prepare()
        #: The sums of the formula; if the plug-in computes the metric, they only tell the device.
        self.sums = torch.zeros(self._least(), dtype=torch.float64)
        self._rows = Rows()
        #: The engine of the state; None: there was no update, except in compiled functions, which have the formula.
        self._chosen = self._fixed()
        #: The state of this rank alone, while the metric has the merged state of all ranks.
        self._own = None
        self._defaults, self._reductions = {}, {}
        # A compiled function would be compiled again for each value of an int.
        self._eager_updates, self._compiled_updates = 0, torch.zeros((), dtype=torch.int64)
        self._computed, self._forward_cache = None, None
        _register()

    def _prepare(self):
        """Makes the formula's function: torch.compile can't import its module."""
        if self._formula is not None:
            self._formula.metric("torch")

    def __setstate__(self, state):
        super().__setstate__(state)
        self._prepare()

    def _fixed(self):
        """Returns the engine if it doesn't depend on the first update, else None."""
        return "native" if self._formula is None else self._engine

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
        return self.update_count > 0

    @property
    def update_count(self):
        """The number of updates since the last reset."""
        return self._eager_updates + self._count_of_compiled()

    #: torchmetrics' private name for it.
    _update_count = update_count

    def _count_of_compiled(self):
        # A tensor of the meta device has no value.
        return 0 if self._compiled_updates.is_meta else int(self._compiled_updates)

    def _engine_of_state(self):
        """Returns the engine of the state, or None before the first update."""
        if self._chosen is None and (torch.compiler.is_compiling() or self._count_of_compiled()):
            return "formula"
        return self._chosen

    def _engine_for(self, tensors):
        """Returns the engine for a batch, which is that of later ones. A compiled function doesn't note it: it would be
        compiled again."""
        if self._chosen is not None or torch.compiler.is_compiling():
            return self._chosen or "formula"
        self._chosen = "native" if all(map(_is_on_cpu, tensors)) and not self._count_of_compiled() else "formula"
        return self._chosen

    def _check(self, target):
        if target is None and not self.metric._takes_values:
            raise TypeError(f"{self.metric.name} needs target")

    def _counted(self):
        """Counts an update."""
        self._computed = None
        if torch.compiler.is_compiling():
            self._compiled_updates += 1
        else:
            self._eager_updates += 1

    @torch.no_grad()
    def update(self, preds, target=None, sample_weight=None, ids=None, **inputs):
        """Updates the state with a batch, in torchmetrics' order of arguments. A metric of ``values`` takes them as
        ``preds``. Further inputs of a plug-in's metric are given by name.

        ``ids`` are an integer for each row. A row whose id was seen before, on any rank, isn't counted: such as rows that a
        sampler repeats to fill the last batch. These rows are kept in memory until ``reset``.

        Raises ValueError if shapes don't fit or an input is missing or unknown, and TypeError if there is no ``target`` or an id isn't an integer.
        """
        self._check(target)
        columns = [preds, target, sample_weight, *ordered(self.metric, inputs)]
        self.unsync()
        engine = self._engine_for(columns)
        if ids is not None:
            self._rows.add(ids, columns, self.metric._further)
        else:
            self._add(engine, *columns)
        self._counted()

    def _add(self, engine, preds, target, sample_weight, *further):
        if engine == "formula":
            self._add_sums(_sums.of_batch(self.metric, self._formula, target, preds, sample_weight))
        else:
            _update(self.metric, preds, target, sample_weight, *further)

    def _add_sums(self, found):
        if self._has_columns() and len(self.sums) == 0:
            self.sums = _zeros_like(self.sums, len(found))
        if len(found) not in (0, len(self.sums)):
            raise ValueError(f"there are {len(found)} sums of columns, and {len(self.sums)} until now: batches have different numbers of columns")
        if len(found):
            self.sums += _sums.like(found, self.sums)

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
        if self._engine_of_state() == "formula":
            return _sums.result(self.metric, self._formula, self.sums)
        return self._result_of(self.metric)

    def _result_of(self, metric):
        """Returns the result of the plug-in's metric as tensors."""
        result = metric.result()
        if isinstance(result, dict):
            return {name: torch.tensor(float(value), device=self.device) for name, value in result.items()}
        return torch.tensor(np.asarray(result), dtype=torch.float32, device=self.device)

    def _count(self, batches):
        """Counts rows in the state, and keeps them no longer."""
        self._rows = Rows()
        for columns in batches:
            self._add(self._chosen, *columns)

    @torch.no_grad()
    def forward(self, preds, target=None, sample_weight=None, ids=None, **inputs):
        """Updates the state with a batch, and returns the result of this batch alone, on this rank."""
        self._check(target)
        given = preds, target, sample_weight, *ordered(self.metric, inputs)
        self.unsync()
        if self._engine_for(given) == "formula":
            found = _sums.of_batch(self.metric, self._formula, target, preds, sample_weight)
            result = _sums.result(self.metric, self._formula, _sums.like(found, self.sums))
            add = lambda: self._add_sums(found)
        else:
            batch = self.metric._fresh_copy()
            _update(batch, *given)
            result = self._result_of(batch)
            add = lambda: self.metric.merge_state([batch])
        if ids is None:
            add()
        else:
            self._rows.add(ids, list(given), self.metric._further)
        self._counted()
        self._forward_cache = result
        return result

    def reset(self):
        """Resets the state."""
        self._own, self._rows, self._chosen = None, Rows(), self._fixed()
        self._eager_updates, self._compiled_updates = 0, _zeros_like(self._compiled_updates, ())
        self._computed, self._forward_cache = None, None
        self.metric.reset_state()
        self.sums = _zeros_like(self.sums, self._least())

    @torch.no_grad()
    def merge(self, others):
        """Merges the states of other metrics into this one, which has their engine if it had no update. Rows with ids
        aren't merged.

        Raises ValueError if another metric has other settings, or another engine.
        """
        self.unsync()
        others = list(others)
        engines = {one._engine_of_state() for one in (self, *others)} - {None}
        if len(engines) > 1 or any(len(other._rows) for other in others):
            raise ValueError("metrics of different engines, or with rows that have ids, can't be merged: sync merges those of all ranks")
        # This refuses other settings.
        self.metric.merge_state([other.metric for other in others])
        self._chosen = next(iter(engines), None)
        if self._chosen == "formula":
            for other in others:
                self._add_sums(other.sums if other._formula is not None else other.sums.new_zeros(0))

    @torch.no_grad()
    def sync(self, group=None):
        """Merges the states of all ranks of ``torch.distributed``, until the next update. A rank without an update has the
        engine of the others.

        Raises ValueError if the ranks have different engines.
        """
        distributed = torch.distributed
        if not (distributed.is_available() and distributed.is_initialized()):
            return
        self.unsync()
        self._own = self.sums, self.metric.get_state(), self._rows, self._chosen
        self.sums = self.sums.clone()
        try:
            self._merge_ranks(group)
        except BaseException:
            self.unsync()
            raise

    def _merge_ranks(self, group):
        distributed = torch.distributed
        self._chosen = self._engine_of_state()
        # Rows may have ids on some ranks only.
        self._count(self._rows.batches(self._rows.owned(group)))
        ranks = [None] * distributed.get_world_size(group)
        distributed.all_gather_object(ranks, (self._chosen, len(self.sums)), group=group)
        engines, lengths = [engine for engine, _ in ranks], [length for _, length in ranks]
        if len({*engines} - {None}) > 1:
            raise ValueError(f"the ranks have the engines {engines}: choose one with engine=...")
        self._chosen = next(filter(None, engines), None)
        if self._chosen == "formula":
            # A rank without a batch doesn't know the number of columns.
            if len({*lengths} - {0}) > 1:
                raise ValueError(f"the ranks have {lengths} sums of columns: batches have different numbers of columns")
            self.sums = self.sums if len(self.sums) else self.sums.new_zeros(max(lengths))
            distributed.all_reduce(self.sums, group=group)
        elif self._chosen == "native":
            states = [None] * len(ranks)
            distributed.all_gather_object(states, self.metric.get_state(), group=group)
            self.metric.reset_state()
            for state in states:
                other = self.metric._fresh_copy()
                other.set_state(state)
                self.metric.merge_state([other])

    def unsync(self):
        """Restores the state of this rank after :meth:`sync`."""
        if self._own is not None:
            self.sums, state, self._rows, self._chosen = self._own
            self.metric.set_state(state)
            self._own = None

    def clone(self, prefix=None, postfix=None):
        """Returns a copy with its own state."""
        return copy.deepcopy(self)

    def get_extra_state(self):
        """Returns the state of this rank, for ``state_dict``."""
        self.unsync()
        state = torch.frombuffer(bytearray(self.metric.get_state()), dtype=torch.uint8)
        rows, engine = (self._rows.ids, self._rows.columns), self._engine_of_state()
        return {"engine": engine, "sums": self.sums.clone(), "state": state, "rows": rows, "updates": self.update_count}

    def set_extra_state(self, state):
        """Restores what get_extra_state returned.

        Raises ValueError if the state is one of an engine that this metric doesn't have.
        """
        engine, fixed = state["engine"], self._fixed()
        if None not in (engine, fixed) and engine != fixed:
            raise ValueError(f'the state of {self.metric.name} is one of the {engine} engine: load it into Metric(..., engine="{engine}")')
        sums = state["sums"] if engine == "formula" else self.sums.new_zeros(self._least())
        if not self._fits(sums):
            raise ValueError(f"the state of {self.metric.name} has sums of the shape {tuple(sums.shape)}, and the metric {self._least()}")
        self.metric.set_state(state["state"].cpu().numpy().tobytes())
        self.sums = _sums.like(sums, self.sums).clone()
        self._own, self._rows, self._chosen = None, Rows(*state["rows"]), engine or fixed
        self._eager_updates, self._compiled_updates = state["updates"], torch.zeros_like(self._compiled_updates)
        self._computed, self._forward_cache = None, None

    def _fits(self, sums):
        """Returns whether the metric may have these sums."""
        if self._has_columns():
            return sums.dim() == 1 and len(sums) % len(self._formula.sums.terms) == 0
        return tuple(sums.shape) == (self._least(),)

    def _load_from_state_dict(self, state_dict, prefix, *arguments):
        key = f"{prefix}_extra_state"
        if f"{prefix}state" in state_dict:  # of an older version, which had the plug-in's bytes only
            state = torch.frombuffer(bytearray(state_dict.pop(f"{prefix}state")), dtype=torch.uint8)
            state_dict[key] = {"engine": "native", "sums": self.sums.new_zeros(0), "state": state, "rows": ([], []), "updates": 1}
        elif key in state_dict and f"{prefix}sums" in state_dict:  # of an older version, which had a buffer
            state_dict[key] = self._with_engine(state_dict[key], state_dict.pop(f"{prefix}sums"))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def _with_engine(self, state, sums):
        """Returns the state of an older version, which chose the formula wherever there was one. A metric of the plug-in
        had no sums."""
        by_formula = len(sums) > 0 or self._has_columns() and self._fixed() != "native"
        engine = None if state["updates"] == 0 else "formula" if by_formula else "native"
        return {**state, "engine": engine, "sums": sums}

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        # A module that becomes one of another dtype keeps that of sums. Apple's GPUs refuse float64.
        device = fn(torch.zeros(1, device=self.device)).device
        self.sums = _sums.moved(self.sums, device)
        self._compiled_updates = _sums.moved(self._compiled_updates, device)
        if self._own is not None:
            self._own = (_sums.moved(self._own[0], device), *self._own[1:])
        return self

    def _filter_kwargs(self, **kwargs):
        """Returns the arguments that ``update`` has. MetricCollection passes all arguments to each metric."""
        known = ("preds", "target", "sample_weight", "ids", *self.metric._further)
        return {name: value for name, value in kwargs.items() if name in known}

    def extra_repr(self):
        """Returns the name, which ``print`` shows."""
        return self.metric.name


def _zeros_like(tensor, shape):
    """Returns zeros for a state, which is written in place in inference mode and outside of it."""
    with torch.inference_mode(False):
        return tensor.new_zeros(shape)


def _is_on_cpu(given):
    """Returns whether the plug-in can read a batch where it is. Anything that isn't a tensor is on the CPU."""
    return not isinstance(given, torch.Tensor) or type(given) in (torch.Tensor, torch.nn.Parameter) and given.device.type == "cpu"


@torch._dynamo.disable
def _update(metric, preds, target, sample_weight, *further):
    """Updates the plug-in's metric."""
    inputs = [preds] if metric._takes_values else [target, preds]
    named = {name: array(values) for name, values in zip(metric._further, further)}
    metric.update_state(*map(array, inputs), array(sample_weight), **named)


def _register():
    """Makes metrics instances of torchmetrics' class, if torchmetrics is imported."""
    torchmetrics = sys.modules.get("torchmetrics")
    if hasattr(torchmetrics, "Metric") and not issubclass(Metric, torchmetrics.Metric):
        torchmetrics.Metric.register(Metric)
