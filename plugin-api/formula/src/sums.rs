//! Metrics of sums: how terms are summed, and the result as a formula of the sums.

use super::interpret::Shape;
use super::node::{Level, Node};
use super::operation::Operation;
use super::{Each, Formula, MAX_SUMS, Output, ReadError};
use crate::{Error, Result};

/// How the terms of a metric are summed. There is a sum for each output `term.NAME`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums {
    /// The number of bins of each sum; 1: there are no bins.
    pub bins: usize,
    /// Whether each column of a row has sums of its own.
    pub by_column: bool,
    /// How many numbers of a row of results are results; `None`: all.
    pub result_length: Option<usize>,
    /// The result, whose inputs are the sums.
    pub result: Formula,
}

/// A term of a metric of sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term<'f> {
    /// The name of the sum.
    pub name: &'f str,
    /// The node of the term.
    pub value: usize,
    /// The node of the number of the bin, if there are bins.
    pub bin: Option<usize>,
}

impl Sums {
    /// Returns the shape of each sum for rows with so many columns. `rows` is 1 unless there are bins for each column.
    pub fn shape(&self, columns: usize) -> Shape {
        match (self.bins, self.by_column) {
            (1, true) => Shape { rows: 1, columns },
            (bins, true) => Shape { rows: columns, columns: bins },
            (bins, false) => Shape { rows: 1, columns: bins },
        }
    }

    /// Returns the level at which a sum is an input of the result.
    pub fn level(&self) -> Level {
        match (self.bins, self.by_column) {
            (1, false) => Level::Scalar,
            _ => Level::Element,
        }
    }
}

