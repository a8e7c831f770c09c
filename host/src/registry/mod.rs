//! Which plug-in has the component of a name.
//!
//! A plug-in is known by name, version and digest: the same found again is one plug-in, and of two versions the newest is used. Two files
//! of one name and version that differ are a conflict: neither is used until one of them is gone. What is built in is replaced by no file.
//! A short name that two plug-ins have is refused with both listed; `package>Name` says which is meant.

mod conflict;
mod name;
#[cfg(test)]
mod tests;
mod unknown;
mod version;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub use name::snake_case;

use crate::Result;
use crate::plugin::{Component, Kind, Manifest, Origin, Plugin};

/// What the registry wants to know of a plug-in.
pub trait Listed {
    /// What it has.
    fn manifest(&self) -> &Manifest;

    /// Where it came from.
    fn place(&self) -> String;

    /// Why none of its components of this kind can be used; none: they can.
    fn unusable(&self, kind: Kind) -> Option<String>;

    /// What tells it from another of its name and version: of a file the digest of what is loaded of it.
    fn digest(&self) -> String;

    /// Whether it is a part of the program.
    fn built_in(&self) -> bool;

    /// The digest of its manifest.
    fn manifest_digest(&self) -> String;

    /// Its name and version.
    fn label(&self) -> String {
        format!("{} {}", self.manifest().name, self.manifest().version)
    }
}

impl Listed for Arc<Plugin> {
    fn manifest(&self) -> &Manifest {
        Plugin::manifest(self)
    }

    fn place(&self) -> String {
        self.origin().to_string()
    }

    fn unusable(&self, kind: Kind) -> Option<String> {
        self.missing(kind).map(ToOwned::to_owned)
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

/// What became of a plug-in that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// Its components are there now.
    New,
    /// The same name and version is there already, from this place.
    Same {
        /// Where the first one came from.
        place: String,
    },
    /// It took the place of an older version.
    Replaced {
        /// The older version.
        version: String,
        /// Where the older one came from.
        place: String,
    },
    /// A newer version is there already, and is used.
    Older {
        /// The newer version.
        version: String,
        /// Where the newer one came from.
        place: String,
    },
    /// Another plug-in of the same name and version is there already. Neither is used.
    Conflict {
        /// Where the first one came from.
        place: String,
    },
    /// Its name is that of a plug-in that is built in.
    Reserved,
}

/// The plug-ins in use.
#[derive(Clone, Debug)]
pub struct Registry<P = Arc<Plugin>> {
    plugins: Vec<P>,
    /// Those of a name and version that another one has.
    conflicting: Vec<P>,
}

impl<P> Default for Registry<P> {
    fn default() -> Self {
        Registry { plugins: Vec::new(), conflicting: Vec::new() }
    }
}

impl<P: Listed> Registry<P> {
    /// Adds the components of a plug-in.
    pub fn add(&mut self, plugin: P) -> Added {
        let Manifest { name, version, .. } = plugin.manifest();
        let Some(there) = self.plugins.iter_mut().find(|there| there.manifest().name == *name) else {
            self.plugins.push(plugin);
            return Added::New;
        };
        let (place, there_version) = (there.place(), there.manifest().version.clone());
        if there.built_in() != plugin.built_in() {
            // A file of what is built in is built anew for each program, and only its manifest is the same.
            let is_same = there_version == *version && there.manifest_digest() == plugin.manifest_digest();
            return if is_same { Added::Same { place } } else { Added::Reserved };
        }
        match version::compare(version, &there_version) {
            Ordering::Equal => {
                let same = |other: &P| other.digest() == plugin.digest();
                if same(there) || self.conflicting.iter().any(same) {
                    return Added::Same { place };
                }
                self.conflicting.push(plugin);
                Added::Conflict { place }
            }
            Ordering::Greater => {
                self.conflicting.retain(|other| other.manifest().name != *name);
                *there = plugin;
                Added::Replaced { version: there_version, place }
            }
            Ordering::Less => Added::Older { version: there_version, place },
        }
    }

    /// The plug-ins in use, in the order they were added.
    pub fn plugins(&self) -> &[P] {
        &self.plugins
    }

    /// Every component of a kind with its plug-in, sorted by name.
    pub fn components(&self, kind: Kind) -> Vec<(&P, &Component)> {
        let mut all: Vec<(&P, &Component)> = self.usable(kind).collect();
        all.sort_by(|a, b| a.1.name.to_lowercase().cmp(&b.1.name.to_lowercase()).then_with(|| a.1.name.cmp(&b.1.name)));
        all
    }

