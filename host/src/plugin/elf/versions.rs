//! Checks the versions of the symbols that a library needs and provides. The loader follows their lists from entry to
//! entry without checking any length.

use object::elf::{self, Verdaux, Verdef, Vernaux, Verneed};
use object::read::elf::SectionHeader as _;
use object::{Endianness, U16, pod};

use super::dynamic::Dynamic;
use super::library::{Library, Strings, damaged, ensure};
use crate::plugin::{Refusal, bounds};

/// The bits of a version number; the highest bit marks a hidden symbol.
const VERSION_MASK: u16 = 0x7fff;

impl Library<'_> {
    /// Refuses lists of versions that leave their table, that name libraries not in `needed`, or that lack the version
    /// of a symbol.
    pub fn check_versions(&self, dynamic: &Dynamic, strings: &Strings<'_>, needed: &[String]) -> Result<(), Refusal> {
        let endian = self.endian;
        let mut highest = 0;
        let named = |offset: u32| strings.text(u64::from(offset), bounds::MAX_LINK_LENGTH);
        if let Some(bytes) = self.table(dynamic, elf::DT_VERNEED, elf::SHT_GNU_VERNEED)? {
            let list = List::new(bytes);
            list.each(0, |at, entry: &Verneed<Endianness>| {
                ensure(entry.vn_version.get(endian) == elf::VER_NEED_CURRENT, || {
                    "its list of versions is of another form".into()
                })?;
                let file = String::from_utf8_lossy(named(entry.vn_file.get(endian))?);
                ensure(needed.iter().any(|name| *name == file), || {
                    format!("it needs a version of {file:?}, with which it isn't linked")
                })?;
                list.each(at + u64::from(entry.vn_aux.get(endian)), |_, version: &Vernaux<Endianness>| {
                    highest = highest.max(version.vna_other.get(endian) & VERSION_MASK);
                    named(version.vna_name.get(endian)).map(|_| version.vna_next.get(endian))
                })?;
                Ok(entry.vn_next.get(endian))
            })?;
        }
        if let Some(bytes) = self.table(dynamic, elf::DT_VERDEF, elf::SHT_GNU_VERDEF)? {
            let list = List::new(bytes);
            list.each(0, |at, entry: &Verdef<Endianness>| {
                ensure(entry.vd_version.get(endian) == elf::VER_DEF_CURRENT, || {
                    "its list of versions is of another form".into()
                })?;
                highest = highest.max(entry.vd_ndx.get(endian) & VERSION_MASK);
                list.each(at + u64::from(entry.vd_aux.get(endian)), |_, name: &Verdaux<Endianness>| {
                    named(name.vda_name.get(endian)).map(|_| name.vda_next.get(endian))
                })?;
                Ok(entry.vd_next.get(endian))
            })?;
        }
        let Some(bytes) = self.table(dynamic, elf::DT_VERSYM, elf::SHT_GNU_VERSYM)? else { return Ok(()) };
        let symbol_versions =
            pod::slice_from_bytes::<U16<Endianness>>(bytes, bytes.len() / 2).map(|(numbers, _)| numbers);
        let symbol_versions = symbol_versions.unwrap_or_default();
        ensure(symbol_versions.len() as u64 >= self.symbols(), || "a symbol has no version".into())?;
        ensure(symbol_versions.iter().all(|number| number.get(endian) & VERSION_MASK <= highest), || {
            "a symbol has a version that isn't in its lists".into()
        })
    }

    /// Returns the number of dynamic symbols.
    pub fn symbols(&self) -> u64 {
        let table = self.loaded_sections().find(|section| section.sh_type(self.endian) == elf::SHT_DYNSYM);
        table.map_or(0, |table| table.sh_size(self.endian) / 24)
    }

    /// Returns the table that an entry of the dynamic section points to.
    fn table(&self, dynamic: &Dynamic, tag: u32, kind: u32) -> Result<Option<&[u8]>, Refusal> {
        let Some(start) = dynamic.get(tag)? else { return Ok(None) };
        let is_table = |section: &&_| {
            let section: &super::library::Section = section;
            section.sh_type(self.endian) == kind && section.sh_addr(self.endian) == start
        };
        let section = self.loaded_sections().find(is_table);
        Ok(section.map(|section| self.loaded_bytes(&self.addresses(section)).unwrap_or_default()))
    }
}

