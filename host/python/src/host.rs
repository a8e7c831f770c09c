//! The global host of the process, and functions to look up its components.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use plugfit::component::base_keys;
use plugfit::identifier::Identifier;
use plugfit::plugin::find::{FileReport, Folder, Source, State, Verdict, default_folders};
use plugfit::plugin::{Kind, LoadOptions, Lock, Origin};
use plugfit::{Error, Host};
use pyo3::exceptions::{PyUserWarning, PyValueError};
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::error::Raise;

/// Returns the global host, with the standard set and the plug-ins of the default folders. The first call creates it,
/// and issues a Python warning for each refused file in these folders.
///
/// # Errors
/// Returns an error if the lock in the current folder can't be read, or if Python turns a warning into an error.
pub fn host() -> PyResult<&'static Host> {
    let host = global_host().or_raise()?;
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        let refused = host.reports().into_iter().flat_map(|report| refused(report.files));
        let refused = refused.map(|(file, reason)| format!("{}: {reason}", Origin::File(file)));
        warn_of(refused.chain(host.notes()))?;
    }
    Ok(host)
}

/// Returns the global host, without warnings.
///
/// # Errors
/// Returns an error if the lock in the current folder can't be read.
pub fn global_host() -> plugfit::Result<&'static Host> {
    static HOST: OnceLock<Result<Host, Error>> = OnceLock::new();
    let host = HOST.get_or_init(|| {
        let lock = Lock::at(Path::new(Lock::NAME))?;
        let locks = lock.map(Arc::new).into_iter().collect();
        let host = Host::with_options(LoadOptions { locks, ..LoadOptions::default() });
        host.add_builtin();
        for folder in default_folders() {
            host.add_folder(folder);
        }
        Ok(host)
    });
    host.as_ref().map_err(Error::clone)
}

fn warn_of(texts: impl Iterator<Item = String>) -> PyResult<()> {
    let texts = texts.filter_map(|text| CString::new(text).ok());
    let warn = |text: CString| Python::attach(|py| PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 2));
    texts.into_iter().try_for_each(warn)
}

/// Returns the refused files, each with the reason.
fn refused(files: Vec<FileReport>) -> impl Iterator<Item = (PathBuf, String)> {
    files.into_iter().filter_map(|file| match file.verdict {
        Verdict::Refused(refusal) => Some((file.path, refusal.line())),
        _ => None,
    })
}

/// Parses an identifier from JSON text.
pub fn identifier(text: &str) -> PyResult<Identifier> {
    identifier_of(text).or_raise()
}

/// Parses an identifier from JSON text.
///
/// # Errors
/// Returns an error if the text isn't JSON.
pub fn identifier_of(text: &str) -> plugfit::Result<Identifier> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| Error::usage(format!("{text} can't be read: {error}")))?;
    Ok(value.into())
}

/// Parses JSON text.
pub fn json_of(text: &str) -> PyResult<Value> {
    serde_json::from_str(text).map_err(|error| PyValueError::new_err(format!("{text} can't be read: {error}")))
}

/// Returns the kind with this name.
pub fn kind(name: &str) -> PyResult<Kind> {
    Kind::from_name(name).ok_or_else(|| PyValueError::new_err(format!("{name} isn't a kind of component")))
}

fn description(package: &str, kind: Kind, component: &plugfit::plugin::Component) -> String {
    let setting = |name: &str, doc: &str, type_: String, default: Option<&Value>| {
        let mut setting = json!({"name": name, "doc": doc, "type": type_});
        if let Some(default) = default {
            setting["default"] = default.clone();
        }
        setting
    };
    let fields = component.fields.iter().map(|field| {
        let type_ = format!("{}{}", field.type_, if field.optional { " or null" } else { "" });
        setting(&field.name, &field.doc, type_, field.default.as_ref())
    });
    let base = base_keys(kind).iter().map(|(name, type_, default, doc)| {
        let general = if *name == "name" {
            Value::Null
        } else {
            serde_json::from_str(default).unwrap_or_else(|_| json!(default))
        };
        setting(name, doc, (*type_).to_owned(), Some(component.base.get(*name).unwrap_or(&general)))
    });
    json!({
        "package": package,
        "name": component.name,
        "aliases": component.aliases,
        "doc": component.doc,
        "fields": fields.collect::<Vec<_>>(),
        "base": base.collect::<Vec<_>>(),
    })
    .to_string()
}

/// Returns every component of a kind, each as JSON.
#[pyfunction]
pub fn components(of: &str) -> PyResult<Vec<String>> {
    let kind = kind(of)?;
    let components = host()?.components(kind);
    Ok(components.iter().map(|(plugin, component)| description(plugin.name(), kind, component)).collect())
}

/// Returns the components of the standard set, each as JSON, without searching for plug-ins.
#[pyfunction]
pub fn standard(of: &str) -> PyResult<Vec<String>> {
    static STANDARD: OnceLock<Host> = OnceLock::new();
    let kind = kind(of)?;
    let components = STANDARD.get_or_init(Host::new).components(kind);
    Ok(components.iter().map(|(plugin, component)| description(plugin.name(), kind, component)).collect())
}

/// Returns the component with this name as JSON.
#[pyfunction]
pub fn find(of: &str, name: &str) -> PyResult<String> {
    let kind = kind(of)?;
    let (plugin, component) = host()?.find(kind, name).or_raise()?;
    Ok(description(plugin.name(), kind, &component))
}

/// Returns `true` if a plug-in has a component with this name, even if it can't be used.
#[pyfunction]
pub fn has(of: &str, name: &str) -> PyResult<bool> {
    Ok(host()?.has(kind(of)?, name))
}

/// Loads a plug-in or those of a folder. Returns the refused files, each with the reason.
#[pyfunction]
pub fn load_plugins(py: Python<'_>, path: PathBuf) -> PyResult<Vec<(PathBuf, String)>> {
    let host = host()?;
    let known = host.notes().len();
    let loaded = py.detach(|| {
        if !path.is_dir() {
            return host.add_file(&path).map(|()| Vec::new());
        }
        let report = host.add_folder(Folder { path, source: Source::Flag });
        match report.state {
            State::Refused(refusal) => Err(refusal.into()),
            _ => Ok(refused(report.files).collect()),
        }
    });
    warn_of(host.notes().into_iter().skip(known))?;
    loaded.or_raise()
}
