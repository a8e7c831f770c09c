//! What a loss or a metric is given, and helpers to walk over it.

use crate::{Error, Result, Tensor};

pub use crate::walk::Prediction;

/// Named tensors, with an optional weight and an optional mask.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub(crate) tensors: &'a [(&'a str, Tensor<'a>)],
    pub(crate) weight: Option<Tensor<'a>>,
    pub(crate) mask: Option<Tensor<'a>>,
}

impl<'a> Inputs<'a> {
    /// Inputs made by hand, for a test or for a component that calls another one.
    pub fn new(tensors: &'a [(&'a str, Tensor<'a>)], weight: Option<Tensor<'a>>, mask: Option<Tensor<'a>>) -> Self {
        Inputs { tensors, weight, mask }
    }

    /// All of them, in the order declared.
    pub fn tensors(&self) -> &'a [(&'a str, Tensor<'a>)] {
        self.tensors
    }

    /// The one with this name.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, name: &str) -> Result<Tensor<'a>> {
        let found = self.tensors.iter().find(|(other, _)| *other == name);
        found.map(|(_, tensor)| *tensor).ok_or_else(|| Error::input(format!("{name} is missing")))
    }

    /// `y_true`: what is right.
    ///
    /// # Errors
    /// It is missing.
    pub fn y_true(&self) -> Result<Tensor<'a>> {
        self.get("y_true")
    }

    /// `y_pred`: what the model says.
    ///
    /// # Errors
    /// It is missing.
    pub fn y_pred(&self) -> Result<Tensor<'a>> {
        self.get("y_pred")
    }

    /// Weights of any rank that broadcast, if there are any.
    pub fn weight(&self) -> Option<Tensor<'a>> {
        self.weight
    }

    /// A mask of any rank that broadcasts, if there is one. (plugfit's own host has put it into the weight already.)
    pub fn mask(&self) -> Option<Tensor<'a>> {
        self.mask
    }
}
