//! Measures how many mutants of the standard set `plugfit check` catches. A mutant changes one operator or constant in
//! the source of a loss, metric or optimizer.
//!
//! ```text
//! cargo run -p plugfit-tests --bin mutants -- --count 120 --seed 1
//! ```
//!
//! A mutant is caught if a test of the components in its file fails that passes for the unchanged set. Mutants that
//! escape are listed. The exit status is 1 if more than a tenth escape.

mod equivalent;
mod points;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use equivalent::EQUIVALENT;
use plugfit::check::{Checker, Exclusions, Outcome, Pattern, Verdict};
use plugfit::plugin::LoadOptions;

/// A change of the source code.
pub struct Mutant {
    /// Counted from 1.
    pub number: usize,
    /// Such as `losses/binary.rs`.
    pub file: String,
    line: usize,
    /// The unchanged line.
    text: String,
    /// The changed line.
    changed: String,
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

impl Mutant {
    /// Returns why no test can catch the mutant, if [`EQUIVALENT`] lists it.
    fn equivalent(&self) -> Option<&'static str> {
        let matches = |(file, changed, _): &&(&str, &str, &str)| *file == self.file && *changed == self.changed;
        EQUIVALENT.iter().find(matches).map(|(.., why)| *why)
    }
}

impl std::fmt::Display for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}  in  {}", self.file, self.line, self.shown, self.text)
    }
}

/// The test results of a mutant.
struct Fate {
    /// Names of the tests that fail.
    tests: BTreeSet<String>,
    /// Whether all of them fail only by the time limit.
    slow: bool,
}

#[derive(clap::Parser)]
struct Options {
    /// Number of mutants
    #[arg(long, default_value_t = 120)]
    count: usize,
    /// Seed of the sample of mutants
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Mutate only files whose name contains this text
    #[arg(long)]
    only: Option<String>,
    /// Time limit of a test in seconds
    #[arg(long, default_value_t = 10.0)]
    timeout: f64,
    /// The plugfit program that runs the tests, such as a release build [default: this program]
    #[arg(long)]
    program: Option<PathBuf>,
}

fn main() -> ExitCode {
    // The tests run in child processes of this program, as they do for `plugfit`.
    if std::env::args().nth(1).as_deref() == Some("check") {
        return plugfit::cli::main();
    }
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let all = mutants()?;
    let found = all.len();
    let mutants = sample(all, options);
    let executable = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = executable.ancestors().nth(2).ok_or("this program lies in no target folder")?.to_owned();
    println!("{found} places in {} files; {} mutants, seed {}", files()?.len(), mutants.len(), options.seed);
    let (library, broken) = schema::Copy::new(target.join("mutants"))?.build(&mutants)?;
    let bench = Bench { library, program: options.program.clone().unwrap_or(executable), timeout: options.timeout };
    let components = bench.components()?;

    // Ignore tests that fail without a mutant.
    let concerned: BTreeMap<&str, BTreeSet<String>> = mutants
        .iter()
        .map(|mutant| Ok((mutant.file.as_str(), components_of(&mutant.file, &components)?)))
        .collect::<Result<_, String>>()?;
    let every: BTreeSet<String> = concerned.values().flatten().cloned().collect();
    let before = bench.failing(0, &every)?;
    before.iter().for_each(|verdict| println!("fails without a mutant: {}", verdict.path));
    let before: BTreeSet<String> = before.into_iter().map(|verdict| verdict.path).collect();

    let mut fates: Vec<(&Mutant, Option<Fate>)> = Vec::new();
    for mutant in &mutants {
        let fate = if broken.contains(&mutant.number) {
            println!("doesn't build  {mutant}");
            None
        } else {
            let failing = bench.failing(mutant.number, &concerned[mutant.file.as_str()])?;
            let failing: Vec<&Verdict> = failing.iter().filter(|verdict| !before.contains(&verdict.path)).collect();
            let name = |verdict: &&Verdict| verdict.path.rsplit('/').next().unwrap_or_default().to_owned();
            let tests: BTreeSet<String> = failing.iter().map(name).collect();
            let out_of_time = |verdict: &&Verdict| verdict.report.failures[0].starts_with("didn't come back");
            let list: Vec<&str> = tests.iter().map(String::as_str).collect();
            println!("{}  {mutant}  [{}]", if tests.is_empty() { "ESCAPES" } else { "caught " }, list.join(" "));
            Some(Fate { slow: !failing.is_empty() && failing.iter().all(out_of_time), tests })
        };
        fates.push((mutant, fate));
    }
    Ok(summary(&fates))
}

/// Returns the files that are mutated.
fn files() -> Result<Vec<String>, String> {
    let all = schema::sources(&schema::original().join("src"), "")?;
    Ok(all.into_iter().filter(|file| !file.starts_with("schedules/") && file.contains('/')).collect())
}

