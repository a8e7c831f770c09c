//! Components that change inputs, memory around a buffer, or the state of the process.

use crate::{
    losses::squares,
    metrics::{MeanSquare, SquareSum, add, merge, metrics, result},
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

/// Clips a prediction in place.
#[derive(Config)]
pub struct WritesPredictions;

impl Loss for WritesPredictions {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let y_pred = inputs.y_pred()?.f32s("y_pred")?;
        if let Some(first) = y_pred.first() {
            // SAFETY: none. The write is intended: inputs are borrowed immutably.
            unsafe { std::ptr::from_ref(first).cast_mut().write_volatile(first.clamp(-0.01, 0.01)) };
        }
        squares(inputs, output)
    }
}

/// Writes a value past the end of its values.
#[derive(Config)]
pub struct WritesBehindValues;

impl Loss for WritesBehindValues {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        if let Some(values) = output.values.as_deref_mut() {
            // SAFETY: none. The access out of bounds is intended.
            unsafe { values.as_mut_ptr().add(values.len()).write_volatile(1.0) };
        }
        squares(inputs, output)
    }
}

/// Writes a derivative before the start of its gradient.
#[derive(Config)]
pub struct WritesBeforeSlopes;

impl Loss for WritesBeforeSlopes {
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        if let Some(gradient) = output.gradient(1)? {
            // SAFETY: none. The access out of bounds is intended.
            unsafe { gradient.as_mut_ptr().sub(1).write_volatile(1.0) };
        }
        squares(inputs, output)
    }
}

/// Overwrites a derivative in place.
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
            // SAFETY: none. The write is intended: gradients are borrowed immutably.
            unsafe { gradient.as_ptr().cast_mut().write_volatile(0.0) };
        }
        Ok(())
    }
}

/// Changes a label in place.
#[derive(Config)]
pub struct WritesScores;

impl MeanSquare for WritesScores {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        let y_true = inputs.y_true()?.as_slice::<f32>().unwrap_or_default();
        if let Some(last) = y_true.last() {
            // SAFETY: none. The write is intended: inputs are borrowed immutably.
            unsafe { std::ptr::from_ref(last).cast_mut().write_volatile(last + 1.0) };
        }
        add(state, inputs)
    }
}

/// Reads the number past the end of y_pred.
fn read_past_end(inputs: &Inputs<'_>) -> Result<f32> {
    let y_pred = inputs.y_pred()?.as_slice::<f32>().unwrap_or_default();
    // SAFETY: none. The access out of bounds is intended.
    Ok(unsafe { y_pred.as_ptr().add(y_pred.len()).read_volatile() })
}

/// Adds the number past the end of the predictions to its sum.
#[derive(Config)]
pub struct ReadsBehindScores;

impl MeanSquare for ReadsBehindScores {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        state.sum += f64::from(read_past_end(inputs)?);
        add(state, inputs)
    }
}

/// Reads the number past the end of the predictions and ignores it.
#[derive(Config)]
pub struct PeeksBehindScores;

impl MeanSquare for PeeksBehindScores {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        std::hint::black_box(read_past_end(inputs)?);
        add(state, inputs)
    }
}

/// Sets bits of the floating-point control register.
fn set_mode(bits: u32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: both instructions access the local variable `mode`, as the processor's manual specifies. The change of
    // the floating-point mode is intended.
    unsafe {
        let mut mode = 0_u32;
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack));
        mode |= bits;
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bits;
}

/// Flushes subnormal numbers to zero from the first update on.
#[derive(Config)]
pub struct FlushesToZero;

impl MeanSquare for FlushesToZero {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        set_mode(0x8040);
        add(state, inputs)
    }
}

/// Rounds upward from the first update on.
#[derive(Config)]
pub struct RoundsUp;

impl MeanSquare for RoundsUp {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        set_mode(0x4000);
        add(state, inputs)
    }
}

extern "C" fn ignore(_: c_int) {}

/// Installs a handler for SIGINT.
#[derive(Config)]
pub struct InstallsAHandler;

impl MeanSquare for InstallsAHandler {
    fn prepare(&mut self, _: &Host<'_>) -> Result<()> {
        // SAFETY: `ignore` has the signature of a signal handler and does nothing.
        unsafe { signal(2, ignore as extern "C" fn(c_int) as usize) };
        Ok(())
    }
}

/// Changes the working directory to `/`.
#[derive(Config)]
pub struct ChangesTheDirectory;

impl MeanSquare for ChangesTheDirectory {
    fn init(&self) -> SquareSum {
        // SAFETY: the path is a C string.
        unsafe { chdir(c"/".as_ptr()) };
        SquareSum::default()
    }
}

/// Changes the umask.
#[derive(Config)]
pub struct ChangesTheUmask;

impl MeanSquare for ChangesTheUmask {
    fn result(&self, state: &SquareSum) -> Result<Outcome> {
        // SAFETY: `umask` accepts any mask.
        unsafe { umask(0o123) };
        result(state)
    }
}

/// Closes file descriptors that it doesn't own.
#[derive(Config)]
pub struct ClosesDescriptors;

impl MeanSquare for ClosesDescriptors {
    fn merge(&self, state: &mut SquareSum, other: &SquareSum) -> Result<()> {
        (3..12).for_each(|descriptor| {
            // SAFETY: none. The violation is intended: other code owns the descriptors.
            unsafe { close(descriptor) };
        });
        merge(state, other)
    }
}

/// Opens a file in each update without closing it.
#[derive(Config)]
pub struct LeaksDescriptors;

impl MeanSquare for LeaksDescriptors {
    fn update(&self, state: &mut SquareSum, inputs: &Inputs<'_>) -> Result<()> {
        std::mem::forget(std::fs::File::open("/dev/null"));
        add(state, inputs)
    }
}

/// Writes a number past the end of its slot.
#[derive(Config)]
pub struct WritesBehindSlots;

impl Optimizer for WritesBehindSlots {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let slot = |(i, parameter): (usize, &Parameter<'_>)| Slot {
            name: "start".into(),
            parameter: Some(i),
            shape: parameter.shape.to_vec(),
            start: Start::Filled,
        };
        Ok(parameters.iter().enumerate().map(slot).collect())
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
        // SAFETY: none. The access out of bounds is intended.
        unsafe { target.as_mut_ptr().add(target.len()).write_volatile(1.0) };
        Ok(())
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        descend(update, 1.0)
    }
}

/// Changes the umask at the end of training.
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
        // SAFETY: `umask` accepts any mask.
        unsafe { umask(0o123) };
        Ok(())
    }
}
