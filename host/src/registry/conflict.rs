//! The error for a name that several plug-ins have.

use super::Listed;
use crate::Error;
use crate::plugin::Component;

pub(super) fn error<P: Listed>(short: &str, found: &[(&P, &Component)]) -> Error {
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
