//! The query that computes the metrics of all groups.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Expr, SortExpr, lit, when};
use datafusion::physical_expr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::ident;
use plugfit::{Host, Identifier, Result};
use serde_json::Value;

use super::arguments::{Arguments, by_name};
use super::query::failed;
use super::streams::{KEY, Rows};
use crate::bootstrap::{BootstrapFunction, Settings};
use crate::function::MetricFunction;

/// A metric of the result.
#[derive(Clone, Debug)]
pub struct Scored {
    /// Its name in the result.
    pub name: String,
    pub identifier: Identifier,
    /// The names of its inputs.
    pub inputs: Vec<String>,
    /// The columns of its inputs.
    pub columns: Vec<String>,
    /// Whether the size of its state doesn't depend on the number of rows.
    pub bounded: bool,
}

/// A group with its results.
#[derive(Clone, Debug)]
pub struct Group {
    /// The values of `--by`.
    pub by: Vec<ScalarValue>,
    pub rows: u64,
    /// The rows that were left out because a value is null.
    pub skipped: u64,
    /// The result of each metric, as JSON.
    pub values: Vec<Value>,
    /// The replicates of each result, if there is a bootstrap.
    pub replicates: Vec<Vec<Value>>,
}

/// Computes the metrics of each group; without `--by`, of all rows.
///
/// # Errors
/// Returns an error if the query fails.
pub async fn groups(
    host: &Host,
    metrics: &[Scored],
    arguments: &Arguments,
    rows: Rows,
    skips_nulls: bool,
    bootstrap: Option<Settings>,
) -> Result<Vec<Group>> {
    let partitions = rows.partitions;
    let is_null = arguments.names().into_iter().map(|name| ident(name).is_null()).reduce(Expr::or);
    let is_null = is_null.filter(|_| skips_nulls);
    let one_if = |condition: Expr| when(condition, lit(1_i64)).otherwise(lit(0_i64)).map_err(failed);
    let mut columns = match &is_null {
        None => vec![count(lit(1_i64)).alias("rows"), lit_sum(0)],
        Some(is_null) => {
            vec![sum(one_if(is_null.clone().is_false())?).alias("rows"), sum(one_if(is_null.clone())?).alias("skipped")]
        }
    };
    let calls = calls(metrics, bootstrap.is_some());
    for (at, call) in calls.iter().enumerate() {
        let Some(first) = call.first().and_then(|first| metrics.get(*first)) else { continue };
        let mut given: Vec<Expr> = first.columns.iter().map(ident).collect();
        given.extend(arguments.sample_weight.as_ref().map(|_| ident("sample_weight")));
        let filter = is_null.clone().map(|is_null| Box::new(is_null.is_false()));
        let of_call = || call.iter().filter_map(|metric| metrics.get(*metric));
        let name = of_call().map(|metric| metric.name.as_str()).collect::<Vec<_>>().join(", ");
        let function = Arc::new(match bootstrap {
            None => {
                let identifiers = of_call().map(|metric| metric.identifier.clone()).collect();
                AggregateUDF::new_from_impl(MetricFunction::of_several(host, name, identifiers))
            }
            Some(settings) => {
                given.push(ident(KEY));
                AggregateUDF::new_from_impl(BootstrapFunction::new(host, name, first.identifier.clone(), settings))
            }
        });
        let call = AggregateFunction::new_udf(function, given, false, filter, Vec::new(), None);
        columns.push(Expr::AggregateFunction(call).alias(format!("call_{at}")));
    }
    let by: Vec<Expr> = (0..arguments.by.len()).map(|at| ident(by_name(at))).collect();
    let sorted: Vec<SortExpr> = by.iter().map(|column| column.clone().sort(true, false)).collect();
    let keeps_rows = metrics.iter().any(|metric| !metric.bounded);
    let mut frame = rows.frame.aggregate(by, columns).map_err(failed)?;
    if !sorted.is_empty() {
        frame = frame.sort(sorted).map_err(failed)?;
    }
    let context = Arc::new(frame.task_ctx());
    let mut plan = frame.create_physical_plan().await.map_err(failed)?;
    if keeps_rows {
        plan = plan.transform_up(|node| in_one_place(node, partitions)).map_err(failed)?.data;
    }
    let batches = collect(plan, context).await.map_err(failed)?;
    let mut groups = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            groups.push(group(batch, row, arguments.by.len(), &calls, bootstrap.is_some())?);
        }
    }
    Ok(groups)
}

