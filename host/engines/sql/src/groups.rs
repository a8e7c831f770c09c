//! The accumulator of a query with groups.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use plugfit::component::Metric;

use crate::columns::{self, Results};
use crate::error::from_plugfit;
use crate::form::Form;
use crate::memory::Memory;
use crate::rows::Arguments;

/// A metric with a state for each group.
pub struct MetricGroups {
    /// Creates the states.
    metric: Metric,
    groups: Vec<Group>,
    arguments: Arguments,
    /// The number of arguments before those of the metric.
    leading: usize,
    order: Order,
    memory: Memory,
    label: String,
    form: Form,
}

struct Group {
    metric: Metric,
    /// Whether the state has seen no data.
    fresh: bool,
}

impl MetricGroups {
    /// Creates the accumulator of a function with `count` arguments, of which the first `leading` aren't the metric's.
    /// Errors call it `label`.
    ///
    /// # Errors
    /// Returns an error if the metric takes another number of arguments.
    pub fn new(metric: Metric, leading: usize, count: usize, label: String, form: Form) -> plugfit::Result<Self> {
        let arguments = Arguments::new(&metric, count - leading.min(count))?;
        let memory = Memory::new(&metric);
        let order = Order::default();
        Ok(MetricGroups { metric, groups: Vec::new(), arguments, leading, order, memory, label, form })
    }

    fn grow(&mut self, count: usize) -> plugfit::Result<()> {
        while self.groups.len() < count {
            self.groups.push(Group { metric: self.metric.with_new_state()?, fresh: true });
        }
        Ok(())
    }

    fn named(&self, error: plugfit::Error) -> datafusion::error::DataFusionError {
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
        let MetricGroups { groups, arguments, leading, order, memory, .. } = self;
        let arrays = values.get(*leading..).unwrap_or_default();
        order.sort(group_indices, filter, total);
        if order.is_empty() {
            return Ok(());
        }
        arguments.with_rows(arrays, order.rows(), |rows| {
            for (group, part) in order.parts() {
                if let Some(group) = groups.get_mut(group) {
                    rows.update(&mut group.metric, part.clone())?;
                    group.fresh = false;
                    memory.measure(&group.metric, part.len(), rows.row_bytes());
                }
            }
            Ok(())
        })
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Group> {
        let all = self.groups.len();
        let emitted = emit_to.take_needed(&mut self.groups);
        self.memory.remove(emitted.len(), all);
        emitted
    }

    fn save(&mut self, emit_to: EmitTo) -> plugfit::Result<ArrayRef> {
        let emitted = self.take(emit_to);
        let mut states = columns::states(emitted.len());
        for group in emitted {
            states.append_value(group.metric.get_state()?);
        }
        Ok(Arc::new(states.finish()))
    }

    fn results(&mut self, emit_to: EmitTo) -> plugfit::Result<ArrayRef> {
        let emitted = self.take(emit_to);
        let mut results = Results::with_capacity(self.form, emitted.len());
        emitted.iter().try_for_each(|group| results.push(&group.metric))?;
        Ok(results.finish())
    }

    fn merge(&mut self, states: &ArrayRef, group_indices: &[usize], total: usize) -> plugfit::Result<()> {
        self.grow(total)?;
        let MetricGroups { metric, groups, memory, .. } = self;
        let Some(states) = states.as_binary_opt::<i64>() else {
            return Err(plugfit::Error::failure(format!("a saved state has the type {}", states.data_type())));
        };
        let mut other = metric.with_new_state()?;
        for (state, group) in states.iter().zip(group_indices) {
            let (Some(state), Some(group)) = (state, groups.get_mut(*group)) else { continue };
            if std::mem::take(&mut group.fresh) {
                group.metric.set_state(state)?;
            } else {
                other.set_state(state)?;
                group.metric.merge_state(&other)?;
            }
            memory.add_state(state.len());
        }
        Ok(())
    }
}

impl GroupsAccumulator for MetricGroups {
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

