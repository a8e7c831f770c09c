//! Libraries of the system, and changes to their bytes, for tests.

use object::elf;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::library::Header;

pub fn libraries() -> Vec<Vec<u8>> {
    let folders = ["/lib/x86_64-linux-gnu", "/lib64", "/lib/aarch64-linux-gnu"];
    let names = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"];
    let paths = folders.iter().flat_map(|folder| names.map(|name| format!("{folder}/{name}")));
    paths.filter_map(|path| std::fs::read(path).ok()).filter(|bytes| bytes.starts_with(&elf::ELFMAG)).collect()
}

/// Returns the bytes with a number of eight bytes at this offset.
pub fn with(bytes: &[u8], at: usize, number: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + 8].copy_from_slice(&number.to_ne_bytes());
    bytes
}

pub fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(*bytes[at..].first_chunk().expect("eight bytes"))
}

/// Returns the file offsets of the dynamic section's entries.
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let header = Header::parse(bytes).expect("a header");
    let endian = header.endian().expect("its order");
    let mut segments = header.program_headers(endian, bytes).expect("its segments").iter();
    let dynamic = segments.find(|segment| segment.p_type(endian) == elf::PT_DYNAMIC).expect("a dynamic section");
    let start = dynamic.p_offset(endian) as usize;
    (start..start + dynamic.p_filesz(endian) as usize).step_by(16)
}
