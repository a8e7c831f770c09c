"""Measures a metric update of 32 rows from Python; `cargo bench -p plugfit-tests --bench boundary` measures it from Rust."""

import timeit

import numpy as np

import plugfit

ROWS, CALLS, ROUNDS = 32, 20_000, 25
labels = (np.arange(ROWS) % 2).astype(np.float32)
scores = (np.arange(ROWS) / ROWS).astype(np.float32)
for name in ["MeanSquaredError", "MeanAbsoluteError", "BinaryAccuracy", "Precision", "AUC"]:
    update = plugfit.metrics.get(name).update_state
    took = min(timeit.repeat("update(labels, scores)", globals=globals(), number=CALLS, repeat=ROUNDS)) / CALLS
    print(f"{name:20} with {ROWS} rows {took * 1e9:6.0f} ns")
