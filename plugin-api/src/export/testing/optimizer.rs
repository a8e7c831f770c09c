//! What holds for optimizers.

mod descent;

use super::{
    data::{Array, Random},
    fences::Borders,
    made::{back, Described, Made},
    report::{said, Report},
    trial::{or_report, Extent, Tests, Trial},
};
use crate::{Element, Error, Result, Tensor, TensorMut};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{ROption, RSlice, RStr, RVec},
};

pub const TESTS: Tests = &[
    ("quadratic", "it descends to the bottom of a bowl at some rate", |trial, report| {
        descent::of(trial, report, &descent::BOWL)
    }),
    ("valley", "it descends in a bowl 100 times as long as wide", |trial, report| {
        descent::of(trial, report, &descent::VALLEY)
    }),
    ("rosenbrock", "it descends in Rosenbrock's banana", |trial, report| descent::of(trial, report, &descent::BANANA)),
    ("finite", "steps and slots are finite numbers", finite),
    ("still", "without a gradient, or with one of zeros, a parameter stays", still),
    ("resume", "from saved slots it goes on to the same bits", resume),
    ("alone", "a parameter takes the steps that it takes with others beside it", alone),
    ("nan", "a gradient that is NaN is reported, or spoils its own parameter alone", nan),
    ("slots", "every slot that it wants is used", slots),
    ("entries", "scale, clipping, decay, rate factor and average do what the entry asks", entries),
];

/// What is trained, its slots, and how far it is.
#[derive(Clone)]
struct Training {
    shapes: Vec<Vec<i64>>,
    values: Vec<Vec<f32>>,
    wanted: RVec<abi::Slot>,
    slots: Vec<Vec<f32>>,
    step: u64,
    rate: f64,
}

const NAMES: [&str; 4] = ["dense/kernel", "dense/bias", "other/kernel", "other/bias"];

fn parameters<'a>(shapes: &'a [Vec<i64>], flags: u64) -> Vec<abi::Parameter<'a>> {
    let of = |(path, shape): (&&'static str, &'a Vec<i64>)| abi::Parameter {
        name: RStr::from_str(path.rsplit('/').next().unwrap_or(path)),
        path: RStr::from_str(path),
        shape: RSlice::from_slice(shape),
        dtype: f32::DTYPE,
        flags,
    };
    NAMES.iter().zip(shapes).map(of).collect()
}

/// What an entry asks for besides a plain step.
#[derive(Clone, Copy)]
struct Ask {
    gradient_scale: f64,
    clip_value: f64,
    weight_decay: f64,
    learning_rate_factor: f64,
    ema_momentum: Option<f64>,
}

const PLAIN: Ask = Ask {
    gradient_scale: 1.0,
    clip_value: f64::INFINITY,
    weight_decay: 0.0,
    learning_rate_factor: 1.0,
    ema_momentum: None,
};

impl Training {
    fn new(made: &Made<abi::OptimizerV1>, shapes: &[&[i64]], values: Vec<Vec<f32>>, rate: f64) -> Result<Self> {
        let shapes: Vec<Vec<i64>> = shapes.iter().map(|shape| shape.to_vec()).collect();
        let parameters = parameters(&shapes, abi::PARAMETER_TRAINABLE);
        let all = RSlice::from_slice(&parameters);
        // SAFETY: the handle belongs to this table; so below.
        let wanted = back(unsafe { (made.table.slots)(made.handle, &made.host, all) })?;
        let mut slots: Vec<Vec<f32>> = Vec::new();
        for (index, slot) in wanted.iter().enumerate() {
            if slot.dtype != f32::DTYPE {
                return Err(Error::unsupported("it keeps float64 slots, which this test doesn't"));
            }
            let count = slot.shape.iter().try_fold(1_i64, |product, &length| product.checked_mul(length.max(-1)));
            let count = count.and_then(|count| usize::try_from(count).ok()).filter(|&count| count < 1 << 20);
            let count =
                count.ok_or_else(|| Error::other(format!("wants a slot of the shape {:?}", slot.shape.as_slice())))?;
            let own = match slot.parameter {
                abi::NONE => None,
                index if (0..shapes.len() as i64).contains(&index) => Some(index as usize),
                other => return Err(Error::other(format!("wants a slot of parameter {other} of {}", shapes.len()))),
            };
            let mut start = match (slot.start, own) {
                (abi::SLOT_COPY_OF_PARAMETER, Some(own)) if values[own].len() == count => values[own].clone(),
                (abi::SLOT_COPY_OF_PARAMETER, _) => {
                    return Err(Error::other("wants a copy of a parameter of another shape"))
                }
                _ => vec![slot.value as f32; count],
            };
            if slot.start == abi::SLOT_FILLED {
                let mut borders = made.borders();
                let parameter = match own {
                    Some(own) => {
                        let parameter = Tensor::new(&values[own], &shapes[own]).raw();
                        ROption::RSome(borders.input("the parameter", parameter))
                    }
                    None => ROption::RNone,
                };
                let target = borders.output("the slot", TensorMut::new(&mut start, &slot.shape).raw());
                // SAFETY: as above; the target is written by nobody else.
                let filled = back(unsafe {
                    (made.table.fill_slot)(made.handle, &made.host, all, index as u64, &parameter, 5, &target)
                });
                drop(borders);
                filled?;
            }
            slots.push(start);
        }
        drop(parameters);
        Ok(Training { shapes, values, wanted, slots, step: 0, rate })
    }

