//! Reads the parts of a library's file that are loaded or vetted. Debugging symbols, often nine tenths of the file, are
//! neither read nor loaded.

use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};
use std::ops::Range;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, pod};

type Header = FileHeader64<Endianness>;

/// Reads a library of this length. The result has the same length; bytes that neither the loader nor the vetting reads
/// stay zero.
pub fn read(file: &mut File, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut fill = |bytes: &mut [u8], range: Range<u64>| {
        let end = range.end.min(bytes.len() as u64);
        let start = range.start.min(end);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut bytes[start as usize..end as usize])
    };
    fill(&mut bytes, 0..size_of::<Header>() as u64)?;
    if !bytes.starts_with(&elf::ELFMAG) || length < size_of::<Header>() {
        fill(&mut bytes, 0..u64::MAX)?;
        return Ok(bytes);
    }
    let Some((segments, sections)) = tables(&bytes) else { return Ok(bytes) };
    fill(&mut bytes, segments)?;
    let mapped = mapped_length(&bytes) as u64;
    fill(&mut bytes, 0..mapped)?;
    fill(&mut bytes, sections)?;
    if let Some(names) = section_names(&bytes) {
        fill(&mut bytes, names)?;
    }
    Ok(bytes)
}

/// Returns how many bytes of a library the loader maps: up to the end of the last segment.
pub fn mapped_length(bytes: &[u8]) -> usize {
    let end = || {
        let header = Header::parse(bytes).ok()?;
        let endian = header.endian().ok()?;
        let segments = header.program_headers(endian, bytes).ok()?.iter();
        segments.map(|segment| segment.p_offset(endian).saturating_add(segment.p_filesz(endian))).max()
    };
    end().map_or(bytes.len(), |end| usize::try_from(end).unwrap_or(usize::MAX).min(bytes.len()))
}

/// Returns the file ranges of the segment table and the section table.
fn tables(bytes: &[u8]) -> Option<(Range<u64>, Range<u64>)> {
    let (header, _) = pod::from_bytes::<Header>(bytes).ok()?;
    let endian = header.endian().ok()?;
    let table = |start: u64, count: u16, size: u16| start..start.saturating_add(u64::from(count) * u64::from(size));
    Some((
        table(header.e_phoff(endian), header.e_phnum(endian), header.e_phentsize(endian)),
        table(header.e_shoff(endian), header.e_shnum(endian), header.e_shentsize(endian)),
    ))
}

/// Returns the file range of the section names.
fn section_names(bytes: &[u8]) -> Option<Range<u64>> {
    let header = Header::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let index = header.shstrndx(endian, bytes).ok()? as usize;
    let names = header.section_headers(endian, bytes).ok()?.get(index)?;
    let start = names.sh_offset(endian);
    Some(start..start.saturating_add(names.sh_size(endian)))
}
