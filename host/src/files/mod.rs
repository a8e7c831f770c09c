//! Files of the user: written so that they are whole or absent, and named in configurations.

mod atomic;
mod names;
mod npy;

pub(crate) use atomic::{is_temporary, write_atomically, write_new, write_privately};
pub(crate) use names::{is_pattern, name_of, path_of};
pub(crate) use npy::write_npy_header;
