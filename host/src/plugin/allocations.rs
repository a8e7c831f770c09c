//! Counts the allocations of a loaded library from outside: the library's references to the system allocator are
//! redirected to functions here, which count and forward each call.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use object::NativeEndian;
use object::elf::{self, Dyn64, FileHeader64, ProgramHeader64, Rela64, Sym64};
use plugfit_api::testing::{count_allocation, count_from_outside};
use rustix::mm::{MprotectFlags, mprotect};

/// Counts the allocations of a library from now on, if it uses the system allocator. `within` is an address in it.
///
/// # Safety
/// The library must stay loaded, and its headers must have been vetted.
pub unsafe fn count(within: *const ()) {
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: `dladdr` accepts any address; `info` is initialised if the result isn't 0.
    let base = unsafe {
        if libc::dladdr(within.cast(), info.as_mut_ptr()) == 0 {
            return;
        }
        info.assume_init().dli_fbase as usize
    };
    // SAFETY: a loaded library begins with its ELF header, which locates its program headers.
    let segments: &[ProgramHeader64<NativeEndian>] = unsafe {
        let header = &*(base as *const FileHeader64<NativeEndian>);
        let first = base + header.e_phoff.get(NativeEndian) as usize;
        slice::from_raw_parts(first as *const _, usize::from(header.e_phnum.get(NativeEndian)))
    };
    let Some(dynamic) = segments.iter().find(|segment| segment.p_type.get(NativeEndian) == elf::PT_DYNAMIC) else {
        return;
    };
    let mut entry = (base + dynamic.p_vaddr.get(NativeEndian) as usize) as *const Dyn64<NativeEndian>;
    let mut entries = BTreeMap::new();
    // SAFETY: the loader has read these entries up to DT_NULL.
    unsafe {
        while (*entry).d_tag.get(NativeEndian) != u64::from(elf::DT_NULL) {
            entries.insert((*entry).d_tag.get(NativeEndian) as u32, (*entry).d_val.get(NativeEndian) as usize);
            entry = entry.add(1);
        }
    }
    // Some loaders relocate these values to addresses; others leave the file's values.
    let place = |tag| entries.get(&tag).map(|&value| if value < base { base + value } else { value });
    let (Some(symbols), Some(names)) = (place(elf::DT_SYMTAB), place(elf::DT_STRTAB)) else { return };
    let mut counted = false;
    for (table, size) in [(elf::DT_RELA, elf::DT_RELASZ), (elf::DT_JMPREL, elf::DT_PLTRELSZ)] {
        let (Some(table), Some(size)) = (place(table), entries.get(&size)) else { continue };
        let count = size / size_of::<Rela64<NativeEndian>>();
        // SAFETY: the loader has processed this table.
        let relocations = unsafe { slice::from_raw_parts(table as *const Rela64<NativeEndian>, count) };
        for relocation in relocations {
            let number = relocation.r_sym(NativeEndian, false) as usize;
            if number == 0 {
                continue;
            }
            // SAFETY: the loader has read this symbol and its name to resolve it.
            let (symbol, name) = unsafe {
                let symbol = &*(symbols as *const Sym64<NativeEndian>).add(number);
                (symbol, CStr::from_ptr((names + symbol.st_name.get(NativeEndian) as usize) as *const c_char))
            };
            // A library that defines its own allocator also frees its memory with it.
            let is_defined = symbol.st_shndx.get(NativeEndian) != elf::SHN_UNDEF;
            if let (false, Some(counting)) = (is_defined, counting(name)) {
                // SAFETY: the loader has written the function's address at this relocation.
                counted |= unsafe { redirect(base + relocation.r_offset.get(NativeEndian) as usize, counting) };
            }
        }
    }
    if counted {
        count_from_outside();
    }
}

/// Replaces the function address that a library stores at `place`. Returns whether the page could be made writable.
///
/// # Safety
/// A loaded library must store the address of a function with the same signature at `place`.
unsafe fn redirect(place: usize, function: usize) -> bool {
    let page = rustix::param::page_size();
    let start = place / page * page;
    // The loader makes relocated pages read-only (RELRO). The page stays writable afterwards, since it may also contain
    // other data.
    // SAFETY: the page belongs to the library.
    let writable = unsafe { mprotect(start as *mut c_void, page, MprotectFlags::READ | MprotectFlags::WRITE) };
    if writable.is_ok() {
        // SAFETY: `place` is aligned, since the loader stored an address there; nothing but the loader writes to it.
        unsafe { (*(place as *const AtomicUsize)).store(function, Ordering::Relaxed) };
    }
    writable.is_ok()
}

unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    count_allocation();
    // SAFETY: the library's own call, unchanged.
    unsafe { libc::malloc(size) }
}

unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    count_allocation();
    // SAFETY: the library's own call, unchanged.
    unsafe { libc::calloc(count, size) }
}

unsafe extern "C" fn realloc(pointer: *mut c_void, size: usize) -> *mut c_void {
    count_allocation();
    // SAFETY: the library's own call, unchanged.
    unsafe { libc::realloc(pointer, size) }
}

unsafe extern "C" fn posix_memalign(pointer: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    count_allocation();
    // SAFETY: the library's own call, unchanged.
    unsafe { libc::posix_memalign(pointer, alignment, size) }
}

unsafe extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    count_allocation();
    // SAFETY: the library's own call, unchanged.
    unsafe { libc::memalign(alignment, size) }
}

unsafe extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    count_allocation();
    // SAFETY: the library's own call, unchanged.
    unsafe { libc::aligned_alloc(alignment, size) }
}

/// Returns the address of the counting replacement for the allocator function `name`.
fn counting(name: &CStr) -> Option<usize> {
    Some(match name.to_bytes() {
        b"malloc" => malloc as *const () as usize,
        b"calloc" => calloc as *const () as usize,
        b"realloc" => realloc as *const () as usize,
        b"posix_memalign" => posix_memalign as *const () as usize,
        b"memalign" => memalign as *const () as usize,
        b"aligned_alloc" => aligned_alloc as *const () as usize,
        _ => return None,
    })
}
