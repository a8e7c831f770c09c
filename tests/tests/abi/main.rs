//! Tests of the ABI: the published types, plug-ins built with other versions and compilers, and the most demanding
//! features.

mod compatibility;
mod demanding;
mod published_types;
