//! Trains with every broken component. Without isolation, every fault that a process can contain is contained; with
//! `--isolate`, every fault is.

use plugfit::plugin::{Kind, Plugin};
use plugfit_tests::{
    build::library,
    run::{Finished, MARK, command, folder, plugins, running_with_mark},
};
use serde_json::Value;
use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Components that, without `--isolate`, end the process or write to its stdout.
const BEYOND_A_PROCESS: [&str; 14] = [
    "OverflowsItsStack",
    "CrashesInDrop",
    "CrashesInUpdate",
    "Aborts",
    "Exits",
    "Forges",
    "ReplacesItsRecord",
    "LoopsForEver",
    "AsksForTooMuch",
    "AsksForMoreAndMore",
    "PanicsAtTheEndOfAThread",
    "Prints",
    "WritesBeforeSlopes",
    "WritesBehindValues",
];

/// Components with inputs that a run doesn't have. The run fails and names them.
const CUSTOM_INPUTS: [&str; 8] = [
    "GoodGroups",
    "GoodGroupMean",
    "GoodLevel",
    "GoodMargins",
    "GoodPairs",
    "MergesPairsWrongly",
    "MixesMargins",
    "RefusesToMerge",
];

/// Components that start a process, which keeps running with and without isolation. `plugfit check` finds it.
const START_PROCESSES: [&str; 2] = ["LeavesAProcess", "LeavesADaemon"];

/// Returns the components of the plug-in `broken`.
fn broken() -> Vec<(Kind, String)> {
    let manifest = Plugin::read_manifest(&library("broken")).expect("a manifest");
    let components = manifest.components.iter();
    components.map(|component| (component.kind().expect("a kind"), component.name.clone())).collect()
}

/// Prepares a run of two epochs on a noisy line.
fn prepared(folder: &Path, kind: Kind, name: &str) {
    plugins(folder, &[library("broken")]);
    let rows = (0..64).map(|row| f64::from(row) / 64.0);
    let lines: String =
        rows.map(|x| format!("{x},{},{},{x}\n", 1.0 - x * x, 2.0 * x + (40.0 * x).sin() / 9.0)).collect();
    std::fs::write(folder.join("rows.csv"), format!("a,b,y,z\n{lines}")).expect("a file");
    let (mut optimizer, mut loss, mut metrics) = ("SGD".to_owned(), "mse".to_owned(), String::new());
    match kind {
        Kind::Loss => loss = name.to_owned(),
        Kind::Metric => metrics = format!("\"{name}\""),
        Kind::Optimizer => optimizer = name.to_owned(),
        Kind::Schedule => optimizer = format!("SGD(learning_rate={name})"),
    }
    let text = format!(
        "plugins = [\"plugins\"]\n[data]\nfile = \"rows.csv\"\ntarget = [\"y\", \"z\"]\n[network]\nlayers = [\"Dense(2)\"]\n\
         [compile]\noptimizer = \"{optimizer}\"\nloss = \"{loss}\"\nmetrics = [{metrics}]\n[fit]\nepochs = 2\nbatch_size = 16\nseed = 7\n"
    );
    std::fs::write(folder.join("fit.toml"), text).expect("a file");
}

fn fit(kind: Kind, name: &str, arguments: &[&str]) -> Result<(), String> {
    let folder = folder();
    prepared(folder.path(), kind, name);
    let mark = folder.path().display().to_string();
    let mut command = command(folder.path());
    let output = command.args(["fit", "fit.toml", "--out", "run", "--json"]).args(arguments).env(MARK, &mark).output();
    let ran = Finished::of(output.expect("the program runs"));
    let wrong = |what: &str| Err(format!("{name} {arguments:?}: {what}: {:?}\n{}\n{}", ran.status, ran.out, ran.err));
    let events: Result<Vec<Value>, _> = ran.out.lines().map(serde_json::from_str).collect();
    let Ok(events) = events else { return wrong("a line is no JSON") };
    let of_kind = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    let running = still_running(name, &mark);
    match ran.status {
        _ if !running.is_empty() => wrong(&format!("leaves {running:?}")),
        Some(0) if of_kind("epoch") == 2 => Ok(()),
        // Inputs are checked before training.
        Some(2) if CUSTOM_INPUTS.contains(&name) && of_kind("error") == 1 && ran.err.contains(name) => Ok(()),
        Some(1)
            if (!name.starts_with("Good") || CUSTOM_INPUTS.contains(&name))
                && of_kind("error") == 1
                && [name, "the loss became"].iter().any(|said| ran.err.contains(said)) =>
        {
            Ok(())
        }
        _ => wrong("it neither ends well nor says what failed"),
    }
}

/// Returns the processes of an ended run that still run after the system had time to end the workers.
fn still_running(name: &str, mark: &str) -> Vec<String> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let mut running = running_with_mark(mark);
        if START_PROCESSES.contains(&name) {
            running.retain(|line| !line.starts_with("sleep"));
        }
        if running.is_empty() || Instant::now() > until {
            return running;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Trains with each component, two at a time.
fn each(components: &[(Kind, String)], arguments: &[&str]) {
    let next = AtomicUsize::new(0);
    let work = || -> Vec<String> {
        let places = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let taken = places.map_while(|place| components.get(place));
        taken.filter_map(|(kind, name)| fit(*kind, name, arguments).err()).collect()
    };
    let wrong = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        [work(), other.join().expect("it ends")].concat()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn with_isolation_any_fault_ends_at_most_the_run() {
    let components = broken();
    assert!(components.len() >= 60, "{}", components.len());
    each(&components, &["--isolate", "--call-limit", "2", "--memory-limit", "1024"]);
}

#[test]
fn without_isolation_panics_and_wrong_answers_end_at_most_the_run() {
    let mut components = broken();
    components.retain(|(_, name)| !BEYOND_A_PROCESS.contains(&name.as_str()));
    assert!(components.len() >= 45, "{}", components.len());
    each(&components, &[]);
}
