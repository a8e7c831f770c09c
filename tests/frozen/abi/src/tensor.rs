use abi_stable::{
    std_types::{ROption, RSlice, RStr},
    StableAbi,
};
use std::ffi::c_void;

/// The type of a tensor's elements, as in DLPack.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct DType {
    /// One of the `DTYPE_…` codes.
    pub code: u8,
    /// Bits of one element.
    pub bits: u8,
    /// 1.
    pub lanes: u16,
}

/// An array that is borrowed for a call. Nothing is copied.
///
/// Hosts of `/1` pass CPU memory in C order, aligned to the element; the other fields leave room.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Tensor {
    /// The memory; may dangle if the tensor has no element.
    pub data: *mut c_void,
    /// `rank` lengths; may dangle at rank 0.
    pub shape: *const i64,
    /// `rank` strides in elements; null: C order.
    pub strides: *const i64,
    /// Where the first element is, from `data`.
    pub byte_offset: u64,
    /// The number of axes.
    pub rank: u32,
    /// The type of an element.
    pub dtype: DType,
    /// `DEVICE_CPU`.
    pub device_type: i32,
    /// 0.
    pub device_id: i32,
}

/// A tensor and what it is: `y_true`, `y_pred`, `values`, …
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct NamedTensor<'a> {
    /// Its name.
    pub name: RStr<'a>,
    /// The array.
    pub tensor: Tensor,
}

/// What a loss or a metric is given.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// In the order that the component declares.
    pub tensors: RSlice<'a, NamedTensor<'a>>,
    /// A float weight of any rank that broadcasts from the left.
    pub weight: ROption<Tensor>,
    /// A boolean mask of any rank that broadcasts from the left; false: the element doesn't count.
    pub mask: ROption<Tensor>,
}
