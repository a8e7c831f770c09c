//! The plug-in under test.

use super::fences::{AllocateGuarded, Fences};
use plugfit_abi::{self as abi, Root};
use std::collections::BTreeMap;

/// The observed state for each test of the surroundings: descriptions by name.
pub type Surroundings = BTreeMap<&'static str, BTreeMap<String, String>>;

/// Returns the present surroundings of this process, without what the system can't report.
pub type Observe = fn() -> Surroundings;

/// The plug-in under test, the host for its components, and the seed of random numbers.
#[derive(Clone, Copy)]
pub struct Subject {
    pub(super) plugin: &'static Root,
    pub(super) host: abi::Host,
    pub(super) seed: u64,
    /// Observes the surroundings, if the tests run in a separate process.
    pub(super) observe: Option<Observe>,
    /// Allocates memory that ends at a guard page, if the process may crash there.
    pub(super) allocate_guarded: Option<AllocateGuarded>,
    /// Whether a parent process reads the stderr of this one.
    pub(super) reports_to_parent: bool,
    /// The margins around the buffers of calls.
    pub(super) fences: Option<&'static Fences>,
}

// SAFETY: the ABI allows any thread to use a host's table.
unsafe impl Send for Subject {}
// SAFETY: as above.
unsafe impl Sync for Subject {}

impl Subject {
    /// Declares that the tests run in a separate process, which `observe` describes and which may crash at a guard
    /// page.
    pub fn in_own_process(self, observe: Observe, allocate_guarded: Option<AllocateGuarded>) -> Self {
        Subject { observe: Some(observe), allocate_guarded, ..self }
    }

    /// Declares that the parent process reads the [line](super::GUARDED) that announces guard pages.
    pub fn reporting_to_parent(self) -> Self {
        Subject { reports_to_parent: true, ..self }
    }

    /// Replaces the host.
    ///
    /// # Safety
    /// The host must fulfil the ABI and outlive the tests.
    pub unsafe fn with_host(self, host: abi::Host) -> Self {
        Subject { host, ..self }
    }
}
