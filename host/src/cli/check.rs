//! `plugfit check`: tests plug-ins before they are used.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Common, event, plugins, print, short, table, warn, write};
use crate::check::{self, Checker, Exclusions, Format, Outcome, Pattern};
use crate::plugin::LoadOptions;
use crate::{Error, Result};

/// Returns the end of the `--help` text: the list of the tests.
fn tests() -> String {
    let mut text = String::from(
        "Each test runs in a separate process, so that a crash or an endless loop is a failed test; the tests of a component's effects \
         on its process share one. The tests are those of the components in the file's manifest; a C function has those of a loss \
         that need no settings. A component can declare the batches that it accepts and the laws that don't apply to it \
         (#[config(trial(…))]); excluded tests are listed with their reasons. `check` finds mistakes, not malice: code can detect \
         that it is being tested.\n\n\
         For each file:\n",
    );
    let line = |name: &str, about: &str| format!("  {name:<16} {about}\n");
    text += &line(check::LOAD, check::ABOUT_LOAD);
    let mut kind = None;
    for test in plugfit_api::testing::tests() {
        if test.group() != kind {
            kind = test.group();
            text += &match kind {
                None => String::new(),
                Some("component") => "\nFor each component:\n".to_owned(),
                Some(kind) => format!("\nFor each {kind}:\n"),
            };
        }
        text += &line(test.name, test.about);
    }
    text
}

#[derive(Args)]
#[command(after_long_help = tests())]
pub struct Options {
    /// The plug-ins, or C functions as LIBRARY#FUNCTION
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Run only these tests: a path such as loss/Huber/gradient, or a part of one, such as Huber or gradient
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the tests without running them
    #[arg(long)]
    list: bool,
    /// The seed of the random numbers
    #[arg(long, default_value_t = plugfit_api::testing::SEED)]
    seed: u64,
    /// Run the tests in this process, for a debugger; a crash then ends it
    #[arg(long)]
    in_process: bool,
    /// A TOML file of tests that may fail: entries [[exclude]] with test = "…" and reason = "…"
    #[arg(long, value_name = "FILE")]
    exclude: Option<PathBuf>,
    /// The format of the output
    #[arg(long, value_enum, default_value_t, conflicts_with = "json")]
    format: Format,
    /// The time limit of a test, in seconds
    #[arg(long, default_value_t = 20.0, value_parser = seconds)]
    timeout: f64,
    /// The memory limit of a test, in MiB
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u64).range(64..1 << 20))]
    memory: u64,
    /// How many tests run at a time [default: the number of processors]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..1024))]
    jobs: Option<u64>,
    /// The folder for the arrays of failing tests, as .npy files
    #[arg(long, default_value = "check-failures", value_name = "FOLDER")]
    failures: PathBuf,
    /// The tests that the parent process started this process for
    #[arg(long, hide = true)]
    child: Option<String>,
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Format::Text, Format::Json, Format::Junit, Format::Markdown]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Format::Text => PossibleValue::new("text").help("Text for a terminal"),
            Format::Json => PossibleValue::new("json").help("One JSON object per line"),
            Format::Junit => PossibleValue::new("junit").help("JUnit XML, for a CI server"),
            Format::Markdown => PossibleValue::new("markdown").help("Tables for a pull request"),
        })
    }
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "it isn't a number".to_owned())?;
    if seconds > 0.0 && seconds <= 86_400.0 { Ok(seconds) } else { Err("it must be above 0, and a day at most".into()) }
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    // Each test already runs in a separate process.
    let load = LoadOptions {
        isolate: None,
        ..plugins::options(common, None, plugins::applicable_locks(common, None, None)?)?
    };
    if let (Some(test), [file]) = (&options.child, &options.files[..]) {
        check::limit_memory(options.memory << 20)?;
        return check::serve(file, test, options.seed, &load);
    }
    let checker = Checker {
        program: super::program()?,
        common: arguments(common),
        only: options.only.iter().map(|text| Pattern::from(text.as_str())).collect(),
        exclusions: options.exclude.as_deref().map(Exclusions::read).transpose()?.unwrap_or_default(),
        seed: options.seed,
        time: Duration::from_secs_f64(options.timeout),
        memory: options.memory << 20,
        jobs: options
            .jobs
            .map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), |jobs| jobs as usize),
        in_process: options.in_process,
        failures: Some(stable_path(options, &options.failures)?),
        options: load,
    };
    let format = if common.json { Format::Json } else { options.format };
    if options.list {
        return list(options, &checker, format);
    }
    let bar = bar();
    let paths = options.files.iter().map(|file| stable_path(options, file)).collect::<Result<Vec<_>>>()?;
    let mut files = Vec::new();
    for file in &paths {
        if let Some(bar) = &bar {
            bar.set_prefix(crate::text::printable_path(file));
        }
        let verdicts = checker.check(file, &|verdict| {
            if let Some(bar) = &bar {
                bar.set_message(verdict.path.clone());
                bar.inc(1);
            }
        })?;
        files.push((file.as_path(), verdicts));
    }
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let text = check::formatted(&files, format);
    match format {
        Format::Text | Format::Markdown => print(&text),
        Format::Json | Format::Junit => write(&text),
    }
    let all = || files.iter().flat_map(|(_, verdicts)| verdicts);
    let tests: Vec<&str> = all().map(|verdict| verdict.path.as_str()).collect();
    if let (Some(file), []) = (&options.exclude, &options.only[..]) {
        for test in checker.exclusions.unused(&tests) {
            let (file, test) = (crate::text::printable_path(file), test.to_string());
            warn(&format!("{file} excludes \"{test}\", and there is no such test: remove the entry"), common.json);
        }
    }
    let failed = all().filter(|verdict| verdict.outcome == Outcome::Failed).count();
    if format == Format::Json {
        event("end", json!({"tests": all().count(), "failed": failed}));
    }
    if failed == 0 {
        return refuse_unknown(options, &checker, &tests);
    }
    let tests = if failed == 1 { "test fails" } else { "tests fail" };
    Err(Error::failure(format!("{failed} {tests}"))
        .hint("a run that uses the plug-in can't rely on what these tests check"))
}

