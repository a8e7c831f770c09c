//! Converts TOML to JSON, and records the position of each value and the values that no setting accepts.

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

pub const NAN: &str = "can't be NaN";
pub const INFINITE: &str = "can't be infinite";

/// A TOML table converted to JSON.
#[derive(Default)]
pub struct Read {
    pub table: Map<String, Value>,
    /// The byte offset of each key and list item, with its path.
    pub offsets: Vec<(String, usize)>,
    /// The path of the first value that no setting accepts, and the reason.
    pub misfit: Option<(String, &'static str)>,
    /// The paths of infinite numbers.
    pub infinite: Vec<String>,
}

impl Read {
    pub fn of(table: &DeTable<'_>) -> Self {
        let mut read = Read::default();
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::run_file::RunFile;
    use super::*;

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
