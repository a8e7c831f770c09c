//! Whether the headers of an ELF library agree with one another.
//!
//! The system's loader believes them: where one is wrong, it ends the process or runs what is no code. Everything that it takes from the
//! segments and the dynamic section the sections say once more, so that a single wrong number is seen. What the code does when it
//! runs no header tells.

use std::ops::Range;

use object::Endianness;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _, SectionHeader as _, SectionTable};

use super::Refusal;

type Header = FileHeader64<Endianness>;
type Section = SectionHeader64<Endianness>;
type Segment = ProgramHeader64<Endianness>;

/// Refuses a library, whole and of this machine, whose headers contradict one another.
pub fn check(bytes: &[u8]) -> Result<(), Refusal> {
    let damaged = |error: object::read::Error| damaged(&error.to_string());
    let header = Header::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let segments = header.program_headers(endian, bytes).map_err(damaged)?;
    let sections = header.sections(endian, bytes).map_err(damaged)?;
    let library = Library { bytes, endian, header, segments, sections };
    library.check_segments()?;
    library.check_sections()?;
    library.check_thread_locals()?;
    library.check_dynamic()
}

fn damaged(what: &str) -> Refusal {
    Refusal::new(format!("is damaged: {what}")).hint("copy or build it again")
}

fn holds(agrees: bool, what: impl FnOnce() -> String) -> Result<(), Refusal> {
    if agrees { Ok(()) } else { Err(damaged(&what())) }
}

// Younger than the crate's list.
const DT_RELRSZ: u32 = 35;
const DT_RELR: u32 = 36;
const DT_RELRENT: u32 = 37;

/// Memory is protected by pages, and no page is smaller.
const PAGE: u64 = 4096;

struct Library<'b> {
    bytes: &'b [u8],
    endian: Endianness,
    header: &'b Header,
    segments: &'b [Segment],
    sections: SectionTable<'b, Header>,
}

