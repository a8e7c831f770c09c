//! Tests of Parquet columns within structs.

use std::sync::Arc;

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::Int8Type;
use arrow_array::{
    Array as _, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, StringViewArray, StructArray,
    UInt64Array,
};
use arrow_schema::Field;
use serde_json::json;

use super::tests::{folder, inputs, load, with_target};

#[test]
fn columns_in_structs_are_read_by_their_path() {
    let folder = folder();
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(3.0)]));
    let words: ArrayRef = Arc::new(StringArray::from(vec!["p", "q", "r"]));
    let field = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
    let outer = StructArray::from(vec![(field("lat", &numbers), numbers), (field("name", &words), words)]);
    let outer: ArrayRef = Arc::new(outer.slice(0, 3));
    with_target(&folder, vec![("a", Arc::new(Int64Array::from(vec![7, 8, 9]))), ("place", outer)]);
    let all = load(&folder, json!({"file": "rows.parquet", "target": "y"})).expect_err("one is missing").to_string();
    assert!(all.contains("row 2 (from 1), column \"place.lat\""), "{all}");
    assert_eq!(inputs(&folder), Ok(vec![7.0, 8.0, 9.0]));
    let named = load(&folder, json!({"file": "rows.parquet", "target": "place.name", "inputs": ["y"]})).expect("words");
    assert_eq!(named.schema.targets[0].class_names.as_deref().map(<[String]>::len), Some(3));
}

/// Returns a struct of these non-nullable columns that is null in the second row.
fn null_in_second_row(columns: Vec<(&str, ArrayRef)>) -> ArrayRef {
    let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), false));
    let arrays = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    Arc::new(StructArray::new(fields.collect(), arrays, Some(vec![true, false, true].into())))
}

#[test]
fn a_null_struct_makes_its_non_nullable_columns_missing() {
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![10.0, 20.0, 30.0]));
    let mut dictionary = StringDictionaryBuilder::<Int8Type>::new();
    ["b", "a", "b"].iter().for_each(|word| dictionary.append_value(word));
    for (column, role) in [
        (Arc::clone(&numbers), "inputs"),
        (Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef, "inputs"),
        (Arc::new(BooleanArray::from(vec![true, false, true])), "inputs"),
        (Arc::new(UInt64Array::from(vec![1, 2, 3])), "sample_weight"),
        (Arc::new(StringArray::from(vec!["p", "q", "r"])), "target"),
        (Arc::new(StringViewArray::from(vec!["p", "q", "r"])), "target"),
        (Arc::new(dictionary.finish()), "target"),
    ] {
        let of_type = column.data_type().clone();
        let flat = null_in_second_row(vec![("v", Arc::clone(&column))]);
        // Only the outer struct is null; the inner one isn't nullable.
        let inner = [("v", column)];
        let fields = inner.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), false));
        let inner =
            StructArray::new(fields.collect(), inner.iter().map(|(_, array)| Arc::clone(array)).collect(), None);
        let nested = null_in_second_row(vec![("in", Arc::new(inner))]);
        for (outer, name) in [(flat, "s.v"), (nested, "s.in.v")] {
            let folder = folder();
            with_target(&folder, vec![("s", outer), ("x", Arc::clone(&numbers))]);
            let mut config = json!({"file": "rows.parquet", "target": "y", "inputs": ["x"]});
            config[role] = name.into();
            let error = load(&folder, config).expect_err("one is missing").to_string();
            assert!(error.contains(&format!("row 2 (from 1), column \"{name}\"")), "{of_type}, {role}: {error}");
            assert!(error.contains("missing"), "{of_type}: {error}");
        }
    }
}
