//! Computes a formula with the operations of an engine.

use plugfit::formula::{Formula, Logic, Operation, Power, Reduction};

use crate::engine::{Engine, Operand, Value};

type Found<E> = Value<<E as Engine>::Tensor, <E as Engine>::Mask>;

/// Computes nodes of a formula from the values of its inputs, in their order. Values that are no longer needed are
/// dropped.
///
/// # Errors
/// Returns the engine's error.
///
/// # Panics
/// Panics if there are fewer values than inputs, if a node doesn't exist, or if the formula is the result of a metric's
/// sums.
pub fn evaluate<E: Engine>(
    engine: &E,
    formula: &Formula,
    outputs: &[usize],
    inputs: Vec<Found<E>>,
) -> Result<Vec<Found<E>>, E::Error> {
    let last_use = last_use(formula, outputs);
    let mut values: Vec<Option<Found<E>>> = inputs.into_iter().map(Some).collect();
    values.truncate(formula.inputs().len());
    for (at, node) in formula.nodes().iter().enumerate() {
        if matches!(node.operation, Operation::Input(_)) {
            continue;
        }
        let value = match last_use[at] {
            None => None,
            Some(_) => Some(Evaluation { engine, values: &values }.value(node.operation)?),
        };
        values.push(value);
        for argument in node.operation.arguments().filter(|&argument| last_use[argument] == Some(at)) {
            values[argument] = None;
        }
    }
    Ok(outputs.iter().map(|&output| values[output].clone().expect("an output is used until the end")).collect())
}

/// Returns the last node that uses each node; an output is used until the end. `None`: no output depends on it.
fn last_use(formula: &Formula, outputs: &[usize]) -> Vec<Option<usize>> {
    let nodes = formula.nodes();
    let mut last = vec![None; nodes.len()];
    outputs.iter().for_each(|&output| last[output] = Some(nodes.len()));
    for (at, node) in nodes.iter().enumerate().rev() {
        if last[at].is_some() {
            for argument in node.operation.arguments() {
                last[argument] = last[argument].or(Some(at));
            }
        }
    }
    last
}

struct Evaluation<'e, E: Engine> {
    engine: &'e E,
    values: &'e [Option<Found<E>>],
}

impl<E: Engine> Evaluation<'_, E> {
    fn value(&self, operation: Operation) -> Result<Found<E>, E::Error> {
        use Operand::{Number, Tensor};
        let engine = self.engine;
        let number = |value: f64| Ok(Value::Number(value));
        let tensor = |found: Result<E::Tensor, E::Error>| found.map(Value::Tensor);
        let mask = |found: Result<E::Mask, E::Error>| found.map(Value::Mask);
        match operation {
            Operation::Input(_) => unreachable!("inputs aren't computed"),
            Operation::PartialSum(..) | Operation::BatchSum(_) => {
                unreachable!("only the result of a metric's sums has it, which engines don't compute")
            }
            Operation::Constant(constant) => number(constant.value()),
            Operation::RowLength => number(engine.columns() as f64),
            Operation::Index => tensor(engine.index()),
            Operation::Unary(function, x) => match self.number(x) {
                Number(x) => number(function.compute(x)),
                Tensor(x) => tensor(engine.unary(function, x)),
            },
            Operation::Power(power, x, parameter) => match (self.number(x), power) {
                (Number(x), _) => number(power.compute(x, parameter.value())),
                (Tensor(x), Power::Of) => tensor(engine.power_of(parameter.value(), x)),
                (Tensor(x), _) => tensor(engine.power(x, parameter.value())),
            },
            Operation::Binary(function, x, y) => match (self.number(x), self.number(y)) {
                (Number(x), Number(y)) => number(function.compute(x, y)),
                (x, y) => tensor(engine.binary(function, x, y)),
            },
            Operation::Compare(comparison, x, y) => match (self.number(x), self.number(y)) {
                (Number(x), Number(y)) => Ok(Value::Truth(comparison.holds(x, y))),
                (x, y) => mask(engine.compare(comparison, x, y)),
            },
            Operation::Not(x) => match self.get(x) {
                Value::Truth(holds) => Ok(Value::Truth(!holds)),
                Value::Mask(x) => mask(engine.not(x)),
                _ => unreachable!("the argument is a mask"),
            },
            Operation::BatchAll(x) => match self.get(x) {
                Value::Truth(holds) => Ok(Value::Truth(*holds)),
                Value::Mask(x) => engine.all(x).map(Value::Truth),
                _ => unreachable!("the argument is a mask"),
            },
            Operation::Logic(logic, a, b) => match (self.get(a), self.get(b)) {
                (Value::Mask(a), Value::Mask(b)) => mask(engine.logic(logic, a, b)),
                (Value::Truth(holds), other) | (other, Value::Truth(holds)) => Ok(match (logic, holds) {
                    (Logic::And, true) | (Logic::Or, false) => other.clone(),
                    (Logic::And, false) | (Logic::Or, true) => Value::Truth(*holds),
                }),
                _ => unreachable!("the arguments are masks"),
            },
            Operation::Select(condition, x, y) => match self.get(condition) {
                Value::Truth(holds) => Ok(self.get(if *holds { x } else { y }).clone()),
                Value::Mask(mask) => tensor(engine.select(mask, self.number(x), self.number(y))),
                _ => unreachable!("the condition is a mask"),
            },
            Operation::Reduce(reduction, x) => match (self.number(x), reduction) {
                (Tensor(x), _) => tensor(engine.reduce(reduction, x)),
                (Number(x), Reduction::Sum) => number(x * engine.columns() as f64),
                (Number(_), Reduction::Max) if engine.columns() == 0 => number(f64::NEG_INFINITY),
                (Number(x), Reduction::Max) => number(x),
            },
            Operation::At(x, index) => {
                let tensor_of = |operand: Operand<'_, E::Tensor>, columns| match operand {
                    Number(number) => engine.filled(number, columns),
                    Tensor(tensor) => Ok(tensor.clone()),
                };
                let x = tensor_of(self.number(x), engine.columns())?;
                tensor(engine.at(&x, &tensor_of(self.number(index), 1)?))
            }
        }
    }

    fn get(&self, node: usize) -> &Found<E> {
        self.values[node].as_ref().expect("an argument was computed before")
    }

    fn number(&self, node: usize) -> Operand<'_, E::Tensor> {
        match self.get(node) {
            Value::Number(number) => Operand::Number(*number),
            Value::Tensor(tensor) => Operand::Tensor(tensor),
            Value::Truth(_) | Value::Mask(_) => unreachable!("the argument is a number"),
        }
    }
}
