//! Embeddings of single input columns: each replaces a category id by a trained vector.

use serde_json::{Value, json};

use super::Training;
use super::fields::Fields;
use super::ids::{MAX_CATEGORIES, id};
use super::initializer::{Distribution, Initializer};
use super::layer::{InputGradient, Layer, Weight};
use crate::text::grouped;
use crate::{Error, Result};

/// A column of the inputs whose category ids are replaced by trained vectors.
///
/// The inputs have the shape `[N, F]`. The trunk sees the columns without an embedding in their order, followed by the
/// vectors in the order of [`NetworkConfig::embeddings`](super::NetworkConfig::embeddings).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnEmbedding {
    /// The name of the column. The parameter is called `embedding_<name>/embeddings`.
    pub name: String,
    /// The index of the column, in `0..F`.
    pub column: usize,
    /// The number of categories: the ids are `0..categories`. At most 2^24.
    pub categories: usize,
    /// The length of each vector.
    pub dim: usize,
}

impl ColumnEmbedding {
    /// Reads `{"name": ..., "column": ..., "categories": ..., "dim": ...}`.
    pub(super) fn from_json(value: &Value, path: String) -> Result<Self> {
        let mut fields = Fields::new(value, path)?;
        let name = fields.string("name")?.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Error::usage("an embedding has no name").with("in", fields.path("name")))?;
        let mut whole = |key: &'static str, least: usize| {
            let number = fields.whole(key)?.and_then(|number| usize::try_from(number).ok());
            number.filter(|number| *number >= least).ok_or_else(|| {
                Error::usage(format!("an embedding needs \"{key}\", a whole number of at least {least}"))
                    .with("in", fields.path(key))
            })
        };
        let (column, categories, dim) = (whole("column", 0)?, whole("categories", 1)?, whole("dim", 1)?);
        fields.finish("an embedding")?;
        Ok(ColumnEmbedding { name, column, categories, dim })
    }

    /// Writes JSON for [`from_json`](Self::from_json).
    pub(super) fn to_json(&self) -> Value {
        json!({ "name": self.name, "column": self.column, "categories": self.categories, "dim": self.dim })
    }

    /// Returns the name of the layer to which the parameter belongs.
    pub(super) fn layer_name(&self) -> String {
        format!("embedding_{}", self.name)
    }
}

/// Returns the number of columns that the trunk sees for `columns` input columns; `None` if that isn't a `usize`, or
/// there are fewer columns than embeddings.
pub fn embedded_width(embeddings: &[ColumnEmbedding], columns: usize) -> Option<usize> {
    let others = columns.checked_sub(embeddings.len())?;
    embeddings.iter().try_fold(others, |width, embedding| width.checked_add(embedding.dim))
}

/// The layer of all embedded columns, the first of the trunk.
pub struct ColumnEmbeddings {
    embeddings: Vec<ColumnEmbedding>,
    /// The number of input columns.
    columns: usize,
    /// The indices of the columns without an embedding.
    others: Vec<usize>,
    /// The width of the output.
    width: usize,
    /// A table `[categories, dim]` for each embedding.
    weights: Vec<Weight>,
    output: Vec<f32>,
}

