"""Formulas of components: data that NumPy, JAX, PyTorch and Keras can compute by themselves."""

from .document import Formula

__all__ = ["Formula"]
