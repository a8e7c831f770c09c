//! The accumulator of a query with groups.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringBuilder};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{Field, Schema, UInt64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use plugfit::Error;
use plugfit::component::Metric;
use serde_json::{Value, json};

use super::Settings;
use crate::columns::{self, to_json};
use crate::error::from_plugfit;
use crate::groups::Order;
use crate::memory::Memory;
use crate::poisson::{self, MixedKey};
use crate::rows::{Arguments, Rows};

/// A metric with the states of its replicates for each group.
pub struct BootstrapGroups {
    metric: Metric,
    arguments: Arguments,
    /// The number of arguments of the metric.
    count: usize,
    groups: Vec<State>,
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
    Metrics {
        metrics: Vec<Metric>,
        /// Whether the states have seen no data.
        fresh: bool,
    },
    /// The rows themselves, for a metric whose state keeps them: one copy instead of one for each replicate.
    Rows(Vec<RecordBatch>),
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
    /// Creates the accumulator of a metric with `count` arguments. Errors call it `label`.
    ///
    /// # Errors
    /// Returns an error if the metric takes another number of arguments, or if it has no bootstrap.
    pub fn new(metric: Metric, count: usize, settings: Settings, label: String) -> plugfit::Result<Self> {
        if !metric.info().zero_weight_is_absent {
            return Err(Error::usage(format!("{} has no interval", metric.name()))
                .hint("rows of weight 0 aren't absent for it, and the bootstrap weights rows"));
        }
        Ok(BootstrapGroups {
            arguments: Arguments::new(std::slice::from_ref(&metric), count)?,
            memory: Memory::new(&metric),
            metric,
            count,
            groups: Vec::new(),
            order: Order::default(),
            keys: Vec::new(),
            weights: Weights::default(),
            settings,
            label,
        })
    }

    fn new_state(&self) -> plugfit::Result<State> {
        if !self.metric.info().bounded_state {
            return Ok(State::Rows(Vec::new()));
        }
        let metrics = (0..=self.settings.replicates).map(|_| self.metric.with_new_state());
        Ok(State::Metrics { metrics: metrics.collect::<plugfit::Result<_>>()?, fresh: true })
    }

    /// Creates states up to this number of groups.
    pub fn grow(&mut self, count: usize) -> plugfit::Result<()> {
        while self.groups.len() < count {
            let state = self.new_state()?;
            self.groups.push(state);
        }
        Ok(())
    }

    /// Names the function in an error.
    pub fn named(&self, error: Error) -> datafusion::error::DataFusionError {
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
        let BootstrapGroups { groups, arguments, count, memory, order, keys, weights, settings, metric, .. } = self;
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
                    memory.keep(part.get_array_memory_size());
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
                let Some(State::Metrics { metrics, fresh }) = groups.get_mut(group) else { continue };
                *fresh = false;
                let keys = keys.get(part.clone()).unwrap_or_default();
                let mut metrics = metrics.iter_mut();
                if let Some(estimate) = metrics.next() {
                    rows.update(estimate, part.clone())?;
                    memory.measure(estimate, part.len(), rows.row_bytes());
                }
                for (replicate, metric) in (0..).zip(metrics) {
                    let weights = weights.of(*settings, replicate, keys, part.start);
                    rows.update_weighted(metric, part.clone(), weights)?;
                }
            }
            Ok(())
        })
    }

    /// Returns the result and the replicates of a group.
    fn result(&mut self, state: State) -> plugfit::Result<Value> {
        let outcomes = match state {
            State::Metrics { metrics, .. } => {
                metrics.iter().map(|metric| Ok(to_json(&metric.result()?))).collect::<plugfit::Result<Vec<_>>>()?
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
        self.memory.remove(emitted.len(), all);
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
        let BootstrapGroups { metric, groups, memory, .. } = self;
        let states = columns::saved_states(states)?;
        let mut other = metric.with_new_state()?;
        for (state, group) in states.iter().zip(group_indices) {
            let (Some(mut state), Some(group)) = (state, groups.get_mut(*group)) else { continue };
            match group {
                State::Metrics { metrics, fresh } => {
                    let is_fresh = std::mem::take(fresh);
                    for metric in metrics {
                        let saved = columns::next_state(&mut state)?;
                        columns::merge_state(metric, is_fresh, &mut other, saved)?;
                        memory.add_state(saved.len());
                    }
                }
                State::Rows(batches) => {
                    if state.is_empty() {
                        continue;
                    }
                    for batch in StreamReader::try_new(state, None).map_err(invalid)? {
                        let batch = batch.map_err(invalid)?;
                        memory.keep(batch.get_array_memory_size());
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
        State::Metrics { metrics, .. } => columns::write_states(&mut bytes, &metrics)?,
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
        let metrics = if self.metric.info().bounded_state { self.settings.replicates as usize + 1 } else { 1 };
        self.memory.size(self.groups.len()) * metrics
            + self.arguments.size()
            + self.order.size()
            + 8 * self.keys.capacity()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Float64Array, UInt64Array};
    use plugfit::Identifier;
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
        let settings = Settings { replicates: 5, seed: 1 };
        BootstrapGroups::new(metric, count, settings, "total".into()).expect("its arguments")
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
