//! Measures how many mutants of the standard set `plugfit check` catches. A mutant changes one operator or constant in
//! the source of a loss, metric or optimizer.
//!
//! ```text
//! cargo run -p plugfit-mutants -- --count 120 --seed 1
//! ```
//!
//! A mutant is caught if a test of the components in its file fails that passes for the unchanged set. Mutants that
//! escape are listed. The exit status is 1 if more than a tenth escape.

mod library;
mod mutants;
mod points;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use mutants::{Mutant, components_of, files, mutants, sample};
use plugfit::check::{Checker, Exclusions, Outcome, Pattern, Verdict};
use plugfit::plugin::LoadOptions;

/// The test results of a mutant.
struct TestResults {
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
    let (library, broken) = library::PluginCopy::new(target.join("mutants"))?.build(&mutants)?;
    let tests = Tests { library, program: options.program.clone().unwrap_or(executable), timeout: options.timeout };
    let components = tests.components()?;

    // Ignore tests that fail without a mutant.
    let concerned: BTreeMap<&str, BTreeSet<String>> = mutants
        .iter()
        .map(|mutant| Ok((mutant.file.as_str(), components_of(&mutant.file, &components)?)))
        .collect::<Result<_, String>>()?;
    let every: BTreeSet<String> = concerned.values().flatten().cloned().collect();
    let before = tests.failing(0, &every)?;
    before.iter().for_each(|verdict| println!("fails without a mutant: {}", verdict.path));
    let before: BTreeSet<String> = before.into_iter().map(|verdict| verdict.path).collect();

    let mut results: Vec<(&Mutant, Option<TestResults>)> = Vec::new();
    for mutant in &mutants {
        let result = if broken.contains(&mutant.number) {
            println!("doesn't build  {mutant}");
            None
        } else {
            let failing = tests.failing(mutant.number, &concerned[mutant.file.as_str()])?;
            let failing: Vec<&Verdict> = failing.iter().filter(|verdict| !before.contains(&verdict.path)).collect();
            let name = |verdict: &&Verdict| verdict.path.rsplit('/').next().unwrap_or_default().to_owned();
            let tests: BTreeSet<String> = failing.iter().map(name).collect();
            let out_of_time = |verdict: &&Verdict| verdict.report.failures[0].starts_with("didn't return");
            let list: Vec<&str> = tests.iter().map(String::as_str).collect();
            println!("{}  {mutant}  [{}]", if tests.is_empty() { "ESCAPES" } else { "caught " }, list.join(" "));
            Some(TestResults { slow: !failing.is_empty() && failing.iter().all(out_of_time), tests })
        };
        results.push((mutant, result));
    }
    Ok(summary(&results))
}

/// Runs the tests of `plugfit check`.
struct Tests {
    library: PathBuf,
    program: PathBuf,
    timeout: f64,
}

impl Tests {
    fn checker(&self, number: usize, components: &BTreeSet<String>) -> Checker {
        let variable = format!("{}={number}", library::VARIABLE);
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
fn summary(results: &[(&Mutant, Option<TestResults>)]) -> bool {
    let built: Vec<(&Mutant, &TestResults)> =
        results.iter().filter_map(|(mutant, result)| Some((*mutant, result.as_ref()?))).collect();
    let mut by_test: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (_, result) in &built {
        for test in &result.tests {
            let counts = by_test.entry(test).or_default();
            counts.0 += 1;
            counts.1 += usize::from(result.tests.len() == 1);
        }
    }
    println!("\ntest            catches   alone");
    by_test.iter().for_each(|(test, (all, alone))| println!("{test:<14} {all:>8} {alone:>7}"));
    println!("\nescape:");
    built.iter().filter(|(_, result)| result.tests.is_empty()).for_each(|(mutant, _)| println!("  {mutant}"));
    let count = |holds: &dyn Fn(&TestResults) -> bool| built.iter().filter(|(_, result)| holds(result)).count();
    let (caught, slow) = (count(&|result| !result.tests.is_empty()), count(&|result| result.slow));
    let by_laws = count(&|result| result.tests.iter().any(|test| test != "examples"));
    let share = |part: usize| 100.0 * part as f64 / built.len().max(1) as f64;
    println!("\n{} mutants: {} don't build", results.len(), results.len() - built.len());
    println!("caught: {caught} ({:.1} %), {slow} of them only by the time limit", share(caught));
    println!("caught by a law, without the components' examples: {by_laws} ({:.1} %)", share(by_laws));
    share(caught) >= 90.0
}
