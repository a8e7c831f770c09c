//! Converts TOML to JSON, with the position of each value and the values that no setting accepts, and JSON to TOML.

use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

use crate::{Error, Result};

pub const NAN: &str = "can't be NaN";
pub const INFINITE: &str = "can't be infinite";

/// A TOML table converted to JSON.
#[derive(Default)]
pub struct ParsedToml {
    pub table: Map<String, Value>,
    /// The byte offset of each key and list item, with its path.
    pub offsets: Vec<(String, usize)>,
    /// The path of the first value that no setting accepts, and the reason.
    pub misfit: Option<(String, &'static str)>,
    /// The paths of infinite numbers.
    pub infinite: Vec<String>,
}

impl ParsedToml {
    pub fn of(table: &DeTable<'_>) -> Self {
        let mut read = ParsedToml::default();
        read.table = read.entries(table, "");
        read
    }

    fn entries(&mut self, table: &DeTable<'_>, path: &str) -> Map<String, Value> {
        let mut entries = Map::new();
        for (key, value) in table.iter() {
            let name = key.get_ref().as_ref();
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            self.offsets.push((path.clone(), key.span().start));
            entries.insert(name.to_owned(), self.value(value.get_ref(), &path));
        }
        entries
    }

    fn value(&mut self, value: &DeValue<'_>, path: &str) -> Value {
        match value {
            DeValue::String(text) => return text.as_ref().into(),
            DeValue::Boolean(flag) => return (*flag).into(),
            DeValue::Integer(number) => {
                let (text, radix) = (number.as_str(), number.radix());
                if let Ok(number) = i64::from_str_radix(text, radix) {
                    return number.into();
                } else if let Ok(number) = u64::from_str_radix(text, radix) {
                    return number.into();
                }
                self.misfit(path, "is too large an integer");
            }
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) if number.is_nan() => self.misfit(path, NAN),
                // JSON has no infinity. It becomes a string, as in `Huber(delta=inf)`; some settings accept it.
                Ok(_) if number.as_str().ends_with("inf") => {
                    self.infinite.push(path.to_owned());
                    return number.as_str().trim_start_matches('+').into();
                }
                Ok(number) if number.is_finite() => return number.into(),
                _ => self.misfit(path, "is too large a number"),
            },
            DeValue::Datetime(_) => self.misfit(path, "can't be a date or a time"),
            DeValue::Array(items) => {
                let mut list = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.offsets.push((path.clone(), item.span().start));
                    list.push(self.value(item.get_ref(), &path));
                }
                return list.into();
            }
            DeValue::Table(table) => return self.entries(table, path).into(),
        }
        Value::Null
    }

    fn misfit(&mut self, path: &str, what: &'static str) {
        self.misfit.get_or_insert_with(|| (path.to_owned(), what));
    }
}

/// Converts the configuration of a run to TOML, which has no null: a key without a value is left out. In a list, and for
/// an output without a loss, an empty list means the same.
pub fn to_toml(mut config: Value) -> Result<String> {
    if let Some(Value::Object(losses)) = config.pointer_mut("/compile/loss")
        && !losses.contains_key("class_name")
    {
        losses.values_mut().for_each(null_to_list);
    }
    remove_nulls(&mut config);
    toml::to_string(&config).map_err(|error| Error::failure(error.to_string()))
}

fn null_to_list(value: &mut Value) {
    if value.is_null() {
        *value = json!([]);
    }
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(table) => {
            table.retain(|_, value| !value.is_null());
            table.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => {
            items.iter_mut().for_each(null_to_list);
            items.iter_mut().for_each(remove_nulls);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::run_file::RunFile;
    use super::*;

    #[test]
    fn toml_without_nulls_means_the_same() {
        for (loss, written) in [
            (json!("mse"), json!("mse")),
            (json!(["mse", null]), json!(["mse", []])),
            (json!({"a": "mse", "b": null}), json!({"a": "mse", "b": []})),
            (json!({"class_name": "Huber", "config": null}), json!({"class_name": "Huber"})),
        ] {
            let config =
                json!({"compile": {"loss": loss, "loss_weights": null, "metrics": [["mae", {"x": null}], null]}});
            let text = to_toml(config).expect("TOML");
            let table = DeTable::parse(&text).expect("TOML");
            let read = ParsedToml::of(table.get_ref()).table;
            assert_eq!(Value::from(read), json!({"compile": {"loss": written, "metrics": [["mae", {}], []]}}));
        }
    }

    #[test]
    fn settings_of_every_type_reject_nan_and_infinity() {
        for (value, what) in
            [("nan", NAN), ("-nan", NAN), ("+nan", NAN), ("inf", INFINITE), ("+inf", INFINITE), ("-inf", INFINITE)]
        {
            for (text, path, line) in [
                (format!("plugins = [\"a\", {value}]\n"), "plugins[1]", 1),
                (format!("[data]\nscale = {value}\n"), "data.scale", 2),
                (format!("[data]\ntarget = {value}\n"), "data.target", 2),
                (format!("[data]\nfile = [\n{value}]\n"), "data.file[0]", 3),
                (format!("[fit]\nclass_weight = {{ 0 = {value} }}\n"), "fit.class_weight.0", 2),
                (
                    format!("[[fit.callbacks]]\nclass_name = \"CSVLogger\"\nconfig = {{ filename = {value} }}\n"),
                    "fit.callbacks[0].config.filename",
                    3,
                ),
                (
                    format!("[[network.layers]]\nclass_name = \"Flatten\"\nconfig = {{ name = {value} }}\n"),
                    "network.layers[0].config.name",
                    3,
                ),
            ] {
                let error = RunFile::parse(&text, "fit.toml", Path::new(".")).expect_err("it is refused").to_string();
                assert_eq!(error, format!("{path} {what}\n  in      fit.toml:{line}, {path}"));
            }
            let mut file = RunFile::parse("", "fit.toml", Path::new(".")).expect("it is TOML");
            let error = file.set(&format!("data.validation_split={value}")).expect_err("it is refused").to_string();
            assert!(error.starts_with(&format!("data.validation_split {what}\n  in      --set")), "{error}");
        }
    }
}
