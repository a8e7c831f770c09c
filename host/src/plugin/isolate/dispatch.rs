//! Makes the calls of the host in the worker, and writes their results.

use std::sync::{Arc, Mutex};

use plugfit_abi::abi_stable::std_types::{RResult, RSlice, RStr};
use plugfit_abi::{self as abi, FormulaV1, Handle, Inputs, LossV1, LossV2, MetricV1, OptimizerV1, ScheduleV1};

use super::wire::{Call, Reader, Writer};
use crate::plugin::Kind;
use crate::plugin::abi_error::other_error;
use crate::plugin::component::Table;
use crate::plugin::creation_guard::CreationGuard;
use crate::plugin::sync::lock_ignoring_poison;

/// The lines that the plug-in logs in a call, with their levels.
pub type Lines = Arc<Mutex<Vec<(u32, String)>>>;

/// A call, its arguments, and the host that is passed to the plug-in.
pub struct Question<'q, 'm> {
    pub call: Call,
    pub host: &'q abi::Host,
    pub r: &'q mut Reader<'m>,
}

/// The destination of an answer.
pub struct Answer<'a, 'm> {
    pub w: &'a mut Writer<'m>,
    pub lines: &'a Lines,
}

impl Answer<'_, '_> {
    /// Writes the log lines, then the result.
    pub fn write<T>(self, result: RResult<T, abi::Error>, value: impl FnOnce(&mut Writer<'_>, T)) {
        self.w.list(&std::mem::take(&mut *lock_ignoring_poison(self.lines)), |w, (level, line)| {
            w.number(u64::from(*level));
            w.text(line);
        });
        self.w.result(result, value);
    }

    /// Writes the error that the component can't be used.
    pub fn fail(self, reason: &str) {
        self.write(RResult::RErr(other_error(format!("can't be used: {reason}"))), |_, ()| ());
    }
}

/// # Safety
/// The handles in the question must belong to this table, and the memory of its arguments must exist until the answer
/// is written.
unsafe fn component<T: Table>(table: &T, Question { call, host, r }: Question<'_, '_>, answer: Answer<'_, '_>) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match call {
            Call::Create => {
                let (name, config, version) = (r.text(), r.text(), r.number() as u32);
                // Counts the nested components that it requests, for the limits on nesting.
                let _guard = CreationGuard::begin(name).ok();
                let created = (table.create())(host, RStr::from_str(name), RStr::from_str(config), version);
                answer.write(created, |w, handle| w.handle(handle));
            }
            Call::Release => {
                (table.release())(r.handle());
                answer.write(RResult::ROk(()), |_, ()| ());
            }
            Call::Config => answer.write((table.config())(r.handle()), |w, text| w.text(&text)),
            Call::InstanceInfo => answer.write((table.instance_info())(r.handle()), |w, text| w.text(&text)),
            call => answer.write(RResult::RErr(other_error(format!("has no {}", call.name()))), |_, ()| ()),
        }
    }
}

/// # Safety
/// The handle in the question must belong to a component of this kind of the table's plug-in.
pub unsafe fn formula(table: Option<&FormulaV1>, kind: Kind, r: &mut Reader<'_>, answer: Answer<'_, '_>) {
    let Some(table) = table else {
        return answer.fail(&format!("its plug-in offers no {}", abi::FORMULA_V1));
    };
    let describe = match kind {
        Kind::Loss => table.loss,
        Kind::Metric => table.metric,
        Kind::Optimizer => table.optimizer,
        Kind::Schedule => table.schedule,
    };
    // SAFETY: guaranteed by the caller.
    answer.write(unsafe { describe(r.handle()) }, |w, text| w.text(&text));
}

/// # Safety
/// The same as for [`component`].
pub unsafe fn loss(
    table: &LossV1,
    float64: Option<&LossV2>,
    function: Option<Handle>,
    question: Question<'_, '_>,
    answer: Answer<'_, '_>,
) {
    let Question { call, host, r } = question;
    // SAFETY: guaranteed by the caller.
    unsafe {
        match (call, function) {
            (Call::Create, Some(function)) => answer.write(RResult::ROk(function), |w, handle| w.handle(handle)),
            (Call::OutputShape, _) => {
                let loss = r.handle();
                let shape = inputs(r, |inputs, _| (table.output_shape)(loss, inputs));
                answer.write(shape, |w, shape| w.lengths(&shape));
            }
            (Call::Loss, _) => {
                let loss = r.handle();
                let totals = inputs(r, |inputs, r| {
                    let (values, valid) = (r.option(), r.option());
                    let gradients = r.list(Reader::option);
                    let gradients = RSlice::from_slice(&gradients);
                    let output = abi::LossOutput { values, valid, gradients, upstream: r.option(), scale: r.float() };
                    // The host makes float64 calls only through the float64 table.
                    let call = float64.map_or(table.call, |float64| float64.call);
                    call(loss, host, inputs, &output)
                });
                answer.write(totals, |w, totals| {
                    w.float(totals.value);
                    w.float(totals.weight);
                    w.float(totals.count);
                });
            }
            _ => component(table, Question { call, host, r }, answer),
        }
    }
}

