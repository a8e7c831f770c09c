//! Tests for optimizers.

mod descent;
mod formula;
mod training;

use super::{
    data::{Array, Random},
    instance::{Describe, Instance},
    report::{describe_error, Report},
    tested::{or_report, Extent, Tested, Tests},
};
use crate::{Error, Result};
use plugfit_abi as abi;
use training::{Ask, Training, PLAIN};

pub const TESTS: Tests = &[
    ("quadratic", "at some rate it descends to the minimum of a quadratic function", |tested, report| {
        descent::of(tested, report, &descent::BOWL)
    }),
    ("valley", "it descends in a quadratic function of condition number 100", |tested, report| {
        descent::of(tested, report, &descent::VALLEY)
    }),
    ("rosenbrock", "it descends in the Rosenbrock function", |tested, report| {
        descent::of(tested, report, &descent::BANANA)
    }),
    ("finite", "parameters and slots stay finite", finite),
    ("still", "a parameter without a gradient, or with a gradient of zeros, doesn't change", still),
    ("resume", "it resumes from saved slots with the same bits", resume),
    ("alone", "a parameter takes the same steps alone as with others", alone),
    ("nan", "a gradient with NaN is reported, or affects its own parameter only", nan),
    ("formula", "the formula takes the same steps", formula::same_as_native),
    ("slots", "every requested slot is used", slots),
    (
        "entries",
        "gradient scale, clipping, weight decay, rate factor and moving average are applied as requested",
        entries,
    ),
];

/// An instance of the optimizer under test.
type OptimizerInstance = Instance<abi::OptimizerV1>;

const SHAPES: [&[i64]; 3] = [&[4, 3], &[3], &[2]];
/// The index of the parameter without a gradient.
const FROZEN: usize = 2;

/// Returns numbers from -1 to 1.
fn numbers(random: &mut Random, shape: &[i64]) -> Vec<f32> {
    (0..shape.iter().product::<i64>()).map(|_| (random.next() * 2.0 - 1.0) as f32).collect()
}

/// Starts a training of parameters of [`SHAPES`].
fn start(instance: &OptimizerInstance, seed: u64) -> Result<Training> {
    let mut random = Random(seed ^ 11);
    let values = SHAPES.iter().map(|shape| numbers(&mut random, shape)).collect();
    Training::new(instance, &SHAPES, values, 0.01)
}

/// Returns the gradients of step `step`.
fn gradients(seed: u64, step: u64) -> Vec<Option<Vec<f32>>> {
    let mut random = Random(seed ^ (1000 + step));
    (0..SHAPES.len()).map(|index| (index != FROZEN).then(|| numbers(&mut random, SHAPES[index]))).collect()
}

/// Performs these steps.
fn steps(training: &mut Training, instance: &OptimizerInstance, seed: u64, range: std::ops::Range<u64>) -> Result<()> {
    range.into_iter().try_for_each(|step| training.step(instance, &gradients(seed, step)))
}

/// Returns the bits of the parameters and slots after some steps.
pub fn bits(instance: &OptimizerInstance, seed: u64, extent: Extent) -> Result<Vec<u64>> {
    let mut training = start(instance, seed)?;
    steps(&mut training, instance, seed, 0..3)?;
    if extent == Extent::Thorough {
        let mut averages: Vec<Vec<f32>> = training.values.iter().map(|values| vec![0.5; values.len()]).collect();
        let ask = Ask { clip_value: 0.2, weight_decay: 0.1, ema_momentum: Some(0.75), ..PLAIN };
        training.step_as(instance, &gradients(seed, 3), ask, &mut averages)?;
        training.finalize(instance)?;
    }
    let all = training.values.iter().chain(&training.slots).flatten();
    Ok(all.map(|value| u64::from(value.to_bits())).collect())
}

/// Returns the parameter after a step with each of these gradients, and after the end of the training.
pub fn after(
    instance: &OptimizerInstance,
    start: &Array,
    gradients: &[Array],
    rate: f64,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let single = |array: &Array| -> Vec<f32> { array.numbers().iter().map(|&number| number as f32).collect() };
    let mut training = Training::new(instance, &[start.shape()], vec![single(start)], rate)?;
    for gradient in gradients {
        if gradient.shape() != start.shape() {
            return Err(Error::input(format!(
                "a gradient has the shape {:?}, start has {:?}",
                gradient.shape(),
                start.shape()
            )));
        }
        training.step(instance, &[Some(single(gradient))])?;
    }
    let value = |training: &Training| training.values[0].iter().map(|&value| f64::from(value)).collect();
    let stepped = value(&training);
    training.finalize(instance)?;
    Ok((stepped, value(&training)))
}

