//! The segments and sections of an ELF library.

use std::ops::Range;

use object::Endianness;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _, SectionTable};

use crate::plugin::Refusal;

pub type Header = FileHeader64<Endianness>;
pub type Section = SectionHeader64<Endianness>;
pub type Segment = ProgramHeader64<Endianness>;

/// Returns the refusal of a damaged library.
pub fn damaged(what: &str) -> Refusal {
    Refusal::new(format!("is damaged: {what}")).hint("copy or build it again")
}

/// Refuses the library as damaged unless `agrees`.
pub fn ensure(agrees: bool, what: impl FnOnce() -> String) -> Result<(), Refusal> {
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

/// A library whose headers were read.
pub struct Library<'b> {
    pub bytes: &'b [u8],
    pub endian: Endianness,
    pub header: &'b Header,
    pub segments: &'b [Segment],
    pub sections: SectionTable<'b, Header>,
}

impl<'b> Library<'b> {
    /// Reads the headers of a library.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, Refusal> {
        let damaged = |error: object::read::Error| damaged(&error.to_string());
        let header = Header::parse(bytes).map_err(damaged)?;
        let endian = header.endian().map_err(damaged)?;
        let segments = header.program_headers(endian, bytes).map_err(damaged)?;
        let sections = header.sections(endian, bytes).map_err(damaged)?;
        Ok(Library { bytes, endian, header, segments, sections })
    }

    pub fn of_type(&self, kind: u32) -> impl Iterator<Item = &'b Segment> {
        self.segments.iter().filter(move |segment| segment.p_type(self.endian) == kind)
    }

    /// Returns the segment of this type, called `name`, and refuses two of them.
    pub fn unique_segment(&self, kind: u32, name: &str) -> Result<Option<&'b Segment>, Refusal> {
        let mut all = self.of_type(kind);
        let first = all.next();
        ensure(all.next().is_none(), || format!("it has two segments {name}"))?;
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
    pub fn load_of(&self, addresses: &Range<u64>) -> Option<&'b Segment> {
        self.of_type(elf::PT_LOAD).find(|segment| {
            let start = segment.p_vaddr(self.endian);
            start <= addresses.start && addresses.end <= start.saturating_add(segment.p_memsz(self.endian))
        })
    }

    /// Returns the file range that these addresses are loaded from, if all of them are.
    pub fn file_range(&self, addresses: &Range<u64>) -> Option<Range<usize>> {
        let load = self.load_of(addresses)?;
        let start = load.p_vaddr(self.endian);
        let place = |address: u64| {
            let within = Some(address - start).filter(|within| *within <= load.p_filesz(self.endian))?;
            usize::try_from(load.p_offset(self.endian).checked_add(within)?).ok()
        };
        Some(place(addresses.start)?..place(addresses.end)?)
    }

    /// Returns the bytes that are loaded to these addresses, if all of them are in the file.
    pub fn loaded_bytes(&self, addresses: &Range<u64>) -> Option<&'b [u8]> {
        self.bytes.get(self.file_range(addresses)?)
    }

    /// Returns whether these addresses are loaded with all of these flags.
    pub fn has_flags(&self, addresses: &Range<u64>, flags: u32) -> bool {
        self.load_of(addresses).is_some_and(|load| load.p_flags(self.endian) & flags == flags)
    }

    /// Returns whether these addresses are loaded from this file offset.
    pub fn is_loaded_from(&self, offset: u64, addresses: &Range<u64>) -> bool {
        self.load_of(addresses).is_some_and(|load| {
            let (at, from) = (load.p_vaddr(self.endian), load.p_offset(self.endian));
            addresses.start - at == offset.wrapping_sub(from) && addresses.end - at <= load.p_filesz(self.endian)
        })
    }
}
