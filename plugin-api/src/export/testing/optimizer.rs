//! What holds for optimizers.

use super::{
    data::Random,
    made::{back, Made},
    Findings,
};
use crate::{Element, Error, Result, Tensor, TensorMut};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{ROption, RSlice, RStr},
};

const SHAPES: [(&str, &[i64]); 3] = [("dense/kernel", &[4, 3]), ("dense/bias", &[3]), ("frozen", &[2])];
/// The one without a gradient.
const FROZEN: usize = 2;

type Tensors = Vec<Vec<f32>>;

/// Three steps: the parameters after them, and their slots.
fn run(made: &Made<abi::OptimizerV1>) -> Result<(Tensors, Tensors)> {
    let mut random = Random(11);
    let mut numbers = |shape: &[i64]| -> Vec<f32> {
        (0..shape.iter().product::<i64>()).map(|_| (random.next() * 2.0 - 1.0) as f32).collect()
    };
    let mut values: Vec<Vec<f32>> = SHAPES.iter().map(|(_, shape)| numbers(shape)).collect();
    let parameters: Vec<abi::Parameter<'_>> = SHAPES
        .iter()
        .map(|(path, shape)| abi::Parameter {
            name: RStr::from_str(path.rsplit('/').next().unwrap_or(path)),
            path: RStr::from_str(path),
            shape: RSlice::from_slice(shape),
            dtype: f32::DTYPE,
            flags: abi::PARAMETER_TRAINABLE,
        })
        .collect();
    // SAFETY: the handle belongs to this table; so below.
    let wanted = back(unsafe { (made.table.slots)(made.handle, &made.host(), RSlice::from_slice(&parameters)) })?;
    let mut slots: Vec<Vec<f32>> = Vec::new();
    for (index, slot) in wanted.iter().enumerate() {
        if slot.dtype != f32::DTYPE {
            return Err(Error::unsupported("it keeps float64 slots, which this test doesn't"));
        }
        let count = slot.shape.iter().product::<i64>().max(0) as usize;
        let own = usize::try_from(slot.parameter).ok();
        let mut start = match (slot.start, own) {
            (abi::SLOT_COPY_OF_PARAMETER, Some(own)) => values[own].clone(),
            _ => vec![slot.value as f32; count],
        };
        if slot.start == abi::SLOT_FILLED {
            let parameter = match own {
                Some(own) => ROption::RSome(Tensor::new(&values[own], SHAPES[own].1).raw()),
                None => ROption::RNone,
            };
            let target = TensorMut::new(&mut start, &slot.shape).raw();
            let all = RSlice::from_slice(&parameters);
            // SAFETY: as above.
            back(unsafe {
                (made.table.fill_slot)(made.handle, &made.host(), all, index as u64, &parameter, 5, &target)
            })?;
        }
        slots.push(start);
    }
    for step in 0..3 {
        let gradients: Vec<Vec<f32>> = SHAPES.iter().map(|(_, shape)| numbers(shape)).collect();
        let raw_slots: Vec<abi::Tensor> = slots
            .iter_mut()
            .zip(wanted.iter())
            .map(|(slot, wanted)| TensorMut::new(slot, &wanted.shape).raw())
            .collect();
        let of = |owner: i64| -> Vec<abi::Tensor> {
            let pairs = raw_slots.iter().zip(wanted.iter());
            pairs.filter(|(_, wanted)| wanted.parameter == owner).map(|(slot, _)| *slot).collect()
        };
        let own: Vec<Vec<abi::Tensor>> = (0..SHAPES.len()).map(|index| of(index as i64)).collect();
        let entries: Vec<abi::UpdateEntry<'_>> = values
            .iter_mut()
            .enumerate()
            .map(|(i, value)| abi::UpdateEntry {
                parameter: parameters[i],
                value: TensorMut::new(value, SHAPES[i].1).raw(),
                gradient: if i == FROZEN {
                    ROption::RNone
                } else {
                    ROption::RSome(Tensor::new(&gradients[i], SHAPES[i].1).raw())
                },
                slots: RSlice::from_slice(&own[i]),
                gradient_scale: 1.0,
                clip_value: f64::INFINITY,
                weight_decay: 0.0,
                learning_rate_factor: 1.0,
                ema: ROption::RNone,
                ema_momentum: 0.0,
            })
            .collect();
        let whole = of(abi::NONE);
        let update = abi::Update {
            iteration: step,
            step,
            learning_rate: 0.01,
            seed: 3 + step,
            entries: RSlice::from_slice(&entries),
            slots: RSlice::from_slice(&whole),
        };
        // SAFETY: as above; what the update points at is written by nobody else meanwhile.
        back(unsafe { (made.table.update)(made.handle, &made.host(), &update) })?;
    }
    Ok((values, slots))
}

pub fn check(made: &Made<abi::OptimizerV1>, findings: &mut Findings) {
    let mut random = Random(11);
    let starts: Vec<Vec<f32>> = SHAPES
        .iter()
        .map(|(_, shape)| (0..shape.iter().product::<i64>()).map(|_| (random.next() * 2.0 - 1.0) as f32).collect())
        .collect();
    let (values, slots) = match run(made) {
        Ok(after) => after,
        Err(error) => return findings.add(format!("can't take a step: {}", error.message())),
    };
    let finite = |all: &[Vec<f32>]| all.iter().flatten().all(|value| value.is_finite());
    findings.that(finite(&values) && finite(&slots), || "leaves numbers that aren't finite after three steps".into());
    findings.that(values[..FROZEN] != starts[..FROZEN], || "leaves every parameter where it was".into());
    findings.that(values[FROZEN] == starts[FROZEN], || "moves a parameter that has no gradient".into());
    findings.that(run(made).is_ok_and(|again| again == (values, slots)), || "takes other steps the second time".into());
}
