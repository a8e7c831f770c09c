//! The mutants of the standard set, and the components that each of them affects.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::{Options, library, points};

/// A change of the source code.
pub struct Mutant {
    /// Counted from 1.
    pub number: usize,
    /// Such as `losses/binary.rs`.
    pub file: String,
    line: usize,
    /// The unchanged line.
    text: String,
    /// The expression.
    pub whole: Range<usize>,
    /// The part of the expression that is replaced.
    pub part: Range<usize>,
    /// The replacement.
    pub change: String,
    /// Whether the part is an operator between two operands.
    pub between: bool,
    /// A description of the change.
    shown: String,
}

impl std::fmt::Display for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}  in  {}", self.file, self.line, self.shown, self.text)
    }
}

/// Returns the files that are mutated.
pub fn files() -> Result<Vec<String>, String> {
    let all = library::sources(&library::original().join("src"), "")?;
    Ok(all.into_iter().filter(|file| !file.starts_with("schedules/") && file.contains('/')).collect())
}

fn parsed(file: &str) -> Result<(String, syn::File), String> {
    let source = library::read(&library::original().join("src").join(file))?;
    let parsed = syn::parse_file(&source).map_err(|error| format!("{file}: {error}"))?;
    Ok((source, parsed))
}

/// Returns every possible mutant.
pub fn mutants() -> Result<Vec<Mutant>, String> {
    let files = files()?;
    let mut constants = Vec::new();
    for file in &files {
        constants.extend(points::constants(&parsed(file)?.1));
    }
    let mut mutants = Vec::new();
    for file in &files {
        let (source, parsed) = parsed(file)?;
        for point in points::points(&parsed, &constants) {
            for change in point.changes {
                let start = source[..point.part.start].rfind('\n').map_or(0, |at| at + 1);
                let before = &source[point.part.clone()];
                let shown = if change.is_empty() {
                    format!("`{before}` left out")
                } else {
                    format!("`{before}` -> `{change}`")
                };
                mutants.push(Mutant {
                    number: 0,
                    file: file.clone(),
                    line: source[..start].matches('\n').count() + 1,
                    text: source[start..].lines().next().unwrap_or_default().trim().to_owned(),
                    whole: point.whole.clone(),
                    part: point.part.clone(),
                    change,
                    between: point.between,
                    shown,
                });
            }
        }
    }
    Ok(mutants)
}

/// Returns a sample that takes mutants from each file in turn and contains no place twice.
pub fn sample(all: Vec<Mutant>, options: &Options) -> Vec<Mutant> {
    let mut state = options.seed;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut by_file: BTreeMap<String, Vec<(u64, Mutant)>> = BTreeMap::new();
    (0..8).for_each(|_| _ = random());
    for mutant in all {
        if options.only.as_ref().is_none_or(|only| mutant.file.contains(only)) {
            by_file.entry(mutant.file.clone()).or_default().push((random(), mutant));
        }
    }
    let mut columns: Vec<Vec<(u64, Mutant)>> = by_file.into_values().collect();
    columns.iter_mut().for_each(|column| column.sort_by_key(|(place, _)| *place));
    let mut taken: Vec<Mutant> = Vec::new();
    while taken.len() < options.count && columns.iter().any(|column| !column.is_empty()) {
        for column in &mut columns {
            while let Some((_, mutant)) = column.pop() {
                if taken.len() < options.count
                    && !taken.iter().any(|other| other.file == mutant.file && other.part == mutant.part)
                {
                    taken.push(mutant);
                    break;
                }
            }
        }
    }
    taken.sort_by(|a, b| (&a.file, a.part.start).cmp(&(&b.file, b.part.start)));
    taken.iter_mut().zip(1..).for_each(|(mutant, number)| mutant.number = number);
    taken
}

/// Returns the identifiers in the code of a file, without its tests.
fn names(file: &str) -> Result<BTreeSet<String>, String> {
    let (_, mut parsed) = parsed(file)?;
    parsed.items.retain(|item| !matches!(item, syn::Item::Mod(item) if points::is_of_tests(&item.attrs)));
    let mut names = BTreeSet::new();
    let mut streams = vec![quote::ToTokens::into_token_stream(parsed)];
    while let Some(stream) = streams.pop() {
        for token in stream {
            match token {
                proc_macro2::TokenTree::Ident(name) => drop(names.insert(name.to_string())),
                proc_macro2::TokenTree::Group(group) => streams.push(group.stream()),
                _ => {}
            }
        }
    }
    Ok(names)
}

/// Returns the components of a file, or, if it has none, those of the files that use it.
pub fn components_of(file: &str, components: &BTreeSet<String>) -> Result<BTreeSet<String>, String> {
    let named = |file: &str| -> Result<BTreeSet<String>, String> {
        let names = names(file)?;
        let (folder, _) = file.split_once('/').unwrap_or((file, ""));
        let kind = format!("{}/", if folder == "losses" { "loss" } else { folder.trim_end_matches('s') });
        let is_named = |name: &str| {
            let upper = |other: &String| other.starts_with(char::is_uppercase) && other.eq_ignore_ascii_case(name);
            names.iter().any(upper)
        };
        Ok(components.iter().filter(|path| path.strip_prefix(&kind).is_some_and(is_named)).cloned().collect())
    };
    let declared = named(file)?;
    if !declared.is_empty() {
        return Ok(declared);
    }
    let (folder, name) = file.split_once('/').unwrap_or(("", file));
    let stem = name.trim_end_matches(".rs");
    let mut users = BTreeSet::new();
    for other in files()?.iter().filter(|other| other.starts_with(folder) && *other != file) {
        if names(other)?.contains(stem) {
            users.extend(named(other)?);
        }
    }
    Ok(users)
}
