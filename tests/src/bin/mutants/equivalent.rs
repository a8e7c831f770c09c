//! Changes that nothing can catch, each with why.

/// File, the changed line, the reason.
pub const EQUIVALENT: &[(&str, &str, &str)] = &[];