fn inputs<T>(r: &mut Reader<'_>, f: impl FnOnce(&Inputs<'_>, &mut Reader<'_>) -> T) -> T {
    let tensors = r.list(|r| abi::NamedTensor { name: RStr::from_str(r.text()), tensor: r.tensor() });
    let inputs = Inputs { tensors: RSlice::from_slice(&tensors), weight: r.option(), mask: r.option() };
    f(&inputs, r)
}

/// # Safety
/// The same as for [`component`].
pub unsafe fn metric(table: &MetricV1, Question { call, host, r }: Question<'_, '_>, answer: Answer<'_, '_>) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match call {
            Call::NewState => answer.write((table.new_state)(r.handle(), host), |w, handle| w.handle(handle)),
            Call::ReleaseState => {
                (table.release_state)(r.handle());
                answer.write(RResult::ROk(()), |_, ()| ());
            }
            Call::Reset => answer.write((table.reset)(r.handle(), host, r.handle()), |_, ()| ()),
            Call::CloneState => answer.write((table.clone_state)(r.handle(), r.handle()), |w, handle| w.handle(handle)),
            Call::Update => {
                let (metric, state) = (r.handle(), r.handle());
                let result = inputs(r, |inputs, _| (table.update)(metric, host, state, inputs));
                answer.write(result, |_, ()| ());
            }
            Call::Merge => answer.write((table.merge)(r.handle(), host, r.handle(), r.handle()), |_, ()| ()),
            Call::Outcome => answer.write((table.result)(r.handle(), host, r.handle()), |w, result| {
                w.number(u64::from(result.kind));
                w.list(&result.values, |w, &value| w.float(value));
                w.lengths(&result.shape);
                w.list(&result.names, |w, name| w.text(name));
            }),
            Call::Save => answer.write((table.save)(r.handle(), r.handle()), |w, saved| {
                w.number(u64::from(saved.version));
                w.bytes(&saved.bytes);
            }),
            Call::LoadState => {
                let (metric, version, bytes) = (r.handle(), r.number() as u32, r.bytes());
                answer.write((table.load)(metric, host, version, RSlice::from_slice(bytes)), |w, handle| {
                    w.handle(handle)
                });
            }
            _ => component(table, Question { call, host, r }, answer),
        }
    }
}

fn parameter<'m>(r: &mut Reader<'m>) -> abi::Parameter<'m> {
    abi::Parameter {
        name: RStr::from_str(r.text()),
        path: RStr::from_str(r.text()),
        shape: RSlice::from_slice(r.lengths()),
        dtype: r.dtype(),
        flags: r.number(),
    }
}

/// # Safety
/// The same as for [`component`].
pub unsafe fn optimizer(table: &OptimizerV1, Question { call, host, r }: Question<'_, '_>, answer: Answer<'_, '_>) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match call {
            Call::Slots => {
                let (optimizer, parameters) = (r.handle(), r.list(parameter));
                answer.write((table.slots)(optimizer, host, RSlice::from_slice(&parameters)), |w, slots| {
                    w.list(&slots, |w, slot| {
                        w.number(slot.parameter as u64);
                        w.text(&slot.name);
                        w.lengths(&slot.shape);
                        w.dtype(slot.dtype);
                        w.number(u64::from(slot.start));
                        w.float(slot.value);
                    });
                });
            }
            Call::FillSlot => {
                let (optimizer, parameters) = (r.handle(), r.list(parameter));
                let parameters = RSlice::from_slice(&parameters);
                let (slot, parameter, seed, target) = (r.number(), r.option(), r.number(), r.tensor());
                let result = (table.fill_slot)(optimizer, host, parameters, slot, &parameter, seed, &target);
                answer.write(result, |_, ()| ());
            }
            Call::Step => answer.write(update(r, |optimizer, step| (table.update)(optimizer, host, step)), |_, ()| ()),
            Call::Finalize => {
                answer.write(update(r, |optimizer, step| (table.finalize)(optimizer, host, step)), |_, ()| ());
            }
            _ => component(table, Question { call, host, r }, answer),
        }
    }
}

