"""The operations of a formula's document, as the plug-in interface defines them (``plugfit.formula/1``)."""

from __future__ import annotations

#: The arguments of each operation: ``n`` for a number, ``m`` for a mask, ``e`` for a number for each element, ``r`` for
#: a number for each row or for the whole call, ``o`` for one for each row only, ``c`` for a constant.
ARGUMENTS = {
    "const": "c",
    **dict.fromkeys(("neg", "abs", "sqrt", "exp", "exp_m1", "ln", "ln_1p", "tanh", "sigmoid", "softplus", "flush", "detach", "floor", "cos"), "n"),
    **dict.fromkeys(("add", "sub", "mul", "div", "max", "min", "lt", "le", "gt", "ge", "eq"), "nn"),
    **dict.fromkeys(("powf", "powi", "power_of"), "nc"),
    **dict.fromkeys(("and", "or"), "mm"),
    "not": "m",
    "batch_all": "m",
    "select": "mnn",
    "row_sum": "e",
    "row_max": "e",
    "row_before": "e",
    "row_after": "e",
    "batch_sum": "o",
    "row_len": "",
    "index": "",
    "at": "er",
}

#: The operations whose result is a mask.
MASKS = {"lt", "le", "gt", "ge", "eq", "and", "or", "not", "batch_all"}

#: The operations whose result is a number for each row.
REDUCTIONS = {"row_sum", "row_max", "at"}

#: The operations that only the result of sums has.
OF_SUMS = {"row_before", "row_after", "batch_sum"}

#: The operations through which a derivative of 0 may become NaN.
NONLINEAR = {"mul", "div", "abs", "sqrt", "exp", "exp_m1", "ln", "ln_1p", "tanh", "sigmoid", "softplus", "powf", "powi", "power_of", "cos"}

#: The levels of nodes, from the lowest.
LEVELS = ("scalar", "row", "element")
