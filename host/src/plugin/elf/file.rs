//! Checks that an ELF library is complete and built for this machine.

use object::elf;
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};

use super::library::{Header, damaged};
use crate::plugin::Refusal;
use crate::text::grouped;

const NATIVE_MACHINE: u16 = if cfg!(target_arch = "aarch64") { elf::EM_AARCH64 } else { elf::EM_X86_64 };

fn machine_name(machine: u16) -> String {
    match machine {
        elf::EM_X86_64 => "x86-64".into(),
        elf::EM_AARCH64 => "aarch64".into(),
        elf::EM_386 => "32-bit x86".into(),
        elf::EM_ARM => "32-bit ARM".into(),
        elf::EM_RISCV => "RISC-V".into(),
        elf::EM_PPC64 => "POWER".into(),
        elf::EM_S390 => "s390".into(),
        other => format!("machine {other}"),
    }
}

/// Checks that an ELF library is complete and built for this machine. A truncated library would end the process in
/// dlopen, by access to a page that doesn't exist.
pub fn check(bytes: &[u8]) -> Result<(), Refusal> {
    let damaged = |error: object::read::Error| damaged(&error.to_string());
    let other = |what: &str| {
        Refusal::new(format!("was built for {what}; this program is for {}", machine_name(NATIVE_MACHINE)))
    };
    if bytes.len() < std::mem::size_of::<Header>() {
        return Err(Refusal::new(format!("is cut short: {} bytes are there", bytes.len())).hint("copy it again"));
    }
    if bytes[4] != elf::ELFCLASS64 {
        return Err(other("a 32-bit machine").hint("build it for this machine"));
    }
    if bytes[5] != if cfg!(target_endian = "little") { elf::ELFDATA2LSB } else { elf::ELFDATA2MSB } {
        return Err(other("a machine of the other byte order").hint("build it for this machine"));
    }
    let header = Header::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let machine = header.e_machine(endian);
    if machine != NATIVE_MACHINE {
        return Err(other(&machine_name(machine)).hint("build it for this machine"));
    }
    if header.e_type(endian) != elf::ET_DYN {
        return Err(Refusal::new("is an ELF file, but no shared library")
            .hint("a plug-in is what `cargo build` makes of a cdylib"));
    }
    let table = |offset: u64, count: u16, size: u16| offset.saturating_add(u64::from(count) * u64::from(size));
    let mut end = table(header.e_shoff(endian), header.e_shnum(endian), header.e_shentsize(endian));
    end = end.max(table(header.e_phoff(endian), header.e_phnum(endian), header.e_phentsize(endian)));
    let check_length = |end: u64| {
        if end <= bytes.len() as u64 {
            return Ok(());
        }
        let (here, whole) = (grouped(bytes.len()), grouped(usize::try_from(end).unwrap_or(usize::MAX)));
        Err(Refusal::new(format!("is cut short: {here} of {whole} bytes are there")).hint("copy it again"))
    };
    if let Ok(segments) = header.program_headers(endian, bytes) {
        for segment in segments {
            end = end.max(segment.p_offset(endian).saturating_add(segment.p_filesz(endian)));
        }
    }
    check_length(end)?;
    for section in header.section_headers(endian, bytes).map_err(damaged)? {
        if section.sh_type(endian) != elf::SHT_NOBITS {
            end = end.max(section.sh_offset(endian).saturating_add(section.sh_size(endian)));
        }
    }
    check_length(end)
}
