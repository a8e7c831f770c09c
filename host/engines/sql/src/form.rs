//! What the functions return.

/// What a function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// One number, or null if the metric is undefined. A metric that returns several numbers is an error.
    Number,
    /// A JSON text: a number, an array, an object of named numbers, or null. Numbers that JSON doesn't have are texts:
    /// `"NaN"`, `"Infinity"`, `"-Infinity"`.
    Json,
}
