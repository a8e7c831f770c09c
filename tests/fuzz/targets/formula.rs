//! Reads any text as the document of a formula, and does with the formula all that the host does. The time and the
//! memory must stay within the limits of the fuzzer, whatever the nodes share.
#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use plugfit::formula::{Formula, Level, MAX_NODES, ReadError, Role, Shape};

const SHAPE: Shape = Shape { rows: 2, columns: 3 };

/// Checks that a valid document is read, so that inputs aren't all rejected for a reason other than their content.
fn check_valid_document() {
    static CHECKED: Once = Once::new();
    CHECKED.call_once(|| {
        let formula = Formula::read(include_str!("../corpus/formula/huber")).expect("a good document");
        formula.check_role(Role::Loss).expect("a loss");
        assert_eq!(formula.with_derivatives().expect("derivatives").outputs().len(), 3);
    });
}

fuzz_target!(|bytes: &[u8]| {
    check_valid_document();
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Formula::read(text) {
        Ok(formula) => use_formula(&formula),
        Err(ReadError::Unknown(message) | ReadError::Invalid(message)) => {
            assert!(!message.is_empty() && message.len() < 4096 && !message.contains(char::is_control));
        }
    }
});

fn use_formula(formula: &Formula) {
    check(formula);
    for role in [Role::Loss, Role::Metric, Role::Optimizer, Role::Schedule] {
        if formula.check_role(role).is_ok() && role == Role::Loss {
            formula.with_derivatives().map(|formula| check(&formula)).ok();
        }
    }
    if formula.check_role(Role::Metric).is_ok() {
        check_sums(formula);
    }
    let simplified = formula.simplify();
    assert!(simplified.nodes().len() <= formula.nodes().len());
    check(&simplified);
    let Some(output) = formula.outputs().first() else { return };
    for input in formula.inputs().iter().filter(|input| input.level == Level::Element) {
        if let Ok(derivative) = formula.differentiate(&output.name, &input.name, "a derivative") {
            check(&derivative);
        }
    }
}

/// Computes the sums of a metric, and their result.
fn check_sums(formula: &Formula) {
    // The memory of the sums is bounded, but takes long to fill.
    let Some(sums) = formula.sums().filter(|sums| sums.bins <= 1024) else { return };
    let numbers = [0.0, 1.0, -0.5, 2.0, f64::INFINITY, f64::NAN];
    let inputs: Vec<&[f64]> = formula.inputs().iter().map(|input| &numbers[..SHAPE.count(input.level)]).collect();
    let found = formula.interpret_sums(&inputs, &[1.0, 0.0], SHAPE).expect("the inputs fit");
    assert!(found.iter().all(|sum| sum.len() == sums.shape(SHAPE.columns).count(Level::Element)));
    formula.interpret_result(&found, SHAPE.columns).expect("the sums fit");
}

/// Writes, computes and prints a formula.
fn check(formula: &Formula) {
    assert!(formula.nodes().len() <= MAX_NODES);
    let again = Formula::read(&formula.to_json().to_string()).map_err(|error| error.to_string());
    // A document may have grown beyond the limits on its length and on its outputs.
    assert!(again.is_ok_and(|again| again == *formula) || formula.outputs().len() > 64 || formula.nodes().len() > 2048);

    let numbers = [0.0, 1.0, -0.5, 2.0, f64::INFINITY, f64::NAN];
    let inputs: Vec<&[f64]> = formula.inputs().iter().map(|input| &numbers[..SHAPE.count(input.level)]).collect();
    let outputs = formula.interpret_all(&inputs, SHAPE).expect("the inputs fit");
    assert_eq!(outputs.len(), formula.outputs().len());

    for latex in [false, true] {
        let text = formula.explain(latex);
        assert!(text.len() < 1 << 24, "{} bytes", text.len());
    }
}
