//! The format of a call in the shared memory: everything in words of eight bytes, arrays aligned to cache lines.

mod call;
mod reader;
#[cfg(all(test, target_os = "linux"))]
mod tests;
mod writer;

pub use self::call::Call;
pub use self::reader::Reader;
pub use self::writer::{Direction, Return, Writer, copy_back};
