//! Runs the program as a user runs it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::build::{program, root};

/// The exit status and output of the program.
#[derive(Debug)]
pub struct Finished {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Finished {
    pub fn of(output: Output) -> Self {
        Finished {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Checks the exit status.
    ///
    /// # Panics
    /// Panics if the status differs.
    #[track_caller]
    pub fn with_status(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Checks that stderr contains these parts.
    ///
    /// # Panics
    /// Panics if a part is missing.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.err.contains(part), "\"{part}\" isn't in stderr:\n{}", self.err);
        }
        self
    }

    /// Returns the events that `--json` prints.
    ///
    /// # Panics
    /// Panics if a line of stdout isn't JSON.
    pub fn events(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(parse).collect()
    }

    /// Returns the events of a kind that `--json` prints.
    ///
    /// # Panics
    /// Panics if a line of stdout isn't JSON.
    pub fn events_of(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["event"] == kind).collect()
    }

    /// Checks that stdout contains these parts.
    ///
    /// # Panics
    /// Panics if a part is missing.
    #[track_caller]
    pub fn prints(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.out.contains(part), "\"{part}\" isn't in stdout:\n{}", self.out);
        }
        self
    }
}

/// Returns a command that runs the program in a folder, without the plug-ins of the user.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(program());
    command.current_dir(folder).env_remove("PLUGFIT_PLUGINS").env("XDG_DATA_HOME", folder.join("none"));
    command.env_remove("XDG_CONFIG_HOME").env("HOME", folder).stdin(Stdio::null());
    command
}

/// Runs the program in a folder.
pub fn plugfit(folder: &Path, arguments: &[&str]) -> Finished {
    Finished::of(command(folder).args(arguments).output().expect("the program runs"))
}

/// Creates a temporary folder, which is deleted on drop.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Copies libraries into the subfolder `plugins` of a folder, and returns the path of the subfolder.
pub fn plugins(folder: &Path, libraries: &[PathBuf]) -> PathBuf {
    let plugins = folder.join("plugins");
    std::fs::create_dir_all(&plugins).expect("a folder");
    for library in libraries {
        std::fs::copy(library, plugins.join(library.file_name().expect("a file"))).expect("a copy");
    }
    plugins
}

/// Writes a run file that trains on the digits for three epochs with this compile table, and returns its path. Its
/// plug-ins are in the subfolder `plugins`.
pub fn digits(folder: &Path, compile: &str) -> PathBuf {
    let file = folder.join("fit.toml");
    let data = root().join("host/examples/digits/digits.csv");
    let text = format!(
        "plugins = [\"plugins\"]\n\n[data]\nfile = {data:?}\ntarget = \"label\"\nscale = 0.0625\nvalidation_split = 0.2\n\n\
         [network]\nlayers = [\"Dense(16, activation=relu)\", \"Dense(10, activation=softmax)\"]\n\n\
         [compile]\n{compile}\n\n[fit]\nepochs = 3\nbatch_size = 64\nseed = 7\n"
    );
    std::fs::write(&file, text).expect("a file");
    std::fs::create_dir_all(folder.join("plugins")).expect("a folder");
    file
}

/// Returns the bytes of the weights of a run.
pub fn weights(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("weights.safetensors")).expect("weights")
}

/// Returns the history of a run without its times.
pub fn history(run: &Path) -> Value {
    let text = std::fs::read_to_string(run.join("history.json")).expect("a history");
    let mut history: Value = serde_json::from_str(&text).expect("JSON");
    remove_times(&mut history);
    history
}

fn remove_times(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("seconds");
            map.values_mut().for_each(remove_times);
        }
        Value::Array(list) => list.iter_mut().for_each(remove_times),
        _ => {}
    }
}

/// The environment variable by which a test recognises the processes that it started.
pub const MARK: &str = "PLUGFIT_TEST_MARK";

/// Returns the command lines of running processes with this [`MARK`] in their environment.
///
/// # Panics
/// Panics if there is no `/proc`.
pub fn running_with_mark(mark: &str) -> Vec<String> {
    let wanted = format!("{MARK}={mark}");
    let has = |process: &Path| {
        let mut bytes = Vec::new();
        let read = File::open(process.join("environ")).and_then(|mut file| file.read_to_end(&mut bytes));
        read.is_ok() && bytes.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").expect("it is Linux").flatten().map(|entry| entry.path());
    let found = entries.filter(|path| has(path));
    found.map(|path| std::fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " ")).collect()
}

/// Returns all files below a folder with their bytes, and all folders.
pub fn listing(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.is_symlink() {
                found.insert(path.clone(), None);
                folders.push(path);
            } else {
                found.insert(path.clone(), Some(std::fs::read(&path).unwrap_or_default()));
            }
        }
    }
    found
}

/// Starts a long run, and waits until it has printed a line and the file `until` exists.
pub fn start_run(folder: &Path, arguments: &[&str], until: &Path) -> Child {
    let mut command = command(folder);
    let mut child =
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    lines.next().expect("a line").expect("text");
    std::thread::spawn(move || lines.for_each(drop));
    let since = Instant::now();
    while !until.exists() {
        assert!(since.elapsed() < Duration::from_secs(60), "{} never came", until.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Kills a process and waits for its end.
pub fn kill(mut child: Child) {
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}