impl Formula {
    /// Returns the terms of a metric of sums, in the order of the sums.
    pub fn terms(&self) -> impl Iterator<Item = Term<'_>> {
        self.outputs.iter().filter_map(|output| {
            let name = output.name.strip_prefix("term.")?;
            Some(Term { name, value: output.node, bin: self.output(&format!("bin.{name}")) })
        })
    }

    /// Whether each element has a term.
    fn is_of_elements(&self, sums: &Sums, term: Term<'_>) -> bool {
        sums.by_column || self.each == Some(Each::Element) || self.nodes[term.value].level == Level::Element
    }

    /// Computes the sums of a batch from the inputs, as [`interpret`](Self::interpret) takes them. `weight` is that of
    /// each element, `rows * columns` numbers, or of each row. Each sum has the shape that [`Sums::shape`] returns.
    ///
    /// # Errors
    /// Returns an error if the formula isn't that of a metric of sums, or the inputs don't fit.
    pub fn interpret_sums(&self, inputs: &[&[f64]], weight: &[f64], shape: Shape) -> Result<Vec<Vec<f64>>> {
        let sums = self.sums().ok_or_else(|| Error("the formula isn't one of sums".into()))?;
        let elements = shape.count(Level::Element);
        let has_row_terms = self.terms().any(|term| !self.is_of_elements(sums, term));
        if weight.len() != shape.rows && (weight.len() != elements || has_row_terms) {
            let message =
                format!("there are {} weights of {} rows of {} elements", weight.len(), shape.rows, shape.columns);
            return Err(Error(message));
        }
        let outputs = self.interpret_all(inputs, shape)?;
        let values = |node: usize| {
            let at = self.outputs.iter().position(|output| output.node == node);
            at.map_or(&[][..], |at| &outputs[at])
        };
        // The number of an element, or of a row, in the values of a node.
        let place = |node: usize, element: usize, row: usize| match self.nodes[node].level {
            Level::Scalar => 0,
            Level::Row => row,
            Level::Element => element,
        };
        let (length, columns) = (sums.shape(shape.columns), shape.columns.max(1));
        let sum = |term: Term<'_>| {
            let mut sum = vec![0.0; length.count(Level::Element)];
            let is_element = self.is_of_elements(sums, term);
            for unit in 0..if is_element { elements } else { shape.rows } {
                let (element, row) = if is_element { (unit, unit / columns) } else { (unit * columns, unit) };
                let weight = if weight.len() == shape.rows { weight[row] } else { weight[element] };
                let bin = term.bin.map_or(0.0, |bin| values(bin)[place(bin, element, row)]);
                let is_bin = bin >= 0.0 && bin.trunc() == bin && bin < sums.bins as f64;
                if weight != 0.0 && is_bin {
                    let column = if sums.by_column { element % columns } else { 0 };
                    sum[column * sums.bins + bin as usize] +=
                        weight * values(term.value)[place(term.value, element, row)];
                }
            }
            sum
        };
        Ok(self.terms().map(sum).collect())
    }

    /// Computes the result from the sums of a metric: `None` if it is undefined, and otherwise one number or an array of
    /// numbers.
    ///
    /// # Errors
    /// Returns an error if the formula isn't that of a metric of sums, or the sums don't fit.
    pub fn interpret_result(&self, sums: &[Vec<f64>], columns: usize) -> Result<Option<Vec<f64>>> {
        let how = self.sums().ok_or_else(|| Error("the formula isn't one of sums".into()))?;
        let inputs: Vec<&[f64]> = sums.iter().map(Vec::as_slice).collect();
        let shape = how.shape(columns);
        let outputs = how.result.interpret_all(&inputs, shape)?;
        let output = |name: &str| how.result.outputs.iter().position(|output| output.name == name);
        let is_undefined = output("undefined").is_some_and(|at| outputs[at].iter().any(|&number| number != 0.0));
        let result = output("result").map(|at| outputs[at].clone()).unwrap_or_default();
        let is_array = how.result.output("result").is_some_and(|node| how.result.nodes[node].level == Level::Element);
        let length = how.result_length.filter(|_| is_array).unwrap_or(usize::MAX);
        let rows = result.chunks(if is_array { shape.columns.max(1) } else { 1 });
        Ok((!is_undefined).then(|| rows.flat_map(|row| &row[..length.min(row.len())]).copied().collect()))
    }

    /// Returns the formula without the sums that the result doesn't depend on. One stays.
    pub(super) fn without_unused_sums(mut self) -> Formula {
        let Some(mut sums) = self.sums.take() else { return self };
        let result = &mut sums.result;
        let mut used = result.reachable();
        used.truncate(result.inputs.len());
        if !used.contains(&true) {
            used[..1].fill(true);
        }
        let is_unused = |name: &str| result.input(name).is_some_and(|input| !used[input]);
        let outputs = self.outputs.iter().filter(|output| match output.name.split_once('.') {
            Some(("term" | "bin", name)) => !is_unused(name),
            _ => true,
        });
        let outputs: Vec<Output> = outputs.cloned().collect();
        let removed_before = |node: usize| used[..node.min(used.len())].iter().filter(|used| !**used).count();
        let moved = |node: usize| node - removed_before(node);
        let nodes = result.nodes.iter().enumerate().filter(|(at, _)| used.get(*at).copied().unwrap_or(true));
        let nodes = nodes.map(|(_, node)| match node.operation {
            Operation::Input(input) => Node { operation: Operation::Input(moved(input)), ..*node },
            operation => Node { operation: operation.map(moved), ..*node },
        });
        result.nodes = nodes.collect();
        let mut kept = used.iter();
        result.inputs.retain(|_| kept.next().copied().unwrap_or(true));
        result.outputs.iter_mut().for_each(|output| output.node = moved(output.node));
        Formula { outputs, sums: Some(sums), ..self }.without_unreachable_nodes()
    }

    /// Checks the outputs of a metric of sums, and its result.
    pub(super) fn check_sums(&self, sums: &Sums) -> std::result::Result<(), ReadError> {
        let invalid = |message: String| Err(ReadError::Invalid(message));
        for output in &self.outputs {
            match output.name.split_once('.') {
                Some(("term", name)) if !name.is_empty() => {}
                Some(("bin", name)) if sums.bins > 1 && self.output(&format!("term.{name}")).is_some() => {}
                _ => return invalid(format!("a formula of sums has the output {:?}", output.name)),
            }
        }
        let names: Vec<&str> = self.terms().map(|term| term.name).collect();
        if names.is_empty() {
            return invalid("the formula of sums has no term".into());
        }
        if names.len() * sums.bins > MAX_SUMS {
            return invalid(format!("there are {} sums of {} bins, more than {MAX_SUMS}", names.len(), sums.bins));
        }
        if let Some(term) = self.terms().find(|term| term.bin.is_none() && sums.bins > 1) {
            return invalid(format!("the term {:?} has no bin", term.name));
        }
        let of_rows = |term: &Term<'_>| !self.is_of_elements(sums, *term);
        let has_element_bin = |term: &Term<'_>| term.bin.is_some_and(|bin| self.nodes[bin].level == Level::Element);
        if let Some(term) = self.terms().find(|term| of_rows(term) && has_element_bin(term)) {
            return invalid(format!("the term {:?} of a row has a bin for each element", term.name));
        }
        let result = &sums.result;
        if !result.inputs.iter().map(|input| input.name.as_str()).eq(names) {
            return invalid("the inputs of the result aren't the sums".into());
        }
        if let Some(input) = result.inputs.iter().find(|input| input.level != sums.level()) {
            return invalid(format!("the sum {:?} has the level {}", input.name, input.level.name()));
        }
        for output in &result.outputs {
            match (output.name.as_str(), result.nodes[output.node].level) {
                ("result", _) | ("undefined", Level::Scalar | Level::Row) => {}
                (name, level) => {
                    return invalid(format!(
                        "the result of sums has the output {name:?} of the level {}",
                        level.name()
                    ));
                }
            }
        }
        match result.output("result") {
            Some(_) => Ok(()),
            None => invalid("the result of sums has no output \"result\"".into()),
        }
    }
}
