use abi_stable::{
    std_types::{ROption, RString},
    StableAbi,
};

/// What went wrong, for a person and for the host.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Error {
    /// One of the `ERROR_…` codes; one that the reader doesn't know counts as `ERROR_OTHER`.
    pub kind: u32,
    /// A sentence without the names of plug-in and component, which the host knows.
    pub message: RString,
    /// For `ERROR_CONFIG`: the path of the key, such as `schedule.decay_steps`.
    pub field: ROption<RString>,
    /// For `ERROR_PANIC`: file and line.
    pub place: ROption<RString>,
}
