//! The formulas of components, which a plug-in gives as documents.

use plugfit_abi as abi;
use plugfit_abi::abi_stable::std_types::RResult;

use super::component::{ComponentHandle, Table};
use super::shown_text::shown_line;
use crate::Result;
use crate::formula::{Formula, MAX_LENGTH, ReadError};

impl<T: Table> ComponentHandle<T> {
    /// Returns the component's formula, or the reason why it has none.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails or its formula is invalid.
    pub fn formula(&self) -> Result<Result<Formula, String>> {
        let Some(table) = self.formula else {
            let plugin = shown_line(&self.plugin);
            return Ok(Err(format!("{plugin} offers no {}: build it again with a newer plugfit-api", abi::FORMULA_V1)));
        };
        // SAFETY: the handle belongs to the plug-in of this table, and is of this kind.
        let text = match unsafe { T::formula(table)(self.handle) } {
            RResult::RErr(error) if error.kind == abi::ERROR_UNSUPPORTED => {
                return Ok(Err(shown_line(&self.lossy(&error.message))));
            }
            result => self.checked(result)?,
        };
        // Copied, since the plug-in could change its text between the checks.
        let text = self.text(&text, MAX_LENGTH, "formula")?.to_owned();
        let read = Formula::read(&text).and_then(|formula| formula.check_role(T::ROLE).map(|()| formula));
        match read {
            Ok(formula) => Ok(Ok(formula)),
            Err(ReadError::Unknown(message)) => Ok(Err(format!("update plugfit: {}", shown_line(&message)))),
            Err(ReadError::Invalid(message)) => {
                Err(self.contract_violation(&format!("returned a formula that is invalid: {message}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use plugfit_abi::abi_stable::std_types::{ROption, RString};
    use plugfit_abi::{FormulaV1, Handle, ScheduleV1};
    use plugfit_api::Config;
    use plugfit_api::schedule::{Schedule, When};

    use super::*;
    use crate::plugin::sync::lock_ignoring_poison;

    #[derive(Config)]
    struct Constant {}

    impl Schedule for Constant {
        fn learning_rate(&self, _: &When) -> f64 {
            1.0
        }
    }

    type Answer = Result<String, (u32, &'static str)>;

    static ANSWER: Mutex<Answer> = Mutex::new(Ok(String::new()));

    unsafe extern "C" fn describe(_: Handle) -> RResult<RString, abi::Error> {
        match lock_ignoring_poison(&ANSWER).clone() {
            Ok(text) => RResult::ROk(text.into()),
            Err((kind, message)) => RResult::RErr(abi::Error {
                kind,
                message: message.into(),
                field: ROption::RNone,
                place: ROption::RNone,
            }),
        }
    }

    static TABLE: FormulaV1 = FormulaV1 { loss: describe, metric: describe, optimizer: describe, schedule: describe };

    fn component(table: Option<&'static FormulaV1>) -> ComponentHandle<ScheduleV1> {
        let mut component = ComponentHandle::of_instance(plugfit_api::instance::schedule(Constant {}), None);
        (component.is_own, component.gives_host_kinds, component.formula) = (false, false, table);
        component
    }

    #[test]
    fn a_component_of_this_process_has_its_formula() {
        /// Halves at every step.
        #[derive(Config)]
        struct Halves {}

        impl plugfit_api::schedule::FormulaSchedule for Halves {
            fn learning_rate<R: plugfit_api::Real>(&self, step: R) -> R {
                step.power_of(0.5)
            }
        }

        let schedule = ComponentHandle::of_instance(plugfit_api::instance::formula_schedule(Halves {}), None);
        let formula = schedule.formula().unwrap().unwrap();
        assert_eq!(formula.explain(false), "learning_rate = ½^step");
    }

    #[test]
    fn a_component_without_the_interface_has_no_formula() {
        let reason = component(None).formula().unwrap().unwrap_err();
        assert_eq!(reason, "Constant offers no plugfit.formula/1: build it again with a newer plugfit-api");
    }

    #[test]
    fn what_a_plugin_answers_is_checked() {
        const VALID: &str =
            r#"{"version": 1, "inputs": [["step", "scalar"]], "nodes": [], "outputs": [["learning_rate", 0]]}"#;
        let component = component(Some(&TABLE));
        let formula = |answer: Answer| {
            *lock_ignoring_poison(&ANSWER) = answer;
            component.formula()
        };
        assert_eq!(formula(Ok(VALID.into())).unwrap().unwrap().outputs().len(), 1);

        let reason = formula(Err((abi::ERROR_UNSUPPORTED, "it isn't\nelement-wise"))).unwrap().unwrap_err();
        assert_eq!(reason, "it isn't\u{fffd}element-wise");
        let reason = formula(Ok(VALID.replace("1", "2"))).unwrap().unwrap_err();
        assert_eq!(reason, "update plugfit: the formula has the version 2, and this program reads 1");

        let message = |answer: Answer| formula(answer).unwrap_err().to_string();
        let long = message(Ok(" ".repeat(MAX_LENGTH + 1)));
        assert!(long.contains("returned a formula of 1048577 bytes; at most 1048576 are allowed"), "{long}");
        let other = message(Ok(VALID.replace("learning_rate", "rate")));
        assert!(
            other.contains("returned a formula that is invalid: the formula has no output \"learning_rate\""),
            "{other}"
        );
        let hostile = message(Ok(VALID.replace("step", "\\u001b[2J")));
        assert!(hostile.contains(r#"that can't be printed: "\u{1b}[2J""#), "{hostile}");
        let panic = message(Err((abi::ERROR_PANIC, "at \u{1b}")));
        assert!(panic.contains(r"Constant failed") && panic.contains(r#""at \u{1b}""#), "{panic}");
    }
}
