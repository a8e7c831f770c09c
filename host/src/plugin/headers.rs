//! Checks that the headers of an ELF library agree with one another, and that they request nothing of the loader that
//! harms the process.
//!
//! ld.so trusts the headers: a wrong number makes it end the process or run data as code. The sections repeat
//! everything that ld.so takes from the segments and from [the dynamic section](super::dynamic), so each number is
//! cross-checked against the sections. What the code does when it runs can't be determined from headers.

use std::ops::Range;

use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _, SectionTable, Sym as _};
use object::{Endianness, SectionIndex};

use super::dynamic::Links;
use super::{Refusal, bounds};

pub type Header = FileHeader64<Endianness>;
pub type Section = SectionHeader64<Endianness>;
pub type Segment = ProgramHeader64<Endianness>;

/// Refuses a library whose headers contradict one another, and returns the names that it is linked with. The library
/// must be complete and built for this machine.
pub fn check(bytes: &[u8]) -> Result<Links, Refusal> {
    let damaged = |error: object::read::Error| damaged(&error.to_string());
    check_counts::<Header>(bytes)?;
    let header = Header::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let segments = header.program_headers(endian, bytes).map_err(damaged)?;
    let sections = header.sections(endian, bytes).map_err(damaged)?;
    let library = Library { bytes, endian, header, segments, sections };
    if library.sections.is_empty() {
        return Err(Refusal::new("has no list of its sections")
            .hint("build it again, and leave out `strip --strip-section-headers`"));
    }
    library.check_segments()?;
    library.check_stack()?;
    library.check_relro()?;
    library.check_sections()?;
    library.check_thread_locals()?;
    library.check_dynamic()
}

/// Refuses more segments or sections than any plug-in has, and names of sections and symbols so long that reading all
/// of them would take too long.
pub fn check_counts<H: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<(), Refusal> {
    let damaged = |error: object::read::Error| damaged(&error.to_string());
    let header = H::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let segments = header.program_headers(endian, bytes).map_err(damaged)?;
    let sections = header.sections(endian, bytes).map_err(damaged)?;
    for (found, most, what) in
        [(segments.len(), bounds::SEGMENTS, "segments"), (sections.len(), bounds::SECTIONS, "sections")]
    {
        if found > most {
            return Err(Refusal::new(format!("has {found} {what}")).hint(format!("a plug-in has at most {most}")));
        }
    }
    if sections.is_empty() {
        return Ok(());
    }
    let strings = |index: SectionIndex| -> Result<Strings<'_>, Refusal> {
        let section = sections.section(index).map_err(damaged)?;
        section.data(endian, bytes).map(Strings).map_err(damaged)
    };
    let names = strings(SectionIndex(header.shstrndx(endian, bytes).map_err(damaged)? as usize))?;
    sections.iter().try_for_each(|section| names.text(u64::from(section.sh_name(endian)), bounds::LINK).map(drop))?;
    let symbols = sections.symbols(endian, bytes, elf::SHT_DYNSYM).map_err(damaged)?;
    if symbols.is_empty() {
        return Ok(());
    }
    let names = strings(symbols.string_section())?;
    symbols.iter().try_for_each(|symbol| names.text(u64::from(symbol.st_name(endian)), bounds::SYMBOL).map(drop))
}

pub fn damaged(what: &str) -> Refusal {
    Refusal::new(format!("is damaged: {what}")).hint("copy or build it again")
}

pub fn holds(agrees: bool, what: impl FnOnce() -> String) -> Result<(), Refusal> {
    if agrees { Ok(()) } else { Err(damaged(&what())) }
}

/// A string table, into which other tables point.
pub struct Strings<'b>(pub &'b [u8]);

impl<'b> Strings<'b> {
    /// Returns the string at `offset`, without its terminator, if it has at most `most` bytes.
    pub fn text(&self, offset: u64, most: usize) -> Result<&'b [u8], Refusal> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let length = rest.iter().take(most + 1).position(|byte| *byte == 0);
        length.map(|length| &rest[..length]).ok_or_else(|| damaged("a name in it has no end"))
    }
}

