//! The door back to the host.

use super::{nested, wall};
use crate::{config::Identifier, Error, Result};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RResult, RStr},
    Interface,
};
use std::{ffi::c_void, sync::Mutex};

/// What a component may ask of the host that calls it: threads, other components, a line in the log, whether to go on.
///
/// Everything works without a host as well ([`Host::none`]): one thread, no components, no log.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    raw: Option<&'a abi::Host>,
}

// SAFETY: the ABI lets a host's table be used from any thread for as long as the call lasts.
unsafe impl Send for Host<'_> {}
// SAFETY: as above.
unsafe impl Sync for Host<'_> {}

impl<'a> Host<'a> {
    /// No host: for tests, and for a component that is called by hand.
    pub fn none() -> Host<'static> {
        Host { raw: None }
    }

    pub(crate) fn new(raw: &'a abi::Host) -> Self {
        Host { raw: Some(raw) }
    }

    pub(crate) fn raw(&self) -> Option<&'a abi::Host> {
        self.raw
    }

    /// The table of a host's interface, and the context that its functions take.
    fn interface<T>(&self, id: &'static str) -> Option<(&'a T, *const c_void)> {
        let raw = self.raw?;
        // SAFETY: the host's promise of this function.
        let interface = unsafe { (raw.get_interface)(raw.context, RStr::from_str(id)) };
        // SAFETY: null, or an `Interface` that lives as long as the host.
        let interface = unsafe { interface.cast::<Interface>().as_ref() }?;
        if interface.size != std::mem::size_of::<T>() || interface.functions.is_null() {
            return None;
        }
        // SAFETY: the id says which table it is, and a published table never changes.
        Some((unsafe { &*interface.functions.cast::<T>() }, raw.context))
    }

    /// How many threads [`parallel`](Self::parallel) would use now; at least 1.
    pub fn threads(&self) -> usize {
        match self.interface::<abi::ParallelV1>(abi::PARALLEL_V1) {
            // SAFETY: the host's promise of this function.
            Some((table, context)) => unsafe { (table.threads)(context) }.max(1) as usize,
            None => 1,
        }
    }

    /// Runs `task(0)` to `task(tasks - 1)`, in any order, on the threads that the host lends; returns when all are done.
    ///
    /// Worth it from about 50 µs of work. Let the number of tasks follow from the size of the work and not from the number of
    /// threads: then no digit of a sum depends on the machine.
    ///
    /// # Panics
    /// If a task panics, after all have ended.
    pub fn parallel(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        struct Work<'w> {
            task: &'w (dyn Fn(usize) + Sync),
            failure: Mutex<Option<Error>>,
        }
        unsafe extern "C" fn run(data: *const c_void, index: u64) {
            // SAFETY: `data` is the `Work` below, which outlives the call to the host.
            let work = unsafe { &*data.cast::<Work<'_>>() };
            if let Err(error) = wall::guard(|| {
                (work.task)(index as usize);
                Ok(())
            }) {
                work.failure.lock().unwrap_or_else(|poison| poison.into_inner()).get_or_insert(error);
            }
        }
        let Some((table, context)) = self.interface::<abi::ParallelV1>(abi::PARALLEL_V1).filter(|_| tasks > 1) else {
            return (0..tasks).for_each(task);
        };
        let work = Work { task: &task, failure: Mutex::new(None) };
        // SAFETY: the host calls `run` with this data until it returns and no longer; `run` doesn't unwind.
        unsafe { (table.run)(context, tasks as u64, (&raw const work).cast(), abi::Task { function: run }) };
        if let Some(error) = work.failure.into_inner().unwrap_or_else(|poison| poison.into_inner()) {
            wall::raise(error);
        }
    }

    fn log(&self, level: u32, message: &str) {
        if let Some((table, context)) = self.interface::<abi::LogV1>(abi::LOG_V1) {
            // SAFETY: the host's promise of this function.
            unsafe { (table.log)(context, level, RStr::from_str(message)) };
        }
    }

    /// A line for those who debug the plug-in.
    pub fn debug(&self, message: &str) {
        self.log(abi::LOG_DEBUG, message);
    }

    /// A line for those who are curious.
    pub fn info(&self, message: &str) {
        self.log(abi::LOG_INFO, message);
    }

    /// Something that the user should know of.
    pub fn warn(&self, message: &str) {
        self.log(abi::LOG_WARNING, message);
    }

    /// Whether the user wants it to stop: a long call should then return [`Error::cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.interface::<abi::CancelV1>(abi::CANCEL_V1)
            // SAFETY: the host's promise of this function.
            .is_some_and(|(table, context)| unsafe { (table.is_cancelled)(context) } != 0)
    }

    /// A component of this plug-in or another: the optimizer inside Lookahead. Ask for it in `prepare`.
    ///
    /// # Errors
    /// The host knows no such optimizer, or lends none.
    pub fn optimizer(&self, identifier: &Identifier) -> Result<nested::NestedOptimizer> {
        self.component(abi::OPTIMIZER_V1, identifier).map(nested::NestedOptimizer)
    }

    /// A loss by its identifier.
    ///
    /// # Errors
    /// As [`optimizer`](Self::optimizer).
    pub fn loss(&self, identifier: &Identifier) -> Result<nested::NestedLoss> {
        self.component(abi::LOSS_V1, identifier).map(nested::NestedLoss)
    }

    /// A learning-rate schedule by its identifier.
    ///
    /// # Errors
    /// As [`optimizer`](Self::optimizer).
    pub fn schedule(&self, identifier: &Identifier) -> Result<nested::NestedSchedule> {
        self.component(abi::SCHEDULE_V1, identifier).map(nested::NestedSchedule)
    }

    fn component<T: abi::abi_stable::StableAbi>(
        &self,
        interface: &'static str,
        identifier: &Identifier,
    ) -> Result<nested::Nested<T>> {
        let (table, context) = self
            .interface::<abi::ComponentV1>(abi::COMPONENT_V1)
            .ok_or_else(|| Error::unsupported("this host lends no components"))?;
        let json = identifier.0.to_string();
        // SAFETY: the host's promise of this function.
        match unsafe { (table.get)(context, RStr::from_str(interface), RStr::from_str(&json)) } {
            RResult::ROk(component) => nested::Nested::new(component),
            RResult::RErr(error) => Err(error.into()),
        }
    }
}
