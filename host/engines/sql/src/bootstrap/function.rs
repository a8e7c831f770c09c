//! The aggregate function.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};
use plugfit::{Host, Identifier};

use super::Settings;
use super::accumulator::BootstrapAccumulator;
use super::groups::BootstrapGroups;
use crate::columns;
use crate::error::from_plugfit;
use crate::function::label;

/// A metric as an aggregate function. Its arguments are the inputs of the metric, optionally a sample weight, and the
/// key of a row, a uint64: rows of one key have one random weight. It returns a JSON text: `value` and `replicates`.
#[derive(Clone)]
pub struct BootstrapFunction {
    host: Host,
    name: String,
    identifier: Identifier,
    settings: Settings,
    signature: Signature,
}

impl BootstrapFunction {
    /// Creates the function.
    pub fn new(host: &Host, name: impl Into<String>, identifier: Identifier, settings: Settings) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        BootstrapFunction { host: host.clone(), name: name.into(), identifier, settings, signature }
    }

    fn groups(&self, args: &AccumulatorArgs<'_>) -> Result<BootstrapGroups> {
        let create = || {
            let metric = self.host.metric(self.identifier.clone())?;
            BootstrapGroups::new(metric, args.exprs.len().saturating_sub(1), self.settings, label(args))
        };
        create().map_err(from_plugfit)
    }
}

impl std::fmt::Debug for BootstrapFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BootstrapFunction").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for BootstrapFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.settings == other.settings
            && self.identifier.to_string() == other.identifier.to_string()
    }
}

impl Eq for BootstrapFunction {}

impl Hash for BootstrapFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.settings).hash(state);
    }
}

impl AggregateUDFImpl for BootstrapFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "state"), columns::STATE_TYPE, false))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(BootstrapAccumulator::new(self.groups(&args)?)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(&args)?))
    }
}
