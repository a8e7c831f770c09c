//! Finds the plug-in and the component for a name.
//!
//! A plug-in is identified by name, version and the digest of its file. If the same plug-in is found twice, it is used
//! once; of two versions, the newer one is used. Two different files with the same name and version are a conflict:
//! neither is used until one of them is removed. No file replaces a built-in plug-in. A file is the same plug-in as a
//! built-in one if version and manifest are equal. If two plug-ins have a component of the same short name, that name
//! is an error which lists both; `package>Name` selects one of them.

mod conflict_errors;
mod name;
#[cfg(test)]
mod tests;
mod unknown_errors;
mod version;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::Result;
use crate::plugin::{Component, Kind, Manifest, Origin, Plugin};
use crate::text::snake_case;
pub(crate) use unknown_errors::HOW_TO_GIVE;

/// The properties of a plug-in that the registry needs.
pub trait RegisteredPlugin {
    /// Returns the manifest, which lists the components.
    fn manifest(&self) -> &Manifest;

    /// Returns where the plug-in came from.
    fn place(&self) -> String;

    /// Returns why the components of this kind can't be used, or `None` if they can.
    fn unusable_reason(&self, kind: Kind) -> Option<String>;

    /// Returns the digest of the loaded file, which distinguishes plug-ins of the same name and version.
    fn digest(&self) -> String;

    /// Returns whether the plug-in is built into the program.
    fn built_in(&self) -> bool;

    /// Returns the digest of the manifest.
    fn manifest_digest(&self) -> String;

    /// Returns the name and version.
    fn label(&self) -> String {
        format!("{} {}", self.manifest().name, self.manifest().version)
    }
}

impl RegisteredPlugin for Arc<Plugin> {
    fn manifest(&self) -> &Manifest {
        Plugin::manifest(self)
    }

    fn place(&self) -> String {
        self.origin().to_string()
    }

    fn unusable_reason(&self, kind: Kind) -> Option<String> {
        Plugin::unusable_reason(self, kind).map(ToOwned::to_owned)
    }

    fn digest(&self) -> String {
        Plugin::digest(self).to_owned()
    }

    fn built_in(&self) -> bool {
        self.origin() == &Origin::BuiltIn
    }

    fn manifest_digest(&self) -> String {
        Plugin::manifest_digest(self).to_owned()
    }
}

/// The result of adding a plug-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// The plug-in was added.
    New,
    /// The same plug-in is already in use.
    Same {
        /// Where the first one came from.
        place: String,
    },
    /// The plug-in replaced an older version.
    Replaced {
        /// The older version.
        version: String,
        /// Where the older one came from.
        place: String,
    },
    /// A newer version is already in use, and remains.
    Older {
        /// The newer version.
        version: String,
        /// Where the newer one came from.
        place: String,
    },
    /// A different file of the same name and version is already present. Neither is used.
    Conflict {
        /// Where the first one came from.
        place: String,
    },
    /// The plug-in has the name of a built-in one.
    Reserved,
}

/// The plug-ins in use.
#[derive(Clone, Debug)]
pub struct Registry<P = Arc<Plugin>> {
    plugins: Vec<P>,
    /// Plug-ins that differ from another one of the same name and version.
    conflicting: Vec<P>,
}

impl<P> Default for Registry<P> {
    fn default() -> Self {
        Registry { plugins: Vec::new(), conflicting: Vec::new() }
    }
}

impl<P: RegisteredPlugin> Registry<P> {
    /// Adds the components of a plug-in.
    pub fn add(&mut self, plugin: P) -> Added {
        let Manifest { name, version, .. } = plugin.manifest();
        let Some(existing) = self.plugins.iter_mut().find(|existing| existing.manifest().name == *name) else {
            self.plugins.push(plugin);
            return Added::New;
        };
        let (place, existing_version) = (existing.place(), existing.manifest().version.clone());
        if existing.built_in() != plugin.built_in() {
            // A library of the standard set is compiled separately from the program, so only their manifests are equal.
            let is_same = existing_version == *version && existing.manifest_digest() == plugin.manifest_digest();
            return if is_same { Added::Same { place } } else { Added::Reserved };
        }
        match version::compare(version, &existing_version) {
            Ordering::Equal => {
                let same = |other: &P| other.digest() == plugin.digest();
                if same(existing) || self.conflicting.iter().any(same) {
                    return Added::Same { place };
                }
                self.conflicting.push(plugin);
                Added::Conflict { place }
            }
            Ordering::Greater => {
                self.conflicting.retain(|other| other.manifest().name != *name);
                *existing = plugin;
                Added::Replaced { version: existing_version, place }
            }
            Ordering::Less => Added::Older { version: existing_version, place },
        }
    }

    /// Returns the plug-ins in use, in the order in which they were added.
    pub fn plugins(&self) -> &[P] {
        &self.plugins
    }

    /// Returns every usable component of a kind with its plug-in, sorted by name.
    pub fn components(&self, kind: Kind) -> Vec<(&P, &Component)> {
        let mut all: Vec<(&P, &Component)> = self.usable(kind).collect();
        all.sort_by(|a, b| a.1.name.to_lowercase().cmp(&b.1.name.to_lowercase()).then_with(|| a.1.name.cmp(&b.1.name)));
        all
    }

