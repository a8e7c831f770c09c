//! Mutants that behave like the original source, so that no test can catch them.

/// File, changed line and reason.
pub const EQUIVALENT: &[(&str, &str, &str)] = &[];