/// Runs `f` with every configuration in which a training doesn't diverge.
fn each(tested: &Tested<'_>, report: &mut Report, f: fn(&Tested<'_>, &OptimizerInstance, &mut Report) -> Result<()>) {
    tested.each(report, |config, report| {
        let Some(instance) = tested.made::<abi::OptimizerV1>(config, report) else { return };
        // Skip changed numbers with which a training diverges.
        let diverges = || -> Result<bool> {
            let mut training = start(&instance, tested.subject.seed)?;
            steps(&mut training, &instance, tested.subject.seed, 0..4)?;
            Ok(training.values.iter().flatten().any(|value| value.is_nan() || value.abs() > 100.0))
        };
        if !report.about.is_empty() && diverges().unwrap_or(false) {
            return;
        }
        // Create a new instance, because a component may store what belongs to its parameters.
        let instance = tested.instance::<abi::OptimizerV1>(config);
        let result = instance.and_then(|instance| f(tested, &instance, report));
        or_report(report, "fails", result);
    });
}

fn finite(tested: &Tested<'_>, report: &mut Report) {
    tested.each_choice(report, |config, report| {
        let instance = tested.instance::<abi::OptimizerV1>(config);
        let result = instance.and_then(|instance| stays_finite(tested, &instance, report));
        or_report(report, "fails", result);
    });
}

fn stays_finite(tested: &Tested<'_>, instance: &OptimizerInstance, report: &mut Report) -> Result<()> {
    let mut training = start(instance, tested.subject.seed)?;
    steps(&mut training, instance, tested.subject.seed, 0..20)?;
    let mut all = training.values.iter().chain(&training.slots).flatten();
    report.check(all.all(|value| value.is_finite()), || "leaves numbers that aren't finite after 20 steps".into());
    training.finalize(instance)?;
    report.check(training.values.iter().flatten().all(|value| value.is_finite()), || {
        "leaves numbers that aren't finite in the end".into()
    });
    Ok(())
}

fn still(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |tested, instance, report| {
        let mut training = start(instance, tested.subject.seed)?;
        let before = training.values.clone();
        steps(&mut training, instance, tested.subject.seed, 0..3)?;
        report.check(training.values[FROZEN] == before[FROZEN], || "moves a parameter that has no gradient".into());
        if instance.info()?["still_at_zero"] == false {
            return report.skip("as it declares: gradients of zeros move parameters");
        }
        let mut training = start(instance, tested.subject.seed)?;
        let zeros: Vec<_> = before.iter().map(|values| Some(vec![0.0; values.len()])).collect();
        (0..3).try_for_each(|_| training.step(instance, &zeros))?;
        let pairs = training.values.iter().flatten().zip(before.iter().flatten());
        let near = |(after, before): &(&f32, &f32)| (**after - **before).abs() <= 1e-6 * (1.0 + before.abs());
        let moved = pairs.clone().find(|pair| !near(pair));
        if let Some((after, before)) = moved {
            report.fail(format!("moves {before} to {after} by gradients of zeros"));
        }
        Ok(())
    });
}

fn resume(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |tested, instance, report| {
        let seed = tested.subject.seed;
        let mut through = start(instance, seed)?;
        steps(&mut through, instance, seed, 0..3)?;
        // A second instance has only the parameters and the slots.
        let config = instance.config()?;
        let other = tested.instance::<abi::OptimizerV1>(&config)?;
        start(&other, seed)?;
        let mut resumed = through.clone();
        steps(&mut through, instance, seed, 3..6)?;
        steps(&mut resumed, &other, seed, 3..6)?;
        let bits = |training: &Training| -> Vec<u32> {
            training.values.iter().chain(&training.slots).flatten().map(|value| value.to_bits()).collect()
        };
        report.check(bits(&through) == bits(&resumed), || {
            "doesn't continue from its slots as if nothing had happened, bit for bit".into()
        });
        Ok(())
    });
}

fn alone(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |tested, instance, report| {
        let seed = tested.subject.seed;
        let mut all = start(instance, seed)?;
        if all.specs.iter().any(|slot| slot.parameter == abi::NONE) {
            return report
                .skip("it keeps something for all parameters together, so that one alone may take other steps");
        }
        let config = instance.config()?;
        let other = tested.instance::<abi::OptimizerV1>(&config)?;
        let mut one = Training::new(&other, &SHAPES[..1], vec![all.values[0].clone()], all.rate)?;
        for step in 0..4 {
            let gradients = gradients(seed, step);
            all.step(instance, &gradients)?;
            one.step(&other, &gradients[..1])?;
        }
        let near = all.values[0].iter().zip(&one.values[0]).all(|(a, b)| (a - b).abs() <= 1e-6 * (1.0 + b.abs()));
        report.check(near, || "moves a parameter elsewhere where others are trained beside it".into());
        Ok(())
    });
}

