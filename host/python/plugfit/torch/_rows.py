"""Rows with ids, of which a metric counts each id once on all ranks."""

from __future__ import annotations

import torch

from .._arrays import plain
from ._arrays import array, tensor


class Rows:
    """The rows of a rank, kept until the result is computed. The first row of an id counts.

    ``ids`` are those of all rows, and ``columns`` those of each batch.
    """

    def __init__(self, ids=(), columns=()):
        self.ids, self.columns = list(ids), list(columns)
        self._known = set(self.ids)

    def __len__(self):
        return len(self.ids)

    def add(self, ids, columns, further=()):
        """Adds a batch. ``columns`` are tensors whose first axis is that of ``ids``, or None: predictions, targets, weights, and
        the ``further`` inputs of these names.

        Raises TypeError if ids aren't integers, and ValueError if a column has another number of rows.
        """
        ids = _integers(ids)
        columns = [tensor(column, name) for column, name in zip(columns, ("preds", "target", "sample_weight", *further))]
        for column in columns:
            if column is not None and (column.dim() == 0 or column.shape[0] != len(ids)):
                raise ValueError(f"there are {len(ids)} ids for a tensor of shape {tuple(column.shape)}: each row has one id")
        new = []
        for place, one in enumerate(ids):
            if one not in self._known:
                self._known.add(one)
                new.append(place)
        if new:
            self.ids.extend(ids[place] for place in new)
            self.columns.append([None if column is None else column.detach()[new] for column in columns])

    def batches(self, owned=None):
        """Returns the columns of each batch, with the rows whose ids are in ``owned`` only."""
        if owned is None:
            return self.columns
        found, start = [], 0
        for columns in self.columns:
            length = len(next(column for column in columns if column is not None))
            places = [place for place in range(length) if self.ids[start + place] in owned]
            start += length
            if places:
                found.append([None if column is None else column[places] for column in columns])
        return found

    def owned(self, group):
        """Returns the ids that this rank counts: those that no rank before it has."""
        distributed = torch.distributed
        all_ids = [None] * distributed.get_world_size(group)
        distributed.all_gather_object(all_ids, self.ids, group=group)
        before = set().union(*all_ids[: distributed.get_rank(group)])
        return self._known - before


def _integers(ids):
    found = plain(array(ids), "ids").reshape(-1)
    if found.size and found.dtype.kind not in "iu":
        raise TypeError(f"ids are integers, not {found.dtype}: another type could give two rows one id")
    return found.tolist()
