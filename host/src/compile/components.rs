//! What a compile call needs of the host: components by identifier.

use crate::{Identifier, Result, component};

/// Creates the components that identifiers stand for. [`Host`](crate::Host) implements it.
pub(crate) trait Components: Send + Sync {
    /// Creates a loss.
    ///
    /// # Errors
    /// Returns an error if the identifier stands for no loss, or its configuration is invalid.
    fn loss(&self, identifier: Identifier) -> Result<component::Loss>;

    /// Creates a metric. A loss becomes the mean of its values.
    ///
    /// # Errors
    /// Returns an error if the identifier stands for neither, or its configuration is invalid.
    fn metric(&self, identifier: Identifier) -> Result<component::Metric>;

    /// Creates an optimizer.
    ///
    /// # Errors
    /// Returns an error if the identifier stands for no optimizer, or its configuration is invalid.
    fn optimizer(&self, identifier: Identifier) -> Result<component::Optimizer>;

    /// Returns whether unnamed metrics of this class are numbered across all outputs, because the class declares its default name as null.
    fn numbers_names(&self, class_name: &str) -> bool;

    /// Returns whether training continues without a metric whose worker process crashed.
    fn continue_on_crash(&self) -> bool;
}