impl ColumnEmbeddings {
    /// Creates the layer for samples of `input_shape`, with tables that are uniform within ±0.05, as in Keras.
    ///
    /// # Errors
    /// Returns a usage error if the samples aren't vectors, a column doesn't exist or has two embeddings, or a table
    /// doesn't fit in memory.
    pub fn new(embeddings: &[ColumnEmbedding], input_shape: &[usize], seed: u64) -> Result<Self> {
        let [columns] = *input_shape else {
            return Err(Error::usage(format!(
                "embeddings need samples of columns; these have the shape {input_shape:?}"
            ))
            .with("in", "network.embeddings"));
        };
        let mut taken = vec![None; columns];
        let mut weights = Vec::new();
        for (index, embedding) in embeddings.iter().enumerate() {
            let ColumnEmbedding { name, column, categories, dim } = embedding;
            let wrong = |message: String| Err(Error::usage(message).with("in", format!("network.embeddings[{index}]")));
            match taken.get_mut(*column) {
                None => return wrong(format!("\"{name}\" embeds column {column}; there are {columns} (from 0)")),
                Some(Some(other)) => {
                    return wrong(format!("column {column} is embedded as \"{other}\" and as \"{name}\""));
                }
                Some(place) => *place = Some(name),
            }
            if *categories > MAX_CATEGORIES {
                let (most, found) = (grouped(MAX_CATEGORIES), grouped(*categories));
                return wrong(format!("\"{name}\" has {found} categories; {most} is the most that float32 can count"));
            }
            let mut table = Weight::new("embeddings", vec![*categories, *dim], &embedding.layer_name())?;
            let initializer = Initializer::from(Distribution::RandomUniform { minval: -0.05, maxval: 0.05 });
            // The first number is that of no layer.
            initializer.fill(&mut table.values, [*categories, *dim], seed, &[u64::MAX, index as u64]);
            weights.push(table);
        }
        let others: Vec<usize> = (0..columns).filter(|&column| taken[column].is_none()).collect();
        let width = embedded_width(embeddings, columns)
            .ok_or_else(|| Error::usage("the embeddings are too wide").with("in", "network.embeddings"))?;
        Ok(ColumnEmbeddings { embeddings: embeddings.to_vec(), columns, others, width, weights, output: Vec::new() })
    }

    /// Returns the width of the output.
    pub fn width(&self) -> usize {
        self.width
    }
}

impl Layer for ColumnEmbeddings {
    fn forward(&mut self, input: &[f32], _training: Option<Training>) -> Result<()> {
        self.output.resize(input.len() / self.columns * self.width, 0.0);
        let rows = input.chunks_exact(self.columns).zip(self.output.chunks_exact_mut(self.width));
        for (row, (input, output)) in rows.enumerate() {
            let (others, mut vectors) = output.split_at_mut(self.others.len());
            for (output, &column) in others.iter_mut().zip(&self.others) {
                *output = input[column];
            }
            for (embedding, table) in self.embeddings.iter().zip(&self.weights) {
                let value = input[embedding.column];
                let id = id(value, embedding.categories).ok_or_else(|| {
                    let ColumnEmbedding { name, categories, .. } = embedding;
                    let largest = categories - 1;
                    Error::failure(format!("the column \"{name}\" has the category id {value}; ids are 0 to {largest}"))
                        .at_row(Some(row))
                })?;
                let (vector, rest) = vectors.split_at_mut(embedding.dim);
                vector.copy_from_slice(&table.values[id * embedding.dim..][..embedding.dim]);
                vectors = rest;
            }
        }
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    /// Adds the gradients of the vectors in the order of the rows. The layer is the first, so nothing needs the
    /// gradient of its input.
    fn backward(&mut self, input: &[f32], gradient: &mut [f32], _input_gradient: InputGradient<'_>) {
        self.weights.iter_mut().for_each(|table| table.gradient.fill(0.0));
        for (input, gradient) in input.chunks_exact(self.columns).zip(gradient.chunks_exact(self.width)) {
            let mut vectors = &gradient[self.others.len()..];
            for (embedding, table) in self.embeddings.iter().zip(&mut self.weights) {
                let (vector, rest) = vectors.split_at(embedding.dim);
                // The forward pass has checked that the value is an id.
                let place = input[embedding.column] as usize * embedding.dim;
                let sums = table.gradient[place..][..embedding.dim].iter_mut();
                sums.zip(vector).for_each(|(sum, gradient)| *sum += gradient);
                vectors = rest;
            }
        }
    }

    fn weights(&self) -> &[Weight] {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut [Weight] {
        &mut self.weights
    }
}
