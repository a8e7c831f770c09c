//! The tables of isolated components in the host: each function sends its call to the component's process.

use std::sync::Arc;

use plugfit_abi::abi_stable::std_types::{ROption, RResult, RSlice, RStr, RString, RVec};
use plugfit_abi::{
    self as abi, Error, FormulaV1, Handle, Host, Inputs, LossV1, LossV2, MetricV1, OptimizerV1, ScheduleV1,
};

use super::wire::{Call, Direction, Reader, Writer};
use super::worker_process::{Caller, Worker};
use crate::formula;
use crate::plugin::abi_error::other_error;
use crate::plugin::{Kind, bounds};

/// A component or a state in a worker; handles of these tables point to it.
struct Remote {
    worker: Arc<Worker>,
    kind: Kind,
    component: Arc<str>,
    /// The handle in the worker.
    handle: u64,
}

pub static LOSS: LossV1 = LossV1 { create, release, config, instance_info, output_shape, call };
pub static LOSS_V2: LossV2 = LossV2 { call };
pub static METRIC: MetricV1 = MetricV1 {
    create,
    release,
    config,
    instance_info,
    new_state,
    release_state,
    reset,
    clone_state,
    update,
    merge,
    result,
    save,
    load,
};
pub static OPTIMIZER: OptimizerV1 =
    OptimizerV1 { create, release, config, instance_info, slots, fill_slot, update: step, finalize };
pub static SCHEDULE: ScheduleV1 = ScheduleV1 { create, release, config, instance_info, learning_rate };
pub static FORMULA: FormulaV1 = FormulaV1 { loss: describe, metric: describe, optimizer: describe, schedule: describe };

/// Creates a component in a worker.
pub fn component(
    worker: Arc<Worker>,
    kind: Kind,
    host: &Host,
    name: &str,
    config: &str,
    version: u32,
) -> RResult<Handle, Error> {
    let caller = Caller { kind, component: name, host: Some(host) };
    let write = |w: &mut Writer<'_>| {
        w.text(name);
        w.text(config);
        w.number(u64::from(version));
    };
    let created = worker.call(caller, Call::Create, write, |r| r.number());
    created.map(|handle| Remote { worker, kind, component: name.into(), handle }.into_handle())
}

impl Remote {
    fn into_handle(self) -> Handle {
        Handle { pointer: Box::into_raw(Box::new(self)).cast() }
    }

    /// Returns the handle of another object of the same component, such as a state.
    fn sibling(&self, handle: u64) -> Handle {
        let Remote { worker, kind, component, .. } = self;
        Remote { worker: worker.clone(), kind: *kind, component: component.clone(), handle }.into_handle()
    }

    /// Calls a function that takes this object as its first argument.
    fn call<T>(
        &self,
        host: Option<&Host>,
        call: Call,
        write: impl FnOnce(&mut Writer<'_>),
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> RResult<T, Error> {
        let write = |w: &mut Writer<'_>| {
            w.number(self.handle);
            write(w);
        };
        self.worker.call(Caller { kind: self.kind, component: &self.component, host }, call, write, read)
    }
}

/// # Safety
/// `handle` must belong to one of these tables, and must not have been released.
unsafe fn remote<'r>(handle: Handle) -> &'r Remote {
    // SAFETY: guaranteed by the caller.
    unsafe { &*handle.pointer.cast::<Remote>() }
}

unsafe extern "C" fn create(_: &Host, _: RStr<'_>, _: RStr<'_>, _: u32) -> RResult<Handle, Error> {
    RResult::RErr(other_error("this table makes nothing; a worker does"))
}

unsafe extern "C" fn release(component: Handle) {
    // SAFETY: the handle belongs to this table, and is released once.
    let remote = unsafe { Box::from_raw(component.pointer.cast::<Remote>()) };
    if !remote.worker.has_ended() {
        let _ = remote.call(None, Call::Release, |_| (), |_| ());
    }
}

unsafe extern "C" fn release_state(state: Handle) {
    // SAFETY: the handle belongs to this table, and is released once.
    let remote = unsafe { Box::from_raw(state.pointer.cast::<Remote>()) };
    if !remote.worker.has_ended() {
        let _ = remote.call(None, Call::ReleaseState, |_| (), |_| ());
    }
}

/// Asks for a text in JSON that describes a component.
///
/// # Safety
/// The handle must belong to a table of this module.
unsafe fn json(component: Handle, call: Call, most: usize, what: &'static str) -> RResult<RString, Error> {
    // SAFETY: the caller guarantees it.
    let remote = unsafe { remote(component) };
    remote.call(None, call, |_| (), |r| r.bounded_text(most, what).into())
}

unsafe extern "C" fn config(component: Handle) -> RResult<RString, Error> {
    // SAFETY: the handle belongs to this table.
    unsafe { json(component, Call::Config, bounds::MAX_JSON_LENGTH, "configuration") }
}

unsafe extern "C" fn instance_info(component: Handle) -> RResult<RString, Error> {
    // SAFETY: the handle belongs to this table.
    unsafe { json(component, Call::InstanceInfo, bounds::MAX_JSON_LENGTH, "instance_info") }
}

unsafe extern "C" fn describe(component: Handle) -> RResult<RString, Error> {
    // SAFETY: the handle belongs to a table of this module.
    unsafe { json(component, Call::Formula, formula::MAX_LENGTH, "formula") }
}

/// # Safety
/// The inputs' pointers must be borrowed for the call.
unsafe fn write_inputs(w: &mut Writer<'_>, inputs: &Inputs<'_>) {
    w.list(&inputs.tensors, |w, input| {
        w.text(&input.name);
        // SAFETY: guaranteed by the caller.
        unsafe { w.tensor(&input.tensor, Direction::In) };
    });
    // SAFETY: guaranteed by the caller.
    unsafe {
        w.option(&inputs.weight, Direction::In);
        w.option(&inputs.mask, Direction::In);
    }
}

unsafe extern "C" fn output_shape(loss: Handle, inputs: &Inputs<'_>) -> RResult<RVec<i64>, Error> {
    // SAFETY: the handle belongs to this table, and the inputs are borrowed for the call.
    unsafe { remote(loss).call(None, Call::OutputShape, |w| write_inputs(w, inputs), |r| r.shape().into()) }
}

unsafe extern "C" fn call(
    loss: Handle,
    host: &Host,
    inputs: &Inputs<'_>,
    output: &abi::LossOutput<'_>,
) -> RResult<abi::LossTotals, Error> {
    let write = |w: &mut Writer<'_>| {
        // SAFETY: the inputs are borrowed for the call, and the output mutably.
        unsafe {
            write_inputs(w, inputs);
            w.option(&output.values, Direction::Out);
            w.option(&output.valid, Direction::Out);
            w.list(&output.gradients, |w, gradient| w.option(gradient, Direction::Out));
            w.option(&output.upstream, Direction::In);
        }
        w.float(output.scale);
    };
    let read = |r: &mut Reader<'_>| abi::LossTotals { value: r.float(), weight: r.float(), count: r.float() };
    // SAFETY: the handle belongs to this table.
    unsafe { remote(loss) }.call(Some(host), Call::Loss, write, read)
}

