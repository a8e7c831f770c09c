//! A metric with the replicates of its Poisson bootstrap, as an aggregate function.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringBuilder};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, UInt64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};
use plugfit::component::Metric;
use plugfit::{Error, Host, Identifier};
use serde_json::{Value, json};

use crate::columns::{self, to_json};
use crate::error::from_plugfit;
use crate::function::label;
use crate::groups::Order;
use crate::memory::Memory;
use crate::poisson::{self, MixedKey};
use crate::rows::{Arguments, Rows};

/// How a bootstrap is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    pub replicates: u32,
    pub seed: u64,
}

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

    fn groups(&self, args: &AccumulatorArgs<'_>) -> plugfit::Result<BootstrapGroups> {
        let metric = self.host.metric(self.identifier.clone())?;
        if !metric.info().zero_weight_is_absent {
            return Err(Error::usage(format!("{} has no interval", metric.name()))
                .hint("rows of weight 0 aren't absent for it, and the bootstrap weights rows"));
        }
        let count = args.exprs.len().saturating_sub(1);
        Ok(BootstrapGroups {
            arguments: Arguments::new(std::slice::from_ref(&metric), count)?,
            memory: Memory::new(&metric),
            metric,
            count,
            groups: Vec::new(),
            kept: 0,
            order: Order::default(),
            keys: Vec::new(),
            weights: Weights::default(),
            settings: self.settings,
            label: label(args),
        })
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
        Ok(Box::new(BootstrapAccumulator { groups: Mutex::new(self.groups(&args).map_err(from_plugfit)?) }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(&args).map_err(from_plugfit)?))
    }
}

/// The accumulator of groups.
struct BootstrapGroups {
    metric: Metric,
    arguments: Arguments,
    /// The number of arguments of the metric.
    count: usize,
    groups: Vec<State>,
    /// The bytes of the rows that are kept.
    kept: usize,
    memory: Memory,
    order: Order,
    keys: Vec<MixedKey>,
    weights: Weights,
    settings: Settings,
    label: String,
}

/// The state of a group.
enum State {
    /// A metric of the rows as they are, then one for each replicate.
    Metrics(Vec<Replica>),
    /// The rows themselves, for a metric whose state keeps them: one copy instead of one for each replicate.
    Rows(Vec<RecordBatch>),
}

struct Replica {
    metric: Metric,
    /// Whether the state has seen no data.
    fresh: bool,
}

/// Memory for weights.
#[derive(Default)]
struct Weights {
    base: Option<Vec<f64>>,
    random: Vec<f64>,
}

impl Weights {
    /// Sets the weights of the rows of a batch.
    fn set(&mut self, rows: &Rows<'_>) -> plugfit::Result<()> {
        self.base = rows.weights()?;
        Ok(())
    }

    /// Returns the weights of some rows in a replicate.
    fn of(&mut self, settings: Settings, replicate: u32, keys: &[MixedKey], start: usize) -> &[f64] {
        poisson::weights(settings.seed, replicate, keys, &mut self.random);
        if let Some(base) = self.base.as_ref().and_then(|base| base.get(start..start + keys.len())) {
            self.random.iter_mut().zip(base).for_each(|(weight, base)| *weight *= base);
        }
        &self.random
    }
}

fn invalid(error: ArrowError) -> Error {
    Error::failure(format!("rows can't be kept: {error}"))
}

impl BootstrapGroups {
    fn new_state(&self) -> plugfit::Result<State> {
        if !self.metric.info().bounded_state {
            return Ok(State::Rows(Vec::new()));
        }
        let replica = |_| Ok(Replica { metric: self.metric.with_new_state()?, fresh: true });
        Ok(State::Metrics((0..=self.settings.replicates).map(replica).collect::<plugfit::Result<_>>()?))
    }

    fn grow(&mut self, count: usize) -> plugfit::Result<()> {
        while self.groups.len() < count {
            let state = self.new_state()?;
            self.groups.push(state);
        }
        Ok(())
    }

