//! Builds all mutants into one library. An environment variable selects the mutant at run time, so that one build
//! serves all of them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::mutants::Mutant;

/// The environment variable with the number of the selected mutant; 0 selects none.
pub const VARIABLE: &str = "PLUGFIT_MUTANT";

const CHOICE: &str = r#"
use std::sync::atomic::{AtomicUsize, Ordering};

const UNREAD: usize = usize::MAX;
static SELECTED: AtomicUsize = AtomicUsize::new(UNREAD);

#[inline(always)]
pub fn is(number: usize) -> bool {
    match SELECTED.load(Ordering::Relaxed) {
        UNREAD => read() == number,
        selected => selected == number,
    }
}

#[cold]
fn read() -> usize {
    let selected = std::env::var("PLUGFIT_MUTANT").ok().and_then(|number| number.parse().ok()).unwrap_or(0);
    SELECTED.store(selected, Ordering::Relaxed);
    selected
}
"#;

/// A copy of the plug-in in a separate workspace.
pub struct PluginCopy {
    folder: PathBuf,
}

/// The position of a mutant's choice in a written file.
struct Written {
    file: String,
    range: Range<usize>,
    number: usize,
}

impl PluginCopy {
    /// Creates the copy in a folder that only this tool uses.
    pub fn new(folder: PathBuf) -> Result<Self, String> {
        let plugin = folder.join("plugin");
        std::fs::create_dir_all(&plugin).map_err(|error| format!("{}: {error}", plugin.display()))?;
        let workspace = read(&root().join("Cargo.toml"))?;
        let (from, to) = (workspace.find("[workspace.package]"), workspace.find("[profile"));
        let (Some(from), Some(to)) = (from, to) else {
            return Err("the workspace's Cargo.toml isn't as it was".into());
        };
        let common = workspace[from..to].replace("path = \"", &format!("path = \"{}/", root().display()));
        // Fast enough without a long build. Integers wrap around as in release builds.
        let profile = "[profile.dev]\nopt-level = 1\ndebug = false\noverflow-checks = false\n";
        let text = format!("[workspace]\nresolver = \"2\"\nmembers = [\"plugin\"]\n\n{common}{profile}");
        write(&folder.join("Cargo.toml"), &text)?;
        write(&folder.join("Cargo.lock"), &read(&root().join("Cargo.lock"))?)?;
        write(&plugin.join("Cargo.toml"), &read(&original().join("Cargo.toml"))?)?;
        Ok(PluginCopy { folder })
    }

    /// Builds the mutants. Returns the library, and the numbers of the mutants that don't build and are left out.
    pub fn build(&self, mutants: &[Mutant]) -> Result<(PathBuf, BTreeSet<usize>), String> {
        let mut broken = BTreeSet::new();
        loop {
            let written = self.write(mutants, &broken)?;
            let messages = match self.cargo()? {
                Ok(()) => return Ok((self.folder.join("target/debug/libplugfit_standard.so"), broken)),
                Err(messages) => messages,
            };
            let found: BTreeSet<usize> = messages.iter().flat_map(|message| culprits(message, &written)).collect();
            if found.is_subset(&broken) {
                let first = messages.first().and_then(|message| message["rendered"].as_str()).unwrap_or_default();
                return Err(format!("the mutants can't be built, and no one of them is the reason:\n{first}"));
            }
            broken.extend(found);
        }
    }

    fn write(&self, mutants: &[Mutant], broken: &BTreeSet<usize>) -> Result<Vec<Written>, String> {
        let mut written = Vec::new();
        for file in sources(&original().join("src"), "")? {
            let source = read(&original().join("src").join(&file))?;
            let in_file: Vec<&Mutant> =
                mutants.iter().filter(|mutant| mutant.file == file && !broken.contains(&mutant.number)).collect();
            let mut out = String::new();
            let mut emitter = Emitter { source: &source, out: &mut out, written: Vec::new() };
            emitter.emit(0..source.len(), &in_file);
            let places = emitter.written.into_iter();
            written.extend(places.map(|(range, number)| Written { file: file.clone(), range, number }));
            if file == "lib.rs" {
                out.push_str("\nmod mutant;\n");
            }
            write(&self.folder.join("plugin/src").join(&file), &out)?;
        }
        write(&self.folder.join("plugin/src/mutant.rs"), CHOICE)?;
        Ok(written)
    }

