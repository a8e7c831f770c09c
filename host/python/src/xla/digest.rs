//! The digests of plug-ins. A compiled function carries the digest of the plug-in that it was compiled for.

use plugfit::plugin::Kind;
use plugfit::{Error, Result};

use crate::host::global_host;

/// Returns the digest of the plug-in that has this component.
///
/// # Errors
/// Returns an error if there is none.
pub fn of(kind: Kind, name: &str) -> Result<String> {
    Ok(global_host()?.find(kind, name)?.0.digest().to_owned())
}

/// Checks that the plug-in has the digest.
///
/// # Errors
/// Returns an error if it is another one.
pub fn check(kind: Kind, name: &str, compiled_for: &str) -> Result<()> {
    if of(kind, name)? == compiled_for {
        return Ok(());
    }
    Err(Error::failure(format!("{name} is of another plug-in than the one for which this function was compiled"))
        .hint("compile the function again"))
}
