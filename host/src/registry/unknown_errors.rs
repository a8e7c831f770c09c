//! The errors for names without a usable component.

use std::collections::HashMap;

use super::{RegisteredPlugin, Registry};
use crate::Error;
use crate::plugin::Kind;
use crate::text::{grouped, nearest};

/// The hint for a plug-in that isn't loaded.
pub(crate) const HOW_TO_GIVE: &str =
    "give the plug-in: in a folder of $PLUGFIT_PLUGINS, by plugfit.load_plugins(PATH) in Python, or by --plugins DIR";

const KINDS: [Kind; 4] = [Kind::Loss, Kind::Metric, Kind::Optimizer, Kind::Schedule];

/// Creates the error for an unknown name, with the nearest names.
pub(super) fn error<P: RegisteredPlugin>(
    registry: &Registry<P>,
    kind: Kind,
    name: &str,
    package: Option<&str>,
    short: &str,
) -> Error {
    if let Some(package) = package {
        let plugins = || registry.plugins.iter().map(|plugin| plugin.manifest().name.as_str());
        if !plugins().any(|plugin| plugin == package) {
            let error = Error::usage(format!("no plug-in is called \"{package}\" (in \"{name}\")"));
            let error = with_searched(registry, kind, error.near(&nearest(package, plugins())));
            return error.hint(HOW_TO_GIVE);
        }
    }
    let mut error = Error::usage(match package {
        Some(package) => format!("{package} has no {kind} called \"{short}\""),
        None => format!("no {kind} is called \"{name}\""),
    })
    .near(&near(registry, kind, package, short));
    let elsewhere = KINDS.into_iter().filter(|other| *other != kind).find(|other| registry.has(*other, name));
    if let Some(other) = elsewhere {
        error = error.with("but", format!("there is {} {other} of that name", article(other)));
    }
    with_searched(registry, kind, error)
}

/// Creates the error for a component of a kind whose interface in the plug-in isn't compatible with this host.
pub(super) fn unusable<P: RegisteredPlugin>(plugin: &P, kind: Kind, component: &str, reason: String) -> Error {
    Error::usage(format!("{component} of {} can't be used: {reason}", plugin.label()))
        .with("from", plugin.place())
        .hint(format!(
            "its other components can be used; rebuild it with this version's plugfit-api for its {}",
            kind.plural()
        ))
}

fn article(kind: Kind) -> &'static str {
    if kind == Kind::Optimizer { "an" } else { "a" }
}

/// Returns the names of the nearest components, each once, with their plug-ins. Aliases are compared too.
fn near<P: RegisteredPlugin>(registry: &Registry<P>, kind: Kind, package: Option<&str>, short: &str) -> Vec<String> {
    let mut owners: HashMap<&str, (&str, String)> = HashMap::new();
    for (plugin, component) in registry.usable(kind) {
        if package.is_some_and(|package| plugin.manifest().name != package) {
            continue;
        }
        for name in component.aliases.iter().chain([&component.name]) {
            owners.entry(name).or_insert_with(|| (&component.name, plugin.label()));
        }
    }
    let mut seen = Vec::new();
    let mut near = Vec::new();
    for name in nearest(short, owners.keys().copied()) {
        if let Some((component, label)) = owners.get(name)
            && !seen.contains(component)
        {
            seen.push(component);
            near.push(format!("{component} ({label})"));
        }
    }
    near
}

/// Adds to an error what was searched.
fn with_searched<P: RegisteredPlugin>(registry: &Registry<P>, kind: Kind, error: Error) -> Error {
    let components = registry.usable(kind).count();
    let plugins = registry.plugins.len();
    let kinds = kind.plural();
    match plugins {
        0 => error
            .with("looked", "no plug-in is loaded")
            .hint("name a folder of plug-ins: --plugins DIR, or plugins = [...]"),
        _ => error.with(
            "looked",
            format!(
                "{} {} of {} {}; `plugfit list {kinds}` shows them",
                grouped(components),
                if components == 1 { kind.to_string() } else { kinds.to_string() },
                grouped(plugins),
                if plugins == 1 { "plug-in" } else { "plug-ins" },
            ),
        ),
    }
}
