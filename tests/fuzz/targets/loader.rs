//! Loads a valid plug-in with changed headers. The host must reject the file with a reason or load it. A crash in the
//! system's loader means that the host's checks missed something.
//!
//! The input isn't a library but a list of changes to one: `$PLUGFIT_FUZZ_PLUGIN`, or the calibration plug-in of the
//! workspace's release build. The corpus therefore stays valid for the output of any compiler, and an empty input is
//! the unchanged plug-in.
//!
//! If the checks pass, the target reads the segments and the dynamic section again as the system's loader does. They
//! must request no further library, no folder to search for libraries and no executable stack.
#![no_main]

use std::ops::Range;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader};
use plugfit::plugin::{LoadOptions, Plugin};
use plugfit_fuzz::{file, written};

/// A valid plug-in and the offsets at which it is changed.
struct Good {
    bytes: Vec<u8>,
    /// Offsets of all header bytes: file header, segment headers, section headers, dynamic section and manifest.
    headers: Vec<usize>,
    /// Offset of each entry of the dynamic section.
    entries: Vec<usize>,
    /// Offset and type of each segment header.
    segments: Vec<(usize, u32)>,
    /// Offset of each word of the list of needed versions.
    versions: Vec<usize>,
    /// Offset of each number in the relocations.
    relocations: Vec<usize>,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release/libcalibration.so");
    let path = std::env::var("PLUGFIT_FUZZ_PLUGIN").unwrap_or_else(|_| built.to_owned());
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let copy = written("libplugin.so", &bytes);
    Plugin::open(&copy, &LoadOptions::default()).expect("a plug-in that is as it should be");
    let headers = headers(&bytes).flatten().collect();
    let header = FileHeader64::<Endianness>::parse(&bytes[..]).expect("an ELF file");
    let endian = header.endian().expect("its byte order");
    let (mut entries, mut segments) = (Vec::new(), Vec::new());
    for (index, segment) in header.program_headers(endian, &bytes[..]).expect("its segments").iter().enumerate() {
        let place = header.e_phoff(endian) as usize + index * size_of::<elf::ProgramHeader64<Endianness>>();
        segments.push((place, segment.p_type(endian)));
        if segment.p_type(endian) == elf::PT_DYNAMIC {
            let start = segment.p_offset(endian) as usize;
            entries.extend((start..start + segment.p_filesz(endian) as usize).step_by(16));
        }
    }
    let sections = header.sections(endian, &bytes[..]).expect("its sections");
    let numbers = |kind: u32, width: usize| -> Vec<usize> {
        let tables = sections.iter().filter(|section| section.sh_type(endian) == kind);
        let places = tables.map(|section| (section.sh_offset(endian) as usize, section.sh_size(endian) as usize));
        places.flat_map(|(start, length)| (start..start + length).step_by(width)).collect()
    };
    let (versions, relocations) = (numbers(elf::SHT_GNU_VERNEED, 4), numbers(elf::SHT_RELA, 8));
    Good { bytes, headers, entries, segments, versions, relocations }
});

const DT_AUDIT: u32 = 0x6fff_fefc;
const DT_DEPAUDIT: u32 = 0x6fff_fefb;

/// Dynamic entries that make the loader load further libraries, search other folders or write to code.
const FORBIDDEN: [u32; 7] =
    [elf::DT_RPATH, elf::DT_RUNPATH, DT_AUDIT, DT_DEPAUDIT, elf::DT_FILTER, elf::DT_AUXILIARY, elf::DT_TEXTREL];

/// Types of segments that request something from the loader.
const ASKING: [u32; 5] = [elf::PT_GNU_STACK, elf::PT_GNU_RELRO, elf::PT_DYNAMIC, elf::PT_TLS, elf::PT_LOAD];

/// The libraries of the C runtime, which are part of the process already.
const RUNTIME: [&str; 6] =
    ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "libpthread.so.0", "libdl.so.2"];

