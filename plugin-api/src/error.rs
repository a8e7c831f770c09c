//! What a component says when it can't do what it was asked.

use plugfit_abi as abi;
use std::fmt;

/// An error of a component: a kind for the host and a sentence for a person.
///
/// The sentence says what is wrong and with which argument (`"y_pred has rank 1; it needs [rows, classes]"`). It leaves
/// out the names of plug-in and component, which the host adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub(crate) kind: u32,
    pub(crate) message: String,
    pub(crate) field: Option<String>,
    pub(crate) place: Option<String>,
    pub(crate) row: Option<usize>,
}

/// What a component's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    fn new(kind: u32, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), field: None, place: None, row: None }
    }

    /// A configuration that can't be. `field` is the key's path, such as `"schedule.decay_steps"`.
    pub fn config(field: impl Into<String>, message: impl Into<String>) -> Self {
        Error { field: Some(field.into()), ..Self::new(abi::ERROR_CONFIG, message) }
    }

    /// Inputs that can't be used: a shape, a rank, a label out of range.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(abi::ERROR_INPUT, message)
    }

    /// Something that this component doesn't do.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(abi::ERROR_UNSUPPORTED, message)
    }

    /// A saved state that can't be read back.
    pub fn state(message: impl Into<String>) -> Self {
        Self::new(abi::ERROR_STATE, message)
    }

    /// The host asked to stop.
    pub fn cancelled() -> Self {
        Self::new(abi::ERROR_CANCELLED, "cancelled")
    }

    /// Anything else.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(abi::ERROR_OTHER, message)
    }

    pub(crate) fn unknown_component(name: &str) -> Self {
        Self::new(abi::ERROR_UNKNOWN_COMPONENT, format!("this plug-in has no {name:?}"))
    }

    pub(crate) fn poisoned() -> Self {
        Self::new(abi::ERROR_POISONED, "an earlier panic left this state half written; reset it or load a saved one")
    }

    pub(crate) fn panic(message: String, place: Option<String>) -> Self {
        Error { place, ..Self::new(abi::ERROR_PANIC, message) }
    }

    /// With the row of the inputs that is at fault, from 0: a host knows which row of the data it is.
    #[must_use]
    pub fn at_row(self, row: usize) -> Self {
        Error { row: Some(row), ..self }
    }

    /// One of the `ERROR_…` codes of `plugfit_abi`.
    pub fn kind(&self) -> u32 {
        self.kind
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The path of the configuration key at fault.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The row of the inputs that is at fault.
    pub fn row(&self) -> Option<usize> {
        self.row
    }

    /// The row that the field of an error of inputs holds as it crosses.
    #[doc(hidden)]
    pub fn row_of(field: &str) -> Option<usize> {
        field.strip_prefix(ROW)?.parse().ok()
    }

    /// Where a panic was: file and line.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// Puts `parent.` before the field's path.
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

/// What the field of an error of inputs begins with, before the row.
const ROW: &str = "row ";

impl From<Error> for abi::Error {
    fn from(error: Error) -> Self {
        abi::Error {
            kind: error.kind,
            message: error.message.into(),
            // Inputs have no keys: their errors have the row here, which older hosts don't look at.
            field: error.field.or(error.row.map(|row| format!("{ROW}{row}"))).map(Into::into).into(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_crosses_the_boundary_and_is_no_field() {
        let error = Error::input("y_true holds 2 in row 7").at_row(7);
        let back = Error::from(abi::Error::from(error.clone()));
        assert_eq!((back.row(), back.field(), back.to_string()), (Some(7), None, error.to_string()));
        let config = Error::from(abi::Error::from(Error::config("row 7", "is no key")));
        assert_eq!((config.row(), config.field()), (None, Some("row 7")));
    }
}
