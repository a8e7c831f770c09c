//! Components with a state that compiled functions use by number.
//!
//! A number is never used again, so that a compiled function doesn't find the component of another one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use plugfit::{Error, Result};

/// Components by their number, as long as they exist.
pub struct Live<T>(Mutex<Option<HashMap<u64, Weak<T>>>>);

impl<T> Live<T> {
    /// Creates an empty table.
    pub const fn new() -> Self {
        Live(Mutex::new(None))
    }

    /// Enters a component, in place of the one with this number if one is given, and returns its number.
    pub fn enter(&self, component: &Arc<T>, number: Option<u64>) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = number.unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed));
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let table = table.get_or_insert_default();
        table.retain(|_, component| component.strong_count() > 0);
        table.insert(number, Arc::downgrade(component));
        number
    }

    /// Returns the component with this number. A forked process has its copies of the parent's components.
    ///
    /// # Errors
    /// Returns an error if it doesn't exist anymore, or if no component got the number in this process.
    pub fn get(&self, number: u64) -> Result<Arc<T>> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = table.as_ref().and_then(|table| table.get(&number)).and_then(Weak::upgrade);
        found.ok_or_else(|| {
            Error::usage("the metric or optimizer of this compiled function doesn't exist anymore")
                .hint("compile the function again")
        })
    }
}
