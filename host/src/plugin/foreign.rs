//! Libraries in a folder of plug-ins that are no plug-ins.

use std::path::Path;

use memchr::memmem;

use super::{image, ownership};

/// Longer than any library that is read.
const TOO_LONG: u64 = 2 << 30;

/// What a file is that can't be loaded and isn't a plug-in; none: it is a plug-in, or a part of one, or it can't be told.
///
/// The bytes are searched and not parsed, so that the answer is the same for a library of another machine and for one that is cut
/// short. This costs a pass over the file, only for files that are refused.
pub fn what(path: &Path) -> Option<&'static str> {
    let (mut file, metadata) = ownership::open_at_once(path).ok()?;
    let length = metadata.len();
    // An empty file may be a plug-in whose copy failed.
    if !metadata.is_file() || length == 0 || length > TOO_LONG {
        return None;
    }
    of_bytes(&image::read(&mut file, usize::try_from(length).ok()?).ok()?)
}

fn of_bytes(bytes: &[u8]) -> Option<&'static str> {
    let has = |text: &[u8]| memmem::find(bytes, text).is_some();
    // In a table of symbols' names, each ends with a zero.
    if has(b"\0PyInit_") {
        return Some("is an extension module of Python");
    }
    let is_marked = has(plugfit_abi::MANIFEST_SECTION.as_bytes()) || has(plugfit_abi::ROOT_SYMBOL_PREFIX.as_bytes());
    (!is_marked).then_some("has no plugfit manifest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_plugin_is_no_foreign_file() {
        assert_eq!(of_bytes(b"GROUP ( /lib/libc.so.6 )"), Some("has no plugfit manifest"));
        assert_eq!(of_bytes(b"\x7fELF\0plugfit_root__mine\0"), None);
        assert_eq!(of_bytes(b"\x7fELF\0.plugfit.manifest\0"), None);
        assert_eq!(of_bytes(b"\0plugfit_root__standard\0PyInit__native\0"), Some("is an extension module of Python"));
        assert_eq!(what(Path::new("/dev/null")), None);
        assert_eq!(what(Path::new("/nowhere")), None);
    }
}
