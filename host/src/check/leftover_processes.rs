//! Processes that outlive their parents: those that a plug-in started without waiting for them, and those of tests.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, set_parent_process_death_signal, wait,
};

/// Makes this process die with its parent (PR_SET_PDEATHSIG). Ctrl-C reaches only the parent.
pub fn end_with_parent() {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// Makes this process the parent of its orphaned descendants (PR_SET_CHILD_SUBREAPER).
pub fn adopt() {
    let _ = set_child_subreaper(Some(getpid()));
}

/// Kills all descendants of this process that still run; returns their number.
pub fn kill() -> usize {
    let mut killed = 0;
    // The children of a killed process become children of this process, so repeat until there are none.
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

/// Kills every process with this environment variable: descendants of a child that died and can't kill them itself.
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
