"""Rows with ids, of which a metric counts each id once on all ranks."""

from __future__ import annotations

import torch

from .._arrays import plain
from ._arrays import array, tensor


class Rows:
    """The rows of a rank, kept until the result is computed. The first row of an id counts."""

    def __init__(self):
        self._ids, self._batches = [], []

    def __len__(self):
        return len(self._ids)

    def add(self, ids, columns, further=()):
        """Adds a batch. ``columns`` are tensors whose first axis is that of ``ids``, or None: predictions, targets, weights, and
        the ``further`` inputs of these names.

        Raises ValueError if a column has another number of rows.
        """
        ids = [int(one) for one in plain(array(ids), "ids").reshape(-1)]
        columns = [tensor(column, name) for column, name in zip(columns, ("preds", "target", "sample_weight", *further))]
        known, new = set(self._ids), []
        for column in columns:
            if column is not None and (column.dim() == 0 or column.shape[0] != len(ids)):
                raise ValueError(f"there are {len(ids)} ids for a tensor of shape {tuple(column.shape)}: each row has one id")
        for place, one in enumerate(ids):
            if one not in known:
                known.add(one)
                new.append(place)
        if new:
            self._ids.extend(ids[place] for place in new)
            self._batches.append([None if column is None else column.detach()[new] for column in columns])

    def batches(self, owned=None):
        """Returns the columns of each batch, with the rows whose ids are in ``owned`` only."""
        if owned is None:
            return self._batches
        found, start = [], 0
        for columns in self._batches:
            length = len(next(column for column in columns if column is not None))
            places = [place for place in range(length) if self._ids[start + place] in owned]
            start += length
            if places:
                found.append([None if column is None else column[places] for column in columns])
        return found

    def owned(self, group):
        """Returns the ids that this rank counts: those that no rank before it has."""
        distributed = torch.distributed
        all_ids = [None] * distributed.get_world_size(group)
        distributed.all_gather_object(all_ids, self._ids, group=group)
        before = set().union(*all_ids[: distributed.get_rank(group)])
        return set(self._ids) - before
