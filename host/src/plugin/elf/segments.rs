//! Checks the segments of an ELF library against its sections.

use object::elf;
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};

use super::library::{Library, Section, Segment, damaged, ensure};
use crate::plugin::Refusal;

/// The smallest page size. Memory is protected by pages.
const PAGE: u64 = 4096;

impl<'b> Library<'b> {
    /// Refuses segments that contradict one another or the sections.
    pub fn check_segments(&self) -> Result<(), Refusal> {
        self.check_layout()?;
        self.check_stack()?;
        self.check_relro()?;
        self.check_sections()?;
        self.check_thread_locals()
    }

    fn check_layout(&self) -> Result<(), Refusal> {
        let endian = self.endian;
        let mut end = 0;
        for load in self.of_type(elf::PT_LOAD) {
            let (start, size) = (load.p_vaddr(endian), load.p_memsz(endian));
            let align = load.p_align(endian);
            ensure(align == 0 || align.is_power_of_two(), || format!("a segment is aligned to {align} bytes"))?;
            // Whole pages are mapped: if two segments share a page, the second replaces the first one's content.
            let is_apart = start >= end && (end == 0 || start / PAGE > (end - 1) / PAGE);
            ensure(is_apart && start.checked_add(size).is_some(), || "its segments overlap".into())?;
            ensure(load.p_filesz(endian) <= size, || "a segment is longer in the file than in memory".into())?;
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
            ensure(fits && size <= segment.p_memsz(endian), || {
                format!("a segment of type {kind:#x} isn't where it is loaded")
            })?;
        }
        if let Some(table) = self.unique_segment(elf::PT_PHDR, "PT_PHDR")? {
            ensure(table.p_offset(endian) == self.header.e_phoff(endian), || {
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
        let Some(relro) = self.unique_segment(elf::PT_GNU_RELRO, "PT_GNU_RELRO")? else { return Ok(()) };
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
        ensure(self.of_type(elf::PT_LOAD).any(contains_it), || {
            "memory that isn't its data would be closed to writing".into()
        })?;
        for section in self.loaded_sections() {
            let name = self.name(section);
            let addresses = self.addresses(section);
            let meet = addresses.start < pages.end && pages.start < addresses.end;
            ensure(!(stays_writable(name) && meet), || format!("{name} would be closed to writing"))?;
        }
        Ok(())
    }

    fn check_sections(&self) -> Result<(), Refusal> {
        let endian = self.endian;
        let is_unwind_table = |section: &&Section| self.name(section) == ".eh_frame_hdr";
        let section_address = self.loaded_sections().find(is_unwind_table).map(|section| section.sh_addr(endian));
        let found =
            self.unique_segment(elf::PT_GNU_EH_FRAME, "PT_GNU_EH_FRAME")?.map(|segment| segment.p_vaddr(endian));
        ensure(section_address == found, || "its unwind table isn't where its segment is".into())?;
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
            ensure(in_place, || format!("{name} isn't where its segment is"))?;
            let wanted = [(true, elf::PF_R), (has(elf::SHF_WRITE), elf::PF_W), (has(elf::SHF_EXECINSTR), elf::PF_X)];
            let allowed = load.p_flags(endian);
            let fits = wanted.iter().all(|(wanted, flag)| !wanted || allowed & flag != 0);
            ensure(fits, || format!("{name} can't be read, written or run as it must"))?;
        }
        Ok(())
    }

    /// Checks the thread-local storage, of which each thread gets a copy.
    fn check_thread_locals(&self) -> Result<(), Refusal> {
        let endian = self.endian;
        let sections =
            || self.loaded_sections().filter(|section| section.sh_flags(endian) & u64::from(elf::SHF_TLS) != 0);
        let Some(segment) = self.unique_segment(elf::PT_TLS, "PT_TLS")? else {
            return ensure(sections().next().is_none(), || "its thread-locals are in no segment".into());
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
        ensure(agrees, || "its thread-locals aren't as its segment says".into())
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
mod tests {
    use super::super::library::Header;
    use super::super::samples::{libraries, number, with};
    use super::super::{bounds, check_headers as check};
    use super::*;

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
            if length > bounds::MAX_SYMBOL_LENGTH + 2 {
                // The first symbol's name is the first of the strings.
                let mut long = bytes.clone();
                long[start..start + bounds::MAX_SYMBOL_LENGTH + 1].fill(b'a');
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
