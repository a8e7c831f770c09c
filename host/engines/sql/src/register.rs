//! Registers the functions.

use std::any::Any;
use std::collections::BTreeMap;

use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::AggregateUDF;
use datafusion::prelude::SessionContext;
use plugfit::Host;
use plugfit::plugin::Kind;

use crate::classes;
use crate::form::Form;
use crate::function::MetricFunction;

/// What [`register_all`] has registered.
#[derive(Clone, Debug, Default)]
pub struct Registered {
    /// The names of the functions of metrics.
    pub names: Vec<String>,
    /// The names that the context already had, such as `mean` and `sum`, which were left as they are. The metrics are
    /// used by their identifiers: `metric('Mean', x)`.
    pub taken: Vec<String>,
}

/// Registers these functions, with the plug-ins of the host:
///
/// * an aggregate function for each metric, by its name in snake case, such as `auc` and `binary_accuracy`; and one for
///   each loss whose name no metric has, the mean of its values;
/// * `accuracy` and `crossentropy`, which are metrics of a binary output if the predictions are numbers, and of classes if
///   they are lists, as in `compile`;
/// * `metric(identifier, …)`, whose first argument is a literal identifier;
/// * `metric_json(identifier, …)`, which returns a JSON text, for metrics that return several numbers;
/// * `classes(a, b, …)` and `class_id(label, 'first', …)`, which see [`classes`](mod@crate::classes).
///
/// # Errors
/// Returns an error if the context refuses a function.
pub fn register_all(context: &SessionContext, host: &Host) -> Result<Registered> {
    let mut functions = BTreeMap::new();
    // A metric hides a loss of the same name.
    for kind in [Kind::Loss, Kind::Metric] {
        for (_, component) in host.components(kind) {
            functions.insert(component.snake_case_name(), component.name.clone());
        }
    }
    // Which metrics these are depends on the types of the arguments.
    for name in ["accuracy", "crossentropy"] {
        functions.insert(name.to_owned(), name.to_owned());
    }
    let mut registered = Registered::default();
    for (name, identifier) in functions {
        let is_ours = |function: &AggregateUDF| {
            let function: &dyn Any = function.inner().as_ref();
            function.is::<MetricFunction>()
        };
        let is_taken = context.udaf(&name).is_ok_and(|function| !is_ours(&function))
            || context.udf(&name).is_ok()
            || context.udwf(&name).is_ok();
        if is_taken {
            registered.taken.push(name);
            continue;
        }
        context.register_udaf(AggregateUDF::new_from_impl(MetricFunction::new(
            host,
            &name,
            &*identifier,
            Form::Number,
        )));
        registered.names.push(name);
    }
    for (name, form) in [("metric", Form::Number), ("metric_json", Form::Json)] {
        context.register_udaf(AggregateUDF::new_from_impl(MetricFunction::of_identifiers(host, name, form)));
    }
    context.register_udf(classes::classes());
    context.register_udf(classes::class_id());
    Ok(registered)
}
