//! The optimizers.