    fn step(&mut self, made: &Made<abi::OptimizerV1>, gradients: &[Option<Vec<f32>>]) -> Result<()> {
        self.step_as(made, gradients, PLAIN, &mut [])
    }

    /// A step; `averages` of each parameter are kept where `ask` says how.
    fn step_as(
        &mut self,
        made: &Made<abi::OptimizerV1>,
        gradients: &[Option<Vec<f32>>],
        ask: Ask,
        averages: &mut [Vec<f32>],
    ) -> Result<()> {
        let update = self.update(made.borders(), gradients, ask, averages, |update| {
            // SAFETY: the handle belongs to this table; what the update points at is written by nobody else meanwhile.
            back(unsafe { (made.table.update)(made.handle, &made.host, update) })
        });
        self.step += 1;
        update
    }

    fn finalize(&mut self, made: &Made<abi::OptimizerV1>) -> Result<()> {
        let none = vec![None; self.values.len()];
        // SAFETY: as above.
        self.update(made.borders(), &none, PLAIN, &mut [], |update| {
            back(unsafe { (made.table.finalize)(made.handle, &made.host, update) })
        })
    }

    fn update<T>(
        &mut self,
        mut borders: Borders,
        gradients: &[Option<Vec<f32>>],
        ask: Ask,
        averages: &mut [Vec<f32>],
        f: impl FnOnce(&abi::Update<'_>) -> T,
    ) -> T {
        let Training { shapes, values, wanted, slots, step, rate } = self;
        let parameters = parameters(shapes, abi::PARAMETER_TRAINABLE);
        let raw_slots: Vec<abi::Tensor> = slots
            .iter_mut()
            .zip(wanted.iter())
            .map(|(slot, wanted)| {
                borders.output(&format!("the slot {}", wanted.name), TensorMut::new(slot, &wanted.shape).raw())
            })
            .collect();
        let of = |owner: i64| -> Vec<abi::Tensor> {
            let pairs = raw_slots.iter().zip(wanted.iter());
            pairs.filter(|(_, wanted)| wanted.parameter == owner).map(|(slot, _)| *slot).collect()
        };
        let own: Vec<Vec<abi::Tensor>> = (0..shapes.len()).map(|index| of(index as i64)).collect();
        let mut averages: Vec<abi::Tensor> = averages
            .iter_mut()
            .zip(shapes.iter())
            .map(|(average, shape)| borders.output("the average", TensorMut::new(average, shape).raw()))
            .rev()
            .collect();
        let entries: Vec<abi::UpdateEntry<'_>> = values
            .iter_mut()
            .enumerate()
            .map(|(i, value)| abi::UpdateEntry {
                parameter: parameters[i],
                value: borders.output("the parameter", TensorMut::new(value, &shapes[i]).raw()),
                gradient: match &gradients[i] {
                    Some(gradient) => {
                        ROption::RSome(borders.input("the gradient", Tensor::new(gradient, &shapes[i]).raw()))
                    }
                    None => ROption::RNone,
                },
                slots: RSlice::from_slice(&own[i]),
                gradient_scale: ask.gradient_scale,
                clip_value: ask.clip_value,
                weight_decay: ask.weight_decay,
                learning_rate_factor: ask.learning_rate_factor,
                ema: averages.pop().map_or(ROption::RNone, ROption::RSome),
                ema_momentum: ask.ema_momentum.unwrap_or(0.0),
            })
            .collect();
        let whole = of(abi::NONE);
        let result = f(&abi::Update {
            iteration: *step,
            step: *step,
            learning_rate: *rate,
            seed: 3 + *step,
            entries: RSlice::from_slice(&entries),
            slots: RSlice::from_slice(&whole),
        });
        // What was written into copies is what was given.
        drop(borders);
        result
    }
}

const SHAPES: [&[i64]; 3] = [&[4, 3], &[3], &[2]];
/// The one without a gradient.
const FROZEN: usize = 2;

fn numbers(random: &mut Random, shape: &[i64]) -> Vec<f32> {
    (0..shape.iter().product::<i64>()).map(|_| (random.next() * 2.0 - 1.0) as f32).collect()
}

fn start(made: &Made<abi::OptimizerV1>, seed: u64) -> Result<Training> {
    let mut random = Random(seed ^ 11);
    let values = SHAPES.iter().map(|shape| numbers(&mut random, shape)).collect();
    Training::new(made, &SHAPES, values, 0.01)
}

/// The gradients of step number `step`.
fn gradients(seed: u64, step: u64) -> Vec<Option<Vec<f32>>> {
    let mut random = Random(seed ^ (1000 + step));
    (0..SHAPES.len()).map(|index| (index != FROZEN).then(|| numbers(&mut random, SHAPES[index]))).collect()
}

fn steps(training: &mut Training, made: &Made<abi::OptimizerV1>, seed: u64, range: std::ops::Range<u64>) -> Result<()> {
    range.into_iter().try_for_each(|step| training.step(made, &gradients(seed, step)))
}

pub fn bits(made: &Made<abi::OptimizerV1>, seed: u64, extent: Extent) -> Result<Vec<u64>> {
    let mut training = start(made, seed)?;
    steps(&mut training, made, seed, 0..3)?;
    if extent == Extent::Thorough {
        let mut averages: Vec<Vec<f32>> = training.values.iter().map(|values| vec![0.5; values.len()]).collect();
        let ask = Ask { clip_value: 0.2, weight_decay: 0.1, ema_momentum: Some(0.75), ..PLAIN };
        training.step_as(made, &gradients(seed, 3), ask, &mut averages)?;
        training.finalize(made)?;
    }
    let all = training.values.iter().chain(&training.slots).flatten();
    Ok(all.map(|value| u64::from(value.to_bits())).collect())
}

/// The parameter after a step with each of these gradients, and after what is done in the end.
pub fn after(
    made: &Made<abi::OptimizerV1>,
    start: &Array,
    gradients: &[Array],
    rate: f64,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let single = |array: &Array| -> Vec<f32> { array.numbers().iter().map(|&number| number as f32).collect() };
    let mut training = Training::new(made, &[start.shape()], vec![single(start)], rate)?;
    for gradient in gradients {
        if gradient.shape() != start.shape() {
            return Err(Error::input(format!(
                "a gradient has the shape {:?}, start has {:?}",
                gradient.shape(),
                start.shape()
            )));
        }
        training.step(made, &[Some(single(gradient))])?;
    }
    let value = |training: &Training| training.values[0].iter().map(|&value| f64::from(value)).collect();
    let stepped = value(&training);
    training.finalize(made)?;
    Ok((stepped, value(&training)))
}

/// Runs `f` with every configuration.
fn each(trial: &Trial<'_>, report: &mut Report, f: fn(&Trial<'_>, &Made<abi::OptimizerV1>, &mut Report) -> Result<()>) {
    trial.each(report, |config, report| {
        let Some(made) = or_report(report, "can't be made", trial.made::<abi::OptimizerV1>(config)) else { return };
        // Not every number is one to train with.
        let wild = || -> Result<bool> {
            let mut training = start(&made, trial.subject.seed)?;
            steps(&mut training, &made, trial.subject.seed, 0..4)?;
            Ok(training.values.iter().flatten().any(|value| value.is_nan() || value.abs() > 100.0))
        };
        if !report.about.is_empty() && wild().unwrap_or(false) {
            return;
        }
        // A component that keeps to itself which parameters it has is made anew.
        let made = trial.made::<abi::OptimizerV1>(config);
        let result = made.and_then(|made| f(trial, &made, report));
        or_report(report, "fails", result);
    });
}

