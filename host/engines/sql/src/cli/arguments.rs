//! The arguments of the metrics as expressions over the columns of a file.

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use plugfit::{Error, Result};

use super::input::Source;
use super::query::failed_in;
use crate::classes;

/// The arguments of the metrics, as they are written.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    pub y_true: Option<String>,
    pub y_pred: Option<String>,
    pub sample_weight: Option<String>,
    /// Further inputs: name and expression.
    pub inputs: Vec<(String, String)>,
    pub classes: Vec<String>,
    pub filter: Option<String>,
    pub by: Vec<String>,
    /// The column that says which rows belong together.
    pub cluster: Option<String>,
}

/// The name of a column that follows the arguments in the projection of a file.
pub const KEEP: &str = "keep";
/// The name of the column of `--ci-by`.
pub const CLUSTER: &str = "cluster";

/// Returns the name of the column of a `--by`.
pub fn by_name(at: usize) -> String {
    format!("by_{at}")
}

impl Arguments {
    /// Returns the names of the columns of a projection that are arguments of metrics.
    pub fn names(&self) -> Vec<String> {
        let usual = [("y_true", &self.y_true), ("y_pred", &self.y_pred), ("sample_weight", &self.sample_weight)];
        let usual = usual.into_iter().filter(|(_, text)| text.is_some()).map(|(name, _)| name.to_owned());
        usual.chain(self.inputs.iter().map(|(name, _)| name.clone())).collect()
    }

    /// Returns the columns that are float64 even if a text file begins with integers.
    pub fn floats(&self) -> Vec<&str> {
        self.y_pred.iter().chain(&self.sample_weight).map(String::as_str).collect()
    }

    /// Selects the arguments from a file: the columns of `--by`, those of [`names`](Self::names), and that of
    /// `--ci-by`. Rows that `--where` leaves out are left out, or have [`KEEP`] false if `marks`.
    ///
    /// # Errors
    /// Returns an error if an expression doesn't fit the file.
    pub fn select(&self, file: DataFrame, source: &Source, context: &SessionContext, marks: bool) -> Result<DataFrame> {
        let reader = Reader { file: &file, source, context };
        let mut columns = Vec::new();
        for (at, text) in self.by.iter().enumerate() {
            columns.push(reader.expression(text, "--by")?.alias(by_name(at)));
        }
        if let Some(text) = &self.y_true {
            let label = reader.expression(text, "--y-true")?;
            let label = match &self.classes[..] {
                [] => label,
                classes => {
                    let classes = classes.iter().map(|class| lit(class.clone()));
                    classes::class_id().call(std::iter::once(label).chain(classes).collect())
                }
            };
            columns.push(label.alias("y_true"));
        }
        if let Some(text) = &self.y_pred {
            columns.push(reader.predictions(text)?.alias("y_pred"));
        }
        if let Some(text) = &self.sample_weight {
            columns.push(reader.expression(text, "--sample-weight")?.alias("sample_weight"));
        }
        for (name, text) in &self.inputs {
            columns.push(reader.expression(text, "--input")?.alias(name));
        }
        if let Some(text) = &self.cluster {
            columns.push(reader.expression(text, "--ci-by")?.alias(CLUSTER));
        }
        let filter = self.filter.as_ref().map(|text| reader.expression(text, "--where")).transpose()?;
        if marks {
            columns.push(filter.clone().unwrap_or_else(|| lit(true)).alias(KEEP));
        }
        let failed = |error| failed_in(error, &source.name);
        match filter.filter(|_| !marks) {
            Some(filter) => file.clone().filter(filter).map_err(failed)?.select(columns).map_err(failed),
            None => file.clone().select(columns).map_err(failed),
        }
    }
}

struct Reader<'a> {
    file: &'a DataFrame,
    source: &'a Source,
    context: &'a SessionContext,
}

impl Reader<'_> {
    fn schema(&self) -> &Schema {
        self.file.schema().as_arrow()
    }

    /// Returns the column of this name, or else the expression.
    fn expression(&self, text: &str, option: &str) -> Result<Expr> {
        if let Ok(field) = self.schema().field_with_name(text) {
            let column = Expr::Column(Column::from_name(text));
            // A text file without rows doesn't show types.
            let is_untyped = self.source.is_text() && field.data_type() == &DataType::Null;
            return Ok(if is_untyped { datafusion::prelude::cast(column, DataType::Float64) } else { column });
        }
        let is_name = |character: char| character.is_alphanumeric() || character == '_';
        if text.chars().all(is_name) && !text.chars().next().is_some_and(char::is_numeric) {
            return Err(self.no_column(text, option));
        }
        let parsed = self.context.parse_sql_expr(text, self.file.schema());
        parsed.map_err(|error| {
            let error = failed_in(error, &self.source.name);
            Error::usage(format!("{option} {text}: {}", error.message())).with("in", self.source.name.clone())
        })
    }

    fn no_column(&self, text: &str, option: &str) -> Error {
        let has: Vec<&str> = self.schema().fields().iter().map(|field| field.name().as_str()).collect();
        let error = Error::usage(format!("{} has no column {text}, which {option} names", self.source.name));
        match has.is_empty() {
            true => error.hint("it has no columns; is it empty?"),
            false => error.with("has", has.join(", ")),
        }
    }

    /// Returns the column of predictions; several of them if it is a pattern.
    fn predictions(&self, text: &str) -> Result<Expr> {
        let is_pattern = text.contains(['*', '?']) && !text.contains(char::is_whitespace) && !text.contains(['(', '+']);
        if !is_pattern || self.schema().field_with_name(text).is_ok() {
            return self.expression(text, "--y-pred");
        }
        let pattern = glob::Pattern::new(text)
            .map_err(|error| Error::usage(format!("--y-pred {text} isn't a pattern: {error}")))?;
        let names = self.schema().fields().iter().map(|field| field.name()).filter(|name| pattern.matches(name));
        let columns: Vec<Expr> = names.map(|name| Expr::Column(Column::from_name(name))).collect();
        match columns.is_empty() {
            true => Err(self.no_column(text, "--y-pred")),
            false => Ok(classes::classes().call(columns)),
        }
    }
}
