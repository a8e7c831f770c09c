//! Shapes of arrays that broadcast, with errors for the user.

pub(super) use plugfit_api::shape::{Shape, common, for_each_broadcast, squeeze_or_expand_to_same_rank};

use crate::{Error, Result};

/// Returns the shape of the array that `name` describes.
///
/// # Errors
/// Returns an error if it has too many axes.
pub(super) fn shape(lengths: &[i64], name: &str) -> Result<Shape> {
    let most = plugfit_api::shape::MAX_RANK;
    Shape::of(lengths)
        .ok_or_else(|| Error::usage(format!("{name} has {} axes, and at most {most} are supported", lengths.len())))
}
