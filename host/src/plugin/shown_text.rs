//! The texts of a plug-in as they are shown.

use super::bounds;
use crate::text::{printable_line, truncate};

/// Returns a plug-in's text if it is UTF-8, as its type requires.
pub fn utf8(text: &str) -> Option<&str> {
    std::str::from_utf8(text.as_bytes()).ok()
}

/// Returns as much of a text as is shown, and a few bytes more, so that a truncate is noticed.
pub fn shown_part(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(bounds::MAX_TEXT_LENGTH + 4)]
}

/// Returns a plug-in's text as it is shown: on one line, and truncate if it is too long.
pub fn shown_line(text: &str) -> String {
    truncate(&printable_line(text), bounds::MAX_TEXT_LENGTH).into_owned()
}
