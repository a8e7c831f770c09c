//! Category ids, stored as float32.

/// Returns the id in `0..categories` that a value holds; `None` if it is another number. Ids up to 2^24 are exact in
/// float32, and an embedding has no more categories.
pub fn id(value: f32, categories: usize) -> Option<usize> {
    // The conversion maps NaN and negative numbers to 0, and the comparison then rejects them.
    let id = value as usize;
    (id < categories && id as f32 == value).then_some(id)
}

/// The largest number of categories: up to it, every whole number is a float32.
pub const MAX_CATEGORIES: usize = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_in_the_range_are_ids() {
        assert_eq!([0.0, 4.0, -0.0].map(|value| id(value, 5)), [Some(0), Some(4), Some(0)]);
        for value in [5.0, -1.0, 1.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
            assert_eq!(id(value, 5), None, "{value}");
        }
    }
}