/// Returns the byte ranges of all headers.
fn headers(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let header = FileHeader64::<Endianness>::parse(bytes).expect("an ELF file");
    let endian = header.endian().expect("its byte order");
    let segments = header.program_headers(endian, bytes).expect("its segments");
    let sections = header.sections(endian, bytes).expect("its sections");
    let range = |start: u64, length: u64| start as usize..(start + length) as usize;
    let table = |start: u64, count: usize, size: usize| range(start, (count * size) as u64);
    let named = sections.iter().filter_map(move |section| {
        let name = sections.section_name(endian, section).unwrap_or_default();
        let is_header = section.sh_type(endian) == elf::SHT_DYNAMIC || name == b".plugfit.manifest";
        is_header.then(|| range(section.sh_offset(endian), section.sh_size(endian)))
    });
    let count = header.section_headers(endian, bytes).expect("their headers").len();
    [
        range(0, size_of::<FileHeader64<Endianness>>() as u64),
        table(header.e_phoff(endian), segments.len(), size_of::<elf::ProgramHeader64<Endianness>>()),
        table(header.e_shoff(endian), count, size_of::<elf::SectionHeader64<Endianness>>()),
    ]
    .into_iter()
    .chain(named)
}

/// Length of a change: a position among the header bytes (2 bytes), an action (1) and a number (8).
const CHANGE: usize = 11;

fn change(bytes: &mut [u8], good: &Good, change: &[u8; CHANGE]) {
    let headers = &good.headers;
    let [low, high, action, number @ ..] = change;
    let place = usize::from(u16::from_le_bytes([*low, *high]));
    let mut put = |at: usize, value: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    };
    let operand = u64::from_le_bytes(*number);
    let asking = || {
        let kind = ASKING[place % ASKING.len()];
        good.segments.iter().find(|(_, other)| *other == kind).map(|(place, _)| *place)
    };
    // Actions with the three highest bits set change a field that the loader uses, at any offset.
    if action >> 5 == 7 {
        let tag = u64::from(FORBIDDEN[(operand % FORBIDDEN.len() as u64) as usize]);
        match (action & 7, asking()) {
            (0, _) => put(good.entries[place % good.entries.len()], &tag.to_le_bytes()),
            (1, Some(at)) => put(at + 4, &(operand as u32 & 7).to_le_bytes()),
            (2, Some(at)) => put(at, &elf::PT_NULL.to_le_bytes()),
            (3, Some(at)) => put(at + 40, &operand.to_le_bytes()),
            (4, _) => put(good.versions[place % good.versions.len()], &(operand as u32).to_le_bytes()),
            (5, _) => put(good.relocations[place % good.relocations.len()], &operand.to_le_bytes()),
            _ => {}
        }
        return;
    }
    let place = place % headers.len();
    let width = 1 << (action & 3);
    // Align the change to its width, as fields are aligned.
    let at = headers[place] / width * width;
    let Some(field) = bytes.get_mut(at..at + width) else { return };
    let mut before = [0; 8];
    before[..width].copy_from_slice(field);
    let (before, number) = (u64::from_le_bytes(before), u64::from_le_bytes(*number));
    let after = match action >> 2 & 7 {
        0 => number,
        1 => before.wrapping_add(number),
        2 => before.wrapping_sub(number),
        3 => before ^ 1_u64.wrapping_shl(number as u32),
        4 => before.wrapping_add(number.wrapping_mul(0x1000)),
        5 => !before,
        6 => before.wrapping_shl(number as u32),
        _ => 1_u64.wrapping_shl(number as u32),
    };
    field.copy_from_slice(&after.to_le_bytes()[..width]);
}

