//! Checks the dynamic section of an ELF library, which tells the loader what to do with it.

use object::Endianness;
use object::elf;
use object::read::elf::{Dyn as _, ProgramHeader as _, SectionHeader as _};

use super::dynamic_rules::{EXPECTED, FORBIDDEN, REQUIRED, TABLES, Table};
use super::library::{Library, Section, Strings, damaged, ensure};
use crate::plugin::{Refusal, bounds};

/// The names that a library is linked with.
#[derive(Debug, Default)]
pub struct Links {
    /// The libraries that are loaded with it (DT_NEEDED).
    pub needed: Vec<String>,
    /// The folders in which the loader searches for these before the system's folders (DT_RPATH, DT_RUNPATH).
    pub searched: Vec<String>,
}

impl Library<'_> {
    /// Refuses a dynamic section that differs from the one that the loader reads, or whose tables aren't where it says.
    pub fn check_dynamic(&self) -> Result<Links, Refusal> {
        let endian = self.endian;
        let damaged_by = |error: object::read::Error| damaged(&error.to_string());
        let segment =
            self.unique_segment(elf::PT_DYNAMIC, "PT_DYNAMIC")?.ok_or_else(|| damaged("it has no dynamic section"))?;
        let mut sections = self.sections.iter().filter(|section| section.sh_type(endian) == elf::SHT_DYNAMIC);
        // The loader reads the segment; tools and the other checks read the section.
        let agrees = sections.next().is_some_and(|section| {
            section.sh_flags(endian) & u64::from(elf::SHF_ALLOC) != 0
                && section.sh_addr(endian) == segment.p_vaddr(endian)
                && section.sh_offset(endian) == segment.p_offset(endian)
                && [segment.p_memsz(endian), segment.p_filesz(endian)] == [section.sh_size(endian); 2]
        });
        ensure(agrees, || "its dynamic section isn't where its segment is".into())?;
        ensure(sections.next().is_none(), || "it has two dynamic sections".into())?;
        let entries = segment.dynamic(endian, self.bytes).map_err(damaged_by)?.unwrap_or_default();
        let end = entries.iter().position(|entry| entry.tag32(endian) == Some(elf::DT_NULL));
        let end = end.ok_or_else(|| damaged("its dynamic section has no end"))?;
        // Linkers leave spare entries after DT_NULL for tools that add one. Such an entry may contain a value, but no
        // tag.
        let is_room = |entry: &elf::Dyn64<Endianness>| entry.d_tag(endian) == 0;
        ensure(entries[end..].iter().all(is_room), || "its dynamic section goes on after its end".into())?;
        let dynamic = Dynamic(entries[..end].iter().map(|entry| (entry.d_tag(endian), entry.d_val(endian))).collect());
        self.check_entries(&dynamic)?;
        self.links(&dynamic)
    }

    fn check_entries(&self, dynamic: &Dynamic) -> Result<(), Refusal> {
        for (tag, what) in FORBIDDEN {
            if dynamic.has(tag) {
                return Err(Refusal::new(format!("{what} (an entry {tag:#x} of its dynamic section)"))
                    .hint("link it without that, or copy it again"));
            }
        }
        if dynamic.has(elf::DT_TEXTREL) || dynamic.get(elf::DT_FLAGS)?.unwrap_or(0) & u64::from(elf::DF_TEXTREL) != 0 {
            return Err(
                Refusal::new("has code that is written to as it is loaded").hint("compile all of it with -fPIC")
            );
        }
        for (table, tag) in REQUIRED {
            let needs = table.map_or(Ok(true), |table| dynamic.get(table).map(|found| found.is_some()))?;
            ensure(!needs || dynamic.get(tag)?.is_some(), || format!("its entry {tag:#x} is missing"))?;
        }
        let is_present = |tag: u32| dynamic.get(tag).map(|found| found.is_some());
        ensure(!is_present(elf::DT_VERSYM)? || is_present(elf::DT_VERNEED)? || is_present(elf::DT_VERDEF)?, || {
            "its symbols have versions, and there is no list of them".into()
        })?;
        for (table, tag, value) in EXPECTED {
            let found = dynamic.get(tag)?;
            let agrees = found == Some(value) || found.is_none() && dynamic.get(table)?.is_none();
            ensure(agrees, || format!("its entry {tag:#x} isn't {value}"))?;
        }
        TABLES.iter().try_for_each(|table| self.check_table(dynamic, table))?;
        self.check_code(dynamic)?;
        self.check_strings(dynamic)?;
        self.check_relocations(dynamic)
    }

    /// Checks a table by its start and, for some tables, by its size or number of entries.
    fn check_table(&self, dynamic: &Dynamic, table: &Table) -> Result<(), Refusal> {
        let endian = self.endian;
        let size = table.size.map_or(Ok(None), |tag| dynamic.get(tag))?;
        let of_kind = || self.loaded_sections().filter(|section| section.sh_type(endian) == table.kind);
        let Some(start) = dynamic.get(table.start)? else {
            // Relocations may be in either of two tables.
            let may_be_missing = table.kind == elf::SHT_RELA || of_kind().next().is_none();
            return ensure(size.unwrap_or(0) == 0 && may_be_missing, || {
                format!("its entry {:#x} is missing", table.start)
            });
        };
        if table.size.is_some() && size == Some(0) {
            return Ok(());
        }
        let first = of_kind().find(|section| section.sh_addr(endian) == start);
        let first = first.ok_or_else(|| damaged(&format!("its entry {:#x} points at no such table", table.start)))?;
        let agrees = match (table.size, table.counts) {
            (None, _) => true,
            (Some(_), true) => size == Some(u64::from(first.sh_info(endian))),
            (Some(_), false) => size.is_some_and(|size| {
                let end = start.saturating_add(size);
                of_kind().any(|section| self.addresses(section).end == end)
            }),
        };
        ensure(agrees, || format!("its entry {:#x} has another length than its table", table.start))
    }

    /// Checks that DT_INIT and DT_FINI point to the start of a section of code.
    fn check_code(&self, dynamic: &Dynamic) -> Result<(), Refusal> {
        for tag in [elf::DT_INIT, elf::DT_FINI] {
            let Some(start) = dynamic.get(tag)? else { continue };
            let begins = |section: &Section| {
                let flags = section.sh_flags(self.endian);
                section.sh_addr(self.endian) == start && flags & u64::from(elf::SHF_EXECINSTR) != 0
            };
            // .text isn't accepted: it needn't begin with a function without arguments.
            let found = self.loaded_sections().find(|section| begins(section));
            let found = found.is_some_and(|section| matches!(self.name(section), ".init" | ".fini"));
            if !found {
                // This may be intended, but can't be distinguished from a wrong address.
                return Err(Refusal::new("begins or ends with code that isn't in .init or .fini")
                    .hint("copy it again, or link it without -init and -fini"));
            }
        }
        Ok(())
    }

    fn check_strings(&self, dynamic: &Dynamic) -> Result<(), Refusal> {
        let size = dynamic.get(elf::DT_STRSZ)?.unwrap_or(0);
        for (tag, value) in &dynamic.0 {
            let named = [elf::DT_NEEDED, elf::DT_SONAME, elf::DT_RPATH, elf::DT_RUNPATH].map(u64::from);
            ensure(!named.contains(tag) || *value < size, || format!("its entry {tag:#x} is beyond its strings"))?;
        }
        Ok(())
    }

    /// Returns the names that the library is linked with, from the strings that the loader reads.
    fn links(&self, dynamic: &Dynamic) -> Result<Links, Refusal> {
        let start = dynamic.get(elf::DT_STRTAB)?.unwrap_or(0);
        let end = start.saturating_add(dynamic.get(elf::DT_STRSZ)?.unwrap_or(0));
        let strings = Strings(self.loaded_bytes(&(start..end)).unwrap_or_default());
        let values_of = |tags: &[u32]| -> Vec<u64> {
            let named = |tag: u64| tags.iter().any(|wanted| u64::from(*wanted) == tag);
            dynamic.0.iter().filter(|(tag, _)| named(*tag)).map(|(_, offset)| *offset).collect()
        };
        let (needed, searched) = (values_of(&[elf::DT_NEEDED]), values_of(&[elf::DT_RPATH, elf::DT_RUNPATH]));
        if needed.len() + searched.len() > bounds::MAX_LINKS {
            return Err(Refusal::new(format!("names {} libraries and folders", needed.len() + searched.len()))
                .hint(format!("a plug-in names at most {}", bounds::MAX_LINKS)));
        }
        let texts = |offsets: Vec<u64>| -> Result<Vec<String>, Refusal> {
            let texts = offsets.into_iter().map(|offset| strings.text(offset, bounds::MAX_LINK_LENGTH));
            texts.map(|text| text.map(|text| String::from_utf8_lossy(text).into_owned())).collect()
        };
        let links = Links { needed: texts(needed)?, searched: texts(searched)? };
        self.check_versions(dynamic, &strings, &links.needed)?;
        Ok(links)
    }
}

