//! Recognises libraries in a plug-in folder that aren't plug-ins.

use std::io::Read;
use std::path::Path;

use object::elf::{FileHeader32, FileHeader64};
use object::{Endianness, FileKind, Object, ObjectSection, ObjectSymbol};

use super::{elf, ownership};

/// Maximum size of a file that is read, in bytes; larger than any real library.
const MAX_LENGTH: u64 = 2 << 30;

/// Names of the section that may contain the manifest.
pub const MANIFESTS: [&str; 2] = [plugfit_abi::MANIFEST_SECTION, "__plugfit"];

/// Returns what a refused file is, if it is a library but not a plug-in. Returns `None` if it is a plug-in, isn't a
/// library, or can't be determined.
///
/// The file may be built for another machine, so this recognises more files than can be loaded. The file is read again,
/// but only after it was refused.
pub fn describe(path: &Path) -> Option<&'static str> {
    let (file, metadata) = ownership::open_at_once(path).ok()?;
    if !metadata.is_file() || metadata.len() > MAX_LENGTH {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_LENGTH).read_to_end(&mut bytes).ok()?;
    describe_bytes(&bytes)
}

fn describe_bytes(bytes: &[u8]) -> Option<&'static str> {
    let counts = match object::FileKind::parse(bytes).ok()? {
        FileKind::Elf64 => elf::check_counts::<FileHeader64<Endianness>>(bytes),
        FileKind::Elf32 => elf::check_counts::<FileHeader32<Endianness>>(bytes),
        _ => Ok(()),
    };
    counts.ok()?;
    let file = object::File::parse(bytes).ok()?;
    if is_python_extension(&file) {
        return Some("is an extension module of Python");
    }
    let is_manifest = |section: object::Section<'_, '_>| section.name().is_ok_and(|name| MANIFESTS.contains(&name));
    let is_plugin = file.sections().any(is_manifest) || exports(&file, plugfit_abi::ROOT_SYMBOL_PREFIX);
    // A library without sections is a truncated file.
    (!is_plugin && file.sections().next().is_some()).then_some("has no plugfit manifest")
}

/// Returns whether Python can import the library. plugfit's own Python package links in the standard set, and only
/// Python can load it.
pub fn is_python_extension(file: &object::File<'_>) -> bool {
    exports(file, "PyInit_")
}

fn exports(file: &object::File<'_>, prefix: &str) -> bool {
    let is_exported = |symbol: object::Symbol<'_, '_>| {
        let name = symbol.name().map(|name| name.trim_start_matches('_'));
        !symbol.is_undefined() && name.is_ok_and(|name| name.starts_with(prefix))
    };
    file.dynamic_symbols().any(is_exported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_a_whole_library_is_not_foreign() {
        assert_eq!(describe_bytes(b"no library"), None);
        assert_eq!(describe(Path::new("/dev/null")), None);
        assert_eq!(describe(Path::new("/nowhere")), None);
        let Ok(shell) = std::fs::read("/bin/sh") else { return };
        assert_eq!(describe_bytes(&shell), Some("has no plugfit manifest"));
        assert_eq!(describe_bytes(&shell[..shell.len() / 2]), None);
    }
}
