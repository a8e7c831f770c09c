//! The greatest element of a long row.

use super::Real;

/// The number of float32 values in the widest vector registers.
pub(super) const LANES: usize = 16;

/// Returns the position of the first greatest element of a row that isn't empty, or NaN if an element is NaN.
#[inline(always)]
pub(super) fn first_greatest<R: Real<Mask = bool>>(row: &[R]) -> R {
    let (mut most, mut places) = ([row[0]; LANES], [R::from(0.0); LANES]);
    let mut next: [R; LANES] = std::array::from_fn(|k| R::from(k as f64));
    let mut visit = |elements: &[R]| {
        let elements = &elements[..LANES];
        for k in 0..LANES {
            // NaN stays the greatest of its lane.
            let is_more = elements[k].gt(most[k]) | !elements[k].eq(elements[k]);
            most[k] = R::select(is_more, elements[k], most[k]);
            places[k] = R::select(is_more, next[k], places[k]);
            next[k] = next[k] + LANES as f64;
        }
    };
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    chunks.for_each(&mut visit);
    if !rest.is_empty() {
        // Copies of the first element are never more than it.
        let mut last = [row[0]; LANES];
        last[..rest.len()].copy_from_slice(rest);
        visit(&last);
    }
    let (mut greatest, mut place) = (most[0], places[0]);
    for k in 0..LANES {
        let is_first = most[k].gt(greatest) | most[k].eq(greatest) & places[k].lt(place);
        let is_better = is_first | !most[k].eq(most[k]);
        greatest = R::select(is_better, most[k], greatest);
        place = R::select(is_better, places[k], place);
    }
    R::select(greatest.eq(greatest), place, greatest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plain;

    #[test]
    fn the_first_greatest_element_is_found_in_rows_of_any_length() {
        for n in 1..150usize {
            for place in [0, n / 2, n - 1] {
                let mut row = vec![Plain(1.0f32); n];
                row[place] = Plain(2.0);
                row[n - 1] = Plain(2.0);
                assert_eq!(first_greatest(&row), Plain(place as f32));
                assert_eq!(Real::row_argmax(&row), Plain(place as f32));
                row[place] = Plain(f32::NAN);
                assert!(first_greatest(&row).0.is_nan() && <Plain<f32> as Real>::row_argmax(&row).0.is_nan());
            }
            assert_eq!(first_greatest(&vec![Plain(f64::NEG_INFINITY); n]), Plain(0.0));
        }
    }
}