/// The smallest page size. Memory is protected by pages.
const PAGE: u64 = 4096;

pub struct Library<'b> {
    pub bytes: &'b [u8],
    pub endian: Endianness,
    header: &'b Header,
    segments: &'b [Segment],
    pub sections: SectionTable<'b, Header>,
}

impl<'b> Library<'b> {
    fn of_type(&self, kind: u32) -> impl Iterator<Item = &'b Segment> {
        self.segments.iter().filter(move |segment| segment.p_type(self.endian) == kind)
    }

    pub fn only(&self, kind: u32, name: &str) -> Result<Option<&'b Segment>, Refusal> {
        let mut all = self.of_type(kind);
        let first = all.next();
        holds(all.next().is_none(), || format!("it has two segments {name}"))?;
        Ok(first)
    }

    /// Returns the sections that are in memory when the library is loaded.
    pub fn loaded_sections(&self) -> impl Iterator<Item = &'b Section> {
        let is_loaded = |section: &&Section| {
            section.sh_flags(self.endian) & u64::from(elf::SHF_ALLOC) != 0 && section.sh_size(self.endian) > 0
        };
        self.sections.iter().filter(is_loaded)
    }

    pub fn name(&self, section: &Section) -> &'b str {
        self.sections.section_name(self.endian, section).ok().and_then(|name| str::from_utf8(name).ok()).unwrap_or("?")
    }

    pub fn addresses(&self, section: &Section) -> Range<u64> {
        let start = section.sh_addr(self.endian);
        start..start.saturating_add(section.sh_size(self.endian))
    }

    /// Returns the segment that contains these addresses.
    fn load_of(&self, addresses: &Range<u64>) -> Option<&'b Segment> {
        self.of_type(elf::PT_LOAD).find(|segment| {
            let start = segment.p_vaddr(self.endian);
            start <= addresses.start && addresses.end <= start.saturating_add(segment.p_memsz(self.endian))
        })
    }

    /// Returns the file range that these addresses are loaded from, if all of them are.
    pub fn place(&self, addresses: &Range<u64>) -> Option<Range<usize>> {
        let load = self.load_of(addresses)?;
        let start = load.p_vaddr(self.endian);
        let place = |address: u64| {
            let within = Some(address - start).filter(|within| *within <= load.p_filesz(self.endian))?;
            usize::try_from(load.p_offset(self.endian).checked_add(within)?).ok()
        };
        Some(place(addresses.start)?..place(addresses.end)?)
    }

    /// Returns the bytes that are loaded to these addresses, if all of them are in the file.
    pub fn loaded(&self, addresses: &Range<u64>) -> Option<&'b [u8]> {
        self.bytes.get(self.place(addresses)?)
    }

    /// Returns whether these addresses are loaded with all of these flags.
    pub fn allows(&self, addresses: &Range<u64>, flags: u32) -> bool {
        self.load_of(addresses).is_some_and(|load| load.p_flags(self.endian) & flags == flags)
    }

    /// Returns whether these addresses are loaded from this file offset.
    fn is_loaded_from(&self, offset: u64, addresses: &Range<u64>) -> bool {
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
            // Whole pages are mapped: if two segments share a page, the second replaces the first one's content.
            let is_apart = start >= end && (end == 0 || start / PAGE > (end - 1) / PAGE);
            holds(is_apart && start.checked_add(size).is_some(), || "its segments overlap".into())?;
            holds(load.p_filesz(endian) <= size, || "a segment is longer in the file than in memory".into())?;
            if load.p_flags(endian) & (elf::PF_W | elf::PF_X) == elf::PF_W | elf::PF_X {
                return Err(Refusal::new("has code that can be written while it runs")
                    .hint("link it without -N and --omagic, or copy it again"));
            }
            end = start + size;
        }
        for segment in self.segments {
            let kind = segment.p_type(endian);
            let start = segment.p_vaddr(endian);
            let size = segment.p_filesz(endian);
            if matches!(kind, elf::PT_LOAD | elf::PT_NULL | elf::PT_GNU_STACK) || size == 0 {
                continue;
            }
            let fits = self.is_loaded_from(segment.p_offset(endian), &(start..start.saturating_add(size)));
            holds(fits && size <= segment.p_memsz(endian), || {
                format!("a segment of type {kind:#x} isn't where it is loaded")
            })?;
        }
        if let Some(table) = self.only(elf::PT_PHDR, "PT_PHDR")? {
            holds(table.p_offset(endian) == self.header.e_phoff(endian), || {
                "its PT_PHDR segment isn't where its program headers are".into()
            })?;
        }
        Ok(())
    }

    /// Refuses an executable stack. The loader makes the stacks of all threads executable for a library that requests
    /// it or doesn't declare otherwise.
    fn check_stack(&self) -> Result<(), Refusal> {
        let mut all = self.of_type(elf::PT_GNU_STACK).peekable();
        let says = all.peek().is_some();
        if says && all.all(|stack| stack.p_flags(self.endian) & elf::PF_X == 0) {
            return Ok(());
        }
        let reason = if says { "needs an executable stack" } else { "doesn't say that it needs no executable stack" };
        Err(Refusal::new(reason)
            .hint("link it with -z noexecstack; what is written in assembly needs a section .note.GNU-stack"))
    }

    /// Checks that the memory that the loader makes read-only after relocation (RELRO) lies in one segment, and that it
    /// contains no data that is written later.
    fn check_relro(&self) -> Result<(), Refusal> {
        let endian = self.endian;
        let Some(relro) = self.only(elf::PT_GNU_RELRO, "PT_GNU_RELRO")? else { return Ok(()) };
        let (start, size) = (relro.p_vaddr(endian), relro.p_memsz(endian));
        // The loader rounds both down.
        let pages = start / PAGE * PAGE..start.saturating_add(size) / PAGE * PAGE;
        if pages.is_empty() {
            return Ok(());
        }
        let contains_it = |load: &Segment| {
            let begin = load.p_vaddr(endian);
            let end = begin.saturating_add(load.p_memsz(endian)).checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
            begin <= start && pages.end <= end && load.p_flags(endian) & elf::PF_W != 0
        };
        holds(self.of_type(elf::PT_LOAD).any(contains_it), || {
            "memory that isn't its data would be closed to writing".into()
        })?;
        for section in self.loaded_sections() {
            let name = self.name(section);
            let addresses = self.addresses(section);
            let meet = addresses.start < pages.end && pages.start < addresses.end;
            holds(!(stays_writable(name) && meet), || format!("{name} would be closed to writing"))?;
        }
        Ok(())
    }

    fn check_sections(&self) -> Result<(), Refusal> {
        let endian = self.endian;
        let is_unwind_table = |section: &&Section| self.name(section) == ".eh_frame_hdr";
        let section_address = self.loaded_sections().find(is_unwind_table).map(|section| section.sh_addr(endian));
        let found = self.only(elf::PT_GNU_EH_FRAME, "PT_GNU_EH_FRAME")?.map(|segment| segment.p_vaddr(endian));
        holds(section_address == found, || "its unwind table isn't where its segment is".into())?;
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
                self.is_loaded_from(section.sh_offset(endian), &addresses)
            };
            holds(in_place, || format!("{name} isn't where its segment is"))?;
            let wanted = [(true, elf::PF_R), (has(elf::SHF_WRITE), elf::PF_W), (has(elf::SHF_EXECINSTR), elf::PF_X)];
            let allowed = load.p_flags(endian);
            let fits = wanted.iter().all(|(wanted, flag)| !wanted || allowed & flag != 0);
            holds(fits, || format!("{name} can't be read, written or run as it must"))?;
        }
        Ok(())
    }

    /// Checks the thread-local storage, of which each thread gets a copy.
    fn check_thread_locals(&self) -> Result<(), Refusal> {
        let endian = self.endian;
        let sections =
            || self.loaded_sections().filter(|section| section.sh_flags(endian) & u64::from(elf::SHF_TLS) != 0);
        let Some(segment) = self.only(elf::PT_TLS, "PT_TLS")? else {
            return holds(sections().next().is_none(), || "its thread-locals are in no segment".into());
        };
        let start = sections().map(|section| section.sh_addr(endian)).min().unwrap_or(segment.p_vaddr(endian));
        let end = |sections: &mut dyn Iterator<Item = &'b Section>| {
            sections.map(|section| self.addresses(section).end).max().unwrap_or(start)
        };
        let whole = end(&mut sections());
        let initialised = end(&mut sections().filter(|section| section.sh_type(endian) != elf::SHT_NOBITS));
        let align = sections().map(|section| section.sh_addralign(endian)).max().unwrap_or(1);
        let agrees = segment.p_vaddr(endian) == start
            && segment.p_memsz(endian) == whole - start
            && segment.p_filesz(endian) == initialised - start
            && (segment.p_memsz(endian) == 0 || segment.p_align(endian).max(1) == align.max(1));
        holds(agrees, || "its thread-locals aren't as its segment says".into())
    }
}

