//! The numbers of Arrow arrays, in C order, for a metric.

use std::ops::Range;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use plugfit::compile::Values;
use plugfit::{Error, Result};

/// Memory for the numbers of one argument, reused for the next batch.
#[derive(Debug, Default)]
pub struct Scratch {
    f32: Vec<f32>,
    f64: Vec<f64>,
    i32: Vec<i32>,
    i64: Vec<i64>,
    u64: Vec<u64>,
    u8: Vec<u8>,
}

impl Scratch {
    /// Returns the allocated memory in bytes.
    pub fn size(&self) -> usize {
        4 * (self.f32.capacity() + self.i32.capacity())
            + 8 * (self.f64.capacity() + self.i64.capacity() + self.u64.capacity())
            + self.u8.capacity()
    }
}

/// Returns whether an argument may have this type.
///
/// # Errors
/// Returns an error that says what to do if it may not.
pub fn check_type(name: &str, found: &DataType) -> Result<()> {
    match found {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            match is_number(field.data_type()) {
                true => Ok(()),
                false => Err(Error::usage(format!("{name} is a list of {}, not of numbers", field.data_type()))),
            }
        }
        found if is_number(found) => Ok(()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            Err(Error::usage(format!("{name} is a column of text, and a metric takes numbers"))
                .hint("number the classes: `plugfit score --classes`, or class_id(label, 'first', 'second', …) in SQL"))
        }
        DataType::Null => Err(Error::usage(format!("{name} has no values, only nulls"))),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            Err(Error::usage(format!("{name} is a column of {found}, and a metric takes floats or integers"))
                .hint("cast it: CAST(… AS DOUBLE)"))
        }
        other => Err(Error::usage(format!("{name} is a column of {other}, and a metric takes numbers"))),
    }
}

fn is_number(found: &DataType) -> bool {
    matches!(found, DataType::Boolean | DataType::Float32 | DataType::Float64) || found.is_integer()
}

/// Returns the numbers of an array as rows: `rows` selects them in this order, or all of them in theirs. A column has
/// the shape (rows, 1), and a column of lists (rows, length). The numbers are copied only if their rows are selected, or
/// if a plug-in takes no such dtype.
///
/// # Errors
/// Returns an error if a value is null, if lists differ in length, or if the values aren't numbers.
pub fn values<'a>(
    name: &str,
    array: &'a ArrayRef,
    rows: Option<&[u32]>,
    scratch: &'a mut Scratch,
) -> Result<Values<'a>> {
    check_type(name, array.data_type())?;
    if array.null_count() > 0
        && let Some(row) = selected(array, rows).find(|row| array.is_null(*row))
    {
        let place = if rows.is_none() { format!(" in row {row} of a batch") } else { String::new() };
        return Err(Error::usage(format!("{name} is null{place}")).hint("leave such rows out: WHERE … IS NOT NULL"));
    }
    match array.data_type() {
        DataType::List(_) => of_lists::<i32>(name, array, rows, scratch),
        DataType::LargeList(_) => of_lists::<i64>(name, array, rows, scratch),
        DataType::FixedSizeList(_, length) => {
            let list = array.as_fixed_size_list();
            let width = usize::try_from(*length).unwrap_or(0);
            let start = usize::try_from(list.value_offset(0)).unwrap_or(0);
            let place = |row: usize| start + row * width;
            let all = start..start + array.len() * width;
            numbers(name, list.values(), Window { place, width, all }, rows, array.len(), scratch)
        }
        _ => {
            numbers(name, array, Window { place: |row| row, width: 1, all: 0..array.len() }, rows, array.len(), scratch)
        }
    }
}

/// Returns the rows that are used.
fn selected<'a>(array: &ArrayRef, rows: Option<&'a [u32]>) -> impl Iterator<Item = usize> + use<'a> {
    let all = if rows.is_none() { 0..array.len() } else { 0..0 };
    rows.into_iter().flatten().map(|row| *row as usize).chain(all)
}

/// Where the numbers of the rows are among the elements.
struct Window<P> {
    /// Returns the place of the first number of a row.
    place: P,
    /// The number of elements of a row.
    width: usize,
    /// The elements of all rows, if these are contiguous.
    all: Range<usize>,
}