impl<'b> Library<'b> {
    fn of_type(&self, kind: u32) -> impl Iterator<Item = &'b Segment> {
        self.segments.iter().filter(move |segment| segment.p_type(self.endian) == kind)
    }

    fn only(&self, kind: u32, name: &str) -> Result<Option<&'b Segment>, Refusal> {
        let mut all = self.of_type(kind);
        let first = all.next();
        holds(all.next().is_none(), || format!("it has two segments {name}"))?;
        Ok(first)
    }

    /// The sections that are in memory when it is loaded.
    fn loaded_sections(&self) -> impl Iterator<Item = &'b Section> {
        let is_loaded = |section: &&Section| {
            section.sh_flags(self.endian) & u64::from(elf::SHF_ALLOC) != 0 && section.sh_size(self.endian) > 0
        };
        self.sections.iter().filter(is_loaded)
    }

    fn name(&self, section: &Section) -> &'b str {
        self.sections.section_name(self.endian, section).ok().and_then(|name| str::from_utf8(name).ok()).unwrap_or("?")
    }

    fn addresses(&self, section: &Section) -> Range<u64> {
        let start = section.sh_addr(self.endian);
        start..start.saturating_add(section.sh_size(self.endian))
    }

    /// The segment that these addresses are loaded with.
    fn load_of(&self, addresses: &Range<u64>) -> Option<&'b Segment> {
        self.of_type(elf::PT_LOAD).find(|segment| {
            let start = segment.p_vaddr(self.endian);
            start <= addresses.start && addresses.end <= start.saturating_add(segment.p_memsz(self.endian))
        })
    }

    /// Whether what is at this offset of the file comes to this address, so many bytes of it.
    fn comes_to(&self, offset: u64, addresses: &Range<u64>) -> bool {
        self.load_of(addresses).is_some_and(|load| {
            let (at, from) = (load.p_vaddr(self.endian), load.p_offset(self.endian));
            addresses.start - at == offset.wrapping_sub(from) && addresses.end - at <= load.p_filesz(self.endian)
        })
    }

    fn check_segments(&self) -> Result<(), Refusal> {
        let endian = self.endian;
        let mut end = 0;
        for load in self.of_type(elf::PT_LOAD) {
            let (start, size) = (load.p_vaddr(endian), load.p_memsz(endian));
            let align = load.p_align(endian);
            holds(align == 0 || align.is_power_of_two(), || format!("a segment is aligned to {align} bytes"))?;
            holds(start >= end && start.checked_add(size).is_some(), || "its segments overlap".into())?;
            holds(load.p_filesz(endian) <= size, || "a segment is longer in the file than in memory".into())?;
            end = start + size;
        }
        for segment in self.segments {
            let kind = segment.p_type(endian);
            let start = segment.p_vaddr(endian);
            let size = segment.p_filesz(endian);
            if matches!(kind, elf::PT_LOAD | elf::PT_NULL | elf::PT_GNU_STACK) || size == 0 {
                continue;
            }
            let fits = self.comes_to(segment.p_offset(endian), &(start..start.saturating_add(size)));
            holds(fits && size <= segment.p_memsz(endian), || {
                format!("a segment of type {kind:#x} isn't where it is loaded")
            })?;
        }
        if let Some(own) = self.only(elf::PT_PHDR, "PT_PHDR")? {
            holds(own.p_offset(endian) == self.header.e_phoff(endian), || {
                "its segments are said to be elsewhere".into()
            })?;
        }
        let Some(guarded) = self.only(elf::PT_GNU_RELRO, "PT_GNU_RELRO")? else { return Ok(()) };
        let guarded_end = guarded.p_vaddr(endian).saturating_add(guarded.p_memsz(endian));
        let guarded = guarded.p_vaddr(endian) / PAGE * PAGE..guarded_end / PAGE * PAGE;
        for section in self.loaded_sections() {
            let name = self.name(section);
            let stays_writable = name == ".data" || name == ".bss";
            let addresses = self.addresses(section);
            let meet = addresses.start < guarded.end && guarded.start < addresses.end;
            holds(!(stays_writable && meet), || format!("{name} would be closed to writing"))?;
        }
        Ok(())
    }

    fn check_sections(&self) -> Result<(), Refusal> {
        let endian = self.endian;
        let is_unwinding = |section: &&Section| self.name(section) == ".eh_frame_hdr";
        let unwinding = self.loaded_sections().find(is_unwinding).map(|section| section.sh_addr(endian));
        let found = self.only(elf::PT_GNU_EH_FRAME, "PT_GNU_EH_FRAME")?.map(|segment| segment.p_vaddr(endian));
        holds(self.sections.is_empty() || unwinding == found, || "a panic would find no way out of it".into())?;
        for section in self.loaded_sections() {
            let (kind, flags) = (section.sh_type(endian), section.sh_flags(endian));
            let has = |flag: u32| flags & u64::from(flag) != 0;
            let addresses = self.addresses(section);
            if kind == elf::SHT_NOBITS && has(elf::SHF_TLS) {
                continue;
            }
            let name = self.name(section);
            let load = self.load_of(&addresses).ok_or_else(|| damaged(&format!("{name} is in no segment")))?;
            let in_place = if kind == elf::SHT_NOBITS {
                addresses.start - load.p_vaddr(endian) >= load.p_filesz(endian)
            } else {
                self.comes_to(section.sh_offset(endian), &addresses)
            };
            holds(in_place, || format!("{name} isn't where its segment is"))?;
            let wanted = [(true, elf::PF_R), (has(elf::SHF_WRITE), elf::PF_W), (has(elf::SHF_EXECINSTR), elf::PF_X)];
            let allowed = load.p_flags(endian);
            let fits = wanted.iter().all(|(wanted, flag)| !wanted || allowed & flag != 0);
            holds(fits, || format!("{name} can't be read, written or run as it must"))?;
        }
        Ok(())
    }

    /// What each thread gets a copy of.
    fn check_thread_locals(&self) -> Result<(), Refusal> {
        let endian = self.endian;
        let sections = || self.loaded_sections().filter(|one| one.sh_flags(endian) & u64::from(elf::SHF_TLS) != 0);
        let Some(segment) = self.only(elf::PT_TLS, "PT_TLS")? else {
            return holds(sections().next().is_none(), || "its thread-locals are in no segment".into());
        };
        if self.sections.is_empty() {
            return Ok(());
        }
        let start = sections().map(|one| one.sh_addr(endian)).min().unwrap_or(segment.p_vaddr(endian));
        let end =
            |of: &mut dyn Iterator<Item = &'b Section>| of.map(|one| self.addresses(one).end).max().unwrap_or(start);
        let whole = end(&mut sections());
        let given = end(&mut sections().filter(|one| one.sh_type(endian) != elf::SHT_NOBITS));
        let align = sections().map(|one| one.sh_addralign(endian)).max().unwrap_or(1);
        let agrees = segment.p_vaddr(endian) == start
            && segment.p_memsz(endian) == whole - start
            && segment.p_filesz(endian) == given - start
            && (segment.p_memsz(endian) == 0 || segment.p_align(endian).max(1) == align.max(1));
        holds(agrees, || "its thread-locals aren't as its segment says".into())
    }

    fn check_dynamic(&self) -> Result<(), Refusal> {
        let endian = self.endian;
        let damaged_by = |error: object::read::Error| damaged(&error.to_string());
        let segment = self.only(elf::PT_DYNAMIC, "PT_DYNAMIC")?.ok_or_else(|| damaged("it has no dynamic section"))?;
        if self.sections.is_empty() {
            return Ok(());
        }
        let section = self.sections.iter().find(|section| section.sh_type(endian) == elf::SHT_DYNAMIC);
        let agrees = section.is_some_and(|section| {
            let size = section.sh_size(endian);
            section.sh_addr(endian) == segment.p_vaddr(endian) && size == segment.p_memsz(endian)
        });
        holds(agrees, || "its dynamic section isn't where its segment is".into())?;
        let Some((entries, _)) = self.sections.dynamic(endian, self.bytes).map_err(damaged_by)? else { return Ok(()) };
        let end = entries.iter().position(|entry| entry.tag32(endian) == Some(elf::DT_NULL));
        let end = end.ok_or_else(|| damaged("its dynamic section has no end"))?;
        // A linker leaves room behind the end, for tools that add an entry, and sometimes a value there, but no tag.
        let is_room = |entry: &elf::Dyn64<Endianness>| entry.d_tag(endian) == 0;
        holds(entries[end..].iter().all(is_room), || "its dynamic section goes on after its end".into())?;
        let dynamic = Dynamic(entries[..end].iter().map(|entry| (entry.d_tag(endian), entry.d_val(endian))).collect());
        self.check_entries(&dynamic)
    }

    fn check_entries(&self, dynamic: &Dynamic) -> Result<(), Refusal> {
        let endian = self.endian;
        for tag in NEVER {
            holds(dynamic.get(tag)?.is_none(), || format!("its dynamic section has an entry {tag:#x}"))?;
        }
        for (table, tag) in NEEDED {
            let needs = table.map_or(Ok(true), |table| dynamic.get(table).map(|found| found.is_some()))?;
            holds(!needs || dynamic.get(tag)?.is_some(), || format!("its entry {tag:#x} is missing"))?;
        }
        let is_there = |tag: u32| dynamic.get(tag).map(|found| found.is_some());
        holds(!is_there(elf::DT_VERSYM)? || is_there(elf::DT_VERNEED)? || is_there(elf::DT_VERDEF)?, || {
            "its symbols have versions, and there is no list of them".into()
        })?;
        for (table, tag, value) in EXPECTED {
            let found = dynamic.get(tag)?;
            let agrees = found == Some(value) || found.is_none() && dynamic.get(table)?.is_none();
            holds(agrees, || format!("its entry {tag:#x} is no {value}"))?;
        }
        // Tables, by where they start and, for some, how long they are or how many entries they say they have.
        for table in &TABLES {
            let start = dynamic.get(table.start)?;
            let size = table.size.map_or(Ok(None), |tag| dynamic.get(tag))?;
            let of_kind = || self.loaded_sections().filter(|section| section.sh_type(endian) == table.kind);
            let Some(start) = start else {
                holds(size.unwrap_or(0) == 0, || format!("its entry {:#x} is missing", table.start))?;
                // Relocations may be in either of two tables.
                let may_be_missing = table.kind == elf::SHT_RELA || of_kind().next().is_none();
                holds(may_be_missing, || format!("its entry {:#x} is missing", table.start))?;
                continue;
            };
            if table.size.is_some() && size == Some(0) {
                continue;
            }
            let first = of_kind().find(|section| section.sh_addr(endian) == start);
            let first =
                first.ok_or_else(|| damaged(&format!("its entry {:#x} points at no such table", table.start)))?;
            let agrees = match (table.size, table.counts) {
                (None, _) => true,
                (Some(_), true) => size == Some(u64::from(first.sh_info(endian))),
                (Some(_), false) => size.is_some_and(|size| {
                    let end = start.saturating_add(size);
                    of_kind().any(|section| self.addresses(section).end == end)
                }),
            };
            holds(agrees, || format!("its entry {:#x} has another length than its table", table.start))?;
        }
        self.check_code(dynamic)?;
        self.check_strings(dynamic)?;
        self.check_relocations(dynamic)
    }

    /// What is called when it is loaded begins a section of code.
    fn check_code(&self, dynamic: &Dynamic) -> Result<(), Refusal> {
        for tag in [elf::DT_INIT, elf::DT_FINI] {
            let Some(start) = dynamic.get(tag)? else { continue };
            let begins = |section: &Section| {
                let flags = section.sh_flags(self.endian);
                section.sh_addr(self.endian) == start && flags & u64::from(elf::SHF_EXECINSTR) != 0
            };
            // Not .text: what stands there first needn't be a function of no arguments.
            let found = self.loaded_sections().find(|section| begins(section));
            let found = found.is_some_and(|section| matches!(self.name(section), ".init" | ".fini"));
            if !found {
                // It may be meant, and can't be told from an address that is wrong.
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
            holds(!named.contains(tag) || *value < size, || format!("its entry {tag:#x} is beyond its strings"))?;
        }
        Ok(())
    }

    fn check_relocations(&self, dynamic: &Dynamic) -> Result<(), Refusal> {
        let endian = self.endian;
        let range = |start: u32, size: u32| -> Result<Range<u64>, Refusal> {
            let start = dynamic.get(start)?.unwrap_or(0);
            Ok(start..start.saturating_add(dynamic.get(size)?.unwrap_or(0)))
        };
        let known = [range(elf::DT_RELA, elf::DT_RELASZ)?, range(elf::DT_JMPREL, elf::DT_PLTRELSZ)?];
        let relocations = || self.loaded_sections().filter(|one| one.sh_type(endian) == elf::SHT_RELA);
        for section in relocations() {
            let addresses = self.addresses(section);
            let is_known = known.iter().any(|known| known.start <= addresses.start && addresses.end <= known.end);
            holds(is_known, || format!("{} would not be applied", self.name(section)))?;
        }
        // So many are taken to be relative without a look at each.
        let Some(relative) = dynamic.get(elf::DT_RELACOUNT)? else { return Ok(()) };
        let first = relocations().find(|section| section.sh_addr(endian) == known[0].start);
        let entries = first.map(|section| section.rela(endian, self.bytes));
        let entries = entries.transpose().map_err(|error| damaged(&error.to_string()))?.flatten();
        let kind = if cfg!(target_arch = "aarch64") { elf::R_AARCH64_RELATIVE } else { elf::R_X86_64_RELATIVE };
        let leading = entries.map_or(0, |(entries, _)| {
            entries.iter().take_while(|entry| entry.r_type(endian, false) == kind).count() as u64
        });
        holds(relative <= leading, || format!("its entry {:#x} counts too many", elf::DT_RELACOUNT))
    }
}

