//! Errors of plugfit inside of those of DataFusion.

use datafusion::error::DataFusionError;

/// Returns an error of plugfit as one of DataFusion.
pub fn from_plugfit(error: plugfit::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Returns the error of plugfit that an error of DataFusion was made from, if it was.
pub fn plugfit_error(error: &DataFusionError) -> Option<&plugfit::Error> {
    match error {
        DataFusionError::External(inner) => inner.downcast_ref::<plugfit::Error>().or_else(|| {
            // Arrow and DataFusion wrap errors of each other.
            inner.downcast_ref::<DataFusionError>().and_then(plugfit_error)
        }),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => plugfit_error(inner),
        DataFusionError::Shared(inner) => plugfit_error(inner),
        DataFusionError::Collection(errors) => errors.iter().find_map(plugfit_error),
        DataFusionError::ArrowError(inner, _) => match &**inner {
            datafusion::arrow::error::ArrowError::ExternalError(inner) => inner
                .downcast_ref::<plugfit::Error>()
                .or_else(|| inner.downcast_ref::<DataFusionError>().and_then(plugfit_error)),
            _ => None,
        },
        _ => None,
    }
}
