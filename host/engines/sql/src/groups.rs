//! The accumulator of a query with groups.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use plugfit::component::Metric;

use crate::columns::{self, Results};
use crate::error::from_plugfit;
use crate::form::Form;
use crate::memory::Memory;
use crate::rows::Arguments;

/// Metrics of the same arguments with states for each group.
pub struct MetricGroups {
    /// Create the states.
    metrics: Vec<Metric>,
    groups: Vec<Group>,
    arguments: Arguments,
    /// The number of arguments before those of the metrics.
    leading: usize,
    order: Order,
    /// That of the states of each metric.
    memory: Vec<Memory>,
    label: String,
    form: Form,
}

struct Group {
    metrics: Vec<Metric>,
    /// Whether the states have seen no data.
    fresh: bool,
}

impl MetricGroups {
    /// Creates the accumulator of a function with `count` arguments, of which the first `leading` aren't the metrics'.
    /// Errors call it `label`.
    ///
    /// # Errors
    /// Returns an error if the metrics take another number of arguments.
    pub fn new(metrics: Vec<Metric>, leading: usize, count: usize, label: String, form: Form) -> plugfit::Result<Self> {
        let arguments = Arguments::new(&metrics, count - leading.min(count))?;
        let memory = metrics.iter().map(Memory::new).collect();
        let order = Order::default();
        Ok(MetricGroups { metrics, groups: Vec::new(), arguments, leading, order, memory, label, form })
    }

    /// Creates states up to this number of groups.
    pub fn grow(&mut self, count: usize) -> plugfit::Result<()> {
        while self.groups.len() < count {
            let group = Group { metrics: new_states(&self.metrics)?, fresh: true };
            self.groups.push(group);
        }
        Ok(())
    }

    /// Names the function in an error.
    pub fn named(&self, error: plugfit::Error) -> datafusion::error::DataFusionError {
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
            for (at, (rows, memory)) in rows.iter().zip(memory).enumerate() {
                for (group, part) in order.parts() {
                    let Some(group) = groups.get_mut(group) else { continue };
                    group.fresh = false;
                    if let Some(metric) = group.metrics.get_mut(at) {
                        rows.update(metric, part.clone())?;
                        memory.measure(metric, part.len(), rows.row_bytes());
                    }
                }
            }
            Ok(())
        })
    }

    /// Updates the states of the first group with all rows.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, or if a plug-in fails.
    pub fn update_first(&mut self, values: &[ArrayRef]) -> plugfit::Result<()> {
        self.grow(1)?;
        let MetricGroups { groups, arguments, leading, memory, .. } = self;
        let (arrays, group) = (values.get(*leading..).unwrap_or_default(), groups.first_mut());
        let Some(group) = group.filter(|_| arrays.first().is_some_and(|array| !array.is_empty())) else {
            return Ok(());
        };
        group.fresh = false;
        arguments.with_rows(arrays, None, |rows| {
            for ((rows, metric), memory) in rows.iter().zip(&mut group.metrics).zip(memory) {
                rows.update(metric, 0..rows.count())?;
                memory.measure(metric, rows.count(), rows.row_bytes());
            }
            Ok(())
        })
    }

    /// Returns the results of some groups.
    ///
    /// # Errors
    /// Returns an error if a plug-in fails, or if one number is needed and there are several.
    fn results<'a>(form: Form, groups: impl Iterator<Item = &'a Group>) -> plugfit::Result<ArrayRef> {
        let mut results = Results::new(form);
        for group in groups {
            results.push(&group.metrics)?;
        }
        Ok(results.finish())
    }

    /// Returns the results of all groups, which stay.
    ///
    /// # Errors
    /// As [`results`](Self::results).
    pub fn all_results(&self) -> plugfit::Result<ArrayRef> {
        Self::results(self.form, self.groups.iter())
    }

    /// Saves the states of all groups, which stay.
    ///
    /// # Errors
    /// Returns an error if a plug-in fails.
    pub fn all_states(&self) -> plugfit::Result<ArrayRef> {
        let mut states = columns::states(self.groups.len());
        self.groups.iter().try_for_each(|group| columns::push_state(&mut states, &group.metrics))?;
        Ok(Arc::new(states.finish()))
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Group> {
        let all = self.groups.len();
        let emitted = emit_to.take_needed(&mut self.groups);
        self.memory.iter_mut().for_each(|memory| memory.remove(emitted.len(), all));
        emitted
    }

    fn save(&mut self, emit_to: EmitTo) -> plugfit::Result<ArrayRef> {
        let emitted = self.take(emit_to);
        let mut states = columns::states(emitted.len());
        for group in emitted {
            columns::push_state(&mut states, &group.metrics)?;
        }
        Ok(Arc::new(states.finish()))
    }

    /// Merges saved states into those of groups.
    ///
    /// # Errors
    /// Returns an error if a state is damaged, or if a plug-in fails.
    pub fn merge(&mut self, states: &ArrayRef, group_indices: &[usize], total: usize) -> plugfit::Result<()> {
        self.grow(total)?;
        let MetricGroups { metrics, groups, memory, .. } = self;
        let states = columns::saved_states(states)?;
        let mut others = new_states(metrics)?;
        for (state, group) in states.iter().zip(group_indices) {
            let (Some(mut state), Some(group)) = (state, groups.get_mut(*group)) else { continue };
            let fresh = std::mem::take(&mut group.fresh);
            for ((metric, other), memory) in group.metrics.iter_mut().zip(&mut others).zip(memory.iter_mut()) {
                let saved = columns::next_state(&mut state)?;
                columns::merge_state(metric, fresh, other, saved)?;
                memory.add_state(saved.len());
            }
        }
        Ok(())
    }
}

fn new_states(metrics: &[Metric]) -> plugfit::Result<Vec<Metric>> {
    metrics.iter().map(Metric::with_new_state).collect()
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
        let emitted = self.take(emit_to);
        Self::results(self.form, emitted.iter()).map_err(|error| self.named(error))
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
            let mut arguments = Arguments::new(&self.metrics, given)?;
            let mut order = Order::default();
            let groups: Vec<usize> = (0..count).collect();
            order.sort(&groups, opt_filter, count);
            let mut states = columns::states(count);
            let new = new_states(&self.metrics)?;
            let arrays = values.get(self.leading..).unwrap_or_default();
            let mut next = 0;
            if !order.is_empty() {
                arguments.with_rows(arrays, order.rows(), |rows| {
                    for (row, place) in order.parts() {
                        // Rows that the filter leaves out have the state of no rows.
                        (next..row).try_for_each(|_| columns::push_state(&mut states, &new))?;
                        next = row + 1;
                        let mut metrics = new_states(&self.metrics)?;
                        for (rows, metric) in rows.iter().zip(&mut metrics) {
                            rows.update(metric, place.clone())?;
                        }
                        columns::push_state(&mut states, &metrics)?;
                    }
                    Ok(())
                })?;
            }
            (next..count).try_for_each(|_| columns::push_state(&mut states, &new))?;
            Ok(Arc::new(states.finish()))
        };
        Ok(vec![convert().map_err(|error| self.named(error))?])
    }

    fn size(&self) -> usize {
        self.memory.iter().map(|memory| memory.size(self.groups.len())).sum::<usize>()
            + self.arguments.size()
            + self.order.size()
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
