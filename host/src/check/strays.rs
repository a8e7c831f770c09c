//! Processes whose parents are gone: those that a plug-in began and didn't wait for, and a test's own.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, set_parent_process_death_signal, wait,
};

/// From now on this process ends when the one that began it does, which an interrupt ends and not this one.
pub fn end_with_parent() {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// From now on processes whose parent has ended are this one's, wherever they went.
pub fn adopt() {
    let _ = set_child_subreaper(Some(getpid()));
}

/// Ends what this process or its children began and what still runs; gives how many there were.
pub fn kill() -> usize {
    let mut killed = 0;
    // What was killed leaves its own children to this process.
    loop {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        let children = children();
        if children.is_empty() {
            return killed;
        }
        for child in children {
            killed += 1;
            let _ = kill_process(child, Signal::KILL);
            let _ = wait(WaitOptions::empty());
        }
    }
}

fn children() -> Vec<Pid> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let text: String = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok()).collect();
    text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// Ends every process that has this variable in its environment: what a child that died can no longer tell of.
pub fn kill_those_with(name: &str, value: &Path) {
    let wanted = [name.as_bytes(), b"=", value.as_os_str().as_bytes()].concat();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
        let Some(pid) = pid.filter(|pid| *pid != getpid()) else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|&byte| byte == 0).any(|variable| variable == wanted) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
