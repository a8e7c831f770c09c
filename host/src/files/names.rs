//! Conversion between paths and their names in a run file. TOML and JSON need UTF-8, and a data file name may be a glob
//! pattern.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// The prefix of a name that is a URL of one file and never a pattern.
const URL: &str = "file://";
/// The characters that stay unescaped in the path of a URL.
const LITERAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Returns whether a name may be a pattern.
pub(crate) fn is_pattern(name: &str) -> bool {
    !name.starts_with(URL) && name.contains(['*', '?', '['])
}

/// Returns the path for a name that isn't a pattern, relative to the folder `base`.
pub(crate) fn path_of(name: &str, base: &Path) -> PathBuf {
    match name.strip_prefix(URL) {
        None => base.join(name.strip_prefix("./").unwrap_or(name)),
        Some(url) => base.join(from_bytes(percent_decode_str(url).collect())),
    }
}

/// Returns a name that stands for this path only: the path itself, or a `file://` URL if the path isn't UTF-8, could be
/// parsed as a pattern or URL, or contains `#`.
pub(crate) fn name_of(path: &Path) -> String {
    match path.to_str() {
        Some(text) if !is_pattern(text) && !text.starts_with(URL) && !text.contains('#') => text.to_owned(),
        _ => format!("{URL}{}", percent_encode(path.as_os_str().as_encoded_bytes(), LITERAL)),
    }
}

#[cfg(unix)]
fn from_bytes(bytes: Vec<u8>) -> PathBuf {
    <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn from_bytes(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_named_by_itself_or_by_a_url() {
        for (path, name) in [
            (&b"/a b/\xc3\xbc.csv"[..], "/a b/ü.csv"),
            (b"/data[1]/x.csv", "file:///data%5B1%5D/x.csv"),
            (b"/what?/50%*.csv", "file:///what%3F/50%25%2A.csv"),
            (b"/caf\xe9/x.csv", "file:///caf%E9/x.csv"),
            (b"/a#b/libx.so", "file:///a%23b/libx.so"),
        ] {
            let path = from_bytes(path.to_vec());
            assert_eq!(name_of(&path), name);
            assert!(!is_pattern(name));
            assert_eq!(path_of(name, Path::new("/elsewhere")), path);
        }
        assert_eq!(path_of("./x.csv", Path::new("/run")), Path::new("/run/x.csv"));
        assert!(is_pattern("part-*.csv") && is_pattern("part[12].csv"));
    }
}