/// The entries of the dynamic section: tag and value.
struct Dynamic(Vec<(u64, u64)>);

impl Dynamic {
    fn get(&self, tag: u32) -> Result<Option<u64>, Refusal> {
        let mut all = self.0.iter().filter(|(other, _)| *other == u64::from(tag)).map(|(_, value)| *value);
        let first = all.next();
        holds(all.next().is_none(), || format!("its dynamic section has two entries {tag:#x}"))?;
        Ok(first)
    }
}

/// A table that the dynamic section points at.
struct Table {
    kind: u32,
    start: u32,
    size: Option<u32>,
    /// The size is a number of entries, which the section's header has too.
    counts: bool,
}

const fn table(kind: u32, start: u32) -> Table {
    Table { kind, start, size: None, counts: false }
}

const fn sized(kind: u32, start: u32, size: u32) -> Table {
    Table { kind, start, size: Some(size), counts: false }
}

const fn counted(kind: u32, start: u32, count: u32) -> Table {
    Table { kind, start, size: Some(count), counts: true }
}

const TABLES: [Table; 12] = [
    table(elf::SHT_DYNSYM, elf::DT_SYMTAB),
    table(elf::SHT_HASH, elf::DT_HASH),
    table(elf::SHT_GNU_HASH, elf::DT_GNU_HASH),
    table(elf::SHT_GNU_VERSYM, elf::DT_VERSYM),
    counted(elf::SHT_GNU_VERNEED, elf::DT_VERNEED, elf::DT_VERNEEDNUM),
    counted(elf::SHT_GNU_VERDEF, elf::DT_VERDEF, elf::DT_VERDEFNUM),
    sized(elf::SHT_STRTAB, elf::DT_STRTAB, elf::DT_STRSZ),
    sized(elf::SHT_INIT_ARRAY, elf::DT_INIT_ARRAY, elf::DT_INIT_ARRAYSZ),
    sized(elf::SHT_FINI_ARRAY, elf::DT_FINI_ARRAY, elf::DT_FINI_ARRAYSZ),
    sized(elf::SHT_RELR, DT_RELR, DT_RELRSZ),
    sized(elf::SHT_RELA, elf::DT_RELA, elf::DT_RELASZ),
    sized(elf::SHT_RELA, elf::DT_JMPREL, elf::DT_PLTRELSZ),
];