/// Returns the path as given, or as an absolute path with `--in-process`: plug-ins may then change the working
/// directory.
fn stable_path(options: &Options, path: &Path) -> Result<PathBuf> {
    if !options.in_process {
        return Ok(path.to_owned());
    }
    std::path::absolute(path).map_err(|error| Error::usage(format!("{}: {error}", crate::text::printable_path(path))))
}

fn list(options: &Options, checker: &Checker, format: Format) -> Result<()> {
    let mut paths = Vec::new();
    for file in &options.files {
        let tests = checker.list(file)?;
        paths.extend(tests.iter().map(|(path, _)| path.clone()));
        if format == Format::Json {
            let file = file.display().to_string();
            tests.iter().for_each(|(path, about)| event("test", json!({"file": file, "test": path, "about": about})));
        } else {
            if options.files.len() > 1 {
                print(&format!("{}\n", crate::text::printable_path(file)));
            }
            let rows: Vec<Vec<String>> = tests.into_iter().map(|(path, about)| vec![path, about.to_owned()]).collect();
            print(&table::aligned(&rows, 0));
        }
    }
    refuse_unknown(options, checker, &paths)
}

/// Returns an error if `--only` names a test that no file has. `paths` are the selected tests.
fn refuse_unknown(options: &Options, checker: &Checker, paths: &[impl AsRef<str>]) -> Result<()> {
    let is_known = |wanted: &Pattern| paths.iter().any(|path| wanted.matches(path.as_ref()));
    let Some(wanted) = checker.only.iter().find(|wanted| !is_known(wanted)).map(Pattern::to_string) else {
        return Ok(());
    };
    let everything = Checker { only: Vec::new(), ..checker.clone() };
    let mut all = Vec::new();
    for file in &options.files {
        all.extend(everything.list(file)?);
    }
    let mut parts: Vec<&str> = all.iter().flat_map(|(path, _)| path.split('/').chain([path.as_str()])).collect();
    parts.sort_unstable();
    parts.dedup();
    let near = crate::text::nearest(&wanted, parts);
    let error = Error::usage(match &options.files[..] {
        [file] => format!("{} has no test \"{wanted}\"", short(file)),
        files => format!("none of {} files has a test \"{wanted}\"", files.len()),
    });
    let error = if near.is_empty() { error } else { error.with("near", near.join(", ")) };
    Err(error.hint("`plugfit check FILE --list` shows all"))
}

/// Returns the common arguments for the processes that run the tests.
fn arguments(common: &Common) -> Vec<OsString> {
    let flags = [
        (common.options.no_builtin, "--no-builtin"),
        (common.options.load_in_place, "--load-in-place"),
        (common.options.locked, "--locked"),
        (common.options.require_signed, "--require-signed"),
    ];
    flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag.into()).collect()
}

fn bar() -> Option<ProgressBar> {
    std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{prefix}  {pos} tests  {wide_msg}") {
            bar.set_style(style);
        }
        bar
    })
}
