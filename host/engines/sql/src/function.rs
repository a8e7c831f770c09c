//! The aggregate functions.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use plugfit::{Error, Host, Identifier};

use crate::accumulator::MetricAccumulator;
use crate::error::from_plugfit;
use crate::form::Form;
use crate::groups::MetricGroups;
use crate::resolve::{self, resolve};
use crate::rows::check_count;
use crate::{arrays, columns};

/// A metric as an aggregate function. Its arguments are the inputs of the metric, then optionally a sample weight.
#[derive(Clone)]
pub struct MetricFunction {
    host: Host,
    name: String,
    /// The metrics, which have the same inputs; none if the first argument is an identifier.
    identifiers: Vec<Identifier>,
    form: Form,
    signature: Signature,
}

impl MetricFunction {
    /// Creates the function of a metric.
    pub fn new(host: &Host, name: impl Into<String>, identifier: impl Into<Identifier>, form: Form) -> Self {
        Self::with(host, name.into(), vec![identifier.into()], form)
    }

    /// Creates the function whose first argument is the identifier of a metric, a literal text.
    pub fn of_identifiers(host: &Host, name: impl Into<String>, form: Form) -> Self {
        Self::with(host, name.into(), Vec::new(), form)
    }

    /// Creates the function of several metrics with the same inputs, whose rows are gathered once. It returns a JSON
    /// array.
    #[cfg(feature = "cli")]
    pub(crate) fn of_several(host: &Host, name: impl Into<String>, identifiers: Vec<Identifier>) -> Self {
        Self::with(host, name.into(), identifiers, Form::Json)
    }

    fn with(host: &Host, name: String, identifiers: Vec<Identifier>, form: Form) -> Self {
        // Any types; `return_type` checks them.
        let signature = Signature::user_defined(Volatility::Immutable);
        MetricFunction { host: host.clone(), name, identifiers, form, signature }
    }

    /// Returns the number of arguments before those of the metric.
    fn leading(&self) -> usize {
        usize::from(self.identifiers.is_empty())
    }

    /// Checks the types of the arguments, and their number if the metric is known.
    fn check_types(&self, types: &[DataType]) -> Result<()> {
        let inputs = match self.identifiers.first() {
            Some(identifier) => {
                let identifier = resolve(identifier.clone(), types.first(), types.get(1)).map_err(from_plugfit)?;
                let metric = self.host.metric(identifier).map_err(from_plugfit)?;
                let inputs = metric.info().inputs.clone();
                check_count(&self.name, &inputs, types.len()).map_err(from_plugfit)?;
                inputs
            }
            None => {
                let is_text = |found: &DataType| {
                    matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
                };
                if !types.first().is_some_and(is_text) || types.len() < 2 {
                    return Err(from_plugfit(self.usage()));
                }
                Vec::new()
            }
        };
        for (at, found) in types.iter().skip(self.leading()).enumerate() {
            let name = match inputs.get(at) {
                Some(name) => name.clone(),
                None if inputs.is_empty() => format!("argument {}", at + 1 + self.leading()),
                None => "sample_weight".to_owned(),
            };
            let check = arrays::check_type(&name, found).map_err(|error| error.with("in", self.name.clone()));
            check.map_err(from_plugfit)?;
        }
        Ok(())
    }

    fn usage(&self) -> Error {
        let name = &self.name;
        Error::usage(format!("{name} takes an identifier and the inputs of the metric"))
            .hint(format!("{name}('Precision(thresholds=0.8)', label, score), or with a weight as the last argument"))
    }

    /// Creates the metrics for a call of the function.
    fn metrics(&self, args: &AccumulatorArgs<'_>) -> plugfit::Result<MetricGroups> {
        self.check_distinct(args.is_distinct)?;
        let identifiers = match &self.identifiers[..] {
            [_, ..] => self.identifiers.clone(),
            [] => {
                let literal = args.exprs.first().and_then(|first| {
                    let first: &dyn Any = first.as_ref();
                    first.downcast_ref::<Literal>()
                });
                match literal.map(Literal::value).and_then(ScalarValue::try_as_str) {
                    Some(Some(text)) => vec![resolve::identifier(text)],
                    _ => {
                        return Err(Error::usage(format!("the first argument of {} isn't a literal text", self.name))
                            .hint("it is one metric for the whole query, such as 'AUC(curve=\"PR\")'"));
                    }
                }
            }
        };
        let mut types = args.expr_fields.iter().skip(self.leading()).map(|field| field.data_type());
        let (y_true, y_pred) = (types.next(), types.next());
        let metric = |identifier| self.host.metric(resolve(identifier, y_true, y_pred)?);
        let metrics = identifiers.into_iter().map(metric).collect::<plugfit::Result<Vec<_>>>()?;
        MetricGroups::new(metrics, self.leading(), args.exprs.len(), label(args), self.form)
    }

    fn check_distinct(&self, is_distinct: bool) -> plugfit::Result<()> {
        match is_distinct {
            true => Err(Error::usage(format!("{} can't be computed of DISTINCT rows", self.name))
                .hint("leave out DISTINCT, or select the distinct rows in a subquery")),
            false => Ok(()),
        }
    }
}

/// Returns the label of a call in errors, without the name that DataFusion gives to a table without one.
pub fn label(args: &AccumulatorArgs<'_>) -> String {
    args.name.replace("?table?.", "")
}

impl std::fmt::Debug for MetricFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricFunction").field("name", &self.name).field("form", &self.form).finish_non_exhaustive()
    }
}

impl PartialEq for MetricFunction {
    fn eq(&self, other: &Self) -> bool {
        let identifiers = |function: &Self| function.identifiers.iter().map(ToString::to_string).collect::<Vec<_>>();
        self.name == other.name && self.form == other.form && identifiers(self) == identifiers(other)
    }
}

impl Eq for MetricFunction {}

impl Hash for MetricFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.form).hash(state);
    }
}

impl AggregateUDFImpl for MetricFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // DataFusion would make a text of an error here; `return_type` returns it.
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.check_types(types)?;
        Ok(columns::data_type(self.form))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.check_distinct(args.is_distinct).map_err(from_plugfit)?;
        let name = format_state_name(args.name, "state");
        Ok(vec![Arc::new(Field::new(name, columns::STATE_TYPE, false))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(MetricAccumulator::new(self.metrics(&args).map_err(from_plugfit)?)))
    }

    fn create_sliding_accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Err(from_plugfit(
            Error::usage(format!("{} can't remove rows, as this window needs", self.name))
                .hint("let the window begin at the first row: ROWS BETWEEN UNBOUNDED PRECEDING AND …"),
        ))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.metrics(&args).map_err(from_plugfit)?))
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        ScalarValue::try_from(data_type)
    }
}