/// Replaces partial aggregations of rows and the final ones of their states by single ones, to which all rows of a group
/// come. Otherwise the states of metrics that keep rows would be copied several times.
fn in_one_place(
    node: Arc<dyn ExecutionPlan>,
    partitions: usize,
) -> datafusion::error::Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let is_final =
        |aggregate: &&AggregateExec| matches!(aggregate.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned);
    let Some(last) = node.downcast_ref::<AggregateExec>().filter(is_final) else { return Ok(Transformed::no(node)) };
    // Between both are operators that distribute the states.
    let mut below = last.input().clone();
    let partial = loop {
        if below.is::<AggregateExec>() {
            break below;
        }
        match below.children()[..] {
            [child] => below = child.clone(),
            _ => return Ok(Transformed::no(node)),
        }
    };
    let Some(partial) = partial.downcast_ref::<AggregateExec>() else { return Ok(Transformed::no(node)) };
    let mut input = partial.input().clone();
    if let Some(distribution) = input.downcast_ref::<RepartitionExec>() {
        input = distribution.input().clone();
    }
    let by: Vec<_> = partial.group_expr().expr().iter().map(|(expression, _)| expression.clone()).collect();
    let (mode, input): (_, Arc<dyn ExecutionPlan>) = match by.is_empty() {
        true => (AggregateMode::Single, Arc::new(CoalescePartitionsExec::new(input))),
        false => {
            let hash = physical_expr::Partitioning::Hash(by, partitions);
            (AggregateMode::SinglePartitioned, Arc::new(RepartitionExec::try_new(input, hash)?))
        }
    };
    let (functions, filters) = (partial.aggr_expr().to_vec(), partial.filter_expr().to_vec());
    let (by, schema) = (partial.group_expr().clone(), partial.input_schema());
    let single = AggregateExec::try_new(mode, by, functions, filters, input, schema)?;
    Ok(Transformed::yes(Arc::new(single)))
}

/// The number of skipped rows if none is: a column that the query can compute.
fn lit_sum(number: i64) -> Expr {
    sum(lit(number)).alias("skipped")
}

/// Returns the metrics of each call of a function, by their numbers. Those with the same inputs are computed by one call,
/// but a bootstrap has a call for each.
fn calls(metrics: &[Scored], is_bootstrap: bool) -> Vec<Vec<usize>> {
    let mut calls: Vec<Vec<usize>> = Vec::new();
    for (at, metric) in metrics.iter().enumerate() {
        let is_same = |call: &&mut Vec<usize>| {
            let first = call.first().and_then(|first| metrics.get(*first));
            first.is_some_and(|first| first.inputs == metric.inputs) && !is_bootstrap
        };
        match calls.iter_mut().find(is_same) {
            Some(call) => call.push(at),
            None => calls.push(vec![at]),
        }
    }
    calls
}

fn group(batch: &RecordBatch, row: usize, by: usize, calls: &[Vec<usize>], has_replicates: bool) -> Result<Group> {
    let cell = |column: usize| ScalarValue::try_from_array(batch.column(column), row).map_err(failed);
    let number = |column: usize| -> Result<u64> {
        match cell(column)? {
            ScalarValue::Int64(number) => Ok(number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)),
            other => Err(plugfit::Error::failure(format!("a count is {other}"))),
        }
    };
    let value = |column: usize| -> Result<Value> {
        match cell(column)?.try_as_str() {
            Some(Some(text)) => serde_json::from_str(text)
                .map_err(|error| plugfit::Error::failure(format!("a result can't be read: {error}"))),
            _ => Ok(Value::Null),
        }
    };
    let mut values = vec![Value::Null; calls.iter().map(Vec::len).sum()];
    for (column, call) in (by + 2..).zip(calls) {
        let results = match (value(column)?, &call[..]) {
            (result, [_]) => vec![result],
            (Value::Array(results), _) => results,
            (_, call) => vec![Value::Null; call.len()],
        };
        for (at, result) in call.iter().zip(results) {
            if let Some(place) = values.get_mut(*at) {
                *place = result;
            }
        }
    }
    let mut replicates = Vec::new();
    for value in values.iter_mut().filter(|_| has_replicates) {
        let Value::Object(mut parts) = value.take() else { continue };
        *value = parts.remove("value").unwrap_or_default();
        replicates.push(match parts.remove("replicates") {
            Some(Value::Array(replicates)) => replicates,
            _ => Vec::new(),
        });
    }
    Ok(Group {
        by: (0..by).map(cell).collect::<Result<_>>()?,
        rows: number(by)?,
        skipped: number(by + 1)?,
        values,
        replicates,
    })
}