fuzz_target!(|input: &[u8]| {
    let good = &*GOOD;
    let mut bytes = good.bytes.clone();
    let changes = &input.as_chunks::<CHANGE>().0;
    for one in changes.iter().take(16) {
        change(&mut bytes, good, one);
    }
    let path = written("libplugin.so", &bytes);
    if Plugin::open(&path, &LoadOptions { manifests_only: true, ..LoadOptions::default() }).is_err() {
        return;
    }
    check_loader_requests(&bytes);
    // Relocations write addresses of code and data. A wrong one within bounds yields wrong code, which no check can
    // detect.
    if changes.iter().any(|[_, _, action, ..]| action >> 5 == 7 && action & 7 == 5) {
        return;
    }
    if let Err(how) = in_a_child(|| Plugin::open(&path, &LoadOptions::default())) {
        let crashed = file("crashed.so");
        std::fs::write(&crashed, &bytes).expect("the file can be written");
        panic!("a file that was vetted, kept as {}, {how}", crashed.display());
    }
});

/// Checks that a library requests nothing more from the system's loader, by reading it as the loader does.
fn check_loader_requests(bytes: &[u8]) {
    let header = FileHeader64::<Endianness>::parse(bytes).expect("an ELF file");
    let endian = header.endian().expect("its byte order");
    let segments = header.program_headers(endian, bytes).expect("its segments");
    let stack = segments.iter().rfind(|segment| segment.p_type(endian) == elf::PT_GNU_STACK).expect("it says which");
    assert_eq!(stack.p_flags(endian) & elf::PF_X, 0, "an executable stack");
    let dynamic =
        segments.iter().rfind(|segment| segment.p_type(endian) == elf::PT_DYNAMIC).expect("a dynamic section");
    let entries = dynamic.dynamic(endian, bytes).expect("its entries").expect("it is that");
    let value =
        |tag: u32| entries.iter().find(|entry| entry.d_tag(endian) == u64::from(tag)).map(|entry| entry.d_val(endian));
    let strings = value(elf::DT_STRTAB).expect("strings");
    let load = segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).find(|segment| {
        let start = segment.p_vaddr(endian);
        start <= strings && strings < start + segment.p_filesz(endian)
    });
    let load = load.expect("they are loaded");
    let strings = &bytes[(strings - load.p_vaddr(endian) + load.p_offset(endian)) as usize..];
    for entry in entries.iter().take_while(|entry| entry.d_tag(endian) != u64::from(elf::DT_NULL)) {
        let is_forbidden = FORBIDDEN.iter().any(|tag| u64::from(*tag) == entry.d_tag(endian));
        assert!(!is_forbidden, "an entry {:#x}", entry.d_tag(endian));
        if entry.d_tag(endian) == u64::from(elf::DT_NEEDED) {
            let name = &strings[entry.d_val(endian) as usize..];
            let name = name.split(|byte| *byte == 0).next().expect("a name");
            assert!(
                RUNTIME.iter().any(|known| known.as_bytes() == name),
                "it needs {:?}",
                String::from_utf8_lossy(name)
            );
        }
    }
}

/// Runs a closure in a child process.
///
/// # Errors
/// Returns how the child ended if the closure didn't return.
fn in_a_child<T>(run: impl FnOnce() -> T) -> Result<(), String> {
    const DONE: i32 = 42;
    // SAFETY: no other thread of this process holds a lock that the child needs, and the child ends without unwinding.
    match unsafe { libc::fork() } {
        -1 => panic!("no further process can be begun"),
        0 => {
            let memory = libc::rlimit { rlim_cur: 2 << 30, rlim_max: 2 << 30 };
            // SAFETY: `memory` and the other limit outlive the calls, and `SIG_DFL` is a valid handler for these
            // signals. The fuzzer's handlers must not run in the child.
            unsafe {
                for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGFPE, libc::SIGILL, libc::SIGALRM] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                libc::setrlimit(libc::RLIMIT_AS, &memory);
                libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 });
                libc::alarm(10);
            }
            std::mem::forget(run());
            // SAFETY: `_exit` ends the child without running the exit handlers of the parent.
            unsafe { libc::_exit(DONE) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            while unsafe { libc::waitpid(child, &mut status, 0) } == -1 {}
            match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
                (true, DONE) => Ok(()),
                (true, code) => Err(format!("ended its process with status {code}")),
                _ => Err(format!("ended its process by signal {}", libc::WTERMSIG(status))),
            }
        }
    }
}
