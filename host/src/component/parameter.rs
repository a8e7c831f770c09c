//! The description of a parameter of a model.

/// The names and the shape of a weight, as in Keras; known before training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in its layer, such as "kernel".
    pub name: String,
    /// Its name in the network, such as "dense_1/kernel"; unique.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether it is trained.
    pub trainable: bool,
}

impl Parameter {
    /// Returns the number of its elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