/// The entries of the dynamic section: tag and value.
pub struct Dynamic(Vec<(u64, u64)>);

impl Dynamic {
    fn has(&self, tag: u32) -> bool {
        self.0.iter().any(|(other, _)| *other == u64::from(tag))
    }

    pub fn get(&self, tag: u32) -> Result<Option<u64>, Refusal> {
        let mut all = self.0.iter().filter(|(other, _)| *other == u64::from(tag)).map(|(_, value)| *value);
        let first = all.next();
        ensure(all.next().is_none(), || format!("its dynamic section has two entries {tag:#x}"))?;
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use object::read::elf::FileHeader as _;

    use super::super::check_headers as check;
    use super::super::dynamic_rules::DT_AUDIT;
    use super::super::library::{Header, Section};
    use super::super::samples::{entries, libraries, number, with};
    use super::*;

    #[test]
    fn a_misplaced_or_missing_table_is_refused() {
        for bytes in libraries() {
            for at in entries(&bytes) {
                let tag = number(&bytes, at);
                let Some(table) = TABLES.iter().find(|table| u64::from(table.start) == tag) else { continue };
                for wrong in [0, number(&bytes, at + 8) + 8, u64::MAX] {
                    check(&with(&bytes, at + 8, wrong)).expect_err("it is elsewhere");
                }
                check(&with(&bytes, at, 0x6000_0000)).expect_err("it is missing");
                let beside = EXPECTED.iter().find(|(beside, ..)| u64::from(*beside) == tag);
                if let Some(at) =
                    entries(&bytes).find(|at| beside.is_some_and(|one| u64::from(one.1) == number(&bytes, *at)))
                {
                    check(&with(&bytes, at, 0x6000_0000)).expect_err("the size of its entries is missing");
                    check(&with(&bytes, at + 8, 1)).expect_err("the size of its entries is another");
                }
                let size = entries(&bytes).find(|at| table.size.map(u64::from) == Some(number(&bytes, *at)));
                let Some(size) = size else { continue };
                for wrong in [number(&bytes, size + 8) + 8, u64::MAX] {
                    check(&with(&bytes, size + 8, wrong)).expect_err("it has another length");
                }
            }
        }
    }

    #[test]
    fn lists_of_versions_without_a_table_of_symbol_versions_are_refused() {
        for bytes in libraries() {
            let header = Header::parse(&bytes[..]).expect("a header");
            let endian = header.endian().expect("its order");
            let sections = header.section_headers(endian, &bytes[..]).expect("its sections");
            let index = sections.iter().position(|section| section.sh_type(endian) == elf::SHT_GNU_VERSYM);
            let at = header.e_shoff(endian) as usize + index.expect("versions") * size_of::<Section>();
            // The types of the section and of the entry are both changed, so that they agree.
            let without = with(&bytes, at, number(&bytes, at) ^ 1 << 32);
            let entry = entries(&bytes).find(|at| number(&bytes, *at) == u64::from(elf::DT_VERSYM)).expect("an entry");
            let reason = check(&with(&without, entry, 0x6000_0000)).expect_err("it is missing").reason;
            assert!(reason.contains("0x6ffffff0 is missing"), "{reason}");
        }
    }

    #[test]
    fn an_end_before_the_last_entry_is_refused() {
        for bytes in libraries() {
            let all: Vec<usize> = entries(&bytes).take_while(|at| number(&bytes, *at) != 0).collect();
            for at in &all[..all.len() - 1] {
                check(&with(&bytes, *at, 0)).expect_err("the entries behind it are lost");
            }
        }
    }

    #[test]
    fn after_the_end_a_value_is_allowed_and_a_tag_is_refused() {
        let mut found = 0;
        for bytes in libraries() {
            for at in entries(&bytes).skip_while(|at| number(&bytes, *at) != 0).skip(1) {
                found += 1;
                check(&with(&bytes, at + 8, 0x30a4)).expect("nobody reads behind the end");
                check(&with(&bytes, at, 0x6000_0000)).expect_err("there is a further entry");
            }
        }
        assert!(found > 0 || libraries().is_empty(), "no library has room behind the end");
    }

    #[test]
    fn a_table_of_symbol_versions_without_lists_of_versions_is_refused() {
        for bytes in libraries() {
            let header = Header::parse(&bytes[..]).expect("a header");
            let endian = header.endian().expect("its order");
            let sections = header.section_headers(endian, &bytes[..]).expect("its sections");
            let mut without = bytes.clone();
            for (index, section) in sections.iter().enumerate() {
                if matches!(section.sh_type(endian), elf::SHT_GNU_VERNEED | elf::SHT_GNU_VERDEF) {
                    let at = header.e_shoff(endian) as usize + index * size_of::<Section>();
                    without = with(&without, at, number(&bytes, at) ^ 1 << 40);
                }
            }
            for at in entries(&bytes) {
                let of_lists = [elf::DT_VERNEED, elf::DT_VERNEEDNUM, elf::DT_VERDEF, elf::DT_VERDEFNUM];
                if of_lists.map(u64::from).contains(&number(&bytes, at)) {
                    without = with(&without, at, 0x6000_0000);
                }
            }
            let reason = check(&without).expect_err("they are missing").reason;
            assert!(reason.contains("there is no list of them"), "{reason}");
        }
    }

    /// Returns the file offset of the dynamic section's header.
    fn section(bytes: &[u8]) -> usize {
        let header = Header::parse(bytes).expect("a header");
        let endian = header.endian().expect("its order");
        let sections = header.section_headers(endian, bytes).expect("its sections");
        let index = sections.iter().position(|section| section.sh_type(endian) == elf::SHT_DYNAMIC);
        header.e_shoff(endian) as usize + index.expect("a dynamic section") * size_of::<Section>()
    }

    #[test]
    fn a_dynamic_section_other_than_the_loaders_is_refused() {
        for bytes in libraries() {
            let at = section(&bytes);
            let (flags, offset) = (number(&bytes, at + 8), number(&bytes, at + 24));
            // A section that isn't loaded may be anywhere in the file, with any content.
            let mut decoy = with(&bytes, at + 8, flags & !u64::from(elf::SHF_ALLOC));
            let reason = |bytes: &[u8]| check(bytes).expect_err("it is refused").reason;
            assert_eq!(reason(&decoy), "is damaged: its dynamic section isn't where its segment is");
            let size = number(&bytes, at + 32) as usize;
            decoy.extend_from_within(offset as usize..offset as usize + size);
            let decoy = with(&decoy, at + 24, bytes.len() as u64);
            assert_eq!(reason(&decoy), "is damaged: its dynamic section isn't where its segment is");
            // Turn another section that isn't loaded into a second dynamic section.
            let header = Header::parse(&bytes[..]).expect("a header");
            let endian = header.endian().expect("its order");
            let sections = header.section_headers(endian, &bytes[..]).expect("its sections");
            let other = sections.iter().rposition(|section| section.sh_type(endian) == elf::SHT_STRTAB);
            let other = header.e_shoff(endian) as usize + other.expect("names of sections") * size_of::<Section>();
            let two =
                with(&bytes, other, number(&bytes, other) & u64::from(u32::MAX) | u64::from(elf::SHT_DYNAMIC) << 32);
            check(&two).expect_err("there are two");
        }
    }

    #[test]
    fn entries_that_load_further_libraries_are_refused() {
        for bytes in libraries() {
            // Replaces an entry that isn't checked.
            let spare = entries(&bytes).find(|at| number(&bytes, *at) == u64::from(elf::DT_SONAME));
            let Some(at) = spare else { continue };
            let reason = |tag: u32| check(&with(&bytes, at, u64::from(tag))).expect_err("it is refused").reason;
            assert_eq!(reason(DT_AUDIT), "names an auditing library (an entry 0x6ffffefc of its dynamic section)");
            for (tag, what) in FORBIDDEN {
                assert!(reason(tag).starts_with(what), "{}", reason(tag));
            }
            assert_eq!(reason(elf::DT_TEXTREL), "has code that is written to as it is loaded");
        }
    }

    #[test]
    fn needed_libraries_and_search_folders_are_read_from_the_loaders_strings() {
        for bytes in libraries() {
            let spare = entries(&bytes).find(|at| number(&bytes, *at) == u64::from(elf::DT_SONAME));
            let Some(at) = spare else { continue };
            let links = check(&bytes).expect("a library of the system");
            assert!(links.searched.is_empty(), "{links:?}");
            for (tag, is_search) in [(elf::DT_RPATH, true), (elf::DT_RUNPATH, true), (elf::DT_NEEDED, false)] {
                let links = check(&with(&bytes, at, u64::from(tag))).expect("its headers agree");
                let found = if is_search {
                    links.searched.first()
                } else {
                    links.needed.iter().max_by_key(|name| name.contains(".so"))
                };
                assert!(found.is_some_and(|text| text.contains(".so")), "{tag}: {links:?}");
            }
        }
    }
}
