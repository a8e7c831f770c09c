//! Tests that the formula of an optimizer agrees with its compiled functions.

use super::{
    super::{
        formula::{compute, formula_of},
        report::Report,
        tested::Tested,
    },
    each, gradients, start, OptimizerInstance, FROZEN, SHAPES,
};
use crate::Result;
use plugfit_abi as abi;
use plugfit_formula::{Role, Shape};

/// The number of steps that are compared.
const STEPS: u64 = 5;

pub(super) fn same_as_native(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, compare);
}

fn compare(tested: &Tested<'_>, instance: &OptimizerInstance, report: &mut Report) -> Result<()> {
    let formula = match formula_of(tested, instance, |table| table.optimizer, Role::Optimizer)? {
        Ok(formula) => formula,
        Err(reason) => {
            report.note(format!("not tried: there is no formula: {reason}"));
            return Ok(());
        }
    };
    let wide = |numbers: &[f32]| -> Vec<f64> { numbers.iter().map(|&number| f64::from(number)).collect() };
    let mut native = start(instance, tested.subject.seed)?;
    let rate = [native.rate];
    for step in 0..STEPS {
        let (before, gradients) = (native.clone(), gradients(tested.subject.seed, step));
        native.step(instance, &gradients)?;
        for index in (0..SHAPES.len()).filter(|&index| index != FROZEN) {
            let own = |slot: &abi::Slot| slot.parameter == index as i64;
            let slots: Vec<(String, usize)> = (0..native.specs.len())
                .filter(|&slot| own(&native.specs[slot]))
                .map(|slot| (format!("slot.{}", native.specs[slot].name), slot))
                .collect();
            let (number, parameter) = ([(step + 1) as f64], wide(&before.values[index]));
            let gradient = wide(gradients[index].as_deref().unwrap_or_default());
            let values: Vec<Vec<f64>> = slots.iter().map(|(_, slot)| wide(&before.slots[*slot])).collect();
            let mut inputs: Vec<(&str, &[f64])> =
                vec![("learning_rate", &rate), ("number", &number), ("parameter", &parameter), ("gradient", &gradient)];
            inputs.extend(slots.iter().zip(&values).map(|((name, _), values)| (name.as_str(), values.as_slice())));
            let shape = Shape { rows: 1, columns: parameter.len() };
            let outputs = std::iter::once(("parameter", &native.values[index]))
                .chain(slots.iter().map(|(name, slot)| (name.as_str(), &native.slots[*slot])));
            for (name, after) in outputs {
                let found = compute(&formula, name, &inputs, shape)?;
                let differs = |i: &usize| {
                    let (found, native) = (found[*i % found.len()], f64::from(after[*i]));
                    (found - native).abs() > 1e-4 * (0.05 + native.abs())
                };
                if let Some(i) = (0..after.len()).find(differs) {
                    report.fail(format!(
                        "gives {name} {} after step {}, and its formula {}",
                        after[i],
                        step + 1,
                        found[i % found.len()]
                    ));
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
