//! The numbers of Arrow arrays, in C order, for a metric.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, PrimitiveArray};
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
    if array.null_count() > 0 {
        return Err(null(name, array, rows));
    }
    let count = rows.map_or(array.len(), <[u32]>::len);
    match array.data_type() {
        DataType::List(_) => of_lists::<i32>(name, array, rows, scratch),
        DataType::LargeList(_) => of_lists::<i64>(name, array, rows, scratch),
        DataType::FixedSizeList(_, length) => {
            let list = array.as_fixed_size_list();
            let width = usize::try_from(*length).unwrap_or(0);
            let start = usize::try_from(list.value_offset(0)).unwrap_or(0);
            let window = Window { start, width, all: array.len() };
            numbers(name, list.values(), window, rows, count, scratch)
        }
        _ => numbers(name, array, Window { start: 0, width: 1, all: array.len() }, rows, count, scratch),
    }
}

/// Where the rows are in the array of their elements.
#[derive(Clone, Copy)]
struct Window {
    start: usize,
    /// The number of elements of a row.
    width: usize,
    /// The number of rows.
    all: usize,
}

fn of_lists<'a, O: OffsetSizeTrait>(
    name: &str,
    array: &'a ArrayRef,
    rows: Option<&[u32]>,
    scratch: &'a mut Scratch,
) -> Result<Values<'a>> {
    let list = array.as_list::<O>();
    let offsets = list.value_offsets();
    let start = offsets.first().map_or(0, |offset| offset.as_usize());
    let mut lengths = offsets.windows(2).map(|pair| match pair {
        [from, to] => to.as_usize().saturating_sub(from.as_usize()),
        _ => 0,
    });
    let width = lengths.next().unwrap_or(0);
    if let Some(other) = lengths.find(|length| *length != width) {
        return Err(Error::usage(format!("{name} has lists of {width} and of {other} numbers")));
    }
    let count = rows.map_or(array.len(), <[u32]>::len);
    numbers(name, list.values(), Window { start, width, all: array.len() }, rows, count, scratch)
}

fn null(name: &str, array: &ArrayRef, rows: Option<&[u32]>) -> Error {
    let is_null = |row: usize| array.is_null(row);
    // Rows that were left out by a FILTER may be null, and the caller says which are used.
    let row = match rows {
        Some(rows) => rows.iter().map(|row| *row as usize).find(|row| is_null(*row)),
        None => (0..array.len()).find(|row| is_null(*row)),
    };
    let place = row.map_or_else(String::new, |row| format!(" in row {row} of a batch"));
    Error::usage(format!("{name} is null{place}")).hint("leave such rows out: WHERE … IS NOT NULL")
}

fn numbers<'a>(
    name: &str,
    elements: &'a ArrayRef,
    window: Window,
    rows: Option<&[u32]>,
    count: usize,
    scratch: &'a mut Scratch,
) -> Result<Values<'a>> {
    let Window { start, width, all } = window;
    if elements.null_count() > 0 && elements.slice(start, all * width).null_count() > 0 {
        return Err(Error::usage(format!("a list in {name} contains null")).hint("leave such rows out with WHERE"));
    }
    let shape = [count, width];
    /// The elements as they are, or those of the selected rows, copied.
    macro_rules! same {
        ($arrow:ty, $to:ident) => {{
            let all_values = part::<$arrow>(elements, start, all * width);
            match rows {
                None => Ok(Values::new(all_values, &shape)),
                Some(rows) => {
                    select(all_values, width, rows, &mut scratch.$to, |number| number);
                    Ok(Values::new(&scratch.$to, &shape))
                }
            }
        }};
    }
    /// The elements in another type that can hold them all.
    macro_rules! wider {
        ($arrow:ty, $to:ident) => {{
            let all_values = part::<$arrow>(elements, start, all * width);
            match rows {
                None => {
                    scratch.$to.clear();
                    scratch.$to.extend(all_values.iter().map(|&number| $to::from(number)));
                }
                Some(rows) => select(all_values, width, rows, &mut scratch.$to, $to::from),
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
                None => scratch.u8.extend((start..start + all * width).map(bit)),
                Some(rows) => {
                    let from = |row: &u32| start + *row as usize * width;
                    scratch.u8.extend(rows.iter().flat_map(|row| from(row)..from(row) + width).map(bit));
                }
            }
            Ok(Values::new(&scratch.u8, &shape))
        }
        other => Err(Error::usage(format!("{name} is a column of {other}, and a metric takes numbers"))),
    }
}

fn part<T: ArrowPrimitiveType>(elements: &ArrayRef, start: usize, length: usize) -> &[T::Native] {
    let array: &PrimitiveArray<T> = elements.as_primitive();
    array.values().get(start..start + length).unwrap_or_default()
}

/// Copies the selected rows.
fn select<F: Copy, T>(all: &[F], width: usize, rows: &[u32], to: &mut Vec<T>, convert: impl Fn(F) -> T + Copy) {
    to.clear();
    if width == 1 {
        to.extend(rows.iter().filter_map(|row| all.get(*row as usize)).map(|number| convert(*number)));
        return;
    }
    for row in rows {
        let start = *row as usize * width;
        to.extend(all.get(start..start + width).unwrap_or_default().iter().map(|number| convert(*number)));
    }
}
