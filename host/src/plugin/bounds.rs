//! Upper bounds on everything whose amount is chosen by a plug-in or by a file beside it.
//!
//! The host compares each count and length with its bound before it allocates or copies anything, so that an excessive
//! amount costs only an error. The bounds are far beyond what a component needs.

/// Maximum size of a plug-in's manifest, in bytes.
pub const MAX_MANIFEST_LENGTH: usize = 1 << 20;

/// Maximum number of components in a manifest.
pub const MAX_COMPONENTS: usize = 1024;

/// Maximum number of aliases of a component.
pub const MAX_ALIASES: usize = 16;

/// Maximum number of segments of a library.
pub const MAX_SEGMENTS: usize = 64;
/// Maximum number of sections of a library.
pub const MAX_SECTIONS: usize = 4096;

/// Maximum number of entries in a library's dynamic section that name a library or a search folder.
pub const MAX_LINKS: usize = 64;

/// Maximum length of such a name, and of a section's name, in bytes.
pub const MAX_LINK_LENGTH: usize = 4096;

/// Maximum length of a symbol's name, in bytes.
pub const MAX_SYMBOL_LENGTH: usize = 1 << 16;

/// Maximum size of a lock file and of a file of trusted keys, in bytes.
pub const MAX_RULES_LENGTH: u64 = 1 << 20;

/// Maximum length of a text that is shown (an error, a panic, a line of the log), in bytes. A longer text is cut.
pub const MAX_TEXT_LENGTH: usize = 4096;

/// Maximum number of detail lines of an error, after the first line. Further lines are dropped.
pub const MAX_ERROR_LINES: usize = 16;

/// Maximum number of lines that a component logs in one call. Further lines are dropped.
pub const MAX_LOG_LINES: usize = 256;

/// Maximum length of a name in a metric's result or of a slot's name, in bytes.
pub const MAX_NAME_LENGTH: usize = 256;

/// Maximum size of a configuration, of an `instance_info`, and of a nested component's identifier, as JSON, in bytes.
pub const MAX_JSON_LENGTH: usize = 1 << 22;

/// Maximum number of axes of a shape.
pub const MAX_AXES: usize = 32;

/// Maximum number of names in a metric's result.
pub const MAX_NAMES: usize = 1024;

/// Maximum number of values in a metric's result.
pub const MAX_NUMBERS: usize = 1 << 22;

/// Maximum size of a metric's saved state, in bytes.
pub const MAX_STATE_LENGTH: usize = 1 << 31;

/// Maximum number of an optimizer's slots for each parameter; as many again are allowed for the optimizer as a whole.
pub const MAX_SLOTS: usize = 64;

/// Maximum number of values in all slots of an optimizer together, in addition to [`MAX_SLOTS`] for each value of its
/// parameters.
pub const MAX_SLOT_NUMBERS: u64 = 1 << 20;

/// Maximum nesting depth of components. This and [`MAX_NESTED`] are counted per thread, since unrelated components are
/// created on several threads. A plug-in that requests components from its own threads evades them.
pub const MAX_DEPTH: usize = 16;

/// Maximum number of components that are created while an outermost one is created.
pub const MAX_NESTED: usize = 1024;

/// Checks that `found` is at most `most`; `what` names the items in the plural.
///
/// # Errors
/// Returns the message if there are too many.
pub fn check(found: usize, most: usize, what: &str) -> Result<(), String> {
    match found > most {
        true => Err(format!("returned {found} {what}; at most {most} are allowed")),
        false => Ok(()),
    }
}

/// Returns the message for a text that is too long; `what` names the text, without an article.
pub fn too_long(what: &str, length: usize, most: usize) -> String {
    format!("returned a {what} of {length} bytes; at most {most} are allowed")
}