    /// Each row becomes the state of a group of its own.
    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let count = values.first().map_or(0, |array| array.len());
        let given = values.len() - self.leading.min(values.len());
        let convert = || -> plugfit::Result<ArrayRef> {
            let mut arguments = Arguments::new(&self.metric, given)?;
            let mut order = Order::default();
            let groups: Vec<usize> = (0..count).collect();
            order.sort(&groups, opt_filter, count);
            let mut states = columns::states(count);
            let new = self.metric.with_new_state()?.get_state()?;
            let arrays = values.get(self.leading..).unwrap_or_default();
            let mut next = 0;
            if !order.is_empty() {
                arguments.with_rows(arrays, order.rows(), |rows| {
                    for (row, place) in order.parts() {
                        // Rows that the filter leaves out have the state of no rows.
                        (next..row).for_each(|_| states.append_value(&new));
                        next = row + 1;
                        let mut metric = self.metric.with_new_state()?;
                        rows.update(&mut metric, place)?;
                        states.append_value(metric.get_state()?);
                    }
                    Ok(())
                })?;
            }
            (next..count).for_each(|_| states.append_value(&new));
            Ok(Arc::new(states.finish()))
        };
        Ok(vec![convert().map_err(|error| self.named(error))?])
    }

    fn size(&self) -> usize {
        self.memory.size(self.groups.len()) + self.arguments.size() + self.order.size()
    }
}

/// The rows of a batch, ordered by group. The order is kept within a group. The memory is reused.
#[derive(Default)]
pub struct Order {
    rows: Vec<u32>,
    parts: Vec<Part>,
    /// The number of rows of each group, then where the next goes; 0 between calls.
    counts: Vec<u32>,
    /// Whether `rows` are all rows in their order.
    is_identity: bool,
}

/// The rows of one group: those up to `end`.
struct Part {
    group: usize,
    end: u32,
}

impl Order {
    /// Orders the rows that pass the filter.
    pub fn sort(&mut self, groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        let Order { rows, parts, counts, is_identity } = self;
        let passes = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let total = groups.iter().max().map_or(0, |most| most + 1).max(total);
        counts.resize(counts.len().max(total), 0);
        parts.clear();
        rows.clear();
        let mut passing = 0;
        for (row, &group) in groups.iter().enumerate() {
            if passes(row) {
                passing += 1;
                let count = &mut counts[group];
                if *count == 0 {
                    parts.push(Part { group, end: 0 });
                }
                *count += 1;
            }
        }
        *is_identity = parts.len() <= 1 && passing == groups.len();
        let mut end = 0;
        for part in parts.iter_mut() {
            let start = end;
            end += counts[part.group];
            part.end = end;
            counts[part.group] = start;
        }
        if !*is_identity {
            rows.resize(end as usize, 0);
            for (row, &group) in groups.iter().enumerate() {
                if passes(row) {
                    rows[counts[group] as usize] = row as u32;
                    counts[group] += 1;
                }
            }
        }
        for part in parts.iter() {
            counts[part.group] = 0;
        }
    }

    /// Returns whether no row passes.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns the rows in their order, or `None` if they are all rows as they are.
    pub fn rows(&self) -> Option<&[u32]> {
        (!self.is_identity).then_some(&self.rows)
    }

    /// Returns each group with the places of its rows in the order.
    pub fn parts(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let ends = self.parts.iter().map(|part| part.end as usize);
        let starts = std::iter::once(0).chain(ends.clone());
        self.parts.iter().zip(starts.zip(ends)).map(|(part, (start, end))| (part.group, start..end))
    }

    /// Returns the allocated memory in bytes.
    pub fn size(&self) -> usize {
        4 * (self.rows.capacity() + self.counts.capacity()) + size_of::<Part>() * self.parts.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(order: &mut Order, groups: &[usize], filter: Option<&BooleanArray>) -> (Vec<u32>, Vec<(usize, u32)>) {
        order.sort(groups, filter, 0);
        (order.rows.clone(), order.parts.iter().map(|part| (part.group, part.end)).collect())
    }

    #[test]
    fn rows_are_ordered_by_group_and_keep_their_order_within_one() {
        let mut order = Order::default();
        assert_eq!(sorted(&mut order, &[2, 0, 2, 1, 0], None), (vec![0, 2, 1, 4, 3], vec![(2, 2), (0, 4), (1, 5)]));
        assert!(!order.is_identity);
        let filter = BooleanArray::from(vec![Some(true), None, Some(false), Some(true), Some(true)]);
        assert_eq!(sorted(&mut order, &[2, 0, 2, 1, 0], Some(&filter)), (vec![0, 3, 4], vec![(2, 1), (1, 2), (0, 3)]));
        assert_eq!(sorted(&mut order, &[7, 7], None), (vec![], vec![(7, 2)]));
        assert!(order.is_identity);
        assert_eq!(sorted(&mut order, &[], None), (vec![], vec![]));
    }
}