fn parsed(file: &str) -> Result<(String, syn::File), String> {
    let source = schema::read(&schema::original().join("src").join(file))?;
    let parsed = syn::parse_file(&source).map_err(|error| format!("{file}: {error}"))?;
    Ok((source, parsed))
}

/// Returns every possible mutant.
fn mutants() -> Result<Vec<Mutant>, String> {
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
                let end = source[point.part.end..].find('\n').map_or(source.len(), |at| point.part.end + at);
                let changed = format!("{}{change}{}", &source[start..point.part.start], &source[point.part.end..end]);
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
                    changed: changed.trim().to_owned(),
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
fn sample(all: Vec<Mutant>, options: &Options) -> Vec<Mutant> {
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
fn components_of(file: &str, components: &BTreeSet<String>) -> Result<BTreeSet<String>, String> {
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

/// Runs the tests of `plugfit check`.
struct Bench {
    library: PathBuf,
    program: PathBuf,
    timeout: f64,
}

impl Bench {
    fn checker(&self, number: usize, components: &BTreeSet<String>) -> Checker {
        let variable = format!("{}={number}", schema::VARIABLE);
        let program: [OsString; 3] = ["env".into(), variable.into(), self.program.clone().into()];
        Checker {
            program: program.into(),
            common: Vec::new(),
            only: components.iter().map(|component| Pattern::from(component.as_str())).collect(),
            exclusions: Exclusions::default(),
            seed: plugfit_api::testing::SEED,
            time: Duration::from_secs_f64(self.timeout),
            memory: 4 << 30,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            in_process: false,
            failures: None,
            options: LoadOptions::default(),
        }
    }

    /// Returns the paths of the components, such as `loss/Huber`.
    fn components(&self) -> Result<BTreeSet<String>, String> {
        let tests = self.checker(0, &BTreeSet::new()).list(&self.library).map_err(|error| error.to_string())?;
        let components = tests.iter().filter_map(|(path, _)| path.rsplit_once('/'));
        Ok(components.map(|(component, _)| component.to_owned()).collect())
    }

    /// Returns the tests of these components that fail with a mutant.
    fn failing(&self, number: usize, components: &BTreeSet<String>) -> Result<Vec<Verdict>, String> {
        let file: &Path = &self.library;
        let verdicts = self.checker(number, components).check(file, &|_| ()).map_err(|error| error.to_string())?;
        Ok(verdicts.into_iter().filter(|verdict| verdict.outcome == Outcome::Failed).collect())
    }
}

/// Prints the results. Returns whether at most a tenth of the mutants escape.
fn summary(fates: &[(&Mutant, Option<Fate>)]) -> bool {
    let built: Vec<(&Mutant, &Fate)> =
        fates.iter().filter_map(|(mutant, fate)| Some((*mutant, fate.as_ref()?))).collect();
    let broken = fates.len() - built.len();
    let mut by_test: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (_, fate) in &built {
        for test in &fate.tests {
            let counts = by_test.entry(test).or_default();
            counts.0 += 1;
            counts.1 += usize::from(fate.tests.len() == 1);
        }
    }
    println!("\ntest            catches   alone");
    by_test.iter().for_each(|(test, (all, alone))| println!("{test:<14} {all:>8} {alone:>7}"));
    let (equivalent, judged): (Vec<_>, Vec<_>) =
        built.into_iter().partition(|(mutant, fate)| fate.tests.is_empty() && mutant.equivalent().is_some());
    println!("\nescape:");
    judged.iter().filter(|(_, fate)| fate.tests.is_empty()).for_each(|(mutant, _)| println!("  {mutant}"));
    println!("\nset apart, since nothing can catch them:");
    equivalent.iter().for_each(|(mutant, _)| println!("  {mutant}: {}", mutant.equivalent().unwrap_or_default()));
    let count = |holds: &dyn Fn(&Fate) -> bool| judged.iter().filter(|(_, fate)| holds(fate)).count();
    let (caught, slow) = (count(&|fate| !fate.tests.is_empty()), count(&|fate| fate.slow));
    let by_laws = count(&|fate| fate.tests.iter().any(|test| test != "examples"));
    let share = |part: usize| 100.0 * part as f64 / judged.len().max(1) as f64;
    println!("\n{} mutants: {broken} don't build, {} set apart, {} count", fates.len(), equivalent.len(), judged.len());
    println!("caught: {caught} ({:.1} %), {slow} of them by the time limit alone", share(caught));
    println!("caught by a law, without the components' examples: {by_laws} ({:.1} %)", share(by_laws));
    share(caught) >= 90.0
}