/// Returns whether a section of this name is written after the library is loaded.
fn stays_writable(name: &str) -> bool {
    let is_part_of =
        |whole: &str| name.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let is_filled_in = [".data.rel.ro", ".bss.rel.ro"].iter().any(|whole| is_part_of(whole));
    [".data", ".bss", ".ldata", ".lbss"].iter().any(|whole| is_part_of(whole)) && !is_filled_in
}

#[cfg(test)]
pub mod tests {
    use super::*;

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

    #[test]
    fn system_libraries_pass_the_checks() {
        for bytes in libraries() {
            check(&bytes).expect("a library of the system");
        }
    }

    #[test]
    fn a_misplaced_or_unreadable_segment_is_refused() {
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

    /// Returns the file offset of the header of a segment of this type.
    fn segment(bytes: &[u8], kind: u32) -> Option<usize> {
        let header = Header::parse(bytes).expect("a header");
        let endian = header.endian().expect("its order");
        let segments = header.program_headers(endian, bytes).expect("its segments");
        let index = segments.iter().position(|segment| segment.p_type(endian) == kind)?;
        Some(header.e_phoff(endian) as usize + index * size_of::<Segment>())
    }

    #[test]
    fn an_executable_stack_is_refused_if_requested_or_not_declined() {
        for bytes in libraries() {
            let at = segment(&bytes, elf::PT_GNU_STACK).expect("it says which stack it needs");
            // Type and flags are one 32-bit word each.
            let with_flags = |flags: u32| with(&bytes, at, u64::from(flags) << 32 | u64::from(elf::PT_GNU_STACK));
            let reason = |bytes: &[u8]| check(bytes).expect_err("it is refused").reason;
            assert_eq!(reason(&with_flags(elf::PF_R | elf::PF_W | elf::PF_X)), "needs an executable stack");
            let missing = with(&bytes, at, u64::from(elf::PT_NULL));
            assert_eq!(reason(&missing), "doesn't say that it needs no executable stack");
        }
    }

    #[test]
    fn relro_outside_of_the_librarys_data_is_refused() {
        for bytes in libraries() {
            let Some(at) = segment(&bytes, elf::PT_GNU_RELRO) else { continue };
            let (start, size) = (number(&bytes, at + 16), number(&bytes, at + 40));
            if size < PAGE {
                // A smaller one may contain no whole page, and then nothing becomes read-only.
                continue;
            }
            // With no content in the file, the other checks skip the segment.
            let without_content = with(&bytes, at + 32, 0);
            check(&without_content).expect("the loader looks at its size in memory alone");
            for (place, wrong) in [
                (at + 40, size + (1 << 30)),
                (at + 40, u64::MAX),
                (at + 16, start + (1 << 30)),
                (at + 16, 0),
                (at + 16, u64::MAX - size),
            ] {
                check(&with(&without_content, place, wrong)).expect_err("it isn't its data");
            }
        }
    }

    #[test]
    fn segments_that_share_a_page_and_writable_code_are_refused() {
        for bytes in libraries() {
            let header = Header::parse(&bytes[..]).expect("a header");
            let endian = header.endian().expect("its order");
            let segments = header.program_headers(endian, &bytes[..]).expect("its segments");
            let loads = segments.iter().enumerate().filter(|(_, segment)| segment.p_type(endian) == elf::PT_LOAD);
            let places: Vec<usize> =
                loads.map(|(index, _)| header.e_phoff(endian) as usize + index * size_of::<Segment>()).collect();
            for pair in places.windows(2) {
                let next = number(&bytes, pair[1] + 16);
                let longer = with(&bytes, pair[0] + 40, next / PAGE * PAGE + 1 - number(&bytes, pair[0] + 16));
                assert_eq!(check(&longer).expect_err("they meet").reason, "is damaged: its segments overlap");
            }
            for at in places {
                let flags = u64::from(elf::PF_R | elf::PF_W | elf::PF_X);
                let reason =
                    check(&with(&bytes, at, flags << 32 | u64::from(elf::PT_LOAD))).expect_err("refused").reason;
                assert_eq!(reason, "has code that can be written while it runs");
            }
        }
    }

    #[test]
    fn more_segments_and_sections_than_a_plugin_has_are_refused() {
        let with_count = |bytes: &[u8], at: usize, count: u16| {
            let mut bytes = bytes.to_vec();
            bytes[at..at + 2].copy_from_slice(&count.to_ne_bytes());
            bytes
        };
        for bytes in libraries() {
            let segments = with_count(&bytes, 56, 65);
            assert_eq!(check(&segments).expect_err("too many").reason, "has 65 segments");
            let longer = [&bytes[..], &[0; 4097 * size_of::<Section>()]].concat();
            let sections = with_count(&longer, 60, 4097);
            assert_eq!(check(&sections).expect_err("too many").reason, "has 4097 sections");
        }
    }

    #[test]
    fn a_name_without_an_end_and_a_name_that_is_too_long_are_refused() {
        for bytes in libraries() {
            let header = Header::parse(&bytes[..]).expect("a header");
            let endian = header.endian().expect("its order");
            let sections = header.section_headers(endian, &bytes[..]).expect("its sections");
            let names = usize::from(header.e_shstrndx(endian));
            let at = header.e_shoff(endian) as usize + names * size_of::<Section>();
            // Without its last byte, the last name has no terminator.
            let cut = with(&bytes, at + 32, sections[names].sh_size(endian) - 1);
            assert_eq!(check(&cut).expect_err("it has no end").reason, "is damaged: a name in it has no end");
            let strings = sections.iter().find(|section| section.sh_type(endian) == elf::SHT_STRTAB).expect("strings");
            let (start, length) = (strings.sh_offset(endian) as usize, strings.sh_size(endian) as usize);
            if length > bounds::SYMBOL + 2 {
                // The first symbol's name is the first of the strings.
                let mut long = bytes.clone();
                long[start..start + bounds::SYMBOL + 1].fill(b'a');
                assert_eq!(check(&long).expect_err("it is too long").reason, "is damaged: a name in it has no end");
            }
        }
    }

    #[test]
    fn a_library_without_sections_is_refused() {
        for bytes in libraries() {
            // The offset of the section headers, and their number.
            let mut without = with(&bytes, 40, 0);
            without[60..64].fill(0);
            assert_eq!(check(&without).expect_err("it is refused").reason, "has no list of its sections");
        }
    }
}
