//! Checks that an ELF library is complete, that its headers agree with one another, and that they request nothing of the
//! loader that harms the process.
//!
//! ld.so trusts the headers: a wrong number makes it end the process or run data as code. The sections repeat
//! everything that ld.so takes from the segments and from [the dynamic section](dynamic), so each number is
//! cross-checked against the sections. What the code does when it runs can't be determined from headers.

mod dynamic;
mod dynamic_rules;
mod file;
mod library;
mod relocations;
#[cfg(test)]
mod samples;
mod segments;
mod versions;

use object::elf;
use object::read::elf::{FileHeader, SectionHeader as _, Sym as _};
use object::{Endianness, SectionIndex};

pub use self::dynamic::Links;
pub use self::library::ensure;
use self::library::{Header, Library, Strings, damaged};
use super::{Refusal, bounds};

/// Refuses a library that isn't complete, isn't built for this machine, or whose headers contradict one another.
/// Returns the names that it is linked with.
pub fn check(bytes: &[u8]) -> Result<Links, Refusal> {
    file::check(bytes)?;
    check_headers(bytes)
}

fn check_headers(bytes: &[u8]) -> Result<Links, Refusal> {
    check_counts::<Header>(bytes)?;
    let library = Library::parse(bytes)?;
    if library.sections.is_empty() {
        return Err(Refusal::new("has no list of its sections")
            .hint("build it again, and leave out `strip --strip-section-headers`"));
    }
    library.check_segments()?;
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
        [(segments.len(), bounds::MAX_SEGMENTS, "segments"), (sections.len(), bounds::MAX_SECTIONS, "sections")]
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
    sections
        .iter()
        .try_for_each(|section| names.text(u64::from(section.sh_name(endian)), bounds::MAX_LINK_LENGTH).map(drop))?;
    let symbols = sections.symbols(endian, bytes, elf::SHT_DYNSYM).map_err(damaged)?;
    if symbols.is_empty() {
        return Ok(());
    }
    let names = strings(symbols.string_section())?;
    symbols
        .iter()
        .try_for_each(|symbol| names.text(u64::from(symbol.st_name(endian)), bounds::MAX_SYMBOL_LENGTH).map(drop))
}
