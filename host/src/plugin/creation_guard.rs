//! Bounds the components that are created for one another.

use std::cell::Cell;

use super::bounds;
use crate::{Error, Result};

thread_local! {
    /// The nesting depth of the components that are being created on this thread, and how many have been created for
    /// the outermost one.
    static CREATIONS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Guard for the creation of a component. It bounds the depth and the number, so that a plug-in that requests
/// components endlessly is refused before the stack or the memory is exhausted.
pub struct CreationGuard;

impl CreationGuard {
    pub fn begin(name: &str) -> Result<Self> {
        let (depth, created) = CREATIONS.get();
        if depth >= bounds::MAX_DEPTH || created >= bounds::MAX_NESTED {
            let most = if depth >= bounds::MAX_DEPTH {
                format!("{} components are already nested", bounds::MAX_DEPTH)
            } else {
                format!("{} components were already created for one", bounds::MAX_NESTED)
            };
            return Err(Error::plugin(format!("{name} can't be created: {most}"))
                .hint("a component that requests itself never ends"));
        }
        CREATIONS.set((depth + 1, created + 1));
        Ok(CreationGuard)
    }
}

impl Drop for CreationGuard {
    fn drop(&mut self) {
        let (depth, created) = CREATIONS.get();
        CREATIONS.set((depth - 1, if depth == 1 { 0 } else { created }));
    }
}