unsafe extern "C" fn new_state(metric: Handle, host: &Host) -> RResult<Handle, Error> {
    // SAFETY: the handle belongs to this table.
    let metric = unsafe { remote(metric) };
    metric.call(Some(host), Call::NewState, |_| (), |r| r.number()).map(|state| metric.sibling(state))
}

unsafe extern "C" fn reset(metric: Handle, host: &Host, state: Handle) -> RResult<(), Error> {
    // SAFETY: the handles belong to this table.
    let (metric, state) = unsafe { (remote(metric), remote(state)) };
    metric.call(Some(host), Call::Reset, |w| w.number(state.handle), |_| ())
}

unsafe extern "C" fn clone_state(metric: Handle, state: Handle) -> RResult<Handle, Error> {
    // SAFETY: the handles belong to this table.
    let (metric, state) = unsafe { (remote(metric), remote(state)) };
    let created = metric.call(None, Call::CloneState, |w| w.number(state.handle), |r| r.number());
    created.map(|state| metric.sibling(state))
}

unsafe extern "C" fn update(metric: Handle, host: &Host, state: Handle, inputs: &Inputs<'_>) -> RResult<(), Error> {
    // SAFETY: the handles belong to this table.
    let (metric, state) = unsafe { (remote(metric), remote(state)) };
    let write = |w: &mut Writer<'_>| {
        w.number(state.handle);
        // SAFETY: the inputs are borrowed for the call.
        unsafe { write_inputs(w, inputs) };
    };
    metric.call(Some(host), Call::Update, write, |_| ())
}

unsafe extern "C" fn merge(metric: Handle, host: &Host, state: Handle, other_state: Handle) -> RResult<(), Error> {
    // SAFETY: the handles belong to this table.
    let (metric, state, from) = unsafe { (remote(metric), remote(state), remote(other_state)) };
    if !Arc::ptr_eq(&state.worker, &from.worker) {
        return RResult::RErr(other_error(
            "a state of another process can't be merged: save it there, and load it here",
        ));
    }
    let write = |w: &mut Writer<'_>| {
        w.number(state.handle);
        w.number(from.handle);
    };
    metric.call(Some(host), Call::Merge, write, |_| ())
}

unsafe extern "C" fn result(metric: Handle, host: &Host, state: Handle) -> RResult<abi::MetricResult, Error> {
    // SAFETY: the handles belong to this table.
    let (metric, state) = unsafe { (remote(metric), remote(state)) };
    let read = |r: &mut Reader<'_>| abi::MetricResult {
        kind: r.number() as u32,
        values: r.at_most(bounds::MAX_NUMBERS, "numbers", Reader::float).into(),
        shape: r.shape().into(),
        names: r.at_most(bounds::MAX_NAMES, "names", |r| r.name().into()).into(),
    };
    metric.call(Some(host), Call::Outcome, |w| w.number(state.handle), read)
}

