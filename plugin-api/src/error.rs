//! The error type of components.

use plugfit_abi::{self as abi, abi_stable::std_types::RResult};
use std::fmt;

/// An error of a component: a kind for the host and a message for the user.
///
/// The message says what is wrong with which argument (`"y_pred has rank 1; it needs [rows, classes]"`). It omits the
/// names of plug-in and component, which the host adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub(crate) kind: u32,
    pub(crate) message: String,
    pub(crate) field: Option<String>,
    pub(crate) place: Option<String>,
    pub(crate) row: Option<usize>,
}

/// The result type of a component's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    fn new(kind: u32, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), field: None, place: None, row: None }
    }

    /// Creates an error for an invalid configuration. `field` is the key's path, such as `"schedule.decay_steps"`.
    pub fn config(field: impl Into<String>, message: impl Into<String>) -> Self {
        Error { field: Some(field.into()), ..Self::new(abi::ERROR_CONFIG, message) }
    }

    /// Creates an error for invalid inputs: a shape, a rank, a label out of range.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(abi::ERROR_INPUT, message)
    }

    /// Creates an error for an operation that this component doesn't support.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(abi::ERROR_UNSUPPORTED, message)
    }

    /// Creates an error for a saved state that can't be read.
    pub fn state(message: impl Into<String>) -> Self {
        Self::new(abi::ERROR_STATE, message)
    }

    /// Creates the error that a call returns after the host requested cancellation.
    pub fn cancelled() -> Self {
        Self::new(abi::ERROR_CANCELLED, "cancelled")
    }

    /// Creates an error of any other kind.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(abi::ERROR_OTHER, message)
    }

    /// Creates the error for a name that the plug-in doesn't export.
    #[doc(hidden)]
    pub fn unknown_component(name: &str) -> Self {
        Self::new(abi::ERROR_UNKNOWN_COMPONENT, format!("this plug-in has no {name:?}"))
    }

    pub(crate) fn poisoned() -> Self {
        Self::new(abi::ERROR_POISONED, "an earlier panic left this state half written; reset it or load a saved one")
    }

    pub(crate) fn panic(message: String, place: Option<String>) -> Self {
        Error { place, ..Self::new(abi::ERROR_PANIC, message) }
    }

    /// Adds the row of the inputs that caused the error, from 0. A host maps it to the row of the data.
    #[must_use]
    pub fn at_row(self, row: usize) -> Self {
        Error { row: Some(row), ..self }
    }

    /// Returns the kind, one of the `ERROR_…` codes of `plugfit_abi`.
    pub fn kind(&self) -> u32 {
        self.kind
    }

    /// Returns the message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the path of the configuration key that caused the error.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Returns the row of the inputs that caused the error.
    pub fn row(&self) -> Option<usize> {
        self.row
    }

    /// Parses the row from the `field` of an ABI error of kind `ERROR_INPUT`.
    #[doc(hidden)]
    pub fn row_of(field: &str) -> Option<usize> {
        field.strip_prefix(ROW_PREFIX)?.parse().ok()
    }

    /// Returns the file and line of a panic.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// Describes a panic by its place and message.
    pub(crate) fn place_and_message(&self) -> String {
        match &self.place {
            Some(place) => format!("at {place}: {}", self.message),
            None => format!("somewhere: {}", self.message),
        }
    }

    /// Prepends `parent.` to the field's path.
    #[must_use]
    pub fn inside(mut self, parent: &str) -> Self {
        self.field = Some(match self.field {
            Some(field) => format!("{parent}.{field}"),
            None => parent.to_string(),
        });
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}

/// The prefix of the row in the `field` of an ABI error of kind `ERROR_INPUT`.
const ROW_PREFIX: &str = "row ";

impl From<Error> for abi::Error {
    fn from(error: Error) -> Self {
        abi::Error {
            kind: error.kind,
            message: error.message.into(),
            // Input errors have no configuration key, so this field carries the row. Older hosts ignore it.
            field: error.field.or(error.row.map(|row| format!("{ROW_PREFIX}{row}"))).map(Into::into).into(),
            place: error.place.map(Into::into).into(),
        }
    }
}

impl From<abi::Error> for Error {
    fn from(error: abi::Error) -> Self {
        let field: Option<String> = error.field.into_option().map(Into::into);
        let row = field.as_deref().filter(|_| error.kind == abi::ERROR_INPUT).and_then(Self::row_of);
        Error {
            kind: error.kind,
            message: error.message.into(),
            field: field.filter(|_| row.is_none()),
            place: error.place.into_option().map(Into::into),
            row,
        }
    }
}

/// Converts a result of the ABI.
pub(crate) fn into_result<T>(result: RResult<T, abi::Error>) -> Result<T> {
    match result {
        RResult::ROk(value) => Ok(value),
        RResult::RErr(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_conversion_to_the_abi_and_is_not_a_field() {
        let error = Error::input("y_true contains 2 in row 7").at_row(7);
        let converted = Error::from(abi::Error::from(error.clone()));
        assert_eq!((converted.row(), converted.field(), converted.to_string()), (Some(7), None, error.to_string()));
        let config = Error::from(abi::Error::from(Error::config("row 7", "isn't a key")));
        assert_eq!((config.row(), config.field()), (None, Some("row 7")));
    }
}
