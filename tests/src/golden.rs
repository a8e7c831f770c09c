//! Reads golden vectors, which Keras 3 computed, from `golden/`.

use plugfit_api::Tensor;
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads a golden file, from the folder `$PLUGFIT_GOLDEN` if that is set.
pub fn file(name: &str) -> Value {
    let folder = std::env::var("PLUGFIT_GOLDEN").unwrap_or_else(|_| format!("{}/golden", env!("CARGO_MANIFEST_DIR")));
    let path = format!("{folder}/{name}.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the cases of a file under `key` for these classes, or all cases if `classes` is empty.
pub fn cases<'f>(file: &'f Value, key: &str, classes: &[&str]) -> Vec<&'f Value> {
    let all = file[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_selected = |case: &&Value| {
        let class = case["identifier"]["class_name"].as_str().unwrap_or_default();
        classes.is_empty() || classes.contains(&class)
    };
    all.iter().filter(is_selected).collect()
}

/// Returns a number. Golden files store non-finite numbers as strings.
pub fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap_or(f64::NAN),
        Value::Bool(value) => f64::from(u8::from(*value)),
        value => value.as_f64().unwrap_or_else(|| panic!("{value} isn't a number")),
    }
}

/// Returns whether two numbers are equal within the tolerances. Non-finite numbers must be the same.
pub fn near(found: f64, expected: f64, absolute: f64, relative: f64) -> bool {
    if !expected.is_finite() || !found.is_finite() {
        return found == expected || found.is_nan() && expected.is_nan();
    }
    (found - expected).abs() <= absolute + relative * expected.abs()
}

/// An array of a golden file, in every dtype that tests use.
#[derive(Clone, Debug)]
pub struct Array {
    pub shape: Vec<i64>,
    pub values: Vec<f64>,
    pub dtype: String,
    single: Vec<f32>,
    whole: Vec<i32>,
    bytes: Vec<u8>,
}

impl Array {
    /// Reads a number or an array. Returns `None` for null.
    pub fn read(value: &Value) -> Option<Self> {
        if value.is_null() {
            return None;
        }
        let (shape, values, dtype) = if value.is_object() {
            let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
            let shape = list("shape").iter().filter_map(Value::as_i64).collect();
            (shape, list("data").iter().map(number).collect(), value["dtype"].as_str().unwrap_or_default().to_owned())
        } else {
            (Vec::new(), vec![number(value)], "float32".to_owned())
        };
        Some(Self::new(shape, values, dtype))
    }

    pub fn new(shape: Vec<i64>, values: Vec<f64>, dtype: String) -> Self {
        Array {
            single: values.iter().map(|&value| value as f32).collect(),
            whole: values.iter().map(|&value| value as i32).collect(),
            bytes: values.iter().map(|&value| u8::from(value != 0.0)).collect(),
            shape,
            values,
            dtype,
        }
    }

    /// Returns an int32 tensor if the array is of int32 and `dtypes` contains it, otherwise a float32 tensor.
    pub fn tensor(&self, dtypes: Option<&Vec<String>>) -> Tensor<'_> {
        let accepted = |dtype: &str| dtypes.is_some_and(|dtypes| dtypes.iter().any(|other| other == dtype));
        if self.dtype == "int32" && accepted("int32") {
            Tensor::new(&self.whole, &self.shape)
        } else {
            Tensor::new(&self.single, &self.shape)
        }
    }

    pub fn mask(&self) -> Tensor<'_> {
        Tensor::new(&self.bytes, &self.shape)
    }

    pub fn single(&self) -> &[f32] {
        &self.single
    }
}

/// The failed cases of a comparison with Keras.
#[derive(Default)]
pub struct Failures {
    wrong: Vec<String>,
    cases: usize,
    /// For each class, the number of cases and of those that deliberately differ from Keras.
    classes: BTreeMap<String, (usize, usize)>,
}

impl Failures {
    /// Counts a case and records its failure.
    pub fn add(&mut self, id: &Value, result: Result<(), String>) {
        self.cases += 1;
        let class = id.as_str().unwrap_or_default().split(['/', ' ']).next().unwrap_or_default();
        self.classes.entry(class.to_owned()).or_default().0 += 1;
        if let Err(what) = result {
            self.wrong.push(format!("{}: {what}", id.as_str().unwrap_or_default()));
        }
    }

    /// Counts a case that must differ from Keras if `differences` lists it. A listed name that ends in `*` matches all names
    /// with this prefix.
    pub fn add_with_differences(&mut self, id: &Value, differences: &[(&str, &str)], result: Result<(), String>) {
        let name = id.as_str().unwrap_or_default();
        match differences
            .iter()
            .find(|(pattern, _)| pattern.strip_suffix('*').map_or(*pattern == name, |prefix| name.starts_with(prefix)))
        {
            None => self.add(id, result),
            Some((_, why)) if result.is_err() => {
                self.add(id, Ok(()));
                let class = name.split('/').next().unwrap_or_default();
                self.classes.entry(class.to_owned()).or_default().1 += 1;
                println!("not Keras's: {name}: {why}");
            }
            Some((_, why)) => self.add(id, Err(format!("is Keras's number now, in spite of: {why}"))),
        }
    }

    /// Prints the number of cases of each class.
    ///
    /// # Panics
    /// Panics if a case failed, or if fewer than `least` cases were counted.
    pub fn finish(self, least: usize) {
        for (class, (cases, different)) in &self.classes {
            let different = if *different > 0 { format!(", {different} not Keras's") } else { String::new() };
            println!("{class:<40} {cases:>4} cases{different}");
        }
        let shown = self.wrong.iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n  ");
        assert!(self.wrong.is_empty(), "{} of {} cases differ from Keras:\n  {shown}", self.wrong.len(), self.cases);
        assert!(self.cases >= least, "only {} cases, not {least}", self.cases);
    }
}
