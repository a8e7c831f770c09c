//! Tests of `plugfit check` and `plugfit list` on broken plug-ins. `check` must find each fault, name the component and
//! give the reason. `list` must report what the bytes of the file show. Neither may crash, hang or leave a process
//! behind.

mod broken;
mod files;
mod functions;
mod program;

use plugfit_tests::{
    build::{c_library, calibration_with_panic_abort, library},
    run::{Finished, MARK, command, folder, running_with_mark},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Time limit of a run, which is longer than any run takes even on a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(1200);

/// Runs the program with additional environment variables. Checks that it ends in time and leaves no process behind.
#[track_caller]
fn run_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let [out, err] = ["out", "err"].map(|name| folder.join(name));
    let file = |path: &PathBuf| File::create(path).expect("a file");
    let mark = folder.display().to_string();
    let mut command = command(folder);
    command.args(arguments).envs(environment.iter().copied()).env(MARK, &mark);
    let mut child = command.stdout(file(&out)).stderr(file(&err)).spawn().expect("the program runs");
    let until = Instant::now() + TIME_LIMIT;
    let status = loop {
        match child.try_wait().expect("it can be waited for") {
            Some(status) => break status,
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            None => {
                let _ = child.kill();
                panic!("plugfit {} didn't return within {TIME_LIMIT:?}", arguments.join(" "));
            }
        }
    };
    let running = running_with_mark(&mark);
    assert!(running.is_empty(), "plugfit {} leaves {running:?}", arguments.join(" "));
    let text = |path: &PathBuf| String::from_utf8(std::fs::read(path).expect("it was written")).expect("UTF-8");
    Finished { status: status.code(), out: text(&out), err: text(&err) }
}

#[track_caller]
fn run(folder: &Path, arguments: &[&str]) -> Finished {
    run_with(folder, arguments, &[])
}

/// The verdicts that `--json` prints, by file and test.
struct Verdicts(BTreeMap<(String, String), Value>);

impl Verdicts {
    #[track_caller]
    fn of(ran: &Finished) -> Self {
        let mut verdicts = BTreeMap::new();
        for object in ran.events_of("check") {
            let text = |key: &str| object[key].as_str().expect("a text").to_owned();
            let file = Path::new(&text("file")).file_name().expect("a name").to_string_lossy().into_owned();
            verdicts.insert((file, text("test")), object);
        }
        Verdicts(verdicts)
    }

    fn get(&self, file: &str, test: &str) -> Option<&Value> {
        self.0.get(&(file.to_owned(), test.to_owned()))
    }

    /// Returns an error text unless this test of a file failed for this reason.
    fn complaint(&self, file: &str, test: &str, reason: &str) -> Option<String> {
        let Some(verdict) = self.get(file, test) else { return Some(format!("{file} {test}: not there")) };
        let failures = verdict["failures"].to_string();
        let fails = verdict["outcome"] == "failed" && failures.contains(reason);
        (!fails).then(|| format!("{file} {test}: {}, not for \"{reason}\": {failures}", verdict["outcome"]))
    }
}

#[track_caller]
fn assert_no_complaints(complaints: impl IntoIterator<Item = Option<String>>) {
    let complaints: Vec<String> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