/// Linked lists in one table. Each entry, of one of several types, stores the distance to the next.
struct List<'b> {
    bytes: &'b [u8],
    /// How many more entries may be visited. More visits than entries fit into the table mean that lists overlap.
    remaining: std::cell::Cell<usize>,
}

impl<'b> List<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        List { bytes, remaining: std::cell::Cell::new(bytes.len() / size_of::<Verdaux<Endianness>>()) }
    }

    /// Visits each entry from offset `at` on; `visit` returns the distance to the next entry, or 0 at the end.
    fn each<T: pod::Pod>(
        &self,
        mut at: u64,
        mut visit: impl FnMut(u64, &'b T) -> Result<u32, Refusal>,
    ) -> Result<(), Refusal> {
        loop {
            let remaining = self.remaining.get().checked_sub(1);
            let rest = usize::try_from(at).ok().filter(|at| at.is_multiple_of(4)).and_then(|at| self.bytes.get(at..));
            let entry = rest.and_then(|rest| pod::from_bytes::<T>(rest).ok());
            let (Some(remaining), Some((entry, _))) = (remaining, entry) else {
                return Err(damaged("its list of versions leads out of itself"));
            };
            self.remaining.set(remaining);
            match visit(at, entry)? {
                0 => return Ok(()),
                next => at += u64::from(next),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use object::read::elf::FileHeader as _;

    use super::super::check_headers as check;
    use super::super::library::Header;
    use super::super::samples::{libraries, number, with};
    use super::*;

    /// Returns the file offset of the table of this type.
    fn table(bytes: &[u8], kind: u32) -> Option<usize> {
        let header = Header::parse(bytes).expect("a header");
        let endian = header.endian().expect("its order");
        let sections = header.sections(endian, bytes).expect("its sections");
        let found = sections.iter().find(|section| section.sh_type(endian) == kind);
        found.map(|section| section.sh_offset(endian) as usize)
    }

    fn with_word(bytes: &[u8], at: usize, word: u32) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        bytes
    }

    #[test]
    fn an_invalid_list_of_needed_versions_is_refused() {
        let mut found = 0;
        for bytes in libraries() {
            let Some(at) = table(&bytes, elf::SHT_GNU_VERNEED) else { continue };
            found += 1;
            let aux = at + (number(&bytes, at + 8) as u32) as usize;
            // The file, its first version, and the next file; a version's name and the next version.
            for place in [at + 4, at + 8, at + 12, aux + 8, aux + 12] {
                for wrong in [2, 0x7fff_fff0, u32::MAX] {
                    let changed = with_word(&bytes, place, wrong);
                    assert!(check(&changed).is_err() || (place, wrong) == (aux + 8, 2), "{place:#x} {wrong:#x}");
                }
            }
            // Replace the file's name with another string.
            let version = number(&bytes, aux + 8) as u32;
            let reason = check(&with_word(&bytes, at + 4, version)).expect_err("it is no library").reason;
            assert!(reason.contains("with which it isn't linked"), "{reason}");
            let reason = check(&with_word(&bytes, at, 2)).expect_err("it is of version 2").reason;
            assert!(reason.contains("of another form"), "{reason}");
        }
        assert!(found > 0 || libraries().is_empty(), "no library needs a version");
    }

    #[test]
    fn an_invalid_list_of_provided_versions_is_refused() {
        for bytes in libraries() {
            let Some(at) = table(&bytes, elf::SHT_GNU_VERDEF) else { continue };
            let aux = at + (number(&bytes, at + 12) as u32) as usize;
            for place in [at + 12, at + 16, aux, aux + 4] {
                for wrong in [2, 0x7fff_fff0, u32::MAX] {
                    let changed = with_word(&bytes, place, wrong);
                    assert!(check(&changed).is_err() || (place, wrong) == (aux, 2), "{place:#x} {wrong:#x}");
                }
            }
        }
    }

    #[test]
    fn a_symbol_version_that_is_in_no_list_is_refused() {
        for bytes in libraries() {
            let Some(at) = table(&bytes, elf::SHT_GNU_VERSYM) else { continue };
            let wrong = with(&bytes, at, number(&bytes, at) | 0x7fff);
            let reason = check(&wrong).expect_err("there is no such version").reason;
            assert!(reason.contains("a version that isn't in its lists"), "{reason}");
        }
    }
}
