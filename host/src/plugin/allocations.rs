//! What a loaded library asks of the system's allocator, counted from outside: its references to the allocator are turned to functions
//! here that count and pass on.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use object::NativeEndian;
use object::elf::{self, Dyn64, FileHeader64, ProgramHeader64, Rela64, Sym64};
use plugfit_api::testing::{asked_from_outside, count_from_outside};
use rustix::mm::{MprotectFlags, mprotect};

/// Counts what a library asks for from now on, if it asks the system's allocator; `within` is an address in it.
///
/// # Safety
/// The library stays loaded, and its headers were vetted.
pub unsafe fn count(within: *const ()) {
    let mut found = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: any address may be asked for; the answer is written unless there is none.
    let base = unsafe {
        if libc::dladdr(within.cast(), found.as_mut_ptr()) == 0 {
            return;
        }
        found.assume_init().dli_fbase as usize
    };
    // SAFETY: a loaded library begins with its header, which says where its segments are.
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
    // SAFETY: the loader has read these entries to the one that ends them.
    unsafe {
        while (*entry).d_tag.get(NativeEndian) != u64::from(elf::DT_NULL) {
            entries.insert((*entry).d_tag.get(NativeEndian) as u32, (*entry).d_val.get(NativeEndian) as usize);
            entry = entry.add(1);
        }
    }
    // Some loaders write addresses here, others leave what the file has.
    let place = |tag| entries.get(&tag).map(|&value| if value < base { base + value } else { value });
    let (Some(symbols), Some(names)) = (place(elf::DT_SYMTAB), place(elf::DT_STRTAB)) else { return };
    let mut counted = false;
    for (table, size) in [(elf::DT_RELA, elf::DT_RELASZ), (elf::DT_JMPREL, elf::DT_PLTRELSZ)] {
        let (Some(table), Some(size)) = (place(table), entries.get(&size)) else { continue };
        let count = size / size_of::<Rela64<NativeEndian>>();
        // SAFETY: the loader has gone through this table.
        let relocations = unsafe { slice::from_raw_parts(table as *const Rela64<NativeEndian>, count) };
        for relocation in relocations {
            let number = relocation.r_sym(NativeEndian, false) as usize;
            if number == 0 {
                continue;
            }
            // SAFETY: the loader has looked this symbol up by its name.
            let (symbol, name) = unsafe {
                let symbol = &*(symbols as *const Sym64<NativeEndian>).add(number);
                (symbol, CStr::from_ptr((names + symbol.st_name.get(NativeEndian) as usize) as *const c_char))
            };
            // A library with an allocator of its own gives its memory back to that.
            let is_own = symbol.st_shndx.get(NativeEndian) != elf::SHN_UNDEF;
            if let (false, Some(counting)) = (is_own, counting(name)) {
                // SAFETY: the loader has written the function's address there.
                counted |= unsafe { redirect(base + relocation.r_offset.get(NativeEndian) as usize, counting) };
            }
        }
    }
    if counted {
        count_from_outside();
    }
}

/// Writes a function's address to where a library has that of another; says whether it could.
///
/// # Safety
/// A library has such a function's address at `place`.
unsafe fn redirect(place: usize, function: usize) -> bool {
    let page = rustix::param::page_size();
    let start = place / page * page;
    // The loader takes the right to write away from what it has filled in. It isn't taken away again, since other data can lie there.
    // SAFETY: the page is the library's.
    let writable = unsafe { mprotect(start as *mut c_void, page, MprotectFlags::READ | MprotectFlags::WRITE) };
    if writable.is_ok() {
        // SAFETY: aligned, as the loader's own addresses are; nothing but the loader writes there.
        unsafe { (*(place as *const AtomicUsize)).store(function, Ordering::Relaxed) };
    }
    writable.is_ok()
}

unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    asked_from_outside();
    // SAFETY: as the library asked.
    unsafe { libc::malloc(size) }
}

unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    asked_from_outside();
    // SAFETY: as the library asked.
    unsafe { libc::calloc(count, size) }
}

unsafe extern "C" fn realloc(pointer: *mut c_void, size: usize) -> *mut c_void {
    asked_from_outside();
    // SAFETY: as the library asked.
    unsafe { libc::realloc(pointer, size) }
}

unsafe extern "C" fn posix_memalign(pointer: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    asked_from_outside();
    // SAFETY: as the library asked.
    unsafe { libc::posix_memalign(pointer, alignment, size) }
}

unsafe extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    asked_from_outside();
    // SAFETY: as the library asked.
    unsafe { libc::memalign(alignment, size) }
}

unsafe extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    asked_from_outside();
    // SAFETY: as the library asked.
    unsafe { libc::aligned_alloc(alignment, size) }
}

/// The function that counts in place of the system's of this name.
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