fn nan(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |tested, instance, report| {
        let seed = tested.subject.seed;
        let mut training = start(instance, seed)?;
        steps(&mut training, instance, seed, 0..2)?;
        let before = training.values.clone();
        let mut gradients = gradients(seed, 2);
        if let Some(gradient) = &mut gradients[1] {
            gradient[1] = f32::NAN;
        }
        match training.step(instance, &gradients) {
            Err(error) if error.kind() == abi::ERROR_PANIC => report.error("with a gradient that is NaN", &error),
            Err(error) => {
                let unchanged = training.values[0] == before[0];
                report.check(unchanged, || {
                    format!("reports a gradient that is NaN ({}), and moves other parameters", describe_error(&error))
                });
            }
            Ok(()) => {
                steps(&mut training, instance, seed, 3..5)?;
                let finite = training.values[0].iter().all(|value| value.is_finite());
                report.check(finite, || "makes other parameters NaN by the gradient of one".into());
            }
        }
        Ok(())
    });
}

fn slots(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |tested, instance, report| {
        let seed = tested.subject.seed;
        let mut training = start(instance, seed)?;
        let mut names: Vec<(i64, &str)> =
            training.specs.iter().map(|slot| (slot.parameter, slot.name.as_str())).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        report.check(names.len() == count, || format!("wants two slots of one name: {names:?}"));
        let fresh = training.clone();
        let mut written = vec![false; training.slots.len()];
        for step in 0..12 {
            let before = training.slots.clone();
            steps(&mut training, instance, seed, step..step + 1)?;
            let changed = before.iter().zip(&training.slots).map(|(before, after)| before != after);
            written.iter_mut().zip(changed).for_each(|(written, changed)| *written |= changed);
        }
        for (index, slot) in training.specs.iter().enumerate() {
            if slot.parameter == FROZEN as i64 || written[index] {
                continue;
            }
            // If no step writes the slot, a step must read it.
            let mut other = fresh.clone();
            other.slots[index].iter_mut().for_each(|value| *value = *value * 1.5 + 0.25);
            steps(&mut other, instance, seed, 0..12)?;
            let others = |training: &Training| -> Vec<Vec<f32>> {
                let slots = training.slots.iter().enumerate().filter(|(other, _)| *other != index);
                training.values.iter().cloned().chain(slots.map(|(_, slot)| slot.clone())).collect()
            };
            report.check(others(&other) != others(&training), || {
                format!("neither reads nor writes its slot {:?}", slot.name.as_str())
            });
        }
        Ok(())
    });
}

fn entries(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |tested, instance, report| {
        let seed = tested.subject.seed;
        let mut warm = start(instance, seed)?;
        steps(&mut warm, instance, seed, 0..1)?;
        let original = gradients(seed, 1);
        let changed = |f: &dyn Fn(f32) -> f32| -> Vec<Option<Vec<f32>>> {
            original.iter().map(|all| all.as_ref().map(|all| all.iter().map(|&value| f(value)).collect())).collect()
        };
        let run = |training: &Training, gradients: &[Option<Vec<f32>>], ask: Ask| -> Result<Vec<f32>> {
            let mut training = training.clone();
            training.step_as(instance, gradients, ask, &mut [])?;
            Ok(training.values.concat())
        };
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 2e-6 * (1.0 + b.abs()));
        let half = run(&warm, &original, Ask { gradient_scale: 0.5, ..PLAIN })?;
        report.check(near(&half, &run(&warm, &changed(&|value| value * 0.5), PLAIN)?), || {
            "doesn't multiply gradients by their scale".into()
        });
        let clipped = run(&warm, &original, Ask { clip_value: 0.2, ..PLAIN })?;
        report.check(near(&clipped, &run(&warm, &changed(&|value| value.clamp(-0.2, 0.2)), PLAIN)?), || {
            "doesn't clip gradients to the requested value".into()
        });
        let rated = run(&warm, &original, Ask { learning_rate_factor: 3.0, ..PLAIN })?;
        let mut faster = warm.clone();
        faster.rate *= 3.0;
        report
            .check(near(&rated, &run(&faster, &original, PLAIN)?), || "doesn't multiply the rate by its factor".into());
        let decayed = run(&warm, &original, Ask { weight_decay: 0.1, ..PLAIN })?;
        let mut smaller = warm.clone();
        let shrink = (1.0 - 0.1 * warm.rate) as f32;
        smaller.values[..FROZEN].iter_mut().flatten().for_each(|value| *value *= shrink);
        report.check(near(&decayed, &run(&smaller, &original, PLAIN)?), || {
            "doesn't take weight decay off before the step".into()
        });
        let mut averages: Vec<Vec<f32>> = warm.values.iter().map(|values| vec![0.5; values.len()]).collect();
        let mut averaged = warm.clone();
        averaged.step_as(instance, &original, Ask { ema_momentum: Some(0.75), ..PLAIN }, &mut averages)?;
        let expected: Vec<f32> =
            averaged.values[..FROZEN].concat().iter().map(|value| 0.75 * 0.5 + 0.25 * value).collect();
        report.check(near(&averages[..FROZEN].concat(), &expected), || "doesn't keep the requested average".into());
        Ok(())
    });
}