    /// Returns the names of every usable component of a kind, sorted.
    pub fn names(&self, kind: Kind) -> Vec<&str> {
        self.components(kind).into_iter().map(|(_, component)| component.name.as_str()).collect()
    }

    /// Returns the plug-in and the component for a name, an alias or `package>Name`.
    ///
    /// # Errors
    /// Returns a usage error if there is none, with the nearest names; if several plug-ins have it, with a list of
    /// them; or if the component can't be used.
    pub fn find(&self, kind: Kind, name: &str) -> Result<(&P, &Component)> {
        let (package, short) = parts(name);
        let found = fitting(self.all(kind), kind, name);
        match found[..] {
            [] => Err(unknown_errors::error(self, kind, name, package, short)),
            [(plugin, component)] => match plugin.unusable_reason(kind) {
                None => self.check_no_conflict(plugin).map(|()| (plugin, component)),
                Some(reason) => Err(unknown_errors::unusable(plugin, kind, &component.name, reason)),
            },
            ref several => Err(conflict_errors::error(short, several)),
        }
    }

    /// Returns what [`find`](Self::find) returns for each name, alias and `package>Name`, and for their snake-case
    /// forms. The value is `None` if the component can't be used, or if several plug-ins have it.
    pub fn spellings(&self, kind: Kind) -> BTreeMap<String, Option<(&P, &Component)>> {
        // Names of optimizers are case-insensitive.
        let key = |name: &str| if kind == Kind::Optimizer { name.to_lowercase() } else { name.to_owned() };
        let mut by_key: HashMap<String, Vec<(&P, &Component)>> = HashMap::new();
        let mut spellings = BTreeSet::new();
        for (plugin, component) in self.all(kind) {
            let names = component.aliases.iter().chain([&component.name]);
            for name in names.flat_map(|name| [name.clone(), snake_case(name)]).filter(|name| !name.is_empty()) {
                let candidates = by_key.entry(key(&name)).or_default();
                if candidates.last().is_none_or(|(_, last)| !std::ptr::eq(*last, component)) {
                    candidates.push((plugin, component));
                }
                spellings.extend([format!("{}>{name}", plugin.manifest().name), name]);
            }
        }
        let meaning = |spelling: String| {
            let candidates = by_key.get(&key(parts(&spelling).1)).into_iter().flatten().copied();
            match fitting(candidates, kind, &spelling)[..] {
                [] => None,
                [one] if one.0.unusable_reason(kind).is_none() && self.check_no_conflict(one.0).is_ok() => {
                    Some((spelling, Some(one)))
                }
                _ => Some((spelling, None)),
            }
        };
        spellings.into_iter().filter_map(meaning).collect()
    }

    /// Returns an error if another file has the same name and version as this plug-in.
    fn check_no_conflict(&self, plugin: &P) -> Result<()> {
        let others = self.conflicting.iter().filter(|other| other.manifest().name == plugin.manifest().name);
        let others: Vec<&P> = others.collect();
        if others.is_empty() { Ok(()) } else { Err(conflict_errors::of_one_version(plugin, &others)) }
    }

    /// Returns whether a plug-in has a component of this name, usable or not.
    pub fn has(&self, kind: Kind, name: &str) -> bool {
        !fitting(self.all(kind), kind, name).is_empty()
    }

    fn usable(&self, kind: Kind) -> impl Iterator<Item = (&P, &Component)> {
        let usable = self.plugins.iter().filter(move |plugin| plugin.unusable_reason(kind).is_none());
        usable.flat_map(move |plugin| of_kind(plugin, kind))
    }

    fn all(&self, kind: Kind) -> impl Iterator<Item = (&P, &Component)> {
        self.plugins.iter().flat_map(move |plugin| of_kind(plugin, kind))
    }
}

fn of_kind<P: RegisteredPlugin>(plugin: &P, kind: Kind) -> impl Iterator<Item = (&P, &Component)> {
    let components = plugin.manifest().components.iter().filter(move |component| component.kind() == Some(kind));
    components.map(move |component| (plugin, component))
}

/// Splits a name into its package, if it has one, and the short name.
fn parts(name: &str) -> (Option<&str>, &str) {
    name.rsplit_once('>').map_or((None, name), |(package, short)| (Some(package), short))
}

/// Returns, for each plug-in, the component that fits a name best.
fn fitting<'p, P: RegisteredPlugin>(
    all: impl Iterator<Item = (&'p P, &'p Component)>,
    kind: Kind,
    name: &str,
) -> Vec<(&'p P, &'p Component)> {
    let (package, short) = parts(name);
    let mut found: Vec<(name::Fit, &P, &Component)> = Vec::new();
    for (plugin, component) in all.filter(|(plugin, _)| package.is_none_or(|package| plugin.manifest().name == package))
    {
        let Some(fit) = name::fit(component, kind, short) else { continue };
        match found.last_mut().filter(|last| std::ptr::eq(last.1, plugin)) {
            Some(last) if fit < last.0 => *last = (fit, plugin, component),
            Some(_) => {}
            None => found.push((fit, plugin, component)),
        }
    }
    found.into_iter().map(|(_, plugin, component)| (plugin, component)).collect()
}