    /// Runs cargo and returns the compiler's errors, if there are any.
    fn cargo(&self) -> Result<Result<(), Vec<Value>>, String> {
        let mut command = Command::new("cargo");
        command.current_dir(&self.folder).args(["build", "--lib", "--message-format=json"]);
        command.env("CARGO_TARGET_DIR", self.folder.join("target"));
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("CARGO_PKG") || key == "CARGO_MANIFEST_DIR")
        {
            command.env_remove(key);
        }
        let output = command.output().map_err(|error| format!("cargo: {error}"))?;
        if output.status.success() {
            return Ok(Ok(()));
        }
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let messages = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let errors: Vec<Value> =
            messages.map(|line| line["message"].clone()).filter(|message| message["level"] == "error").collect();
        match errors.is_empty() {
            true => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            false => Ok(Err(errors)),
        }
    }
}

/// Returns the root folder of the project.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate is in the project's folder")
}

/// Returns the folder of the plug-in that is mutated.
pub fn original() -> PathBuf {
    root().join("plugins/standard")
}

/// Returns the Rust files in a folder and its subfolders, by their relative paths.
pub fn sources(folder: &Path, under: &str) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        let name = format!("{under}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(sources(&entry.path(), &format!("{name}/"))?);
        } else if name.ends_with(".rs") {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

/// Writes a source with a choice for each of its mutants.
struct Emitter<'s> {
    source: &'s str,
    out: &'s mut String,
    written: Vec<(Range<usize>, usize)>,
}

impl Emitter<'_> {
    fn emit(&mut self, range: Range<usize>, mutants: &[&Mutant]) {
        let mut at = range.start;
        while let Some(next) = outermost(mutants, at..range.end) {
            self.out.push_str(&self.source[at..next.whole.start]);
            self.choice(next, mutants);
            at = next.whole.end;
        }
        self.out.push_str(&self.source[at..range.end]);
    }

    fn choice(&mut self, mutant: &Mutant, mutants: &[&Mutant]) {
        let start = self.out.len();
        let Mutant { number, whole, part, change, between, .. } = mutant;
        let (before, after) = (&self.source[whole.start..part.start], &self.source[part.end..whole.end]);
        let changed = match between {
            true => format!("({before}) {change} ({after})"),
            false => format!("{before}{change}{after}"),
        };
        self.out.push_str(&format!("(if crate::mutant::is({number}) {{ {changed} }} else {{ "));
        let inside: Vec<&Mutant> = mutants.iter().copied().filter(|other| other.number != *number).collect();
        self.emit(whole.clone(), &inside);
        self.out.push_str(" })");
        self.written.push((start..self.out.len(), *number));
    }
}

/// Returns the first mutant in a range; if several begin there, the longest one.
fn outermost<'m>(mutants: &[&'m Mutant], range: Range<usize>) -> Option<&'m Mutant> {
    let inside = mutants.iter().filter(|mutant| mutant.whole.start >= range.start && mutant.whole.end <= range.end);
    inside.min_by_key(|mutant| (mutant.whole.start, std::cmp::Reverse(mutant.whole.end))).copied()
}

/// Returns the numbers of the mutants that a compiler message is about.
fn culprits(message: &Value, written: &[Written]) -> Vec<usize> {
    let mut spans: Vec<&Value> = message["spans"].as_array().map(|spans| spans.iter().collect()).unwrap_or_default();
    let mut found = Vec::new();
    while let Some(span) = spans.pop() {
        if span["expansion"].is_object() {
            spans.push(&span["expansion"]["span"]);
        }
        let (Some(start), Some(end)) = (span["byte_start"].as_u64(), span["byte_end"].as_u64()) else { continue };
        let file = span["file_name"].as_str().unwrap_or_default();
        let holds = |place: &&Written| {
            file.ends_with(&format!("src/{}", place.file))
                && place.range.start <= start as usize
                && end as usize <= place.range.end
        };
        found.extend(written.iter().filter(holds).min_by_key(|place| place.range.len()).map(|place| place.number));
    }
    found
}

pub fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a file unless it has this content already, so that cargo doesn't rebuild unchanged code.
fn write(path: &Path, text: &str) -> Result<(), String> {
    if std::fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
