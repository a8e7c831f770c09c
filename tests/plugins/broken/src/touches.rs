//! What changes more than its own memory: inputs, what lies around a buffer, and the process.

use crate::{
    losses::squares,
    metrics::{MeanSquare, Seen, add, merge, metrics, result},
    optimizers::descend,
};
use plugfit_api::{
    loss::LossTotals,
    optimizer::{Slot, Update},
    prelude::*,
};
use std::ffi::{c_char, c_int, c_uint};

unsafe extern "C" {
    fn signal(signal: c_int, handler: usize) -> usize;
    fn umask(mask: c_uint) -> c_uint;
    fn close(descriptor: c_int) -> c_int;
    fn chdir(path: *const c_char) -> c_int;
}

metrics! {
    WritesScores, ReadsBehindScores, PeeksBehindScores, FlushesToZero, RoundsUp, InstallsAHandler, ChangesTheDirectory, ChangesTheUmask,
    ClosesDescriptors, LeaksDescriptors,
}

/// Clips predictions where they are.
#[derive(Config)]
pub struct WritesPredictions;

impl Loss for WritesPredictions {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let y_pred = inputs.y_pred()?.f32s("y_pred")?;
        if let Some(first) = y_pred.first() {
            // SAFETY: none, that is what it is for: an input is only lent.
            unsafe { std::ptr::from_ref(first).cast_mut().write_volatile(first.clamp(-0.01, 0.01)) };
        }
        squares(inputs, output)
    }
}

/// Writes one value too many.
#[derive(Config)]
pub struct WritesBehindValues;

impl Loss for WritesBehindValues {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        if let Some(values) = output.values.as_deref_mut() {
            // SAFETY: none, that is what it is for.
            unsafe { values.as_mut_ptr().add(values.len()).write_volatile(1.0) };
        }
        squares(inputs, output)
    }
}

/// Writes a slope before the first.
#[derive(Config)]
pub struct WritesBeforeSlopes;

impl Loss for WritesBeforeSlopes {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        if let Some(gradient) = output.gradient(1)? {
            // SAFETY: none, that is what it is for.
            unsafe { gradient.as_mut_ptr().sub(1).write_volatile(1.0) };
        }
        squares(inputs, output)
    }
}

/// Normalizes gradients where they are.
#[derive(Config)]
pub struct WritesGradients;

impl Optimizer for WritesGradients {
    fn slots(&self, _: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        Ok(Vec::new())
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        descend(update, 1.0)?;
        for entry in update.entries.iter() {
            let Some(gradient) = entry.gradient else { continue };
            let gradient = gradient.f32s("the gradient")?;
            // SAFETY: none, that is what it is for: a gradient is only lent.
            unsafe { gradient.as_ptr().cast_mut().write_volatile(0.0) };
        }
        Ok(())
    }
}

/// Multiplies a prediction by a number where it is.
#[derive(Config)]
pub struct WritesScores;

impl MeanSquare for WritesScores {
    fn update(&self, seen: &mut Seen, inputs: &Inputs<'_>) -> Result<()> {
        let y_true = inputs.y_true()?.as_slice::<f32>().unwrap_or_default();
        if let Some(last) = y_true.last() {
            // SAFETY: none, that is what it is for: an input is only lent.
            unsafe { std::ptr::from_ref(last).cast_mut().write_volatile(last + 1.0) };
        }
        add(seen, inputs)
    }
}

fn behind(inputs: &Inputs<'_>) -> Result<f32> {
    let y_pred = inputs.y_pred()?.as_slice::<f32>().unwrap_or_default();
    // SAFETY: none, that is what it is for.
    Ok(unsafe { y_pred.as_ptr().add(y_pred.len()).read_volatile() })
}

/// Counts one prediction too many.
#[derive(Config)]
pub struct ReadsBehindScores;

impl MeanSquare for ReadsBehindScores {
    fn update(&self, seen: &mut Seen, inputs: &Inputs<'_>) -> Result<()> {
        seen.sum += f64::from(behind(inputs)?);
        add(seen, inputs)
    }
}

/// Reads one prediction too many, and makes nothing of it.
#[derive(Config)]
pub struct PeeksBehindScores;

impl MeanSquare for PeeksBehindScores {
    fn update(&self, seen: &mut Seen, inputs: &Inputs<'_>) -> Result<()> {
        std::hint::black_box(behind(inputs)?);
        add(seen, inputs)
    }
}