fn finite(trial: &Trial<'_>, report: &mut Report) {
    trial.each_choice(report, |config, report| {
        let made = trial.made::<abi::OptimizerV1>(config);
        let result = made.and_then(|made| stays_finite(trial, &made, report));
        or_report(report, "fails", result);
    });
}

fn stays_finite(trial: &Trial<'_>, made: &Made<abi::OptimizerV1>, report: &mut Report) -> Result<()> {
    let mut training = start(made, trial.subject.seed)?;
    steps(&mut training, made, trial.subject.seed, 0..20)?;
    let mut all = training.values.iter().chain(&training.slots).flatten();
    report.that(all.all(|value| value.is_finite()), || "leaves numbers that aren't finite after 20 steps".into());
    training.finalize(made)?;
    report.that(training.values.iter().flatten().all(|value| value.is_finite()), || {
        "leaves numbers that aren't finite in the end".into()
    });
    Ok(())
}

fn still(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |trial, made, report| {
        let mut training = start(made, trial.subject.seed)?;
        let before = training.values.clone();
        steps(&mut training, made, trial.subject.seed, 0..3)?;
        report.that(training.values[FROZEN] == before[FROZEN], || "moves a parameter that has no gradient".into());
        if made.info()?["still_at_zero"] == false {
            report.note("as it declares: gradients of zeros move parameters");
            return Ok(());
        }
        let mut training = start(made, trial.subject.seed)?;
        let zeros: Vec<_> = before.iter().map(|values| Some(vec![0.0; values.len()])).collect();
        (0..3).try_for_each(|_| training.step(made, &zeros))?;
        let pairs = training.values.iter().flatten().zip(before.iter().flatten());
        let near = |(after, before): &(&f32, &f32)| (**after - **before).abs() <= 1e-6 * (1.0 + before.abs());
        let moved = pairs.clone().find(|pair| !near(pair));
        if let Some((after, before)) = moved {
            report.fail(format!("moves {before} to {after} by gradients of zeros"));
        }
        Ok(())
    });
}

