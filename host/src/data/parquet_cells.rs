//! The cells of a Parquet column: which Arrow types are read, and as what.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal256Type, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Decimal256Array, Float64Array, Int64Array, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DECIMAL256_MAX_PRECISION, DataType};

use super::table::{Cell, Unusable};

/// A block of a column's cells.
pub enum Cells {
    /// Integers of up to 64 bits, and booleans as 0 and 1.
    Integers(Int64Array),
    /// Integers that int64 may not hold: uint64 and decimals without a fraction.
    Wide(Decimal256Array),
    Numbers(Float64Array),
    Words(StringArray),
    /// The column has nothing but missing values.
    Missing,
}

impl Cells {
    /// Why no column of this type can be read; none if it can.
    pub fn unusable(data_type: &DataType) -> Option<Unusable> {
        use DataType as T;
        Some(match data_type {
            T::Timestamp(..) | T::Date32 | T::Date64 | T::Time32(_) | T::Time64(_) => Unusable::Time,
            T::Duration(_) | T::Interval(_) => Unusable::Duration,
            T::List(_) | T::LargeList(_) | T::ListView(_) | T::LargeListView(_) | T::FixedSizeList(..) | T::Map(..) => {
                Unusable::Lists
            }
            T::Null | T::Boolean | T::Utf8 | T::LargeUtf8 | T::Utf8View => return None,
            T::Binary | T::LargeBinary | T::BinaryView => return None,
            T::Dictionary(_, values) => return Self::unusable(values),
            other if other.is_numeric() => return None,
            other => Unusable::Type(other.to_string()),
        })
    }

    /// Reads an array of a type that isn't [`unusable`](Self::unusable).
    ///
    /// # Errors
    /// A value doesn't fit, or bytes aren't UTF-8 text.
    pub fn read(array: &ArrayRef) -> Result<Self, ArrowError> {
        use DataType as T;
        // An error where a value doesn't fit, and not a missing value.
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let cast = |to: &DataType| cast_with_options(array, to, &strict);
        Ok(match array.data_type() {
            T::Null => Cells::Missing,
            T::UInt64 => Cells::Wide(cast(&whole_decimal())?.as_primitive::<Decimal256Type>().clone()),
            T::Decimal32(_, 0) | T::Decimal64(_, 0) | T::Decimal128(_, 0) | T::Decimal256(_, 0) => {
                Cells::Wide(cast(&whole_decimal())?.as_primitive::<Decimal256Type>().clone())
            }
            T::Boolean => Cells::Integers(cast(&T::Int64)?.as_primitive::<Int64Type>().clone()),
            integer if integer.is_integer() => Cells::Integers(cast(&T::Int64)?.as_primitive::<Int64Type>().clone()),
            number if number.is_numeric() => Cells::Numbers(cast(&T::Float64)?.as_primitive::<Float64Type>().clone()),
            T::Utf8 | T::LargeUtf8 | T::Utf8View => Cells::Words(cast(&T::Utf8)?.as_string().clone()),
            // Without an annotation that says what they are: some writers leave it out for text.
            _ => Cells::Words(StringArray::try_from_binary(cast(&T::Binary)?.as_binary::<i32>().clone())?),
        })
    }

    /// The cell of a row of the block.
    pub fn get(&self, row: usize) -> Cell<'_> {
        match self {
            Cells::Integers(cells) if cells.is_valid(row) => Cell::Integer(cells.value(row).into()),
            Cells::Wide(cells) if cells.is_valid(row) => {
                let wide = cells.value(row);
                match wide.to_i128() {
                    Some(integer) => Cell::Integer(integer),
                    None => Cell::Number(wide.to_string().parse().unwrap_or(f64::INFINITY)),
                }
            }
            Cells::Numbers(cells) if cells.is_valid(row) && !cells.value(row).is_nan() => {
                Cell::Number(cells.value(row))
            }
            Cells::Words(cells) if cells.is_valid(row) => Cell::Word(cells.value(row)),
            _ => Cell::Missing,
        }
    }
}

fn whole_decimal() -> DataType {
    DataType::Decimal256(DECIMAL256_MAX_PRECISION, 0)
}

/// The columns of flat arrays within structs, in the order of the file.
pub fn leaves(array: &ArrayRef, found: &mut Vec<ArrayRef>) {
    match array.as_struct_opt() {
        // What is missing in a struct is missing in its columns, as they are read.
        Some(fields) => fields.columns().iter().for_each(|field| leaves(field, found)),
        None => found.push(Arc::clone(array)),
    }
}

/// The types of the flat columns within these, in the order of the file.
pub fn leaf_types(data_type: &DataType, found: &mut Vec<DataType>) {
    match data_type {
        DataType::Struct(fields) => fields.iter().for_each(|field| leaf_types(field.data_type(), found)),
        other => found.push(other.clone()),
    }
}
