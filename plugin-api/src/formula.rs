//! Formulas of components as data: a component's functions are called with numbers that record each operation, and the
//! record is the document of `plugfit.formula/1` ([`FormulaV1`](plugfit_abi::FormulaV1)).

mod trace;
mod traced;

pub use traced::{Traced, TracedMask};

use crate::{
    loss::ElementwiseLoss,
    optimizer::{ElementwiseOptimizer, FormulaStep},
    Dual, Real, Result,
};
use serde_json::{json, Value};
use trace::{trace, Node};
use traced::Number;

/// The level of an input.
const ELEMENT: &str = "element";
const SCALAR: &str = "scalar";

/// Returns the document of an elementwise loss.
///
/// # Errors
/// Returns an error if the formula can't be recorded.
pub(crate) fn elementwise_loss(loss: &impl ElementwiseLoss) -> Result<String> {
    document(
        &[("y_true", ELEMENT), ("y_pred", ELEMENT)],
        &["value", "derivative", "derivative_y_true"],
        &[("axis", json!(loss.axis()))],
        |inputs| {
            let (y_true, y_pred) = (inputs[0], inputs[1]);
            let (value, derivative) = loss.derivative(y_true, y_pred);
            let for_y_true = loss.value(Dual::variable(y_true), Dual::constant(y_pred)).derivative;
            vec![value, derivative, for_y_true]
        },
    )
}

/// Returns the document of an elementwise optimizer.
///
/// # Errors
/// Returns an error if the formula can't be recorded.
pub(crate) fn elementwise_optimizer<const N: usize, const M: usize>(
    optimizer: &impl ElementwiseOptimizer<N, M>,
) -> Result<String> {
    let slots = optimizer.slots();
    let names: Vec<String> = slots.iter().map(|(name, _)| format!("slot.{name}")).collect();
    let mut inputs = vec![("learning_rate", SCALAR), ("number", SCALAR), ("parameter", ELEMENT), ("gradient", ELEMENT)];
    inputs.extend(names.iter().map(|name| (name.as_str(), ELEMENT)));
    let mut outputs = vec!["parameter"];
    outputs.extend(names.iter().map(String::as_str));
    let starts: Vec<Value> = slots.iter().map(|(name, start)| json!([name, hexadecimal(*start)])).collect();
    document(&inputs, &outputs, &[("slots", Value::Array(starts))], |inputs| {
        let numbers = optimizer.numbers(&FormulaStep { learning_rate: inputs[0], number: inputs[1] });
        let before = std::array::from_fn(|k| inputs.get(4 + k).copied().unwrap_or(<Traced as Real>::from(0.0)));
        let (parameter, after) = optimizer.update(&numbers, inputs[2], inputs[3], before);
        std::iter::once(parameter).chain(after.into_iter().take(slots.len())).collect()
    })
}

/// Records a formula and writes its document, with further keys.
fn document(
    inputs: &[(&str, &str)],
    outputs: &[&str],
    keys: &[(&str, Value)],
    formula: impl FnOnce(&[Traced]) -> Vec<Traced>,
) -> Result<String> {
    let (nodes, found) = trace(inputs.len(), |references| {
        let inputs: Vec<Traced> = references.iter().map(|reference| Traced(Number::Node(*reference))).collect();
        formula(&inputs).into_iter().map(Traced::reference).collect()
    })?;
    let mut document = json!({
        "version": 1,
        "inputs": inputs,
        "nodes": nodes.iter().map(node).collect::<Vec<_>>(),
        "outputs": outputs.iter().zip(found).collect::<Vec<_>>(),
    });
    for (key, value) in keys {
        document[key] = value.clone();
    }
    Ok(document.to_string())
}

fn node(node: &Node) -> Value {
    let mut entries = vec![json!(node.operation)];
    entries.extend(node.arguments.iter().flatten().map(|argument| json!(argument)));
    entries.extend(node.constant.map(|bits| json!(hexadecimal(f64::from_bits(bits)))));
    Value::Array(entries)
}

fn hexadecimal(constant: f64) -> String {
    format!("{:016x}", constant.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::LossInfo;
    use std::{any::Any, sync::Mutex};

    /// Half the squared error, with the derivative of dual numbers.
    #[derive(plugfit_macros::Config)]
    struct Half;

    #[plugfit_macros::formula]
    impl ElementwiseLoss for Half {
        fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
            let error = y_pred - y_true;
            error * error * 0.5
        }
        fn info(&self) -> LossInfo {
            LossInfo::default()
        }
    }

    #[test]
    fn a_loss_is_a_document_of_operations() {
        let document: Value = serde_json::from_str(&elementwise_loss(&Half).unwrap()).unwrap();
        assert_eq!(document["version"], 1);
        assert_eq!(document["axis"], -1);
        assert_eq!(document["inputs"], json!([["y_true", "element"], ["y_pred", "element"]]));
        let nodes = document["nodes"].as_array().unwrap();
        // Node 2 is the derivative of y_pred, 3 the error, 4 its square, 5 that of its derivative, 6 one half.
        assert_eq!(nodes[0], json!(["const", "3ff0000000000000"]));
        assert_eq!(nodes[1..4], [json!(["sub", 1, 0]), json!(["mul", 3, 3]), json!(["add", 3, 3])]);
        assert_eq!(nodes[4..6], [json!(["const", "3fe0000000000000"]), json!(["mul", 4, 6])]);
        assert_eq!(document["outputs"][0], json!(["value", 7]));
        assert_eq!(document["outputs"][1][0], "derivative");
        // Equal operations are recorded once, and no product with the derivative of a constant.
        let texts: Vec<String> = nodes.iter().map(Value::to_string).collect();
        assert!(texts.iter().all(|text| texts.iter().filter(|other| *other == text).count() == 1), "{texts:?}");
        assert!(!texts.iter().any(|text| text.contains("0000000000000000")), "{texts:?}");
    }

    #[test]
    fn a_number_of_another_trace_is_an_error() {
        /// A loss that keeps a number of an earlier call.
        #[derive(plugfit_macros::Config)]
        struct Keeps;
        static KEPT: Mutex<Option<Traced>> = Mutex::new(None);
        impl ElementwiseLoss for Keeps {
            fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
                y_pred - y_true
            }
            fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
                let number = *(&y_pred as &dyn Any).downcast_ref::<Traced>().unwrap();
                let old = *KEPT.lock().unwrap().get_or_insert(number);
                let sum: Box<dyn Any> = Box::new(old + number);
                (self.value(y_true, y_pred), *sum.downcast::<R>().unwrap())
            }
        }
        assert!(elementwise_loss(&Keeps).is_ok());
        let error = elementwise_loss(&Keeps).unwrap_err().to_string();
        assert!(error.contains("another trace"), "{error}");
    }

    #[test]
    fn recording_is_bounded_and_a_panic_ends_it() {
        /// A loss with this many operations.
        #[derive(plugfit_macros::Config)]
        struct Long {
            /// The number of operations.
            #[config(default = 1)]
            operations: i64,
        }
        impl ElementwiseLoss for Long {
            fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
                assert!(self.operations > 0, "told to panic");
                (0..self.operations).fold(y_pred, |sum, i| sum * y_true + i as f64)
            }
        }
        let error = elementwise_loss(&Long { operations: 10_000 }).unwrap_err().to_string();
        assert!(error.contains("4096"), "{error}");
        assert!(std::panic::catch_unwind(|| elementwise_loss(&Long { operations: 0 })).is_err());
        assert!(elementwise_loss(&Long { operations: 3 }).is_ok());
        assert!(elementwise_loss(&Half).is_ok());
    }
}