    /// The names of every component of a kind, sorted.
    pub fn names(&self, kind: Kind) -> Vec<&str> {
        self.components(kind).into_iter().map(|(_, component)| component.name.as_str()).collect()
    }

    /// The plug-in and the component that a name, an alias or `package>Name` stands for.
    ///
    /// # Errors
    /// A usage error if there is none, which names the nearest ones; or if several plug-ins have it, which lists them.
    pub fn find(&self, kind: Kind, name: &str) -> Result<(&P, &Component)> {
        let (package, short) = parts(name);
        let found = fitting(self.all(kind), kind, name);
        match found[..] {
            [] => Err(unknown::error(self, kind, name, package, short)),
            [(plugin, component)] => match plugin.unusable(kind) {
                None => self.undisputed(plugin).map(|()| (plugin, component)),
                Some(reason) => Err(unknown::unusable(plugin, kind, &component.name, reason)),
            },
            ref several => Err(conflict::error(short, several)),
        }
    }

    /// What each name, alias and `package>Name` stands for, as [`find`](Self::find) says, and their snake-case forms; none: it can't be used, or
    /// several plug-ins have it.
    pub fn spellings(&self, kind: Kind) -> BTreeMap<String, Option<(&P, &Component)>> {
        // The letters of an optimizer's name may be of any case.
        let key = |name: &str| if kind == Kind::Optimizer { name.to_lowercase() } else { name.to_owned() };
        let mut having: HashMap<String, Vec<(&P, &Component)>> = HashMap::new();
        let mut spellings = BTreeSet::new();
        for (plugin, component) in self.all(kind) {
            let names = component.aliases.iter().chain([&component.name]);
            for name in names.flat_map(|name| [name.clone(), snake_case(name)]).filter(|name| !name.is_empty()) {
                let having = having.entry(key(&name)).or_default();
                if having.last().is_none_or(|(_, last)| !std::ptr::eq(*last, component)) {
                    having.push((plugin, component));
                }
                spellings.extend([format!("{}>{name}", plugin.manifest().name), name]);
            }
        }
        let meaning = |spelling: String| {
            let having = having.get(&key(parts(&spelling).1)).into_iter().flatten().copied();
            match fitting(having, kind, &spelling)[..] {
                [] => None,
                [one] if one.0.unusable(kind).is_none() && self.undisputed(one.0).is_ok() => {
                    Some((spelling, Some(one)))
                }
                _ => Some((spelling, None)),
            }
        };
        spellings.into_iter().filter_map(meaning).collect()
    }

    /// Refuses a plug-in of which there are two that differ.
    fn undisputed(&self, plugin: &P) -> Result<()> {
        let others = self.conflicting.iter().filter(|other| other.manifest().name == plugin.manifest().name);
        let others: Vec<&P> = others.collect();
        if others.is_empty() { Ok(()) } else { Err(conflict::of_one_version(plugin, &others)) }
    }

    /// Whether a plug-in has a component of this name, usable or not.
    pub fn has(&self, kind: Kind, name: &str) -> bool {
        !fitting(self.all(kind), kind, name).is_empty()
    }

    fn usable(&self, kind: Kind) -> impl Iterator<Item = (&P, &Component)> {
        let usable = self.plugins.iter().filter(move |plugin| plugin.unusable(kind).is_none());
        usable.flat_map(move |plugin| of_kind(plugin, kind))
    }

    fn all(&self, kind: Kind) -> impl Iterator<Item = (&P, &Component)> {
        self.plugins.iter().flat_map(move |plugin| of_kind(plugin, kind))
    }
}

fn of_kind<P: Listed>(plugin: &P, kind: Kind) -> impl Iterator<Item = (&P, &Component)> {
    let components = plugin.manifest().components.iter().filter(move |component| component.kind() == Some(kind));
    components.map(move |component| (plugin, component))
}

/// The plug-in that a name asks for, if it does, and the name without that.
fn parts(name: &str) -> (Option<&str>, &str) {
    name.rsplit_once('>').map_or((None, name), |(package, short)| (Some(package), short))
}

/// Of each plug-in the component that a name fits best.
fn fitting<'p, P: Listed>(
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
