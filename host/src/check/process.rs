//! Runs a child process with limits of time and memory, and finds out why it died.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use plugfit_api::testing;

use super::child::{RECORD_VARIABLE, Record, TEST_SEPARATOR};
use super::leftover_processes;
use crate::{Error, Result};

/// The limits of a child.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub time: Duration,
    /// The memory, in bytes.
    pub memory: u64,
}

/// Runs the program on a file for these tests, and reads its record. Without a record, the reports say how the child
/// died.
///
/// The parent can't verify the reports in the record. Its nonce proves that the process reached its end, and its list
/// of tests that no requested test was left out.
pub fn run(
    program: &[OsString],
    arguments: &[OsString],
    file: &Path,
    tests: &[String],
    limits: Limits,
) -> Result<Record> {
    let failed = |what: &str, error: std::io::Error| Error::failure(format!("cannot {what}: {error}"));
    let folder = tempfile::tempdir().map_err(|error| failed("make a folder for the record", error))?;
    let path = folder.path().join("record.json");
    // These open files are read at the end, even if a plug-in replaces them in the folder. A pipe that a leftover
    // process keeps open would block the parent forever.
    let record = File::options().read(true).write(true).create_new(true).open(&path);
    let record = record.map_err(|error| failed("make a file for the record", error))?;
    let prints = || tempfile::tempfile().map_err(|error| failed("make a file for what a test prints", error));
    let (out, err) = (prints()?, prints()?);
    let to = |file: &File| file.try_clone().map_err(|error| failed("start a test", error));
    let (name, first) = program.split_first().ok_or_else(|| Error::usage("there is no program to check with"))?;
    let mut command = Command::new(name);
    command
        .args(first)
        .arg("check")
        .args(arguments)
        .arg("--child")
        .arg(tests.join(&TEST_SEPARATOR.to_string()))
        .arg("--memory")
        .arg((limits.memory >> 20).to_string());
    command.arg("--").arg(file).env(RECORD_VARIABLE, &path);
    command.stdin(Stdio::piped()).stdout(to(&out)?).stderr(to(&err)?);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(|error| failed("start a test", error))?;
    let nonce = nonce();
    if let Some(mut stdin) = child.stdin.take() {
        // If writing fails, the child has ended, and there is no record either.
        let _ = writeln!(stdin, "{nonce}");
    }
    let ended = wait(&mut child, limits.time);
    kill_group(&mut child);
    let found = serde_json::from_slice::<Record>(&end_of(&record, WRITTEN)).ok();
    let warned = printed(&err);
    let end = death(ended, limits, &warned);
    let is_whole =
        |record: &Record| record.nonce == nonce && record.tests == tests && record.reports.len() == tests.len();
    let mut record = match found.filter(is_whole) {
        Some(mut record) => {
            // Threads and globals end after the record is written, and may still crash.
            if !ended.is_some_and(|status| status.success()) {
                record.from_outside = true;
                record.fail(&format!("after the tests, {end}"));
            }
            record
        }
        None => {
            leftover_processes::kill_those_with(RECORD_VARIABLE, &path);
            Record { from_outside: true, ..Record::of_failure(tests.len(), &end) }
        }
    };
    if let Some(line) = warned.lines().find(|line| line.contains(testing::PANIC_IN_DROP)) {
        record.from_outside = true;
        record.fail(&shortened(line));
    }
    let said = printed(&out);
    if let Some(line) = said.lines().find(|line| !line.trim().is_empty()) {
        record.from_outside = true;
        record.fail(&format!("writes to stdout, which is the program's: {:?}", shortened(line)));
    }
    Ok(record)
}

/// Returns a random text that no plug-in can guess.
fn nonce() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}{:016x}", RandomState::new().hash_one(1), RandomState::new().hash_one(2))
}