fn update<T>(r: &mut Reader<'_>, f: impl FnOnce(Handle, &abi::Update<'_>) -> T) -> T {
    let optimizer = r.handle();
    let (iteration, step, learning_rate, seed) = (r.number(), r.number(), r.float(), r.number());
    // Entries borrow their slots, so all slots are read first.
    let mut slots = Vec::new();
    let mut entries = r.list(|r| {
        let (parameter, value, gradient) = (parameter(r), r.tensor(), r.option());
        slots.push(r.list(Reader::tensor));
        abi::UpdateEntry {
            parameter,
            value,
            gradient,
            slots: RSlice::from_slice(&[]),
            ema: r.option(),
            gradient_scale: r.float(),
            clip_value: r.float(),
            weight_decay: r.float(),
            learning_rate_factor: r.float(),
            ema_momentum: r.float(),
        }
    });
    for (entry, slots) in entries.iter_mut().zip(&slots) {
        entry.slots = RSlice::from_slice(slots);
    }
    let own_slots = r.list(Reader::tensor);
    let (entries, slots) = (RSlice::from_slice(&entries), RSlice::from_slice(&own_slots));
    f(optimizer, &abi::Update { iteration, step, learning_rate, seed, entries, slots })
}

/// # Safety
/// The same as for [`component`].
pub unsafe fn schedule(table: &ScheduleV1, Question { call, host, r }: Question<'_, '_>, answer: Answer<'_, '_>) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match call {
            Call::LearningRate => {
                let schedule = r.handle();
                let when = abi::ScheduleCall {
                    step: r.number(),
                    epoch: r.number(),
                    steps_per_epoch: r.number() as i64,
                    extras: RStr::from_str(r.text()),
                };
                answer.write((table.learning_rate)(schedule, host, &when), |w, rate| w.float(rate));
            }
            _ => component(table, Question { call, host, r }, answer),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use plugfit_abi::abi_stable::std_types::{ROption, RString};

    use super::*;
    use crate::plugin::isolate::memory::{BODY, Memory};
    use crate::plugin::isolate::system::Mapping;

    fn memory() -> Memory {
        Memory::of_host(Arc::new(Mapping::create(1 << 12).expect("shared memory")), 1 << 12, 1 << 20)
    }

    /// Asks for the formula of the component of this handle, and returns the answer.
    fn ask(table: Option<&FormulaV1>, kind: Kind, handle: u64) -> Result<String, abi::Error> {
        let (mut questions, mut answers, mut returns) = (memory(), memory(), Vec::new());
        let mut writer = Writer::new(&mut questions, &mut returns, BODY);
        writer.number(handle);
        writer.finish().expect("there is room");
        let mut writer = Writer::new(&mut answers, &mut returns, BODY);
        let answer = Answer { w: &mut writer, lines: &Lines::default() };
        // SAFETY: the functions of the table don't use the pointer.
        unsafe { formula(table, kind, &mut Reader::new(&mut questions, BODY), answer) };
        writer.finish().expect("there is room");
        let mut reader = Reader::new(&mut answers, BODY);
        assert!(reader.list(|r| r.number()).is_empty());
        reader.result(|r| r.text().to_owned()).into_result()
    }

    unsafe extern "C" fn address(component: Handle) -> RResult<RString, abi::Error> {
        RResult::ROk(format!("{:?}", component.pointer).into())
    }

    unsafe extern "C" fn unsupported(_: Handle) -> RResult<RString, abi::Error> {
        let (field, place) = (ROption::RNone, ROption::RNone);
        RResult::RErr(abi::Error { kind: abi::ERROR_UNSUPPORTED, message: "it sorts".into(), field, place })
    }

    #[test]
    fn the_function_of_the_kind_is_asked_for_the_formula() {
        let table = FormulaV1 { loss: unsupported, metric: unsupported, optimizer: address, schedule: unsupported };
        assert_eq!(ask(Some(&table), Kind::Optimizer, 64).ok().as_deref(), Some("0x40"));
        for kind in [Kind::Loss, Kind::Metric, Kind::Schedule] {
            let error = ask(Some(&table), kind, 64).unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (abi::ERROR_UNSUPPORTED, "it sorts"));
        }
        let error = ask(None, Kind::Loss, 64).unwrap_err();
        assert!(error.message.contains("offers no plugfit.formula/1"), "{}", error.message);
    }
}