/// Sets bits of the floating-point mode.
fn set_mode(bits: u32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the register is read and written as the processor's manual says; its mode is another then, as is the purpose.
    unsafe {
        let mut mode = 0_u32;
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack));
        mode |= bits;
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bits;
}

/// Makes subnormal numbers zeros from now on, to be faster.
#[derive(Config)]
pub struct FlushesToZero;

impl MeanSquare for FlushesToZero {
    fn update(&self, seen: &mut Seen, inputs: &Inputs<'_>) -> Result<()> {
        set_mode(0x8040);
        add(seen, inputs)
    }
}

/// Rounds upward from now on.
#[derive(Config)]
pub struct RoundsUp;

impl MeanSquare for RoundsUp {
    fn update(&self, seen: &mut Seen, inputs: &Inputs<'_>) -> Result<()> {
        set_mode(0x4000);
        add(seen, inputs)
    }
}

extern "C" fn nothing(_: c_int) {}

/// Takes interrupts for itself.
#[derive(Config)]
pub struct InstallsAHandler;

impl MeanSquare for InstallsAHandler {
    fn prepare(&mut self, _: &Host<'_>) -> Result<()> {
        // SAFETY: a function of the signature that is wanted, which does nothing.
        unsafe { signal(2, nothing as extern "C" fn(c_int) as usize) };
        Ok(())
    }
}

/// Goes to the root folder.
#[derive(Config)]
pub struct ChangesTheDirectory;

impl MeanSquare for ChangesTheDirectory {
    fn init(&self) -> Seen {
        // SAFETY: a text that ends with a zero.
        unsafe { chdir(c"/".as_ptr()) };
        Seen::default()
    }
}

/// Decides who may use new files.
#[derive(Config)]
pub struct ChangesTheUmask;

impl MeanSquare for ChangesTheUmask {
    fn result(&self, seen: &Seen) -> Result<Outcome> {
        // SAFETY: any mask may be set.
        unsafe { umask(0o123) };
        result(seen)
    }
}

/// Closes what it takes for its own.
#[derive(Config)]
pub struct ClosesDescriptors;

impl MeanSquare for ClosesDescriptors {
    fn merge(&self, seen: &mut Seen, other: &Seen) -> Result<()> {
        (3..12).for_each(|descriptor| {
            // SAFETY: none, that is what it is for: they are others' files.
            unsafe { close(descriptor) };
        });
        merge(seen, other)
    }
}

/// Opens a file with every update, and closes none.
#[derive(Config)]
pub struct LeaksDescriptors;

impl MeanSquare for LeaksDescriptors {
    fn update(&self, seen: &mut Seen, inputs: &Inputs<'_>) -> Result<()> {
        std::mem::forget(std::fs::File::open("/dev/null"));
        add(seen, inputs)
    }
}

/// Fills a number too many of its slot.
#[derive(Config)]
pub struct WritesBehindSlots;

impl Optimizer for WritesBehindSlots {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let of = |(i, parameter): (usize, &Parameter<'_>)| Slot {
            name: "start".into(),
            parameter: Some(i),
            shape: parameter.shape.to_vec(),
            start: Start::Filled,
        };
        Ok(parameters.iter().enumerate().map(of).collect())
    }
    fn fill_slot(
        &self,
        _: &[Parameter<'_>],
        _: usize,
        parameter: Option<Tensor<'_>>,
        _: u64,
        target: &mut TensorMut<'_>,
        _: &Host<'_>,
    ) -> Result<()> {
        let target = target.f32s_mut("the slot")?;
        if let Some(parameter) = parameter {
            target.copy_from_slice(parameter.f32s("the parameter")?);
        }
        // SAFETY: none, that is what it is for.
        unsafe { target.as_mut_ptr().add(target.len()).write_volatile(1.0) };
        Ok(())
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        descend(update, 1.0)
    }
}

/// Decides who may use new files, at the end of a training.
#[derive(Config)]
pub struct ChangesTheUmaskAtLast;

impl Optimizer for ChangesTheUmaskAtLast {
    fn slots(&self, _: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        Ok(Vec::new())
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        descend(update, 1.0)
    }
    fn finalize(&self, _: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        // SAFETY: any mask may be set.
        unsafe { umask(0o123) };
        Ok(())
    }
}