fn resume(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |trial, made, report| {
        let seed = trial.subject.seed;
        let mut through = start(made, seed)?;
        steps(&mut through, made, seed, 0..3)?;
        // A second instance has nothing but what was kept.
        let config = made.config()?;
        let other = trial.made::<abi::OptimizerV1>(&config)?;
        start(&other, seed)?;
        let mut resumed = through.clone();
        steps(&mut through, made, seed, 3..6)?;
        steps(&mut resumed, &other, seed, 3..6)?;
        let bits = |training: &Training| -> Vec<u32> {
            training.values.iter().chain(&training.slots).flatten().map(|value| value.to_bits()).collect()
        };
        report.that(bits(&through) == bits(&resumed), || {
            "doesn't go on from its slots as if nothing had happened, bit for bit".into()
        });
        Ok(())
    });
}

fn alone(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |trial, made, report| {
        let seed = trial.subject.seed;
        let mut all = start(made, seed)?;
        if all.wanted.iter().any(|slot| slot.parameter == abi::NONE) {
            report.note("it keeps something for all parameters together, so that one alone may take other steps");
            return Ok(());
        }
        let config = made.config()?;
        let other = trial.made::<abi::OptimizerV1>(&config)?;
        let mut one = Training::new(&other, &SHAPES[..1], vec![all.values[0].clone()], all.rate)?;
        for step in 0..4 {
            let gradients = gradients(seed, step);
            all.step(made, &gradients)?;
            one.step(&other, &gradients[..1])?;
        }
        let near = all.values[0].iter().zip(&one.values[0]).all(|(a, b)| (a - b).abs() <= 1e-6 * (1.0 + b.abs()));
        report.that(near, || "moves a parameter elsewhere where others are trained beside it".into());
        Ok(())
    });
}

fn nan(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |trial, made, report| {
        let seed = trial.subject.seed;
        let mut training = start(made, seed)?;
        steps(&mut training, made, seed, 0..2)?;
        let before = training.values.clone();
        let mut gradients = gradients(seed, 2);
        if let Some(gradient) = &mut gradients[1] {
            gradient[1] = f32::NAN;
        }
        match training.step(made, &gradients) {
            Err(error) if error.kind() == abi::ERROR_PANIC => report.error("with a gradient that is NaN", &error),
            Err(error) => {
                let kept = training.values[0] == before[0];
                report.that(kept, || {
                    format!("reports a gradient that is NaN ({}), and moves other parameters", said(&error))
                });
            }
            Ok(()) => {
                steps(&mut training, made, seed, 3..5)?;
                let whole = training.values[0].iter().all(|value| value.is_finite());
                report.that(whole, || "makes other parameters NaN by the gradient of one".into());
            }
        }
        Ok(())
    });
}

