//! numpy's file formats, .npy and .npz.

mod elements;
mod header;
mod npy;
mod npz;

pub use self::elements::Decoder;
pub use self::npy::{Layout, read_npy_file, read_npy_inputs, write_npy};
pub use self::npz::{Npz, write_npz};
