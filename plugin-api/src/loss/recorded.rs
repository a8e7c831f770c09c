//! The formulas of elementwise losses.

use super::ElementwiseLoss;
use crate::{
    formula::{document, Formula, ELEMENT},
    Dual, Result,
};
use serde_json::json;

/// Returns the formula of an elementwise loss.
///
/// # Errors
/// Returns an error if the formula can't be recorded.
pub(crate) fn elementwise_loss(loss: &impl ElementwiseLoss) -> Result<Formula> {
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
    .map(Formula)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{formula::Traced, loss::LossInfo, Real};
    use serde_json::Value;
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
        let document: Value = serde_json::from_str(&elementwise_loss(&Half).unwrap().0).unwrap();
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
