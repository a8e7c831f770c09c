//! The element types of arrays, as numbers.

/// An element type of an input array.
pub trait Number: Copy {
    /// Returns the number as float64. Large integers are rounded.
    fn to_f64(self) -> f64;

    /// Returns whether the type is an integer type and the value isn't exact in float32.
    fn is_inexact_f32(self) -> bool;
}

macro_rules! number {
    ($type:ty, $self:ident => $inexact:expr) => {
        impl Number for $type {
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn is_inexact_f32($self) -> bool {
                $inexact
            }
        }
    };
}
number!(f32, self => false);
number!(f64, self => false);
number!(i8, self => false);
number!(u8, self => false);
number!(i16, self => false);
number!(u16, self => false);
number!(i32, self => f64::from(self as f32) != f64::from(self));
number!(u32, self => f64::from(self as f32) != f64::from(self));
number!(i64, self => self.unsigned_abs() > MAX_EXACT_INTEGER && self as f32 as i128 != i128::from(self));
number!(u64, self => self > MAX_EXACT_INTEGER && self as f32 as i128 != i128::from(self));

/// Every integer of at most this magnitude is exact in float32.
const MAX_EXACT_INTEGER: u64 = 1 << f32::MANTISSA_DIGITS;