/// What a library, or one with such a table, can't be without.
const NEEDED: [(Option<u32>, u32); 4] = [
    (None, elf::DT_SYMTAB),
    (None, elf::DT_STRTAB),
    (Some(elf::DT_VERNEED), elf::DT_VERSYM),
    (Some(elf::DT_VERDEF), elf::DT_VERSYM),
];

/// What the entries beside a table are: the sizes of a symbol and of the relocations, and their form.
const EXPECTED: [(u32, u32, u64); 4] = [
    (elf::DT_SYMTAB, elf::DT_SYMENT, 24),
    (elf::DT_RELA, elf::DT_RELAENT, 24),
    (DT_RELR, DT_RELRENT, 8),
    (elf::DT_JMPREL, elf::DT_PLTREL, elf::DT_RELA as u64),
];

/// Of other machines, of programs, or to load further libraries.
const NEVER: [u32; 6] =
    [elf::DT_REL, elf::DT_PREINIT_ARRAY, elf::DT_AUXILIARY, elf::DT_FILTER, elf::DT_GNU_LIBLIST, elf::DT_GNU_CONFLICT];

#[cfg(test)]
mod tests {
    use super::*;

    fn libraries() -> Vec<Vec<u8>> {
        let folders = ["/lib/x86_64-linux-gnu", "/lib64", "/lib/aarch64-linux-gnu"];
        let names = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"];
        let paths = folders.iter().flat_map(|folder| names.map(|name| format!("{folder}/{name}")));
        paths.filter_map(|path| std::fs::read(path).ok()).filter(|bytes| bytes.starts_with(&elf::ELFMAG)).collect()
    }

