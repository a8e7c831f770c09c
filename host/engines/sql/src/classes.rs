//! Functions for classes: several columns as one, and labels as numbers.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float64Array, Int64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use plugfit::Error;

use crate::error::from_plugfit;

/// Returns the function `classes(a, b, …)`: columns of numbers as one column of lists, in float64. A row with a null is
/// null.
pub fn classes() -> ScalarUDF {
    ScalarUDF::new_from_impl(Classes { signature: Signature::user_defined(Volatility::Immutable) })
}

/// Returns the function `class_id(label, 'first', 'second', …)`: the place of a label among the classes, from 0. A null
/// is null, and another label is an error.
pub fn class_id() -> ScalarUDF {
    ScalarUDF::new_from_impl(ClassId { signature: Signature::user_defined(Volatility::Immutable) })
}

/// Returns the function `class_of(scores)`: the place of the greatest of the numbers of a list, the first one if there are
/// several, from 0. A null, and a list without numbers, is null.
#[cfg(feature = "cli")]
pub fn class_of() -> ScalarUDF {
    ScalarUDF::new_from_impl(ClassOf { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Classes {
    signature: Signature,
}

fn list_type(count: usize) -> DataType {
    let length = i32::try_from(count).unwrap_or(i32::MAX);
    DataType::FixedSizeList(Arc::new(Field::new_list_field(DataType::Float64, false)), length)
}

impl ScalarUDFImpl for Classes {
    fn name(&self) -> &str {
        "classes"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // DataFusion would make a text of an error here; `return_type` returns it.
        let is_valid = types.iter().all(DataType::is_numeric);
        Ok(if is_valid { vec![DataType::Float64; types.len()] } else { types.to_vec() })
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.iter().find(|found| !found.is_numeric()) {
            _ if types.is_empty() => Err(from_plugfit(Error::usage("classes takes a column for each class"))),
            Some(found) => Err(from_plugfit(Error::usage(format!("classes takes numbers, not {found}")))),
            None => Ok(list_type(types.len())),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let width = args.args.len();
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let rows = arrays.first().map_or(0, |array| array.len());
        let mut numbers = vec![0.0; rows * width];
        let mut nulls: Option<NullBuffer> = None;
        for (at, array) in arrays.iter().enumerate() {
            let array = array.as_primitive::<Float64Type>();
            nulls = NullBuffer::union(nulls.as_ref(), array.nulls());
            for (place, number) in numbers.iter_mut().skip(at).step_by(width).zip(array.values()) {
                *place = *number;
            }
        }
        let DataType::FixedSizeList(field, length) = list_type(width) else {
            return Err(DataFusionError::Internal("a list has another type".into()));
        };
        let list = FixedSizeListArray::try_new(field, length, Arc::new(Float64Array::from(numbers)), nulls)?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ClassId {
    signature: Signature,
}

impl ScalarUDFImpl for ClassId {
    fn name(&self) -> &str {
        "class_id"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Labels may be numbers too: they are compared as texts.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Utf8; types.len()])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.len() {
            0 | 1 => Err(from_plugfit(Error::usage("class_id takes a label and its classes"))),
            _ => Ok(DataType::Int64),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [label, classes @ ..] = &args.args[..] else {
            return Err(from_plugfit(Error::usage("class_id takes a label and its classes")));
        };
        let name = |class: &ColumnarValue| match class {
            ColumnarValue::Scalar(scalar) => match scalar.try_as_str() {
                Some(Some(text)) => Ok(text.to_owned()),
                _ => Err(from_plugfit(Error::usage("a class of class_id is null"))),
            },
            ColumnarValue::Array(_) => Err(from_plugfit(Error::usage("the classes of class_id must be literal texts"))),
        };
        let classes = classes.iter().map(name).collect::<Result<Vec<_>>>()?;
        let labels: ArrayRef = cast(&label.to_array(args.number_rows)?, &DataType::Utf8)?;
        let id = |label: Option<&str>| -> Result<Option<i64>> {
            let Some(label) = label else { return Ok(None) };
            match classes.iter().position(|class| class == label) {
                Some(at) => Ok(i64::try_from(at).ok()),
                None => Err(from_plugfit(
                    Error::usage(format!("\"{label}\" isn't one of the classes")).with("has", classes.join(", ")),
                )),
            }
        };
        let ids = labels.as_string::<i32>().iter().map(id).collect::<Result<Int64Array>>()?;
        match label {
            ColumnarValue::Scalar(_) => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&ids, 0)?)),
            ColumnarValue::Array(_) => Ok(ColumnarValue::Array(Arc::new(ids))),
        }
    }
}

#[cfg(feature = "cli")]
#[derive(Debug, PartialEq, Eq, Hash)]
struct ClassOf {
    signature: Signature,
}

#[cfg(feature = "cli")]
impl ScalarUDFImpl for ClassOf {
    fn name(&self) -> &str {
        "class_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [scores] = &ColumnarValue::values_to_arrays(&args.args)?[..] else {
            return Err(from_plugfit(Error::usage("class_of takes a column of lists")));
        };
        let lists = cast(scores, &DataType::LargeList(Arc::new(Field::new_list_field(DataType::Float64, true))))?;
        let lists = lists.as_list::<i64>();
        let numbers = lists.values().as_primitive::<Float64Type>().values();
        let greatest = |row: usize| {
            let ends = lists.value_offsets().get(row..row + 2).filter(|_| lists.is_valid(row))?;
            let scores = numbers.get(usize::try_from(ends[0]).ok()?..usize::try_from(ends[1]).ok()?)?;
            let best = |best: usize, at: usize| if scores[at] > scores[best] { at } else { best };
            (!scores.is_empty()).then(|| (1..scores.len()).fold(0, best) as i64)
        };
        Ok(ColumnarValue::Array(Arc::new((0..lists.len()).map(greatest).collect::<Int64Array>())))
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use datafusion::arrow::array::ListArray;
    use datafusion::config::ConfigOptions;

    use super::*;

    #[test]
    fn the_class_of_scores_is_the_first_greatest() {
        let lists = vec![
            Some(vec![Some(0.1), Some(0.7), Some(0.2)]),
            None,
            Some(vec![Some(0.5), Some(0.5), Some(0.1)]),
            Some(Vec::new()),
        ];
        let lists = ListArray::from_iter_primitive::<Float64Type, _, _>(lists);
        let args = ScalarFunctionArgs {
            args: vec![ColumnarValue::Array(Arc::new(lists))],
            arg_fields: Vec::new(),
            number_rows: 4,
            return_field: Arc::new(Field::new("class", DataType::Int64, true)),
            config_options: Arc::new(ConfigOptions::default()),
        };
        let ColumnarValue::Array(found) = class_of().invoke_with_args(args).expect("lists") else { panic!("a scalar") };
        let expected = Int64Array::from(vec![Some(1), None, Some(0), None]);
        assert_eq!(found.as_primitive::<datafusion::arrow::datatypes::Int64Type>(), &expected);
    }
}
