//! Components that calls use one after another: one for each identifier, and more where calls run at the same time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Returns the key of a component: its identifier, and the digest of the plug-in for which the function was compiled. A
/// function that was compiled for another plug-in doesn't find the component.
pub fn key(identifier: &str, digest: &str) -> String {
    format!("{digest} {identifier}")
}

/// Idle components by their key.
pub struct Pool<T>(Mutex<Option<HashMap<Box<str>, Vec<T>>>>);

impl<T> Pool<T> {
    /// Creates an empty pool.
    pub const fn new() -> Self {
        Pool(Mutex::new(None))
    }

    /// Calls `work` with a component, which `make` creates if none is idle. If `work` fails or panics, the component
    /// isn't used again.
    ///
    /// # Errors
    /// Returns the errors of `make` and `work`.
    pub fn with<R, E>(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<T, E>,
        work: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<R, E> {
        let idle = self.locked(|all| all.get_mut(key)?.pop());
        let mut component = idle.map_or_else(make, Ok)?;
        let result = work(&mut component)?;
        self.locked(|all| match all.get_mut(key) {
            Some(idle) => idle.push(component),
            None => {
                all.insert(key.into(), vec![component]);
            }
        });
        Ok(result)
    }

    fn locked<R>(&self, work: impl FnOnce(&mut HashMap<Box<str>, Vec<T>>) -> R) -> R {
        work(self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
    }
}
