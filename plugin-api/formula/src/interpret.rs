//! Computes formulas in float64: the reference that everything else is compared with.

use super::Formula;
use super::node::Level;
use super::operation::{Logic, Operation, PartialSum, Reduction};
use crate::{Error, Result};

/// The shape of a batch of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The number of rows.
    pub rows: usize,
    /// The number of elements in each row.
    pub columns: usize,
}

impl Shape {
    /// Returns how many values a node of this level has.
    ///
    /// # Panics
    /// Panics if the number of elements overflows.
    pub fn count(self, level: Level) -> usize {
        match level {
            Level::Scalar => 1,
            Level::Row => self.rows,
            Level::Element => self.rows.checked_mul(self.columns).expect("the number of elements fits"),
        }
    }
}

impl Formula {
    /// Computes an output. `inputs` are the values of each input, in order: `rows * columns` of an element, row by row;
    /// `rows` of a row; one of a scalar. The result has as many values as the level of the output's node says.
    ///
    /// Class ids are whole numbers.
    ///
    /// # Errors
    /// Returns an error if there is no such output, or the inputs don't fit.
    pub fn interpret(&self, output: &str, inputs: &[&[f64]], shape: Shape) -> Result<Vec<f64>> {
        let outputs = self.interpret_all(inputs, shape)?;
        let position = self.outputs.iter().position(|found| found.name == output);
        let position = position.ok_or_else(|| Error(format!("the formula has no output \"{output}\"")))?;
        Ok(outputs.into_iter().nth(position).unwrap_or_default())
    }

    /// Computes all outputs, in order; see [`interpret`](Self::interpret).
    ///
    /// # Errors
    /// Returns an error if the inputs don't fit.
    pub fn interpret_all(&self, inputs: &[&[f64]], shape: Shape) -> Result<Vec<Vec<f64>>> {
        self.check_inputs(inputs, shape)?;
        let last_use = self.last_use();
        let mut values: Vec<Vec<f64>> = Vec::with_capacity(self.nodes.len());
        for (at, node) in self.nodes.iter().enumerate() {
            let computed = match (last_use[at], node.operation) {
                (None, _) => Vec::new(),
                (_, Operation::Input(input)) => inputs[input].to_vec(),
                (_, Operation::PartialSum(sum, x)) => partial_sums(sum, &values[x], shape.columns),
                (_, operation) => {
                    let evaluation = Evaluation { formula: self, values: &values, shape };
                    (0..shape.count(node.level)).map(|i| evaluation.value(operation, node.level, i)).collect()
                }
            };
            values.push(computed);
            for argument in node.operation.arguments().filter(|&argument| last_use[argument] == Some(at)) {
                values[argument] = Vec::new();
            }
        }
        Ok(self.outputs.iter().map(|output| values[output.node].clone()).collect())
    }

    fn check_inputs(&self, inputs: &[&[f64]], shape: Shape) -> Result<()> {
        if inputs.len() != self.inputs.len() {
            let message = format!("the formula has {} inputs, but got {}", self.inputs.len(), inputs.len());
            return Err(Error(message));
        }
        for (input, values) in self.inputs.iter().zip(inputs) {
            let expected = shape.count(input.level);
            if values.len() != expected {
                let (name, found) = (&input.name, values.len());
                return Err(Error(format!("{name} has {found} values, not {expected}")));
            }
        }
        Ok(())
    }

    /// Returns the last node that uses each node; an output is used until the end. `None` if no output depends on it.
    fn last_use(&self) -> Vec<Option<usize>> {
        let mut last = vec![None; self.nodes.len()];
        for output in &self.outputs {
            last[output.node] = Some(self.nodes.len());
        }
        for at in (0..self.nodes.len()).rev() {
            if last[at].is_some() {
                for argument in self.nodes[at].operation.arguments() {
                    last[argument] = last[argument].or(Some(at));
                }
            }
        }
        last
    }
}

