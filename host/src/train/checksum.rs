//! Safetensors files with a CRC-32C checksum of the whole file in their metadata.

use std::collections::HashMap;
use std::ops::Range;

use safetensors::tensor::View;

/// The key in the metadata, and its value during the computation of the checksum.
const KEY: &str = "checksum";
const BLANK: &str = "crc32c:00000000";
const DIGITS: usize = 8;

/// The result of checking a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The checksum matches.
    Whole,
    /// The checksum doesn't match.
    Damaged,
    /// The file has no checksum: an older version of plugfit or another program wrote it.
    None,
}

/// Serializes tensors, with a checksum in the metadata.
pub fn serialize<V: View>(
    tensors: impl IntoIterator<Item = (String, V)>,
    metadata: Option<(&str, String)>,
) -> Result<Vec<u8>, String> {
    let about = metadata.map(|(key, text)| (key.to_owned(), text));
    let metadata: HashMap<String, String> = about.into_iter().chain([(KEY.into(), BLANK.into())]).collect();
    let mut bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|error| error.to_string())?;
    let digits = digits(&bytes).ok_or("its checksum has no place")?;
    let checksum = format!("{:08x}", compute(&bytes, &digits));
    bytes[digits].copy_from_slice(checksum.as_bytes());
    Ok(bytes)
}

/// Checks a file's bytes against its checksum.
pub fn check(bytes: &[u8]) -> Verdict {
    match digits(bytes) {
        None => Verdict::None,
        Some(digits) if bytes[digits.clone()] == *format!("{:08x}", compute(bytes, &digits)).as_bytes() => {
            Verdict::Whole
        }
        Some(_) => Verdict::Damaged,
    }
}

/// Returns the position of the checksum's digits. The match is unambiguous: in any other string of the header the
/// quotes would be escaped.
fn digits(bytes: &[u8]) -> Option<Range<usize>> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let before = format!("\"{KEY}\":\"{}", &BLANK[..BLANK.len() - DIGITS]);
    let start = size_of_val(length)
        + header.windows(before.len()).position(|window| window == before.as_bytes())?
        + before.len();
    (start + DIGITS <= size_of_val(length) + header.len()).then_some(start..start + DIGITS)
}

/// Computes the checksum of a file, with zeros in place of its digits.
fn compute(bytes: &[u8], digits: &Range<usize>) -> u32 {
    let zeros = [b'0'; DIGITS];
    [&bytes[..digits.start], &zeros, &bytes[digits.end..]]
        .iter()
        .fold(0, |checksum, part| crc32c::crc32c_append(checksum, part))
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, SafeTensors, TensorView};

    use super::*;

    #[test]
    fn the_checksum_covers_every_bit_of_a_file() {
        let values = [1_u8, 2, 3, 4, 5, 6, 7, 8];
        let tensor = TensorView::new(Dtype::F32, vec![2], &values).expect("two numbers");
        let about = Some(("about", "{\"checksum\":\"crc32c:99999999\"}".to_owned()));
        let bytes = serialize([("a".to_owned(), tensor)], about).expect("it can be written");
        assert_eq!(check(&bytes), Verdict::Whole);
        assert_eq!(SafeTensors::deserialize(&bytes).expect("it is a file").tensor("a").expect("a").data(), values);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // Damage to the key itself leaves the tensor data unchanged.
            if check(&damaged) == Verdict::None {
                assert!(bit / 8 < bytes.len() - values.len(), "bit {bit}");
            } else {
                assert_eq!(check(&damaged), Verdict::Damaged, "bit {bit}");
            }
        }
        for length in 0..bytes.len() {
            assert_ne!(check(&bytes[..length]), Verdict::Whole, "{length} bytes");
        }
        let tensor = TensorView::new(Dtype::F32, vec![2], &values).expect("two numbers");
        let plain = safetensors::serialize([("a", tensor)], None).expect("it can be written");
        assert_eq!(check(&plain), Verdict::None);
    }
}
