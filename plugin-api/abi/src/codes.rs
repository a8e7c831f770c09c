//! Integer codes. New ones may be added; none changes its meaning.

/// A configuration that can't be: an unknown key, a wrong type, a value out of bounds. [`crate::Error::field`] says which.
pub const ERROR_CONFIG: u32 = 1;
/// Inputs that can't be used: a shape, a rank, a label out of range.
pub const ERROR_INPUT: u32 = 2;
/// Something that the component doesn't do, such as a gradient it doesn't have.
pub const ERROR_UNSUPPORTED: u32 = 3;
/// A saved state that can't be read back.
pub const ERROR_STATE: u32 = 4;
/// A panic that was caught. [`crate::Error::place`] says where it was.
pub const ERROR_PANIC: u32 = 5;
/// A state that an earlier panic left half written.
pub const ERROR_POISONED: u32 = 6;
/// The host asked to stop.
pub const ERROR_CANCELLED: u32 = 7;
/// The plug-in has no component of that name.
pub const ERROR_UNKNOWN_COMPONENT: u32 = 8;
/// The host refused or failed what the plug-in asked of it.
pub const ERROR_HOST: u32 = 9;
/// Anything else.
pub const ERROR_OTHER: u32 = 10;

/// Signed integers, as in DLPack.
pub const DTYPE_INT: u8 = 0;
/// Unsigned integers, as in DLPack.
pub const DTYPE_UINT: u8 = 1;
/// IEEE floats, as in DLPack.
pub const DTYPE_FLOAT: u8 = 2;
/// bfloat16, as in DLPack.
pub const DTYPE_BFLOAT: u8 = 4;
/// Booleans of one byte, as in DLPack.
pub const DTYPE_BOOL: u8 = 6;

/// Main memory, as in DLPack. Hosts of `/1` pass nothing else.
pub const DEVICE_CPU: i32 = 1;

/// A slot that starts as [`crate::Slot::value`] everywhere.
pub const SLOT_CONSTANT: u32 = 0;
/// A slot that starts as a copy of its parameter.
pub const SLOT_COPY_OF_PARAMETER: u32 = 1;
/// A slot that [`crate::OptimizerV1::fill_slot`] fills.
pub const SLOT_FILLED: u32 = 2;

/// A parameter that the optimizer shall train.
pub const PARAMETER_TRAINABLE: u64 = 1;
/// A parameter of an embedding layer (Muon leaves those to Adam).
pub const PARAMETER_EMBEDDING: u64 = 2;
/// A parameter that a weight decay among the optimizer's own settings leaves out. (The host's decay is in each entry.)
pub const PARAMETER_WITHOUT_DECAY: u64 = 4;

/// A metric's result that is not defined (no data, a single class): a value of its own, never 0 or 0.5.
pub const RESULT_UNDEFINED: u32 = 0;
/// One number.
pub const RESULT_SCALAR: u32 = 1;
/// An array with a shape.
pub const RESULT_ARRAY: u32 = 2;
/// A list of numbers, each with its name.
pub const RESULT_NAMED: u32 = 3;

/// For those who debug the plug-in.
pub const LOG_DEBUG: u32 = 1;
/// For those who are curious.
pub const LOG_INFO: u32 = 2;
/// Something that the user should know of.
pub const LOG_WARNING: u32 = 3;

/// [`crate::ScheduleCall::steps_per_epoch`] when nobody knows it, and [`crate::Slot::parameter`] for a slot of the
/// optimizer as a whole.
pub const NONE: i64 = -1;
