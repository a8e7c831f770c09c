//! The host callbacks, as plug-ins see them.

use crate::{
    catch_panics::{guard, resume_as_panic},
    Error,
};
use plugfit_abi::{self as abi, abi_stable::std_types::RStr, Interface};
use std::{ffi::c_void, sync::Mutex};

/// The services of the calling host: threads, other components, the log and cancellation.
///
/// Without a host ([`Host::none`]) there is one thread, and no components or log.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    raw: Option<&'a abi::Host>,
}

// SAFETY: the ABI allows any thread to use the host's tables until the call returns, which `'a` doesn't outlast.
unsafe impl Send for Host<'_> {}
// SAFETY: as above.
unsafe impl Sync for Host<'_> {}

impl<'a> Host<'a> {
    /// Returns a stand-in that provides nothing, for tests and for calling a component directly.
    pub fn none() -> Host<'static> {
        Host { raw: None }
    }

    pub(crate) fn new(raw: &'a abi::Host) -> Self {
        Host { raw: Some(raw) }
    }

    pub(crate) fn raw(&self) -> Option<&'a abi::Host> {
        self.raw
    }

    /// Returns the function table of a host interface and the context to pass to its functions, or `None` if the host
    /// lacks it.
    pub(crate) fn interface<T>(&self, id: &'static str) -> Option<(&'a T, *const c_void)> {
        let raw = self.raw?;
        // SAFETY: `get_interface` is called with the context of its own table.
        let interface = unsafe { (raw.get_interface)(raw.context, RStr::from_str(id)) };
        // SAFETY: the pointer is null, or points to an `Interface` that lives as long as the host.
        let interface = unsafe { interface.cast::<Interface>().as_ref() }?;
        if interface.size != std::mem::size_of::<T>() || interface.functions.is_null() {
            return None;
        }
        // SAFETY: the id identifies the type of the table, the size matches, and a published table never changes.
        Some((unsafe { &*interface.functions.cast::<T>() }, raw.context))
    }

    /// Returns the number of threads that [`parallel`](Self::parallel) would use now, at least 1.
    pub fn threads(&self) -> usize {
        match self.interface::<abi::ParallelV1>(abi::PARALLEL_V1) {
            // SAFETY: the table and the context belong to the same host.
            Some((table, context)) => unsafe { (table.threads)(context) }.max(1) as usize,
            None => 1,
        }
    }

    /// Runs `task(0)` to `task(tasks - 1)` in any order on the host's threads, and returns when all have finished.
    ///
    /// This pays off from about 50 µs of work. Derive the number of tasks from the size of the work, not from the
    /// number of threads, so that the rounding of sums doesn't depend on the machine.
    ///
    /// # Panics
    /// Panics if a task panics, after all tasks have finished.
    pub fn parallel(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        struct Work<'w> {
            task: &'w (dyn Fn(usize) + Sync),
            failure: Mutex<Option<Error>>,
        }
        unsafe extern "C" fn run(data: *const c_void, index: u64) {
            // SAFETY: `data` points to the `Work` below, which outlives the call to the host.
            let work = unsafe { &*data.cast::<Work<'_>>() };
            if let Err(error) = guard(|| {
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
        // SAFETY: the host calls `run` with this data only until `table.run` returns, while `work` is alive; `run`
        // doesn't unwind.
        unsafe { (table.run)(context, tasks as u64, (&raw const work).cast(), abi::Task { function: run }) };
        if let Some(error) = work.failure.into_inner().unwrap_or_else(|poison| poison.into_inner()) {
            resume_as_panic(error);
        }
    }

    fn log(&self, level: u32, message: &str) {
        if let Some((table, context)) = self.interface::<abi::LogV1>(abi::LOG_V1) {
            // SAFETY: the table and the context belong to the same host.
            unsafe { (table.log)(context, level, RStr::from_str(message)) };
        }
    }

    /// Logs a message for debugging the plug-in.
    pub fn debug(&self, message: &str) {
        self.log(abi::LOG_DEBUG, message);
    }

    /// Logs an informational message.
    pub fn info(&self, message: &str) {
        self.log(abi::LOG_INFO, message);
    }

    /// Logs a warning to the user.
    pub fn warn(&self, message: &str) {
        self.log(abi::LOG_WARNING, message);
    }

    /// Returns whether the user has cancelled the operation; a long call should then return [`Error::cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.interface::<abi::CancelV1>(abi::CANCEL_V1)
            // SAFETY: the table and the context belong to the same host.
            .is_some_and(|(table, context)| unsafe { (table.is_cancelled)(context) } != 0)
    }
}