fn slots(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |trial, made, report| {
        let seed = trial.subject.seed;
        let mut training = start(made, seed)?;
        let mut names: Vec<(i64, &str)> =
            training.wanted.iter().map(|slot| (slot.parameter, slot.name.as_str())).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        report.that(names.len() == count, || format!("wants two slots of one name: {names:?}"));
        let fresh = training.clone();
        let mut written = vec![false; training.slots.len()];
        for step in 0..12 {
            let before = training.slots.clone();
            steps(&mut training, made, seed, step..step + 1)?;
            let changed = before.iter().zip(&training.slots).map(|(before, after)| before != after);
            written.iter_mut().zip(changed).for_each(|(written, changed)| *written |= changed);
        }
        for (index, slot) in training.wanted.iter().enumerate() {
            if slot.parameter == FROZEN as i64 || written[index] {
                continue;
            }
            // Not written so far: then a step must depend on it.
            let mut other = fresh.clone();
            other.slots[index].iter_mut().for_each(|value| *value = *value * 1.5 + 0.25);
            steps(&mut other, made, seed, 0..12)?;
            let others = |training: &Training| -> Vec<Vec<f32>> {
                let slots = training.slots.iter().enumerate().filter(|(other, _)| *other != index);
                training.values.iter().cloned().chain(slots.map(|(_, slot)| slot.clone())).collect()
            };
            report.that(others(&other) != others(&training), || {
                format!("neither reads nor writes its slot {:?}", slot.name.as_str())
            });
        }
        Ok(())
    });
}

fn entries(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |trial, made, report| {
        let seed = trial.subject.seed;
        let mut warm = start(made, seed)?;
        steps(&mut warm, made, seed, 0..1)?;
        let given = gradients(seed, 1);
        let changed = |f: &dyn Fn(f32) -> f32| -> Vec<Option<Vec<f32>>> {
            given.iter().map(|all| all.as_ref().map(|all| all.iter().map(|&value| f(value)).collect())).collect()
        };
        let run = |training: &Training, gradients: &[Option<Vec<f32>>], ask: Ask| -> Result<Vec<f32>> {
            let mut training = training.clone();
            training.step_as(made, gradients, ask, &mut [])?;
            Ok(training.values.concat())
        };
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 2e-6 * (1.0 + b.abs()));
        let half = run(&warm, &given, Ask { gradient_scale: 0.5, ..PLAIN })?;
        report.that(near(&half, &run(&warm, &changed(&|value| value * 0.5), PLAIN)?), || {
            "doesn't multiply gradients by their scale".into()
        });
        let clipped = run(&warm, &given, Ask { clip_value: 0.2, ..PLAIN })?;
        report.that(near(&clipped, &run(&warm, &changed(&|value| value.clamp(-0.2, 0.2)), PLAIN)?), || {
            "doesn't clip gradients to the value that is asked for".into()
        });
        let rated = run(&warm, &given, Ask { learning_rate_factor: 3.0, ..PLAIN })?;
        let mut faster = warm.clone();
        faster.rate *= 3.0;
        report.that(near(&rated, &run(&faster, &given, PLAIN)?), || "doesn't multiply the rate by its factor".into());
        let decayed = run(&warm, &given, Ask { weight_decay: 0.1, ..PLAIN })?;
        let mut smaller = warm.clone();
        let shrink = (1.0 - 0.1 * warm.rate) as f32;
        smaller.values[..FROZEN].iter_mut().flatten().for_each(|value| *value *= shrink);
        report.that(near(&decayed, &run(&smaller, &given, PLAIN)?), || {
            "doesn't take weight decay off before the step".into()
        });
        let mut averages: Vec<Vec<f32>> = warm.values.iter().map(|values| vec![0.5; values.len()]).collect();
        let mut averaged = warm.clone();
        averaged.step_as(made, &given, Ask { ema_momentum: Some(0.75), ..PLAIN }, &mut averages)?;
        let expected: Vec<f32> =
            averaged.values[..FROZEN].concat().iter().map(|value| 0.75 * 0.5 + 0.25 * value).collect();
        report.that(near(&averages[..FROZEN].concat(), &expected), || {
            "doesn't keep the average that is asked for".into()
        });
        Ok(())
    });
}