    fn named(&self, error: Error) -> datafusion::error::DataFusionError {
        from_plugfit(error.with("in", self.label.clone()))
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> plugfit::Result<()> {
        self.grow(total)?;
        let BootstrapGroups { groups, arguments, count, kept, memory, order, keys, weights, settings, metric, .. } =
            self;
        order.sort(group_indices, filter, total);
        let (Some(arrays), Some(key)) = (values.get(..*count), values.get(*count)) else {
            return Err(Error::failure("the key of rows is missing"));
        };
        if order.is_empty() {
            return Ok(());
        }
        let rows = order.rows();
        if !metric.info().bounded_state {
            // Checks the rows now, so that an error names their place.
            let mut fresh = metric.with_new_state()?;
            arguments.with_rows_of_one(arrays, rows, |rows| rows.update(&mut fresh, 0..rows.count()))?;
            let indices = datafusion::arrow::array::UInt32Array::from(match rows {
                Some(rows) => rows.to_vec(),
                None => (0..key.len() as u32).collect(),
            });
            let taken = values.iter().map(|array| take(array, &indices, None)).collect::<Result<Vec<_>, _>>();
            let batch = batch(taken.map_err(invalid)?)?;
            for (group, rows) in order.parts() {
                if let Some(State::Rows(batches)) = groups.get_mut(group) {
                    // A copy, so that the memory of the batch is released.
                    let part = batch.slice(rows.start, rows.len());
                    let part = part.columns().iter().map(|array| concat(&[array.as_ref()]));
                    let part = self::batch(part.collect::<Result<_, _>>().map_err(invalid)?)?;
                    *kept += part.get_array_memory_size();
                    batches.push(part);
                }
            }
            return Ok(());
        }
        let all = key.as_primitive::<UInt64Type>().values();
        keys.clear();
        match rows {
            Some(rows) => keys.extend(rows.iter().filter_map(|row| all.get(*row as usize)).copied().map(MixedKey::new)),
            None => keys.extend(all.iter().copied().map(MixedKey::new)),
        }
        arguments.with_rows_of_one(arrays, rows, |rows| {
            weights.set(rows)?;
            for (group, part) in order.parts() {
                let Some(State::Metrics(replicas)) = groups.get_mut(group) else { continue };
                let keys = keys.get(part.clone()).unwrap_or_default();
                let mut replicas = replicas.iter_mut();
                if let Some(estimate) = replicas.next() {
                    rows.update(&mut estimate.metric, part.clone())?;
                    estimate.fresh = false;
                    memory.measure(&estimate.metric, part.len(), rows.row_bytes());
                }
                for (replicate, replica) in (0..).zip(replicas) {
                    let weights = weights.of(*settings, replicate, keys, part.start);
                    rows.update_weighted(&mut replica.metric, part.clone(), weights)?;
                    replica.fresh = false;
                }
            }
            Ok(())
        })
    }

    /// Returns the result and the replicates of a group.
    fn result(&mut self, state: State) -> plugfit::Result<Value> {
        let outcomes = match state {
            State::Metrics(replicas) => {
                let outcome = |replica: &Replica| Ok(to_json(&replica.metric.result()?));
                replicas.iter().map(outcome).collect::<plugfit::Result<Vec<_>>>()?
            }
            State::Rows(batches) => self.of_rows(&batches)?,
        };
        let mut outcomes = outcomes.into_iter();
        let value = outcomes.next().unwrap_or(Value::Null);
        Ok(json!({"value": value, "replicates": outcomes.collect::<Value>()}))
    }

    /// Computes the result and the replicates of rows that were kept.
    fn of_rows(&mut self, batches: &[RecordBatch]) -> plugfit::Result<Vec<Value>> {
        let Some(first) = batches.first() else {
            return Ok(vec![to_json(&self.metric.with_new_state()?.result()?)]);
        };
        let column = |at: usize| concat(&batches.iter().map(|batch| batch.column(at).as_ref()).collect::<Vec<_>>());
        let arrays: Vec<ArrayRef> = (0..first.num_columns()).map(column).collect::<Result<_, _>>().map_err(invalid)?;
        let BootstrapGroups { metric, arguments, count, weights, settings, .. } = self;
        let (Some(inputs), Some(key)) = (arrays.get(..*count), arrays.get(*count)) else {
            return Err(Error::failure("the key of rows is missing"));
        };
        let keys: Vec<MixedKey> =
            key.as_primitive::<UInt64Type>().values().iter().copied().map(MixedKey::new).collect();
        arguments.with_rows_of_one(inputs, None, |rows| {
            weights.set(rows)?;
            let mut estimate = metric.with_new_state()?;
            rows.update(&mut estimate, 0..rows.count())?;
            let mut outcomes = vec![to_json(&estimate.result()?)];
            for replicate in 0..settings.replicates {
                let mut replica = metric.with_new_state()?;
                rows.update_weighted(&mut replica, 0..rows.count(), weights.of(*settings, replicate, &keys, 0))?;
                outcomes.push(to_json(&replica.result()?));
            }
            Ok(outcomes)
        })
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<State> {
        let all = self.groups.len();
        let emitted = emit_to.take_needed(&mut self.groups);
        self.kept -= (self.kept as u128 * emitted.len() as u128).checked_div(all as u128).unwrap_or(0) as usize;
        emitted
    }

    fn results(&mut self, emit_to: EmitTo) -> plugfit::Result<ArrayRef> {
        let mut texts = StringBuilder::new();
        for state in self.take(emit_to) {
            texts.append_value(self.result(state)?.to_string());
        }
        Ok(Arc::new(texts.finish()))
    }

    fn save(&mut self, emit_to: EmitTo) -> plugfit::Result<ArrayRef> {
        let emitted = self.take(emit_to);
        let mut states = columns::states(emitted.len());
        for state in emitted {
            states.append_value(saved(state)?);
        }
        Ok(Arc::new(states.finish()))
    }

    fn merge(&mut self, states: &ArrayRef, group_indices: &[usize], total: usize) -> plugfit::Result<()> {
        self.grow(total)?;
        let BootstrapGroups { metric, groups, kept, memory, .. } = self;
        let damaged = || Error::failure("a saved state is damaged");
        let states = states.as_binary_opt::<i64>().ok_or_else(damaged)?;
        let mut other = metric.with_new_state()?;
        for (state, group) in states.iter().zip(group_indices) {
            let (Some(mut state), Some(group)) = (state, groups.get_mut(*group)) else { continue };
            match group {
                State::Metrics(replicas) => {
                    for replica in replicas {
                        let (length, rest) = state.split_first_chunk::<8>().ok_or_else(damaged)?;
                        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
                        let (saved, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
                        if std::mem::take(&mut replica.fresh) {
                            replica.metric.set_state(saved)?;
                        } else {
                            other.set_state(saved)?;
                            replica.metric.merge_state(&other)?;
                        }
                        memory.add_state(length);
                        state = rest;
                    }
                }
                State::Rows(batches) => {
                    if state.is_empty() {
                        continue;
                    }
                    for batch in StreamReader::try_new(state, None).map_err(invalid)? {
                        let batch = batch.map_err(invalid)?;
                        *kept += batch.get_array_memory_size();
                        batches.push(batch);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Creates a batch of columns without names.
fn batch(columns: Vec<ArrayRef>) -> plugfit::Result<RecordBatch> {
    let field = |(at, column): (usize, &ArrayRef)| Field::new(at.to_string(), column.data_type().clone(), true);
    let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns).map_err(invalid)
}

/// Saves the state of a group.
fn saved(state: State) -> plugfit::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match state {
        State::Metrics(replicas) => {
            for replica in replicas {
                let state = replica.metric.get_state()?;
                bytes.extend_from_slice(&(state.len() as u64).to_le_bytes());
                bytes.extend_from_slice(&state);
            }
        }
        State::Rows(batches) => {
            let Some(first) = batches.first() else { return Ok(bytes) };
            let mut writer = StreamWriter::try_new(&mut bytes, &first.schema()).map_err(invalid)?;
            batches.iter().try_for_each(|batch| writer.write(batch)).map_err(invalid)?;
            writer.finish().map_err(invalid)?;
        }
    }
    Ok(bytes)
}

impl GroupsAccumulator for BootstrapGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.update(values, group_indices, opt_filter, total_num_groups).map_err(|error| self.named(error))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.results(emit_to).map_err(|error| self.named(error))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.save(emit_to).map_err(|error| self.named(error))?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        let Some(states) = values.first() else { return Ok(()) };
        self.merge(states, group_indices, total_num_groups).map_err(|error| self.named(error))
    }

    /// The sessions of this crate never ask for it: a row is smaller than its state.
    fn convert_to_state(&self, _values: &[ArrayRef], _filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        Err(self.named(Error::failure("a bootstrap makes no states of single rows")))
    }

    fn size(&self) -> usize {
        let states = match self.metric.info().bounded_state {
            true => self.memory.size(self.groups.len()) * (self.settings.replicates as usize + 1),
            false => self.kept,
        };
        states + self.arguments.size() + self.order.size() + 8 * self.keys.capacity()
    }
}

/// The accumulator without groups: one group.
struct BootstrapAccumulator {
    /// The groups are used by one thread at a time; DataFusion also wants them to be `Sync`.
    groups: Mutex<BootstrapGroups>,
}

impl BootstrapAccumulator {
    fn groups(&mut self) -> &mut BootstrapGroups {
        self.groups.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for BootstrapAccumulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BootstrapAccumulator").finish_non_exhaustive()
    }
}

impl Accumulator for BootstrapAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |array| array.len());
        self.groups().update_batch(values, &vec![0; rows], None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let groups = self.groups();
        groups.grow(1).map_err(|error| groups.named(error))?;
        let results = groups.evaluate(EmitTo::All)?;
        ScalarValue::try_from_array(&results, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.lock().unwrap_or_else(PoisonError::into_inner).size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let groups = self.groups();
        groups.grow(1).map_err(|error| groups.named(error))?;
        groups.state(EmitTo::All)?.iter().map(|states| ScalarValue::try_from_array(states, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let count = states.first().map_or(0, |array| array.len());
        self.groups().merge_batch(states, &vec![0; count], 1)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Float64Array, UInt64Array};
    use plugfit_api::metric::Outcome;
    use plugfit_api::prelude::{Config, Direction, Inputs, Metric as _, MetricInfo};

    use super::*;

    /// The weighted sum of the scores.
    #[derive(Clone, Debug, Config)]
    struct Total {
        /// Whether the state is described as one of bounded size.
        #[config(default = true)]
        bounded: bool,
    }

    impl plugfit_api::prelude::Metric for Total {
        type State = f64;
        fn info(&self) -> MetricInfo {
            MetricInfo { bounded_state: self.bounded, ..MetricInfo::new(Direction::Neither) }
        }
        fn init(&self) -> f64 {
            0.0
        }
        fn update(&self, total: &mut f64, inputs: &Inputs<'_>) -> plugfit_api::Result<()> {
            inputs.for_each(|_, score, weight| *total += score * weight)
        }
        fn merge(&self, total: &mut f64, other: &f64) -> plugfit_api::Result<()> {
            *total += other;
            Ok(())
        }
        fn result(&self, total: &f64) -> plugfit_api::Result<Outcome> {
            Ok(Outcome::Scalar(*total))
        }
    }

    fn groups(bounded: bool, count: usize) -> BootstrapGroups {
        let metric = plugfit::Host::empty()
            .metric(Identifier::from(plugfit_api::instance::metric(Total { bounded })))
            .expect("an instance");
        assert_eq!(Total { bounded }.info().bounded_state, metric.info().bounded_state);
        BootstrapGroups {
            arguments: Arguments::new(std::slice::from_ref(&metric), count).expect("its arguments"),
            memory: Memory::new(&metric),
            metric,
            count,
            groups: Vec::new(),
            kept: 0,
            order: Order::default(),
            keys: Vec::new(),
            weights: Weights::default(),
            settings: Settings { replicates: 5, seed: 1 },
            label: "total".into(),
        }
    }

    /// Updates two states with parts of the rows, merges them, and returns the results of the groups.
    fn results(bounded: bool) -> Vec<Value> {
        let rows = 100_u64;
        let column = |f: &dyn Fn(u64) -> f64| Arc::new(Float64Array::from_iter_values((0..rows).map(f))) as ArrayRef;
        // Sums of these numbers are exact in any order.
        let arrays = [
            column(&|_| 1.0),
            column(&|row| (row % 8) as f64),
            column(&|row| (row % 3) as f64 * 0.5),
            Arc::new(UInt64Array::from_iter_values(0..rows)) as ArrayRef,
        ];
        let group = |row: u64| (row % 2) as usize;
        let part = |range: std::ops::Range<u64>| {
            let mut groups = groups(bounded, 3);
            let (start, length) = (range.start as usize, (range.end - range.start) as usize);
            let arrays: Vec<ArrayRef> = arrays.iter().map(|array| array.slice(start, length)).collect();
            groups.update_batch(&arrays, &range.map(group).collect::<Vec<_>>(), None, 2).expect("they fit");
            groups
        };
        let mut all = groups(bounded, 3);
        for range in [0..40, 40..100] {
            let states = part(range).state(EmitTo::All).expect("states");
            all.merge_batch(&states, &[0, 1], 2).expect("they fit");
        }
        assert!(all.size() > 0);
        let texts = all.evaluate(EmitTo::All).expect("results");
        texts.as_string::<i32>().iter().flatten().map(|text| serde_json::from_str(text).expect("JSON")).collect()
    }

    #[test]
    fn kept_rows_and_states_give_the_same_replicates() {
        let bounded = results(true);
        assert_eq!(bounded, results(false));
        assert_eq!(bounded.len(), 2);
        for (group, found) in (0_u64..).zip(&bounded) {
            let of_row = |row: u64| (row % 8) as f64 * (row % 3) as f64 * 0.5;
            let expected: f64 = (0..100).filter(|row| row % 2 == group).map(of_row).sum();
            assert_eq!(found["value"], expected);
            let replicates = found["replicates"].as_array().expect("a list");
            assert_eq!(replicates.len(), 5);
            let mut weights = Vec::new();
            let rows: Vec<u64> = (0..100).filter(|row| row % 2 == group).collect();
            let keys: Vec<MixedKey> = rows.iter().copied().map(MixedKey::new).collect();
            for (replicate, found) in (0..).zip(replicates) {
                poisson::weights(1, replicate, &keys, &mut weights);
                let expected: f64 = rows.iter().zip(&weights).map(|(row, weight)| of_row(*row) * weight).sum();
                assert_eq!(*found, expected);
            }
        }
    }
}
