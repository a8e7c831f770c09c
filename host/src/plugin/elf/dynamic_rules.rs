//! The entries that the dynamic section of a plug-in may have. RPATH and the needed libraries are checked in
//! `vet::check_links`.

use object::elf;

// Constants that the `object` crate lacks.
pub const DT_RELRSZ: u32 = 35;
pub const DT_RELR: u32 = 36;
const DT_RELRENT: u32 = 37;
const DT_CONFIG: u32 = 0x6fff_fefa;
const DT_DEPAUDIT: u32 = 0x6fff_fefb;
pub const DT_AUDIT: u32 = 0x6fff_fefc;

/// A table that the dynamic section points to.
pub struct Table {
    pub kind: u32,
    pub start: u32,
    pub size: Option<u32>,
    /// Whether `size` is the tag of a number of entries, which the section's header repeats.
    pub counts: bool,
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

/// The tables that are checked.
pub const TABLES: [Table; 12] = [
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

/// Required entries as (table, tag): `tag` must be present if `table` is, or always if `table` is `None`.
pub const REQUIRED: [(Option<u32>, u32); 4] = [
    (None, elf::DT_SYMTAB),
    (None, elf::DT_STRTAB),
    (Some(elf::DT_VERNEED), elf::DT_VERSYM),
    (Some(elf::DT_VERDEF), elf::DT_VERSYM),
];

/// Expected values as (table, tag, value), for tables that are present: the sizes of a symbol and of the relocations,
/// and the form of the relocations.
pub const EXPECTED: [(u32, u32, u64); 4] = [
    (elf::DT_SYMTAB, elf::DT_SYMENT, 24),
    (elf::DT_RELA, elf::DT_RELAENT, 24),
    (DT_RELR, DT_RELRENT, 8),
    (elf::DT_JMPREL, elf::DT_PLTREL, elf::DT_RELA as u64),
];

/// Entries that no plug-in may have: those for other machines and for programs, and those that load further libraries.
pub const FORBIDDEN: [(u32, &str); 9] = [
    (elf::DT_REL, "has relocations of another machine"),
    (elf::DT_PREINIT_ARRAY, "has initialisers that only programs have"),
    (elf::DT_AUXILIARY, "names a library that is searched before it"),
    (elf::DT_FILTER, "is a filter for another library"),
    (DT_AUDIT, "names an auditing library"),
    (DT_DEPAUDIT, "names an auditing library"),
    (DT_CONFIG, "has a configuration for the loader"),
    (elf::DT_GNU_LIBLIST, "has a list of libraries"),
    (elf::DT_GNU_CONFLICT, "is prelinked"),
];
