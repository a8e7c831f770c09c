use abi_stable::{type_layout::TypeLayout, StableAbi};
use std::ffi::c_void;

/// A table of functions of one kind and version.
#[repr(C)]
pub struct Interface {
    /// The table: for `plugfit.loss/1` a [`crate::LossV1`], and so on.
    pub functions: *const c_void,
    /// The table's size in bytes.
    pub size: usize,
    /// The layout that the table was built with.
    pub layout: &'static TypeLayout,
}

// SAFETY: immutable data.
unsafe impl Sync for Interface {}

impl Interface {
    /// The interface of a table that lives for ever.
    pub const fn of<T: StableAbi>(table: &'static T) -> Interface {
        Interface { functions: table as *const T as *const c_void, size: std::mem::size_of::<T>(), layout: T::LAYOUT }
    }
}

/// Something that the other side made and only the other side looks into.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Never null.
    pub pointer: *mut c_void,
}