unsafe extern "C" fn save(metric: Handle, state: Handle) -> RResult<abi::SavedState, Error> {
    // SAFETY: the handles belong to this table.
    let (metric, state) = unsafe { (remote(metric), remote(state)) };
    let read = |r: &mut Reader<'_>| abi::SavedState { version: r.number() as u32, bytes: r.bytes().into() };
    metric.call(None, Call::Save, |w| w.number(state.handle), read)
}

unsafe extern "C" fn load(metric: Handle, host: &Host, version: u32, bytes: RSlice<'_, u8>) -> RResult<Handle, Error> {
    // SAFETY: the handle belongs to this table.
    let metric = unsafe { remote(metric) };
    let write = |w: &mut Writer<'_>| {
        w.number(u64::from(version));
        w.bytes(&bytes);
    };
    metric.call(Some(host), Call::LoadState, write, |r| r.number()).map(|state| metric.sibling(state))
}

fn write_parameter(w: &mut Writer<'_>, parameter: &abi::Parameter<'_>) {
    w.text(&parameter.name);
    w.text(&parameter.path);
    w.lengths(&parameter.shape);
    w.dtype(parameter.dtype);
    w.number(parameter.flags);
}

unsafe extern "C" fn slots(
    optimizer: Handle,
    host: &Host,
    parameters: RSlice<'_, abi::Parameter<'_>>,
) -> RResult<RVec<abi::Slot>, Error> {
    let read = |r: &mut Reader<'_>| abi::Slot {
        parameter: r.number() as i64,
        name: r.name().into(),
        shape: r.shape().into(),
        dtype: r.dtype(),
        start: r.number() as u32,
        value: r.float(),
    };
    // SAFETY: the handle belongs to this table.
    let optimizer = unsafe { remote(optimizer) };
    optimizer.call(
        Some(host),
        Call::Slots,
        |w| w.list(&parameters, write_parameter),
        |r| r.at_most(bounds::MAX_SLOTS * (parameters.len() + 1), "slots", read).into(),
    )
}

unsafe extern "C" fn fill_slot(
    optimizer: Handle,
    host: &Host,
    parameters: RSlice<'_, abi::Parameter<'_>>,
    slot: u64,
    parameter: &ROption<abi::Tensor>,
    seed: u64,
    target: &abi::Tensor,
) -> RResult<(), Error> {
    let write = |w: &mut Writer<'_>| {
        w.list(&parameters, write_parameter);
        w.number(slot);
        // SAFETY: the tensors are borrowed for the call, and the target mutably.
        unsafe {
            w.option(parameter, Direction::In);
            w.number(seed);
            w.tensor(target, Direction::Both);
        }
    };
    // SAFETY: the handle belongs to this table.
    unsafe { remote(optimizer) }.call(Some(host), Call::FillSlot, write, |_| ())
}

/// # Safety
/// The update's tensors must be borrowed for the call, mutably where they are written.
unsafe fn write_update(w: &mut Writer<'_>, update: &abi::Update<'_>) {
    w.number(update.iteration);
    w.number(update.step);
    w.float(update.learning_rate);
    w.number(update.seed);
    w.list(&update.entries, |w, entry| {
        write_parameter(w, &entry.parameter);
        // SAFETY: the tensors are borrowed for the call; values, slots and averages mutably.
        unsafe {
            w.tensor(&entry.value, Direction::Both);
            w.option(&entry.gradient, Direction::In);
            w.list(&entry.slots, |w, slot| w.tensor(slot, Direction::Both));
            w.option(&entry.ema, Direction::Both);
        }
        for number in
            [entry.gradient_scale, entry.clip_value, entry.weight_decay, entry.learning_rate_factor, entry.ema_momentum]
        {
            w.float(number);
        }
    });
    // SAFETY: the slots are borrowed mutably for the call.
    w.list(&update.slots, |w, slot| unsafe { w.tensor(slot, Direction::Both) });
}

unsafe extern "C" fn step(optimizer: Handle, host: &Host, update: &abi::Update<'_>) -> RResult<(), Error> {
    // SAFETY: the handle belongs to this table, and the tensors are borrowed for the call.
    unsafe { remote(optimizer).call(Some(host), Call::Step, |w| write_update(w, update), |_| ()) }
}

unsafe extern "C" fn finalize(optimizer: Handle, host: &Host, update: &abi::Update<'_>) -> RResult<(), Error> {
    // SAFETY: the handle belongs to this table, and the tensors are borrowed for the call.
    unsafe { remote(optimizer).call(Some(host), Call::Finalize, |w| write_update(w, update), |_| ()) }
}

unsafe extern "C" fn learning_rate(schedule: Handle, host: &Host, call: &abi::ScheduleCall<'_>) -> RResult<f64, Error> {
    let write = |w: &mut Writer<'_>| {
        w.number(call.step);
        w.number(call.epoch);
        w.number(call.steps_per_epoch as u64);
        w.text(&call.extras);
    };
    // SAFETY: the handle belongs to this table.
    unsafe { remote(schedule) }.call(Some(host), Call::LearningRate, write, |r| r.float())
}
