//! Tests of finding and loading plug-ins.

mod dropped_in;
mod names;
mod refused_files;
