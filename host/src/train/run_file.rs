//! A run file: `plugins`, `require_signed`, `[data]`, `[network]`, `[compile]` and `[fit]` in TOML, and changes to it
//! by `--set`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::de::DeTable;

use super::fit_config::FitConfig;
use super::run_toml::{INFINITE, ParsedToml};
use crate::compile::Compile;
use crate::data::{ColumnConfig, DataConfig};
use crate::files::path_of;
use crate::network::NetworkConfig;
use crate::plugin::Kind;
use crate::text::nearest;
use crate::{Error, Host, Result};

const SECTIONS: [&str; 6] = ["plugins", "require_signed", "data", "network", "compile", "fit"];

/// The position of a key in the run file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Line(usize),
    /// Set on the command line.
    Set,
}

/// A run file, parsed but not validated. Paths in it are relative to its folder.
#[derive(Clone, Debug)]
pub struct RunFile {
    name: String,
    folder: PathBuf,
    table: Map<String, Value>,
    places: BTreeMap<String, Place>,
    /// The paths of infinite numbers.
    infinite: Vec<String>,
    lock_folders: Vec<PathBuf>,
}

impl RunFile {
    /// Reads a run file.
    ///
    /// # Errors
    /// Returns an error if the file can't be read, isn't TOML, or has an unknown table.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let error = Error::usage(format!("cannot read {}: {error}", path.display()));
            if path.is_dir() { error.hint("name the run's file in it, such as fit.toml") } else { error }
        })?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::parse(&text, &path.display().to_string(), folder)
    }

    /// Parses a run file from text. Errors refer to it as `name`.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`read`](Self::read), except for reading.
    pub fn parse(text: &str, name: &str, folder: &Path) -> Result<Self> {
        // A file may list thousands of columns.
        let line_ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line = |offset: usize| line_ends.partition_point(|at| *at < offset) + 1;
        let not_toml = |error: toml::de::Error| {
            let at = error.span().map_or(1, |span| line(span.start));
            Error::usage(format!("{name} is not TOML: {}", error.message())).with("in", format!("{name}:{at}"))
        };
        let parsed = DeTable::parse(text).map_err(not_toml)?;
        let read = ParsedToml::of(parsed.get_ref());
        let places = read.offsets.into_iter().map(|(path, offset)| (path, Place::Line(line(offset)))).collect();
        let file = RunFile {
            name: name.to_owned(),
            folder: folder.to_owned(),
            table: read.table,
            places,
            infinite: read.infinite,
            lock_folders: vec![folder.to_owned()],
        };
        let infinite = file.infinite.iter().find(|path| !may_be_infinite(path));
        if let Some((path, what)) = read.misfit.or_else(|| infinite.map(|path| (path.clone(), INFINITE))) {
            return Err(file.located(Error::usage(format!("{path} {what}")).with("in", path)));
        }
        file.known("", file.table.keys(), &SECTIONS)?;
        Ok(file)
    }

    /// Creates a run file from the configuration of a saved run. Its paths are absolute; paths added by
    /// [`set`](Self::set) are relative to `folder`.
    ///
    /// # Errors
    /// Returns an error if `config` isn't an object.
    pub fn from_json(config: &Value, name: &str, folder: &Path) -> Result<Self> {
        let table =
            config.as_object().cloned().ok_or_else(|| Error::failure(format!("{name} has no configuration")))?;
        Ok(RunFile {
            name: name.to_owned(),
            folder: folder.to_owned(),
            table,
            places: BTreeMap::new(),
            infinite: Vec::new(),
            lock_folders: Vec::new(),
        })
    }

    /// Sets a key, as in `--set fit.epochs=3`. The value is parsed as TOML; if that fails, it is a string.
    ///
    /// # Errors
    /// Returns an error if there is no `=`, if the table is unknown, or if the path goes through a value that is no
    /// table.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let wrong = |why: String| Error::usage(why).with("in", format!("--set {assignment}"));
        let (path, value) = assignment
            .split_once('=')
            .ok_or_else(|| wrong("--set takes key=value".into()).hint("for example --set fit.epochs=3"))?;
        let path = path.trim();
        let text = format!("value = {value}");
        let read = DeTable::parse(&text)
            .map(|table| ParsedToml::of(table.get_ref()))
            .ok()
            .filter(|read| read.table.len() == 1);
        let at = |within: &str| format!("{path}{}", within.strip_prefix("value").unwrap_or_default());
        let value = match read {
            None => Value::String(value.trim().to_owned()),
            Some(ParsedToml { misfit: Some((within, what)), .. }) => {
                return Err(wrong(format!("{} {what}", at(&within))));
            }
            Some(read) => {
                let is_replaced = |old: &String| {
                    old.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                };
                self.infinite.retain(|old| !is_replaced(old));
                for path in read.infinite.iter().map(|within| at(within)) {
                    if !may_be_infinite(&path) {
                        return Err(wrong(format!("{path} {INFINITE}")));
                    }
                    self.infinite.push(path);
                }
                read.table.into_values().next().unwrap_or_default()
            }
        };
        let keys: Vec<String> = path.replace('[', ".").replace(']', "").split('.').map(str::to_owned).collect();
        const MAX_DEPTH: usize = 64;
        if keys.len() > MAX_DEPTH {
            return Err(wrong(format!("a key can't have more than {MAX_DEPTH} parts")));
        }
        self.known("", keys.iter().take(1), &SECTIONS)
            .map_err(|error| error.with("from", format!("--set {assignment}")))?;
        let mut root = Value::Object(std::mem::take(&mut self.table));
        let result = place(&mut root, &keys).map(|place| *place = value);
        if let Value::Object(table) = root {
            self.table = table;
        }
        result.map_err(|key| {
            wrong(format!("{path} can't be set: \"{key}\" is neither a table nor a list with that many entries"))
        })?;
        self.places.insert(path.to_owned(), Place::Set);
        Ok(())
    }

    /// Returns the name that errors use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the folder that relative paths start from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folders where a `plugfit.lock` applies to the run: the file's own folder, or none if it was read
    /// from a run.
    pub fn lock_folders(&self) -> &[PathBuf] {
        &self.lock_folders
    }

    /// Sets the folders where a `plugfit.lock` applies to the run.
    #[must_use]
    pub fn with_lock_folders(self, lock_folders: Vec<PathBuf>) -> Self {
        RunFile { lock_folders, ..self }
    }

    /// Returns the files and folders in `plugins`, resolved against the file's folder.
    ///
    /// # Errors
    /// Returns an error if `plugins` isn't a list of strings.
    pub fn plugins(&self) -> Result<Vec<PathBuf>> {
        let wrong = || Error::usage("plugins must be a list of files and folders").with("in", "plugins");
        let paths = match self.table.get("plugins") {
            None => return Ok(Vec::new()),
            Some(Value::String(path)) => vec![path.as_str()],
            Some(Value::Array(paths)) => {
                paths.iter().map(Value::as_str).collect::<Option<Vec<_>>>().ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        Ok(paths.into_iter().map(|path| path_of(path, &self.folder)).collect())
    }

    /// Returns whether only plug-ins signed with a trusted key may be loaded.
    ///
    /// # Errors
    /// Returns an error if `require_signed` isn't a boolean.
    pub fn require_signed(&self) -> Result<bool> {
        match self.table.get("require_signed") {
            None => Ok(false),
            Some(Value::Bool(required)) => Ok(*required),
            Some(_) => Err(Error::usage("require_signed must be true or false").with("in", "require_signed")),
        }
    }

    /// Returns the `[data]` table.
    ///
    /// # Errors
    /// Returns an error if the table is missing or invalid.
    pub fn data(&self) -> Result<DataConfig> {
        let keys = [
            "file",
            "train",
            "validation",
            "target",
            "inputs",
            "sample_weight",
            "in_memory",
            "scale",
            "numbers",
            "categories",
            "dates",
            "missing",
            "columns",
            "validation_split",
        ];
        // Each column is checked alone, so that the error names it.
        let columns = self.table.get("data").and_then(|data| data.get("columns")).and_then(Value::as_object);
        for (name, settings) in columns.into_iter().flatten() {
            serde_json::from_value::<ColumnConfig>(settings.clone()).map_err(|error| {
                let key = format!("data.columns.{name}");
                Error::usage(format!("{key} is invalid: {error}")).with("in", key)
            })?;
        }
        self.section("data", &keys)
    }

    /// Returns whether the file has this table or key, such as "fit.epochs".
    pub fn is_set(&self, path: &str) -> bool {
        let mut keys = path.split('.');
        let first = keys.next().and_then(|key| self.table.get(key));
        first.is_some_and(|value| keys.try_fold(value, |value, key| value.get(key)).is_some())
    }

    /// Returns the `[network]` table.
    ///
    /// # Errors
    /// Returns an error if the table is missing or invalid.
    pub fn network(&self) -> Result<NetworkConfig> {
        let network = self.table.get("network").ok_or_else(|| self.missing("network"))?;
        NetworkConfig::from_json(network)
    }

    /// Returns the `[compile]` table.
    ///
    /// # Errors
    /// Returns an error if the table is missing or invalid.
    pub fn compile(&self) -> Result<Compile> {
        let compile = self.table.get("compile").ok_or_else(|| self.missing("compile"))?;
        Compile::from_json(compile, Some(&self.folder))
    }

    /// Checks that infinite numbers in `[compile]` occur only in numeric settings of components. Other settings might
    /// treat them as text.
    ///
    /// # Errors
    /// Returns a usage error that names the setting.
    pub fn check_infinite(&self, host: &Host) -> Result<()> {
        let wrong = self.infinite.iter().find(|path| !self.is_number(path, host).unwrap_or(false));
        wrong.map_or(Ok(()), |path| Err(Error::usage(format!("{path} {INFINITE}")).with("in", path)))
    }

    /// Returns whether a path leads to a numeric setting of the innermost component around it.
    fn is_number(&self, path: &str, host: &Host) -> Option<bool> {
        let mut keys = path.split(['.', '[']).map(|key| key.trim_end_matches(']')).peekable();
        let mut value = self.table.get(keys.next()?)?;
        let mut setting = None;
        while let Some(key) = keys.next() {
            if let (Some(class), "config", Some(name)) = (value["class_name"].as_str(), key, keys.peek()) {
                setting = Some((class, *name));
            }
            value = match value {
                Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
                other => other.get(key)?,
            };
        }
        let (class, name) = setting?;
        let components = Kind::ALL.into_iter().filter_map(|kind| host.find(kind, class).ok());
        let mut types = components.flat_map(|(_, component)| component.fields).filter(|field| field.name == name);
        Some(types.any(|field| matches!(field.type_.as_str(), "number" | "array")))
    }

    /// Returns the `[fit]` table. All of its keys have defaults.
    ///
    /// # Errors
    /// Returns an error if the table is invalid.
    pub fn fit(&self) -> Result<FitConfig> {
        if !self.table.contains_key("fit") {
            return Ok(FitConfig::default());
        }
        let config: FitConfig = self.section("fit", &FitConfig::KEYS)?;
        config.check()?;
        Ok(config)
    }

    fn section<T: serde::de::DeserializeOwned>(&self, section: &str, keys: &[&str]) -> Result<T> {
        let value = self.table.get(section).ok_or_else(|| self.missing(section))?;
        let table =
            value.as_object().ok_or_else(|| Error::usage(format!("{section} must be a table")).with("in", section))?;
        self.known(section, table.keys(), keys)?;
        serde_json::from_value(value.clone()).map_err(|error| {
            // serde doesn't report the key: find the first one that fails alone.
            let fails_alone = |key: &&String| {
                let one: Map<String, Value> = [((*key).clone(), table[*key].clone())].into_iter().collect();
                serde_json::from_value::<T>(Value::Object(one)).is_err()
            };
            let key =
                table.keys().find(fails_alone).map_or_else(|| section.to_owned(), |key| format!("{section}.{key}"));
            Error::usage(format!("{key} is invalid: {error}")).with("in", key)
        })
    }

    fn missing(&self, section: &str) -> Error {
        Error::usage(format!("{} has no [{section}]", self.name)).with("in", self.name.clone())
    }

    fn known<'k>(&self, section: &str, keys: impl IntoIterator<Item = &'k String>, known: &[&str]) -> Result<()> {
        let Some(key) = keys.into_iter().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
        let (what, path) = match section {
            "" => ("a run's file".to_owned(), key.clone()),
            section => (section.to_owned(), format!("{section}.{key}")),
        };
        let error = Error::usage(format!("{what} has no setting \"{key}\"")).with("in", path);
        let error = if section.is_empty() { self.located(error) } else { error };
        Err(match nearest(key, known.iter().copied())[..] {
            [near, ..] => error.hint(format!("did you mean \"{near}\"?  It has: {}", known.join(", "))),
            [] => error.with("has", known.join(", ")),
        })
    }

    /// Adds the line in the file to an error's path: `in fit.toml:19, compile.metrics[1]`.
    pub fn located(&self, error: Error) -> Error {
        error.map_detail("in", |path| match self.place_of(path) {
            Some(Place::Line(line)) => format!("{}:{line}, {path}", self.name),
            Some(Place::Set) => format!("--set {path}"),
            None => path.to_owned(),
        })
    }

    /// Returns the position of a path, or of the nearest enclosing table or list.
    fn place_of(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(*place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}

/// Returns whether a setting with that path may be infinite; only settings of components may.
fn may_be_infinite(path: &str) -> bool {
    path.starts_with("compile.")
}

/// Returns the value at a path in a tree, creating missing table entries. On failure returns the key whose parent isn't
/// a table or list.
fn place<'v, 'k>(value: &'v mut Value, keys: &'k [String]) -> Result<&'v mut Value, &'k str> {
    let Some((key, rest)) = keys.split_first() else { return Ok(value) };
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(table) => place(table.entry(key.clone()).or_insert(Value::Null), rest),
        Value::Array(items) => {
            let item = key.parse::<usize>().ok().and_then(|index| items.get_mut(index)).ok_or(key.as_str())?;
            place(item, rest)
        }
        _ => Err(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "plugins = [\"lib\"]\n\n[compile]\nloss = \"mse\"\nmetrics = [\n  \"a\",\n  \"b\",\n]\n[fit]\nepochs = 2\n";

    fn file() -> RunFile {
        RunFile::parse(TEXT, "fit.toml", Path::new("/runs")).expect("it is TOML")
    }

    #[test]
    fn an_error_includes_its_line() {
        let at = |path: &str| file().located(Error::usage("x").with("in", path)).to_string();
        assert_eq!(at("compile.metrics[1]"), "x\n  in      fit.toml:7, compile.metrics[1]");
        assert_eq!(at("compile.loss.config.delta"), "x\n  in      fit.toml:4, compile.loss.config.delta");
    }

    #[test]
    fn set_changes_existing_keys_and_adds_missing_ones() {
        let mut file = file();
        for set in ["fit.epochs=3", "compile.loss=Huber(delta=2)", "compile.metrics[1]=c", "fit.shuffle=false"] {
            file.set(set).expect("it can be set");
        }
        assert_eq!(file.fit().expect("fit"), FitConfig { epochs: 3, shuffle: false, ..FitConfig::default() });
        assert_eq!(file.table["compile"]["loss"], "Huber(delta=2)");
        assert_eq!(file.table["compile"]["metrics"][1], "c");
        let error = file.located(Error::usage("x").with("in", "compile.loss.config")).to_string();
        assert!(error.contains("--set compile.loss"), "{error}");
        assert!(file.set(&format!("fit{}=1", ".a".repeat(100_000))).is_err());
        for wrong in ["fit.epochs", "fitt.epochs=1", "compile.metrics[7]=a", "fit.epochs.x=1"] {
            assert!(file.set(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn invalid_values_are_rejected_with_their_line() {
        for (value, what) in [
            ("2024-01-02", "can't be a date or a time"),
            ("2024-01-02T03:04:05Z", "can't be a date or a time"),
            ("03:04:05", "can't be a date or a time"),
            ("1e400", "is too large a number"),
            ("-1e400", "is too large a number"),
            ("99999999999999999999", "is too large an integer"),
        ] {
            for (text, path, line) in [
                (format!("[data]\nscale = {value}\n"), "data.scale", 2),
                (format!("[fit]\nclass_weight = {{ a = 1, b = {value} }}\n"), "fit.class_weight.b", 2),
                (format!("[compile]\nloss_weights = [\n1,\n{value}]\n"), "compile.loss_weights[1]", 4),
                (
                    format!("[compile]\noptimizer = {{ config = {{ learning_rate = {value} }} }}\n"),
                    "compile.optimizer.config.learning_rate",
                    2,
                ),
                (
                    format!("[[network.layers]]\nclass_name = \"Dropout\"\n[network.layers.config]\nrate = {value}\n"),
                    "network.layers[0].config.rate",
                    4,
                ),
            ] {
                let error = RunFile::parse(&text, "fit.toml", Path::new(".")).expect_err("it is refused").to_string();
                assert_eq!(error, format!("{path} {what}\n  in      fit.toml:{line}, {path}"));
            }
            let error = file().set(&format!("compile.optimizer={{config={{learning_rate={value}}}}}"));
            let error = error.expect_err("it is refused").to_string();
            assert!(
                error.starts_with(&format!("compile.optimizer.config.learning_rate {what}\n  in      --set")),
                "{error}"
            );
        }
    }

    #[test]
    fn only_numeric_component_settings_accept_infinity() {
        let host = Host::new();
        let read = |compile: &str| RunFile::parse(&format!("[compile]\n{compile}\n"), "fit.toml", Path::new("."));
        for compile in [
            "loss = { class_name = \"Huber\", config = { delta = inf } }",
            "loss = [\"mse\", { class_name = \"huber\", config = { delta = +inf } }]",
            "metrics = { a = [{ class_name = \"AUC\", config = { thresholds = [0.5, inf] } }] }",
        ] {
            let file = read(compile).expect("it may be infinite");
            file.check_infinite(&host).unwrap_or_else(|error| panic!("{compile}: {error}"));
        }
        for (compile, path) in [
            ("loss = inf", "compile.loss"),
            ("loss_weights = [1.0, -inf]", "compile.loss_weights[1]"),
            ("groups = [{ match = inf }]", "compile.groups[0].match"),
            ("loss = { class_name = \"Huber\", config = { name = inf } }", "compile.loss.config.name"),
            ("loss = { class_name = \"Huber\", config = { dtype = inf } }", "compile.loss.config.dtype"),
            ("metrics = [{ class_name = \"AUC\", config = { curve = -inf } }]", "compile.metrics[0].config.curve"),
            (
                "optimizer = { class_name = \"SGD\", config = { learning_rate = inf } }",
                "compile.optimizer.config.learning_rate",
            ),
        ] {
            let file = read(compile).expect("it may be infinite");
            let error = file.located(file.check_infinite(&host).expect_err(compile)).to_string();
            assert_eq!(error, format!("{path} {INFINITE}\n  in      fit.toml:2, {path}"));
        }
        let mut file = read("loss = { class_name = \"Huber\", config = { name = inf } }").expect("it may be infinite");
        file.set("compile.loss.config.name=\"inf\"").expect("it can be set");
        file.check_infinite(&host).expect("it is a text now");
        file.set("compile.loss.config.name=inf").expect("it may be infinite");
        assert!(file.check_infinite(&host).is_err());
    }

    #[test]
    fn integers_of_every_base_are_read() {
        let text = "[fit]\nseed = 18446744073709551615\nepochs = 0x1_0\nsteps_per_epoch = +1_000\n";
        let file = RunFile::parse(text, "fit.toml", Path::new(".")).expect("it is TOML");
        let fit = file.fit().expect("fit");
        assert_eq!((fit.seed, fit.epochs, fit.steps_per_epoch), (u64::MAX, 16, Some(1000)));
    }

    #[test]
    fn errors_name_the_wrong_key_or_value() {
        let mut file = file();
        file.set("fit.epoch=3").expect("it can be set");
        let error = file.fit().expect_err("no such key").to_string();
        assert!(error.contains("did you mean \"epochs\""), "{error}");
        let text = "[fit]\nepochs = -1\n";
        let file = RunFile::parse(text, "fit.toml", Path::new(".")).expect("it is TOML");
        let error = file.located(file.fit().expect_err("not so many")).to_string();
        assert!(error.contains("fit.toml:2, fit.epochs"), "{error}");
        let error = RunFile::parse("[fit\n", "fit.toml", Path::new(".")).expect_err("not TOML").to_string();
        assert!(error.contains("fit.toml:1"), "{error}");
    }
}
