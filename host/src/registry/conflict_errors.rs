//! The errors for names and plug-ins that are ambiguous.

use super::RegisteredPlugin;
use crate::Error;
use crate::plugin::Component;

/// Creates the error for different files of the same plug-in and version.
pub(super) fn of_one_version<P: RegisteredPlugin>(plugin: &P, others: &[&P]) -> Error {
    let mut error = Error::usage(format!("there are different files of {}", plugin.label()));
    for one in std::iter::once(&plugin).chain(others) {
        error = error.with("file", one.place());
    }
    error.hint("remove all but one of them, or raise the version of the one that you want to use")
}

/// Creates the error for a name that several plug-ins have.
pub(super) fn error<P: RegisteredPlugin>(short: &str, found: &[(&P, &Component)]) -> Error {
    let number = match found.len() {
        2 => "two".to_owned(),
        3 => "three".to_owned(),
        more => more.to_string(),
    };
    let labels: Vec<String> = found.iter().map(|(plugin, _)| plugin.label()).collect();
    let width = labels.iter().map(String::len).max().unwrap_or_default();
    let mut error = Error::usage(format!("\"{short}\" is in {number} plug-ins"));
    for ((plugin, _), label) in found.iter().zip(&labels) {
        error = error.hint(format!("{label:<width$} {}", plugin.place()));
    }
    let qualified: Vec<String> =
        found.iter().map(|(plugin, component)| format!("\"{}>{}\"", plugin.manifest().name, component.name)).collect();
    let (last, others) = qualified.split_last().map_or(("", &[][..]), |(last, others)| (last.as_str(), others));
    error.hint(format!("write {} or {last}", others.join(", ")))
}
