from collections.abc import Sequence
from typing import Any

from . import metrics as _metrics

class Scorer:
    metric: _metrics.Metric
    response_method: str | Sequence[str] | None
    pos_label: Any
    greater_is_better: bool
    def __init__(
        self, identifier: Any, response_method: str | Sequence[str] | None = None, pos_label: Any = None, greater_is_better: bool | None = None
    ) -> None: ...
    def __call__(self, estimator: Any, x: Any, y: Any, sample_weight: Any = None) -> float: ...

def scorer(
    identifier: Any,
    *,
    response_method: str | Sequence[str] | None = None,
    pos_label: Any = None,
    greater_is_better: bool | None = None,
    **settings: Any,
) -> Scorer: ...
