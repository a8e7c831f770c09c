//! Digests of files.

use sha2::{Digest, Sha256};

use super::image;

/// Returns the SHA-256 of the bytes in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a digest of the loaded parts of a library and of its length. Debugging symbols aren't read.
pub fn digest(bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(&bytes[..image::mapped_length(bytes)]);
    hash.update(bytes.len().to_le_bytes());
    hex(&hash.finalize())
}
