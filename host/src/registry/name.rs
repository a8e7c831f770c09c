//! Compares a written name with the names of a component.

use crate::plugin::{Component, Kind};
use crate::text::snake_case;

/// How well a name fits; the least variant is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Name,
    Alias,
    /// The name in snake case; for an optimizer, the name or an alias in another case.
    Spelling,
}

/// Returns how a name fits the component, or `None` if it doesn't. As in Keras, names of optimizers are
/// case-insensitive; other names are case-sensitive, and may be written in snake case.
pub(super) fn fit(component: &Component, kind: Kind, written: &str) -> Option<Fit> {
    if component.name == written {
        return Some(Fit::Name);
    }
    if component.aliases.iter().any(|alias| alias == written) {
        return Some(Fit::Alias);
    }
    let other_spelling = match kind {
        Kind::Optimizer => {
            component.name.eq_ignore_ascii_case(written)
                || component.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(written))
        }
        _ => snake_case(&component.name) == written,
    };
    other_spelling.then_some(Fit::Spelling)
}