fn of_lists<'a, O: OffsetSizeTrait>(
    name: &str,
    array: &'a ArrayRef,
    rows: Option<&[u32]>,
    scratch: &'a mut Scratch,
) -> Result<Values<'a>> {
    let list = array.as_list::<O>();
    let offsets = list.value_offsets();
    let place = |row: usize| offsets.get(row).map_or(0, |offset| offset.as_usize());
    let length = |row: usize| place(row + 1).saturating_sub(place(row));
    let mut lengths = selected(array, rows).map(length);
    let width = lengths.next().unwrap_or(0);
    if let Some(other) = lengths.find(|length| *length != width) {
        return Err(Error::usage(format!("{name} has lists of {width} and of {other} numbers")));
    }
    let all = place(0)..place(array.len());
    numbers(name, list.values(), Window { place, width, all }, rows, array.len(), scratch)
}

fn numbers<'a>(
    name: &str,
    elements: &'a ArrayRef,
    window: Window<impl Fn(usize) -> usize>,
    rows: Option<&[u32]>,
    length: usize,
    scratch: &'a mut Scratch,
) -> Result<Values<'a>> {
    let Window { place, width, all } = window;
    let is_list = elements.len() != length || width != 1;
    let row_places = |row: &u32| place(*row as usize)..place(*row as usize) + width;
    if elements.null_count() > 0 && is_list {
        let is_null = |mut places: Range<usize>| places.any(|at| elements.is_null(at));
        if rows.map_or_else(|| is_null(all.clone()), |rows| rows.iter().any(|row| is_null(row_places(row)))) {
            return Err(Error::usage(format!("a list in {name} contains null")).hint("leave such rows out with WHERE"));
        }
    }
    let shape = [rows.map_or(length, <[u32]>::len), width];
    /// Copies the numbers of the selected rows, converted.
    macro_rules! select {
        ($arrow:ty, $rows:expr, $to:ident, $convert:expr) => {{
            let from = elements.as_primitive::<$arrow>().values();
            let to = &mut scratch.$to;
            to.clear();
            match width {
                // The rows are those of this array.
                1 => to.extend($rows.iter().map(|row| &from[place(*row as usize)]).map($convert)),
                _ => {
                    let of_row = |row| from.get(row_places(row)).unwrap_or_default();
                    to.extend($rows.iter().flat_map(of_row).map($convert));
                }
            }
        }};
    }
    /// The numbers as they are.
    macro_rules! same {
        ($arrow:ty, $to:ident) => {
            match rows {
                None => Ok(Values::new(part::<$arrow>(elements, all), &shape)),
                Some(rows) => {
                    select!($arrow, rows, $to, |number| *number);
                    Ok(Values::new(&scratch.$to, &shape))
                }
            }
        };
    }
    /// The numbers in another type that can hold them all.
    macro_rules! wider {
        ($arrow:ty, $to:ident) => {{
            match rows {
                None => {
                    scratch.$to.clear();
                    scratch.$to.extend(part::<$arrow>(elements, all).iter().map(|number| $to::from(*number)));
                }
                Some(rows) => select!($arrow, rows, $to, |number| $to::from(*number)),
            }
            Ok(Values::new(&scratch.$to, &shape))
        }};
    }
    match elements.data_type() {
        DataType::Float32 => same!(Float32Type, f32),
        DataType::Float64 => same!(Float64Type, f64),
        DataType::Int32 => same!(Int32Type, i32),
        DataType::Int64 => same!(Int64Type, i64),
        DataType::UInt64 => same!(UInt64Type, u64),
        DataType::UInt8 => same!(UInt8Type, u8),
        DataType::Int8 => wider!(Int8Type, i32),
        DataType::Int16 => wider!(Int16Type, i32),
        DataType::UInt16 => wider!(UInt16Type, i32),
        DataType::UInt32 => wider!(UInt32Type, i64),
        DataType::Boolean => {
            let bits = elements.as_boolean().values();
            let bit = |at: usize| u8::from(bits.value(at));
            scratch.u8.clear();
            match rows {
                None => scratch.u8.extend(all.map(bit)),
                Some(rows) => scratch.u8.extend(rows.iter().flat_map(row_places).map(bit)),
            }
            Ok(Values::new(&scratch.u8, &shape))
        }
        other => Err(Error::usage(format!("{name} is a column of {other}, and a metric takes numbers"))),
    }
}

fn part<T: ArrowPrimitiveType>(elements: &ArrayRef, places: Range<usize>) -> &[T::Native] {
    elements.as_primitive::<T>().values().get(places).unwrap_or_default()
}
