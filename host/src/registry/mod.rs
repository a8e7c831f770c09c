//! Which plug-in has the component of a name.
//!
//! A plug-in is known by name and version: the same found again is one plug-in, and of two versions the newest is used.
//! A short name that two plug-ins have is refused with both listed; `package>Name` says which is meant.

mod conflict;
mod name;
#[cfg(test)]
mod tests;
mod unknown;
mod version;

use std::sync::Arc;

pub use name::snake_case;

use crate::Result;
use crate::plugin::{Component, Kind, Manifest, Plugin};

/// What the registry wants to know of a plug-in.
pub trait Listed {
    /// What it has.
    fn manifest(&self) -> &Manifest;

    /// Where it came from.
    fn place(&self) -> String;

    /// Why none of its components of this kind can be used; none: they can.
    fn unusable(&self, kind: Kind) -> Option<String>;

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
}

/// The plug-ins in use.
#[derive(Clone, Debug)]
pub struct Registry<P = Arc<Plugin>> {
    plugins: Vec<P>,
}

impl<P> Default for Registry<P> {
    fn default() -> Self {
        Registry { plugins: Vec::new() }
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
        if there_version == *version {
            Added::Same { place }
        } else if version::newer(version, &there_version) {
            *there = plugin;
            Added::Replaced { version: there_version, place }
        } else {
            Added::Older { version: there_version, place }
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
        let (package, short) = match name.rsplit_once('>') {
            Some((package, short)) => (Some(package), short),
            None => (None, name),
        };
        let found: Vec<(&P, &Component)> = self
            .plugins
            .iter()
            .filter(|plugin| package.is_none_or(|package| plugin.manifest().name == package))
            .filter_map(|plugin| Some((plugin, best(plugin, kind, short)?)))
            .collect();
        match found[..] {
            [] => Err(unknown::error(self, kind, name, package, short)),
            [(plugin, component)] => match plugin.unusable(kind) {
                None => Ok((plugin, component)),
                Some(reason) => Err(unknown::unusable(plugin, kind, &component.name, reason)),
            },
            ref several => Err(conflict::error(short, several)),
        }
    }

    /// Whether a plug-in has a component of this name, usable or not.
    pub fn has(&self, kind: Kind, name: &str) -> bool {
        let (package, short) = name.rsplit_once('>').map_or((None, name), |(package, short)| (Some(package), short));
        self.plugins.iter().any(|plugin| {
            package.is_none_or(|package| plugin.manifest().name == package) && best(plugin, kind, short).is_some()
        })
    }

    fn usable(&self, kind: Kind) -> impl Iterator<Item = (&P, &Component)> {
        self.plugins
            .iter()
            .filter(move |plugin| plugin.unusable(kind).is_none())
            .flat_map(move |plugin| of_kind(plugin, kind).map(move |component| (plugin, component)))
    }
}

fn of_kind<P: Listed>(plugin: &P, kind: Kind) -> impl Iterator<Item = &Component> {
    plugin.manifest().components.iter().filter(move |component| component.kind() == Some(kind))
}

/// The component of a plug-in that a short name fits best.
fn best<'p, P: Listed>(plugin: &'p P, kind: Kind, short: &str) -> Option<&'p Component> {
    of_kind(plugin, kind)
        .filter_map(|component| Some((name::fit(component, kind, short)?, component)))
        .min_by_key(|(fit, _)| *fit)
        .map(|(_, component)| component)
}