/// Returns, for each element, the sum of those before or after it in its row.
fn partial_sums(sum: PartialSum, elements: &[f64], columns: usize) -> Vec<f64> {
    let mut sums = vec![0.0; elements.len()];
    for (sums, row) in sums.chunks_mut(columns.max(1)).zip(elements.chunks(columns.max(1))) {
        let mut total = 0.0;
        let mut add = |i: usize| {
            sums[i] = total;
            total += row[i];
        };
        match sum {
            PartialSum::Before => (0..row.len()).for_each(&mut add),
            PartialSum::After => (0..row.len()).rev().for_each(&mut add),
        }
    }
    sums
}

/// The values of the nodes that are computed. A mask is 1 or 0.
struct Evaluation<'f> {
    formula: &'f Formula,
    values: &'f [Vec<f64>],
    shape: Shape,
}

impl Evaluation<'_> {
    /// Computes value number `i` of an operation whose result has this level.
    fn value(&self, operation: Operation, level: Level, i: usize) -> f64 {
        let row = match level {
            Level::Element => i / self.shape.columns,
            Level::Row | Level::Scalar => i,
        };
        let get = |node: usize| match self.formula.nodes[node].level {
            Level::Scalar => self.values[node][0],
            Level::Row => self.values[node][row],
            Level::Element => self.values[node][i],
        };
        let holds = |node: usize| get(node) != 0.0;
        let mask = |holds: bool| f64::from(u8::from(holds));
        match operation {
            Operation::Input(_) | Operation::PartialSum(..) => unreachable!("it is computed for all rows at once"),
            Operation::BatchSum(x) => self.values[x].iter().sum(),
            Operation::Constant(constant) => constant.value(),
            Operation::Unary(unary, x) => unary.compute(get(x)),
            Operation::Binary(binary, x, y) => binary.compute(get(x), get(y)),
            Operation::Power(power, x, constant) => power.compute(get(x), constant.value()),
            Operation::Compare(comparison, x, y) => mask(comparison.holds(get(x), get(y))),
            Operation::Not(x) => mask(!holds(x)),
            Operation::BatchAll(x) => mask(self.values[x].iter().all(|&holds| holds != 0.0)),
            Operation::Logic(Logic::And, a, b) => mask(holds(a) && holds(b)),
            Operation::Logic(Logic::Or, a, b) => mask(holds(a) || holds(b)),
            Operation::Select(condition, x, y) => get(if holds(condition) { x } else { y }),
            Operation::Reduce(reduction, x) => {
                let elements = self.row(x, row).iter();
                match reduction {
                    Reduction::Sum => elements.sum(),
                    Reduction::Max => elements.fold(f64::NEG_INFINITY, |greatest, &x| match x.is_nan() {
                        true => f64::NAN,
                        false if greatest.is_nan() => greatest,
                        false => greatest.max(x),
                    }),
                }
            }
            Operation::RowLength => self.shape.columns as f64,
            Operation::Index => (i % self.shape.columns) as f64,
            Operation::At(x, index) => {
                let index = get(index);
                let is_element = index >= 0.0 && index.trunc() == index && index < self.shape.columns as f64;
                if is_element { self.row(x, row)[index as usize] } else { f64::NAN }
            }
        }
    }

    /// Returns the elements of a row.
    fn row(&self, node: usize, row: usize) -> &[f64] {
        &self.values[node][row * self.shape.columns..][..self.shape.columns]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes node by node: the output is the last of these nodes, after a scalar 2, a row and an element.
    fn last(nodes: &str, row: &[f64], element: &[f64], columns: usize) -> Vec<f64> {
        let count = nodes.matches('[').count();
        let text = format!(
            r#"{{"version": 1, "inputs": [["s", "scalar"], ["r", "row"], ["e", "element"]], "nodes": [{nodes}], "outputs": [["v", {}]]}}"#,
            2 + count
        );
        let shape = Shape { rows: row.len(), columns };
        Formula::read(&text).unwrap().interpret("v", &[&[2.0], row, element], shape).unwrap()
    }

    const ROW: [f64; 2] = [1.0, 0.0];
    const ELEMENT: [f64; 6] = [1.0, 5.0, 3.0, -1.0, -7.0, -2.0];

    #[test]
    fn rows_and_scalars_are_repeated_for_each_element() {
        let sum = last(r#"["add", 0, 1], ["add", 3, 2]"#, &ROW, &ELEMENT, 3);
        assert_eq!(sum, [4.0, 8.0, 6.0, 1.0, -5.0, 0.0]);
    }

    #[test]
    fn reductions_give_one_value_for_each_row() {
        assert_eq!(last(r#"["row_sum", 2]"#, &ROW, &ELEMENT, 3), [9.0, -10.0]);
        assert_eq!(last(r#"["row_max", 2]"#, &ROW, &ELEMENT, 3), [5.0, -1.0]);
        assert_eq!(last(r#"["row_len"], ["mul", 3, 1]"#, &ROW, &ELEMENT, 3), [3.0, 0.0]);
        assert_eq!(last(r#"["index"]"#, &ROW, &ELEMENT, 3), [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
        let with_nan = last(r#"["row_max", 2]"#, &ROW, &[f64::NAN, 1.0, 1.0, f64::NAN], 2);
        assert!(with_nan.iter().all(|greatest| greatest.is_nan()));
        assert_eq!(last(r#"["row_sum", 2]"#, &ROW, &[], 0), [0.0, 0.0]);
        assert_eq!(last(r#"["row_max", 2]"#, &ROW, &[], 0), [f64::NEG_INFINITY; 2]);
    }

    #[test]
    fn an_element_that_does_not_exist_is_nan() {
        assert_eq!(last(r#"["at", 2, 1]"#, &ROW, &ELEMENT, 3), [5.0, -1.0]);
        assert_eq!(last(r#"["at", 2, 0]"#, &ROW, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3), [3.0, 6.0]);
        for id in [-1.0, 0.5, 3.0, f64::NAN, f64::INFINITY] {
            assert!(last(r#"["at", 2, 1]"#, &[id], &[1.0, 2.0, 3.0], 3)[0].is_nan(), "{id}");
        }
    }

    #[test]
    fn partial_sums_are_within_a_row_and_batch_sums_over_all() {
        assert_eq!(last(r#"["row_before", 2]"#, &ROW, &ELEMENT, 3), [0.0, 1.0, 6.0, 0.0, -1.0, -8.0]);
        assert_eq!(last(r#"["row_after", 2]"#, &ROW, &ELEMENT, 3), [8.0, 3.0, 0.0, -9.0, -2.0, 0.0]);
        assert_eq!(last(r#"["row_sum", 2], ["batch_sum", 3]"#, &ROW, &ELEMENT, 3), [-1.0]);
    }

    #[test]
    fn a_value_that_is_not_selected_does_not_matter() {
        let nodes = r#"["const", "0000000000000000"], ["gt", 2, 3], ["ln", 2], ["select", 4, 5, 3]"#;
        assert_eq!(last(nodes, &[0.0], &[-1.0, 1.0], 2), [0.0, 0.0]);
    }

    #[test]
    fn comparisons_with_nan_are_false_and_their_negation_true() {
        let nodes = |mask: &str| format!(r#"["ge", 2, 2], ["not", 3], {mask}, ["select", 5, 0, 2]"#);
        let select = |mask: &str| last(&nodes(mask), &[0.0], &[f64::NAN], 1)[0];
        assert_eq!(select(r#"["not", 3]"#), 2.0);
        assert_eq!(select(r#"["or", 3, 4]"#), 2.0);
        assert!(select(r#"["and", 3, 4]"#).is_nan());
    }

    #[test]
    fn inputs_must_fit() {
        let text = r#"{"version": 1, "inputs": [["e", "element"]], "nodes": [], "outputs": [["v", 0]]}"#;
        let formula = Formula::read(text).unwrap();
        let shape = Shape { rows: 1, columns: 2 };
        for inputs in [&[][..], &[&[1.0][..]], &[&[1.0, 2.0], &[1.0, 2.0]]] {
            assert!(formula.interpret("v", inputs, shape).is_err());
        }
        assert!(formula.interpret("w", &[&[1.0, 2.0]], shape).is_err());
        assert_eq!(formula.interpret("v", &[&[1.0, 2.0]], shape).unwrap(), [1.0, 2.0]);
    }
}
