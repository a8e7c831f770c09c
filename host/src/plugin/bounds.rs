//! The most that is taken of anything that a plug-in, or a file beside it, can give any amount of.
//!
//! A count or a length is compared with these before the host allocates or copies anything for it, so that a plug-in that gives too much
//! costs the host nothing but an error. They are far beyond what a component needs.

/// Bytes of a plug-in's manifest.
pub const MANIFEST: usize = 1 << 20;

/// Components in a manifest.
pub const COMPONENTS: usize = 1024;

/// Other names of a component.
pub const ALIASES: usize = 16;

/// Segments and sections of a library.
pub const SEGMENTS: usize = 64;
pub const SECTIONS: usize = 4096;

/// Entries of a library's dynamic section that name a library or folders.
pub const LINKS: usize = 64;

/// Bytes of such a name, and of a section's.
pub const LINK: usize = 4096;

/// Bytes of a symbol's name.
pub const SYMBOL: usize = 1 << 16;

/// Bytes of a lock file, and of a file of keys.
pub const RULES: u64 = 1 << 20;

/// Bytes of a text that is shown: an error's, a panic's, a line of the log. A longer one is cut.
pub const TEXT: usize = 4096;

/// Lines of an error's text, of which the first says what happened. Further ones are left out.
pub const ERROR_LINES: usize = 16;

/// Lines that a component writes to the log in one call. Further ones are left out.
pub const LOG_LINES: usize = 256;

/// Bytes of a name in a metric's result, or of a slot.
pub const NAME: usize = 256;

/// Bytes of a configuration, of what a component says of itself, and of the identifier of a nested component, as JSON.
pub const JSON: usize = 1 << 22;

/// Axes of a shape.
pub const AXES: usize = 32;

/// Names in a metric's result.
pub const NAMES: usize = 1024;

/// Numbers in a metric's result.
pub const NUMBERS: usize = 1 << 22;

/// Bytes of a metric's saved state.
pub const STATE: usize = 1 << 31;

/// Slots of an optimizer for each parameter, and as many for itself.
pub const SLOTS: usize = 64;

/// Numbers in all slots of an optimizer together, beyond [`SLOTS`] for each number of its parameters.
pub const SLOT_NUMBERS: u64 = 1 << 20;

/// How deep components may be nested in one another. This and [`NESTED`] are counted on each thread, since components that have nothing to do
/// with each other are made on several. A plug-in that asks for components from threads of its own is not held by them.
pub const DEPTH: usize = 16;

/// Components that are made while one is made.
pub const NESTED: usize = 1024;

/// Says that there are too many of something; `what` is in the plural.
pub fn check(found: usize, most: usize, what: &str) -> Result<(), String> {
    match found > most {
        true => Err(format!("gave {found} {what}, of which at most {most} are taken")),
        false => Ok(()),
    }
}

/// Says that a text is too long; `what` is what it is called, without an article.
pub fn too_long(what: &str, length: usize, most: usize) -> String {
    format!("gave a {what} of {length} bytes, of which at most {most} are taken")
}