/// Waits for the child to end; returns `None` if the time is over.
fn wait(child: &mut Child, time: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + time;
    let mut pause = Duration::from_micros(500);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(pause),
            _ => return None,
        }
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Kills the child and its process group.
fn kill_group(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The maximum number of bytes that a test may write into a file.
const WRITTEN: u64 = 64 << 20;

/// Returns the last 64 KiB of the output, which may be very long.
fn printed(file: &File) -> String {
    String::from_utf8_lossy(&end_of(file, 64 << 10)).into_owned()
}

/// Returns at most this many bytes from the end of a file, or none if it can't be read.
fn end_of(mut file: &File, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut read = || {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        file.take(most).read_to_end(&mut bytes)
    };
    let _ = read();
    bytes
}

fn shortened(line: &str) -> String {
    line.chars().take(120).collect()
}

/// Describes how a child ended.
fn death(ended: Option<ExitStatus>, limits: Limits, printed: &str) -> String {
    let how = match ended {
        None => format!("didn't return within {:?}", limits.time),
        Some(status) => status_in_words(status),
    };
    // The last message of the runtime is more specific than a signal: a stack overflow, a failed allocation.
    let specific = printed.lines().rev().find(|line| {
        ["overflowed its stack", "memory allocation of", "panicked at", "SIGSEGV", "thread "]
            .iter()
            .any(|sign| line.contains(sign))
    });
    let is_guard_line = |line: &&str| line.trim() == testing::GUARDED;
    let last = specific.or_else(|| printed.lines().rev().find(|line| !line.trim().is_empty() && !is_guard_line(line)));
    let said = last.map(|line| format!(" ({})", shortened(line.trim()))).unwrap_or_default();
    // The process printed this line when it turned to buffers that end at guard pages; without them there was no crash.
    let is_guarded = printed.lines().any(|line| is_guard_line(&line)) && how.ends_with(SEGMENTATION_FAULT);
    let why = if is_guarded { "reads or writes behind the end of a buffer: " } else { "" };
    format!("{why}{how}{said}")
}

const SEGMENTATION_FAULT: &str = "a segmentation fault";

fn status_in_words(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            4 => "an illegal instruction",
            6 => "abort",
            7 => "a bus error",
            8 => "an arithmetic error",
            9 => "being killed",
            11 => SEGMENTATION_FAULT,
            25 => "printing without end",
            _ => return format!("ended the process by signal {signal}"),
        };
        return format!("ended the process by {name}");
    }
    format!("ended the process by exit, with the status {}", status.code().unwrap_or(-1))
}

/// Limits the memory of this process, which is a child, and the size of files that it writes.
///
/// # Errors
/// Returns an error if the system refuses a limit.
pub fn limit_memory(bytes: u64) -> Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        for (resource, most) in [(Resource::As, bytes), (Resource::Fsize, WRITTEN), (Resource::Core, 0)] {
            // Only root can raise an existing limit.
            let most = getrlimit(resource).maximum.map_or(most, |existing| existing.min(most));
            setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
                .map_err(|error| Error::failure(format!("cannot limit a test: {error}")))?;
        }
    }
    #[cfg(not(unix))]
    let _ = bytes;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_death_of_a_child_is_described_by_the_message_of_the_runtime() {
        let limits = Limits { time: Duration::from_secs(10), memory: 1 << 30 };
        assert_eq!(death(None, limits, "noise\n"), "didn't return within 10s (noise)");
        let printed = "\nthread 'main' has overflowed its stack\nfatal runtime error: stack overflow, aborting\n";
        assert!(death(None, limits, printed).contains("overflowed its stack"));
        assert_eq!(death(None, limits, &format!("{}\n", testing::GUARDED)), "didn't return within 10s");
    }

    #[cfg(unix)]
    #[test]
    fn a_record_of_other_tests_than_requested_is_rejected() {
        let limits = Limits { time: Duration::from_secs(20), memory: 1 << 30 };
        let tests = ["metric/A/split".to_owned(), "metric/A/merge".to_owned()];
        let failing = |tests_said: &str, reports: &str| {
            let record = format!(r#"{{\"nonce\":\"$n\",\"tests\":{tests_said},\"reports\":{reports}}}"#);
            let script = format!("read n; echo \"{record}\" > \"$PLUGFIT_CHECK_RECORD\"");
            let program = ["sh", "-c", &script, "sh"].map(OsString::from);
            let record = run(&program, &[], Path::new("lib.so"), &tests, limits).unwrap();
            assert_eq!(record.reports.len(), 2);
            record.reports.iter().filter(|report| !report.failures.is_empty()).count()
        };
        assert_eq!(failing("[]", "[]"), 2);
        assert_eq!(failing(r#"[\"metric/A/split\",\"metric/A/merge\"]"#, "[{}]"), 2);
        assert_eq!(failing(r#"[\"metric/A/split\",\"metric/A/rows\"]"#, "[{},{}]"), 2);
        assert_eq!(failing(r#"[\"metric/A/split\",\"metric/A/merge\"]"#, "[{},{}]"), 0);
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(nonce(), nonce());
    }
}
