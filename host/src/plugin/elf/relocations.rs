//! Checks the relocations of a library: where the loader writes when it relocates the library, and what code it calls.

use std::ops::Range;

use object::elf::{self, Rela64};
use object::read::elf::{Rela as _, SectionHeader as _};
use object::{Endianness, U64, pod};

use super::dynamic::Dynamic;
use super::dynamic_rules::{DT_RELR, DT_RELRSZ};
use super::library::{Library, damaged, ensure};
use crate::plugin::Refusal;

const IS_ARM: bool = cfg!(target_arch = "aarch64");
const RELATIVE: u32 = if IS_ARM { elf::R_AARCH64_RELATIVE } else { elf::R_X86_64_RELATIVE };
const IRELATIVE: u32 = if IS_ARM { elf::R_AARCH64_IRELATIVE } else { elf::R_X86_64_IRELATIVE };
const TLSDESC: u32 = if IS_ARM { elf::R_AARCH64_TLSDESC } else { elf::R_X86_64_TLSDESC };

impl Library<'_> {
    /// Refuses relocations that the loader would not apply, that it would write outside of the library's data, or whose
    /// symbol doesn't exist.
    pub fn check_relocations(&self, dynamic: &Dynamic) -> Result<(), Refusal> {
        let endian = self.endian;
        let range = |start: u32, size: u32| -> Result<Range<u64>, Refusal> {
            let start = dynamic.get(start)?.unwrap_or(0);
            Ok(start..start.saturating_add(dynamic.get(size)?.unwrap_or(0)))
        };
        let known = [range(elf::DT_RELA, elf::DT_RELASZ)?, range(elf::DT_JMPREL, elf::DT_PLTRELSZ)?];
        for section in self.loaded_sections().filter(|section| section.sh_type(endian) == elf::SHT_RELA) {
            let addresses = self.addresses(section);
            let is_known = known.iter().any(|known| known.start <= addresses.start && addresses.end <= known.end);
            ensure(is_known, || format!("{} would not be applied", self.name(section)))?;
        }
        let mut leading = 0;
        for (index, range) in known.iter().enumerate() {
            let entries = self.entries::<Rela64<Endianness>>(range)?;
            self.check_each(entries)?;
            if index == 0 {
                leading = entries.iter().take_while(|entry| entry.r_type(endian, false) == RELATIVE).count() as u64;
            }
        }
        self.check_packed(self.entries(&range(DT_RELR, DT_RELRSZ)?)?)?;
        // The loader treats this many leading entries as relative without checking their types.
        let relative = dynamic.get(elf::DT_RELACOUNT)?.unwrap_or(0);
        ensure(relative <= leading, || {
            format!("its entry {:#x} counts more relative relocations than there are", elf::DT_RELACOUNT)
        })
    }

    /// Returns the entries of a table at these addresses.
    fn entries<T: pod::Pod>(&self, range: &Range<u64>) -> Result<&[T], Refusal> {
        if range.is_empty() {
            return Ok(&[]);
        }
        let bytes = self.loaded_bytes(range).unwrap_or_default();
        let found = pod::slice_from_bytes(bytes, bytes.len() / size_of::<T>()).ok();
        let found = found.filter(|(entries, rest)| !entries.is_empty() && rest.is_empty());
        found.map(|(entries, _)| entries).ok_or_else(|| damaged("its relocations aren't whole"))
    }

    fn check_each(&self, entries: &[Rela64<Endianness>]) -> Result<(), Refusal> {
        let endian = self.endian;
        let symbols = self.symbols();
        for entry in entries {
            let (kind, place) = (entry.r_type(endian, false), entry.r_offset(endian));
            if kind == elf::R_X86_64_NONE {
                continue;
            }
            self.check_written(place, if kind == TLSDESC { 16 } else { 8 })?;
            ensure(u64::from(entry.r_sym(endian, false)) < symbols, || {
                "a relocation is of a symbol that doesn't exist".into()
            })?;
            let called = entry.r_addend(endian) as u64;
            let is_called = kind == IRELATIVE && !self.has_flags(&(called..called.saturating_add(1)), elf::PF_X);
            ensure(!is_called, || "a relocation calls an address that isn't code".into())?;
        }
        Ok(())
    }

    /// Checks relative relocations in the packed form (DT_RELR), of eight bytes each: an address, then bits for the
    /// words after it.
    fn check_packed(&self, entries: &[U64<Endianness>]) -> Result<(), Refusal> {
        const BITS: u64 = 63;
        let mut next = 0_u64;
        for entry in entries.iter().map(|entry| entry.get(self.endian)) {
            if entry & 1 == 0 {
                self.check_written(entry, 8)?;
                next = entry.saturating_add(8);
                continue;
            }
            for bit in (0..BITS).filter(|bit| entry >> (bit + 1) & 1 == 1) {
                self.check_written(next.saturating_add(bit * 8), 8)?;
            }
            next = next.saturating_add(BITS * 8);
        }
        Ok(())
    }

    fn check_written(&self, place: u64, length: u64) -> Result<(), Refusal> {
        ensure(self.has_flags(&(place..place.saturating_add(length)), elf::PF_W), || {
            "a relocation would be written outside of its data".into()
        })
    }
}

#[cfg(test)]
mod tests {
    use object::read::elf::{FileHeader as _, SectionHeader as _};

    use super::super::check_headers as check;
    use super::super::library::Header;
    use super::super::samples::{libraries, number, with};
    use super::*;

    /// Returns the file offsets and sizes of the tables of this type.
    fn tables(bytes: &[u8], kind: u32) -> Vec<(usize, usize)> {
        let header = Header::parse(bytes).expect("a header");
        let endian = header.endian().expect("its order");
        let sections = header.sections(endian, bytes).expect("its sections");
        let found = sections.iter().filter(|section| section.sh_type(endian) == kind);
        found.map(|section| (section.sh_offset(endian) as usize, section.sh_size(endian) as usize)).collect()
    }

    fn reason(bytes: &[u8]) -> String {
        check(bytes).expect_err("it is refused").reason
    }

    #[test]
    fn a_relocation_outside_of_data_or_of_a_missing_symbol_is_refused() {
        for bytes in libraries() {
            for (start, length) in tables(&bytes, elf::SHT_RELA) {
                for at in [start, start + length - 24] {
                    for wrong in [0, 8, 1 << 40, u64::MAX, u64::MAX - 7] {
                        assert!(reason(&with(&bytes, at, wrong)).contains("outside of its data"), "{wrong:#x}");
                    }
                    let symbol = with(&bytes, at + 8, number(&bytes, at + 8) | 0x7fff_ffff << 32);
                    assert!(reason(&symbol).contains("a symbol that doesn't exist"));
                    let called = with(&bytes, at + 8, u64::from(IRELATIVE));
                    for wrong in [0, u64::MAX, 1 << 40] {
                        let reason = reason(&with(&called, at + 16, wrong));
                        assert!(
                            reason.contains("calls an address that isn't code")
                                || reason.contains("counts more relative relocations"),
                            "{reason}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_packed_relocation_outside_of_data_is_refused() {
        for bytes in libraries() {
            for (start, length) in tables(&bytes, elf::SHT_RELR) {
                for wrong in [0, 1 << 40, u64::MAX - 1, u64::MAX] {
                    assert!(reason(&with(&bytes, start, wrong)).contains("outside of its data"), "{wrong:#x}");
                }
                assert!(length < 16 || check(&with(&bytes, start + 8, u64::MAX - 1)).is_err());
            }
        }
    }
}
