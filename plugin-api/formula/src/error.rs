//! The error of a formula that can't be used as asked.

use std::fmt;

/// A formula can't be used as asked: it has no such input or output, or the numbers of values don't match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub(crate) String);

/// The result of a function on a formula.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
