//! Adds positions in the compile configuration to errors.

use crate::error::ErrorKind;
use crate::{Error, Result};

/// Adds the position to an error: `in compile.metrics[1]`. If the error names a field (`in delta`), the position
/// becomes `in compile.loss.config.delta`.
pub(super) fn at<T>(place: &str, result: Result<T>) -> Result<T> {
    result.map_err(|error| placed(place, &error))
}

pub(super) fn placed(place: &str, error: &Error) -> Error {
    let field = error.details().iter().find(|(label, _)| *label == "in").map(|(_, field)| field.as_str());
    let path = match field {
        None => place.to_owned(),
        Some(field) if field == place || field.starts_with(&format!("{place}.")) => field.to_owned(),
        Some(field) if field.starts_with("config.") => format!("{place}.{field}"),
        Some(field) => format!("{place}.config.{field}"),
    };
    let message = error.message();
    let fresh = match error.kind() {
        ErrorKind::Usage => Error::usage(message),
        ErrorKind::Failure => Error::failure(message),
        ErrorKind::Plugin => Error::plugin(message),
        ErrorKind::Crash => Error::crash(message),
        ErrorKind::Interrupted => Error::interrupted(message),
    };
    let others = error.details().iter().filter(|(label, _)| *label != "in");
    others.fold(fresh.with("in", path), |error, (label, text)| error.with(label, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_precedes_the_field() {
        let unknown = Error::usage("no loss is called \"msee\"").with("near", "mse");
        let text = placed("compile.loss", &unknown).to_string();
        assert_eq!(text, "no loss is called \"msee\"\n  in      compile.loss\n  near    mse");
        let field = Error::usage("Huber has no setting \"detla\"").with("in", "detla").hint("did you mean \"delta\"?");
        let text = placed("compile.loss", &field).to_string();
        assert_eq!(
            text,
            "Huber has no setting \"detla\"\n  in      compile.loss.config.detla\n  did you mean \"delta\"?"
        );
    }
}
