//! Converts Arrow arrays to cells; defines which Arrow types are supported.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal256Type, Float32Type, Float64Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal256Array, Float64Array, Int64Array, StringArray,
    downcast_integer_array, make_array,
};
use arrow_buffer::NullBuffer;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DECIMAL256_MAX_PRECISION, DataType, TimeUnit};

use crate::data::table::{Cell, Unusable};

/// The cells of one column in a block of rows.
pub enum Cells {
    Booleans(BooleanArray),
    /// Integers of up to 64 bits, except uint64.
    Integers(Int64Array),
    /// Integers that may exceed int64: uint64, and decimals of scale 0.
    Wide(Decimal256Array),
    Numbers(Float64Array),
    /// Dates and timestamps, in units of this many seconds.
    Dates(Int64Array, f64),
    Words(StringArray),
    /// Bytes without a logical type. Some writers omit the type for text.
    Bytes(BinaryArray),
    /// The column contains only missing values.
    Missing,
}

impl Cells {
    /// Returns why a column of this type can't be read, or `None` if it can.
    pub fn unusable(data_type: &DataType) -> Option<Unusable> {
        use DataType as T;
        Some(match data_type {
            T::Timestamp(..) | T::Date32 | T::Date64 => Unusable::Date,
            T::Time32(_) | T::Time64(_) => Unusable::Time,
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

    /// Returns the unit in seconds of dates that are stored as integers without a logical type, because Parquet has
    /// none for them.
    pub fn unit_of_stored_dates(data_type: &DataType) -> Option<f64> {
        match data_type {
            DataType::Timestamp(TimeUnit::Second, _) => Some(1.0),
            DataType::Date64 => Some(1e-3),
            _ => None,
        }
    }

    /// Converts an array whose type isn't [`unusable`](Self::unusable), or is a date.
    ///
    /// # Errors
    /// Returns an error if a value is out of range.
    pub fn read(array: &ArrayRef) -> Result<Self, ArrowError> {
        use DataType as T;
        // By default, a value that is out of range becomes null; `safe: false` makes it an error.
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let cast = |to: &DataType| cast_with_options(array, to, &strict);
        Ok(match array.data_type() {
            T::Null => Cells::Missing,
            T::UInt64 => Cells::Wide(cast(&integer_decimal())?.as_primitive::<Decimal256Type>().clone()),
            T::Decimal32(_, 0) | T::Decimal64(_, 0) | T::Decimal128(_, 0) | T::Decimal256(_, 0) => {
                Cells::Wide(cast(&integer_decimal())?.as_primitive::<Decimal256Type>().clone())
            }
            T::Boolean => Cells::Booleans(array.as_boolean().clone()),
            T::Date32 => Cells::Dates(cast(&T::Int32).and_then(|days| int64(&days))?, 86_400.0),
            T::Date64 => Cells::Dates(int64(array)?, 1e-3),
            // The number is that of a time in UTC, whatever the time zone for display is.
            T::Timestamp(unit, _) => {
                let unit = match unit {
                    TimeUnit::Second => 1.0,
                    TimeUnit::Millisecond => 1e-3,
                    TimeUnit::Microsecond => 1e-6,
                    TimeUnit::Nanosecond => 1e-9,
                };
                Cells::Dates(int64(array)?, unit)
            }
            // The `as` conversion is exact for every type here.
            #[allow(clippy::unnecessary_cast, reason = "int64 is one of the types")]
            integer if integer.is_integer() => Cells::Integers(downcast_integer_array!(
                array => array.unary(|integer| integer as i64),
                _ => unreachable!("it is of an integer type"),
            )),
            T::Float32 => Cells::Numbers(array.as_primitive::<Float32Type>().unary(f64::from)),
            number if number.is_numeric() => Cells::Numbers(cast(&T::Float64)?.as_primitive::<Float64Type>().clone()),
            T::Binary | T::LargeBinary | T::BinaryView => Cells::Bytes(cast(&T::Binary)?.as_binary::<i32>().clone()),
            T::Dictionary(_, values) => Self::read(&cast(values)?)?,
            _ => Cells::Words(cast(&T::Utf8)?.as_string().clone()),
        })
    }

    /// Returns the cell of a row of the block.
    pub fn get(&self, row: usize) -> Cell<'_> {
        match self {
            Cells::Booleans(cells) if cells.is_valid(row) => Cell::Boolean(cells.value(row)),
            Cells::Integers(cells) if cells.is_valid(row) => Cell::Integer(cells.value(row).into()),
            Cells::Wide(cells) if cells.is_valid(row) => {
                let wide = cells.value(row);
                match wide.to_i128() {
                    Some(integer) => Cell::Integer(integer),
                    None => Cell::Huge(wide.to_string().parse().unwrap_or(f64::INFINITY)),
                }
            }
            Cells::Numbers(cells) if cells.is_valid(row) && !cells.value(row).is_nan() => {
                Cell::Number(cells.value(row))
            }
            Cells::Dates(cells, unit) if cells.is_valid(row) => Cell::Date(cells.value(row) as f64 * unit),
            Cells::Words(cells) if cells.is_valid(row) => Cell::Word(cells.value(row)),
            Cells::Bytes(cells) if cells.is_valid(row) => {
                let bytes = cells.value(row);
                std::str::from_utf8(bytes).map_or(Cell::Bytes(bytes), Cell::Word)
            }
            _ => Cell::Missing,
        }
    }
}

fn int64(array: &ArrayRef) -> Result<Int64Array, ArrowError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(array, &DataType::Int64, &strict)?.as_primitive::<Int64Type>().clone())
}

fn integer_decimal() -> DataType {
    DataType::Decimal256(DECIMAL256_MAX_PRECISION, 0)
}

/// Appends the leaf columns of an array, in file order. `outer` are the nulls of the enclosing struct; they are
/// applied to the columns, because Arrow stores arbitrary values there if a column isn't nullable.
///
/// # Errors
/// Returns an error if an array can't have these nulls.
pub fn leaves(array: &ArrayRef, outer: Option<&NullBuffer>, found: &mut Vec<ArrayRef>) -> Result<(), ArrowError> {
    if let Some(fields) = array.as_struct_opt() {
        let nulls = NullBuffer::union(outer, array.nulls());
        return fields.columns().iter().try_for_each(|field| leaves(field, nulls.as_ref(), found));
    }
    found.push(match outer {
        Some(outer) if outer.null_count() > 0 && *array.data_type() != DataType::Null => {
            let nulls = NullBuffer::union(Some(outer), array.nulls());
            make_array(array.to_data().into_builder().nulls(nulls).build()?)
        }
        _ => Arc::clone(array),
    });
    Ok(())
}

/// Appends the types of the leaf columns of `data_type`, in file order.
pub fn leaf_types(data_type: &DataType, found: &mut Vec<DataType>) {
    match data_type {
        DataType::Struct(fields) => fields.iter().for_each(|field| leaf_types(field.data_type(), found)),
        other => found.push(other.clone()),
    }
}
