//! The program, run as a user runs it.

use crate::build::{program, root};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What a run of the program left.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Ran {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// # Panics
    /// It didn't end with this status.
    #[track_caller]
    pub fn with_status(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// # Panics
    /// Stderr doesn't have one of these.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.err.contains(part), "\"{part}\" isn't in stderr:\n{}", self.err);
        }
        self
    }

    /// # Panics
    /// Stdout doesn't have one of these.
    #[track_caller]
    pub fn prints(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.out.contains(part), "\"{part}\" isn't in stdout:\n{}", self.out);
        }
        self
    }
}

/// The program, to be run in a folder, where no plug-ins of the user's are found.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(program());
    command.current_dir(folder).env_remove("PLUGFIT_PLUGINS").env("XDG_DATA_HOME", folder.join("none"));
    command.env_remove("XDG_CONFIG_HOME").env("HOME", folder).stdin(Stdio::null());
    command
}

/// Runs the program in a folder.
pub fn plugfit(folder: &Path, arguments: &[&str]) -> Ran {
    Ran::of(command(folder).args(arguments).output().expect("the program runs"))
}

/// A folder that goes away.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A folder of plug-ins in another folder.
pub fn plugins(folder: &Path, libraries: &[PathBuf]) -> PathBuf {
    let plugins = folder.join("plugins");
    std::fs::create_dir_all(&plugins).expect("a folder");
    for library in libraries {
        std::fs::copy(library, plugins.join(library.file_name().expect("a file"))).expect("a copy");
    }
    plugins
}

/// The digits, for a run of three epochs with this compile table; its plug-ins lie in `plugins` beside it.
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

/// The history of a run, without what time it took.
pub fn history(run: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(run.join("history.json")).expect("a history");
    let mut history: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    strip(&mut history);
    history
}

fn strip(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.remove("seconds");
            map.values_mut().for_each(strip);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

/// The variable by which a test knows again what it began.
pub const MARK: &str = "PLUGFIT_TEST_MARK";

/// What still runs that has this [`MARK`] in its environment.
///
/// # Panics
/// There is no `/proc`.
pub fn left_behind(mark: &str) -> Vec<String> {
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

/// Every file below a folder with its bytes, and every folder.
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

/// Starts a run that takes its time, and waits until it has begun and this file is there.
pub fn begin(folder: &Path, arguments: &[&str], until: &Path) -> Child {
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

/// Kills a process at once.
pub fn kill(mut child: Child) {
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}
