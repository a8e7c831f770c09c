//! The structures of XLA's foreign function interface that a handler uses, from `xla/ffi/api/c_api.h`, version 0.1.
//!
//! A structure begins with its size, and a later version may have more fields at its end. XLA compares the version that
//! a handler declares with its own, and refuses the handler if its own one is older or has another major number.

use std::ffi::{c_char, c_int, c_void};

/// The version that the handlers declare.
pub const VERSION: (c_int, c_int) = (0, 1);

/// The type of [`MetadataExtension`].
pub const METADATA: c_int = 1;

/// The codes of errors.
pub mod code {
    use std::ffi::c_int;

    pub const INVALID_ARGUMENT: c_int = 3;
    pub const INTERNAL: c_int = 13;
}

/// The dtypes of buffers.
pub mod dtype {
    use std::ffi::c_int;

    pub const PRED: c_int = 1;
    pub const S32: c_int = 4;
    pub const S64: c_int = 5;
    pub const U8: c_int = 6;
    pub const U64: c_int = 9;
    pub const F32: c_int = 11;
    pub const F64: c_int = 12;
}

/// The type of arguments and results that are buffers, the only one.
pub const BUFFER: c_int = 1;

/// The types of attributes.
pub mod attribute {
    use std::ffi::c_int;

    pub const STRING: c_int = 4;
}

/// XLA's error, which only XLA knows.
#[repr(C)]
pub struct XlaError {
    _opaque: [u8; 0],
}

#[repr(C)]
pub struct ExtensionBase {
    pub struct_size: usize,
    pub kind: c_int,
    pub next: *mut ExtensionBase,
}

#[repr(C)]
pub struct ApiVersion {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub major: c_int,
    pub minor: c_int,
}

#[repr(C)]
pub struct ErrorCreateArgs {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub message: *const c_char,
    pub code: c_int,
}

#[repr(C)]
pub struct Buffer {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub dtype: c_int,
    pub data: *mut c_void,
    pub rank: i64,
    pub dims: *const i64,
}

#[repr(C)]
pub struct ByteSpan {
    pub data: *const u8,
    pub length: usize,
}

/// Arguments or results.
#[repr(C)]
pub struct Buffers {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub size: i64,
    pub types: *const c_int,
    pub buffers: *const *const Buffer,
}

#[repr(C)]
pub struct Attributes {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub size: i64,
    pub types: *const c_int,
    pub names: *const *const ByteSpan,
    pub values: *const *const c_void,
}

#[repr(C)]
pub struct CallFrame {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub api: *const Api,
    pub context: *mut c_void,
    pub stage: c_int,
    pub arguments: Buffers,
    pub results: Buffers,
    pub attributes: Attributes,
}

#[repr(C)]
pub struct Metadata {
    pub struct_size: usize,
    pub api_version: ApiVersion,
    pub traits: u32,
}

#[repr(C)]
pub struct MetadataExtension {
    pub base: ExtensionBase,
    pub metadata: *mut Metadata,
}

/// The functions of XLA, up to the only one that is used.
#[repr(C)]
pub struct Api {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub api_version: ApiVersion,
    pub internal_api: *const c_void,
    pub error_create: unsafe extern "C" fn(*mut ErrorCreateArgs) -> *mut XlaError,
}

// The sizes in C.
const _: () = {
    assert!(size_of::<ExtensionBase>() == 24);
    assert!(size_of::<ApiVersion>() == 24);
    assert!(size_of::<ErrorCreateArgs>() == 32);
    assert!(size_of::<Buffer>() == 48 && std::mem::offset_of!(Buffer, data) == 24);
    assert!(size_of::<ByteSpan>() == 16);
    assert!(size_of::<Buffers>() == 40 && size_of::<Attributes>() == 48);
    assert!(size_of::<CallFrame>() == 168 && std::mem::offset_of!(CallFrame, arguments) == 40);
    assert!(std::mem::offset_of!(Metadata, traits) == 32 && size_of::<MetadataExtension>() == 32);
    assert!(std::mem::offset_of!(Api, error_create) == 48);
};
