use crate::Interface;

/// The first eight bytes of every root.
pub const MAGIC: [u8; 8] = *b"plugfit\0";

/// The version of the root and of the rules in this crate's front page.
pub const ABI_VERSION: u32 = 1;

/// What the symbol of a plug-in's root starts with; its crate's name follows.
pub const ROOT_SYMBOL_PREFIX: &str = "plugfit_root__";

/// The link section that holds the manifest, so that it is read with no code of the plug-in run.
pub const MANIFEST_SECTION: &str = ".plugfit.manifest";

/// What a plug-in exports: three things, for ever. Plain C; none of `abi_stable`'s types stand here, so that magic and
/// version can be read whatever the rest was built with.
#[repr(C)]
pub struct Root {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`ABI_VERSION`] of the plug-in.
    pub abi_version: u32,
    /// 0.
    pub reserved: u32,
    /// JSON in UTF-8, the same bytes as in [`MANIFEST_SECTION`].
    pub manifest: *const u8,
    /// Its length in bytes.
    pub manifest_length: usize,
    /// The interface with this id (UTF-8, not terminated), or null. What it points at lives as long as the library.
    pub get_interface: unsafe extern "C" fn(id: *const u8, length: usize) -> *const Interface,
}

// SAFETY: immutable data and a function pointer.
unsafe impl Sync for Root {}