    /// Puts a number of eight bytes there.
    fn with(bytes: &[u8], at: usize, number: u64) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes[at..at + 8].copy_from_slice(&number.to_ne_bytes());
        bytes
    }

    fn number(bytes: &[u8], at: usize) -> u64 {
        u64::from_ne_bytes(*bytes[at..].first_chunk().expect("eight bytes"))
    }

    /// Where in the file the entries of the dynamic section are.
    fn entries(bytes: &[u8]) -> impl Iterator<Item = usize> {
        let header = Header::parse(bytes).expect("a header");
        let endian = header.endian().expect("its order");
        let mut segments = header.program_headers(endian, bytes).expect("its segments").iter();
        let dynamic = segments.find(|segment| segment.p_type(endian) == elf::PT_DYNAMIC).expect("a dynamic section");
        let start = dynamic.p_offset(endian) as usize;
        (start..start + dynamic.p_filesz(endian) as usize).step_by(16)
    }

    #[test]
    fn what_linkers_make_agrees_with_itself() {
        for bytes in libraries() {
            check(&bytes).expect("a library of the system");
        }
    }

    #[test]
    fn a_table_that_is_elsewhere_or_missing_is_seen() {
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
    fn versions_without_the_table_of_which_symbol_has_which_are_seen() {
        for bytes in libraries() {
            let header = Header::parse(&bytes[..]).expect("a header");
            let endian = header.endian().expect("its order");
            let sections = header.section_headers(endian, &bytes[..]).expect("its sections");
            let index = sections.iter().position(|section| section.sh_type(endian) == elf::SHT_GNU_VERSYM);
            let at = header.e_shoff(endian) as usize + index.expect("versions") * size_of::<Section>();
            // Neither the section nor the entry is of that type any more: they agree.
            let without = with(&bytes, at, number(&bytes, at) ^ 1 << 32);
            let entry = entries(&bytes).find(|at| number(&bytes, *at) == u64::from(elf::DT_VERSYM)).expect("an entry");
            let reason = check(&with(&without, entry, 0x6000_0000)).expect_err("it is missing").reason;
            assert!(reason.contains("0x6ffffff0 is missing"), "{reason}");
        }
    }

    #[test]
    fn an_end_before_the_last_entry_is_seen() {
        for bytes in libraries() {
            let all: Vec<usize> = entries(&bytes).take_while(|at| number(&bytes, *at) != 0).collect();
            for at in &all[..all.len() - 1] {
                check(&with(&bytes, *at, 0)).expect_err("the entries behind it are lost");
            }
        }
    }

    #[test]
    fn a_value_that_a_linker_left_behind_the_end_is_no_damage() {
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
    fn versions_of_symbols_without_a_list_of_versions_are_seen() {
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

    #[test]
    fn a_segment_that_is_elsewhere_or_closed_is_seen() {
        for bytes in libraries() {
            let header = Header::parse(&bytes[..]).expect("a header");
            let endian = header.endian().expect("its order");
            let segments = header.program_headers(endian, &bytes[..]).expect("its segments");
            for (index, segment) in segments.iter().enumerate() {
                let at = header.e_phoff(endian) as usize + index * size_of::<Segment>();
                let kind = segment.p_type(endian);
                if kind == elf::PT_LOAD {
                    let closed = with(&bytes, at, u64::from(kind));
                    check(&closed).expect_err("it can't be read");
                    for wrong in [0x1000, segment.p_vaddr(endian) + 0x1000, u64::MAX] {
                        check(&with(&bytes, at + 16, wrong)).expect_err("it is elsewhere");
                    }
                }
                if matches!(kind, elf::PT_DYNAMIC | elf::PT_TLS) {
                    check(&with(&bytes, at + 16, segment.p_vaddr(endian) + 8)).expect_err("it is elsewhere");
                    check(&with(&bytes, at + 40, segment.p_memsz(endian) + 16)).expect_err("it is longer");
                }
            }
        }
    }
}
