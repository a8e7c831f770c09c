//! Libraries in a folder of plug-ins that are no plug-ins.

use std::io::Read;
use std::path::Path;

use object::elf::{FileHeader32, FileHeader64};
use object::{Endianness, FileKind, Object, ObjectSection, ObjectSymbol};

use super::{headers, ownership};

/// Longer than any library that is read.
const TOO_LONG: u64 = 2 << 30;

/// The sections that a manifest may be in.
pub const MANIFESTS: [&str; 2] = [plugfit_abi::MANIFEST_SECTION, "__plugfit"];

/// What a refused file is, if it is a library and no plug-in; none: it is a plug-in, or no library, or it can't be told.
///
/// It may be of another machine, so that more is recognised here than can be loaded. The file is read once more, and only if it was
/// refused.
pub fn what(path: &Path) -> Option<&'static str> {
    let (file, metadata) = ownership::open_at_once(path).ok()?;
    if !metadata.is_file() || metadata.len() > TOO_LONG {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(TOO_LONG).read_to_end(&mut bytes).ok()?;
    of_bytes(&bytes)
}

fn of_bytes(bytes: &[u8]) -> Option<&'static str> {
    let counts = match object::FileKind::parse(bytes).ok()? {
        FileKind::Elf64 => headers::check_counts::<FileHeader64<Endianness>>(bytes),
        FileKind::Elf32 => headers::check_counts::<FileHeader32<Endianness>>(bytes),
        _ => Ok(()),
    };
    counts.ok()?;
    let file = object::File::parse(bytes).ok()?;
    if is_of_python(&file) {
        return Some("is an extension module of Python");
    }
    let is_manifest = |section: object::Section<'_, '_>| section.name().is_ok_and(|name| MANIFESTS.contains(&name));
    let is_plugin = file.sections().any(is_manifest) || exports(&file, plugfit_abi::ROOT_SYMBOL_PREFIX);
    // Without sections it is a part of a file.
    (!is_plugin && file.sections().next().is_some()).then_some("has no plugfit manifest")
}

/// Whether Python can import it. plugfit's own package has the standard set linked in, and can be loaded by Python alone.
pub fn is_of_python(file: &object::File<'_>) -> bool {
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
    fn what_is_no_whole_library_is_not_said_to_be_foreign() {
        assert_eq!(of_bytes(b"no library"), None);
        assert_eq!(what(Path::new("/dev/null")), None);
        assert_eq!(what(Path::new("/nowhere")), None);
        let Ok(shell) = std::fs::read("/bin/sh") else { return };
        assert_eq!(of_bytes(&shell), Some("has no plugfit manifest"));
        assert_eq!(of_bytes(&shell[..shell.len() / 2]), None);
    }
}
