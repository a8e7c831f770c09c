//! Plug-ins that are broken in every way that we could think of: `plugfit check` finds each, names it and says why, `plugfit list` says
//! what bytes can tell, and neither dies of one, hangs, or leaves a process behind.

use plugfit_tests::{
    build::{Compiler, elsewhere, library, root},
    run::{MARK, Ran, command, folder, left_behind},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Longer than any of this takes, on a machine with other work too.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Runs the program with an environment; it comes back, and nothing of it stays.
#[track_caller]
fn run_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let [out, err] = ["out", "err"].map(|name| folder.join(name));
    let file = |path: &PathBuf| File::create(path).expect("a file");
    let mark = folder.display().to_string();
    let mut command = command(folder);
    command.args(arguments).envs(environment.iter().copied()).env(MARK, &mark);
    let mut child = command.stdout(file(&out)).stderr(file(&err)).spawn().expect("the program runs");
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().expect("it can be waited for") {
            Some(status) => break status,
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            None => {
                let _ = child.kill();
                panic!("plugfit {} didn't come back within {PATIENCE:?}", arguments.join(" "));
            }
        }
    };
    let left = left_behind(&mark);
    assert!(left.is_empty(), "plugfit {} leaves {left:?}", arguments.join(" "));
    let text = |path: &PathBuf| String::from_utf8(std::fs::read(path).expect("it was written")).expect("UTF-8");
    Ran { status: status.code(), out: text(&out), err: text(&err) }
}

#[track_caller]
fn run(folder: &Path, arguments: &[&str]) -> Ran {
    run_with(folder, arguments, &[])
}

/// What `--json` says of each test, by file and test.
struct Verdicts(BTreeMap<(String, String), Value>);

impl Verdicts {
    #[track_caller]
    fn of(ran: &Ran) -> Self {
        let mut verdicts = BTreeMap::new();
        for line in ran.out.lines() {
            let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if object["event"] == "check" {
                let text = |key: &str| object[key].as_str().expect("a text").to_owned();
                let file = Path::new(&text("file")).file_name().expect("a name").to_string_lossy().into_owned();
                verdicts.insert((file, text("test")), object);
            }
        }
        Verdicts(verdicts)
    }

    fn get(&self, file: &str, test: &str) -> Option<&Value> {
        self.0.get(&(file.to_owned(), test.to_owned()))
    }

    /// What is wrong if this test of a file didn't fail for this reason.
    fn complaint(&self, file: &str, test: &str, reason: &str) -> Option<String> {
        let Some(verdict) = self.get(file, test) else { return Some(format!("{file} {test}: not there")) };
        let failures = verdict["failures"].to_string();
        let fails = verdict["outcome"] == "failed" && failures.contains(reason);
        (!fails).then(|| format!("{file} {test}: {}, not for \"{reason}\": {failures}", verdict["outcome"]))
    }
}

#[track_caller]
fn all_are_right(complaints: impl IntoIterator<Item = Option<String>>) {
    let complaints: Vec<String> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// A broken component, the test that finds it, and what it says. Each test is of the component as it is by default.
const BROKEN: [(&str, &str); 66] = [
    ("loss/WrongSign/gradient", "gives the slope"),
    ("loss/WrongScale/gradient", "gives the slope"),
    ("loss/WritesNoGradient/gradient", "or doesn't give it"),
    ("loss/DependentRows/rows", "gives other values where only the rows [0] of 12 are there"),
    ("loss/NanValues/finite", "gives NaN where y_pred is all 0"),
    ("loss/MoreRows/weights", "aren't finite, or doesn't give all"),
    ("loss/NegativeShape/weights", "says that its values have the shape [-1]"),
    ("loss/AnyShapes/shapes", "takes y_true of the shape [5, 4] with y_pred of [12, 4]"),
    ("loss/Unweighted/weights", "says that its weighted values sum to"),
    ("loss/SharedSetting/instances", "gives other numbers once another instance was at work"),
    ("loss/SharedScratch/threads", "where 8 threads use it at once"),
    ("loss/KeepsASettingToItself/config", "doesn't write factor into its configuration"),
    ("loss/TakesAnything/config", "says that the default is 1.0"),
    ("loss/TakesAnything/unknown_key", "takes no such setting"),
    ("loss/TakesAnything/mistyped", "takes factor"),
    ("loss/LossPanicsInInfo/gradient", "panics at tests/plugins/broken/src/panics.rs"),
    ("loss/LossPanicsInPrepare/gradient", "told to panic in prepare"),
    ("loss/LossPanicsInOutputShape/gradient", "told to panic in output_shape"),
    ("loss/LossPanicsInCall/gradient", "told to panic in call"),
    ("loss/LossPanicsInDrop/config", "a destructor panics at tests/plugins/broken/src/panics.rs"),
    ("loss/OverflowsItsStack/weights", "has overflowed its stack"),
    ("loss/CrashesInDrop/config", "ended the process by a segmentation fault"),
    ("metric/MergesToTheMiddle/merge", "where states are merged in the order"),
    ("metric/ForgetsInSaving/saved", "doesn't go on from a saved state as if nothing had happened"),
    ("metric/KeepsThroughReset/reset", "gives something else after a reset"),
    ("metric/NanResult/defined", "what can't be said is undefined, not NaN"),
    ("metric/WrongShape/defined", "gives 1 numbers as an array of the shape [7]"),
    ("metric/Grows/bounded", "a metric may declare bounded_state: false"),
    ("metric/CountsCalls/split", "where rows come as"),
    ("metric/WrongDirection/direction", "says that more is better, and gives 0 for the truth"),
    ("metric/CountsWeightless/zero_weight", "have the weight 0"),
    ("metric/MetricPanicsInInfo/split", "told to panic in info"),
    ("metric/MetricPanicsInPrepare/split", "told to panic in prepare"),
    ("metric/MetricPanicsInInit/split", "told to panic in init"),
    ("metric/MetricPanicsInUpdate/split", "told to panic in update"),
    ("metric/MetricPanicsInMerge/merge", "told to panic in merge"),
    ("metric/MetricPanicsInResult/split", "told to panic in result"),
    ("metric/MetricPanicsInDrop/config", "a destructor panics at"),
    ("metric/MetricPanicsInDropOfState/split", "told to panic in drop of a state"),
    ("metric/CrashesInUpdate/split", "ended the process by a segmentation fault"),
    ("metric/Aborts/split", "ended the process by abort"),
    ("metric/Exits/split", "ended the process by exit, with the status 0"),
    ("metric/Forges/split", "ended the process by exit, with the status 0"),
    ("metric/ReplacesItsRecord/split", "ended the process by exit, with the status 0"),
    ("metric/AsksForTooMuch/split", "memory allocation of 70368744177664 bytes failed"),
    ("metric/AsksForMoreAndMore/split", "memory allocation of"),
    ("metric/Prints/split", "writes to stdout, which is the program's: \\\"an update of the metric\\\""),
    ("metric/PanicsAtTheEndOfAThread/split", "thread local panicked on drop"),
    ("metric/LeavesAProcess/direction", "leaves a process running that it began"),
    // Both it and the program that began it, or it alone.
    ("metric/LeavesADaemon/direction", "running that it began"),
    ("optimizer/Ascends/quadratic", "at the best of 14 rates in 500 steps"),
    ("optimizer/HidesMomentum/resume", "doesn't go on from its slots"),
    ("optimizer/MovesWithoutGradient/still", "moves a parameter that has no gradient"),
    ("optimizer/UnusedSlot/slots", "neither reads nor writes its slot \\\"velocity\\\""),
    ("optimizer/SpreadsNan/nan", "makes other parameters NaN by the gradient of one"),
    ("optimizer/NamesASlotTwice/slots", "wants two slots of one name"),
    ("optimizer/OptimizerPanicsInPrepare/finite", "told to panic in prepare"),
    ("optimizer/OptimizerPanicsInSlots/finite", "told to panic in slots"),
    ("optimizer/OptimizerPanicsInFillSlot/finite", "told to panic in fill_slot"),
    ("optimizer/OptimizerPanicsInUpdate/finite", "told to panic in update"),
    ("optimizer/OptimizerPanicsInFinalize/finite", "told to panic in finalize"),
    ("optimizer/OptimizerPanicsInDrop/config", "a destructor panics at"),
    ("schedule/NanLate/finite", "has the rate NaN at step 1099511627775"),
    ("schedule/NegativeLate/not_negative", "has the rate -0.0"),
    ("schedule/SchedulePanics/finite", "fails at step 0: it panics at"),
    ("schedule/SchedulePanicsLate/finite", "fails at step 4294967296: it panics at"),
];

#[test]
fn every_broken_component_is_found_and_the_good_ones_beside_them_hold() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let mut arguments = vec!["check", &file, "--json", "--memory", "1024", "--only", "load"];
    let good = ["GoodLoss", "GoodMetric", "GoodOptimizer", "GoodSchedule"];
    BROKEN.iter().map(|(test, _)| *test).chain(good).for_each(|test| arguments.extend(["--only", test]));
    let ran = run(folder.path(), &arguments).with_status(1);
    let verdicts = Verdicts::of(&ran);
    all_are_right(BROKEN.iter().map(|(test, reason)| verdicts.complaint("libbroken.so", test, reason)));
    assert_eq!(verdicts.get("libbroken.so", "load").expect("it is first")["outcome"], "held");
    for name in good {
        let of_it = || verdicts.0.iter().filter(|((_, test), _)| test.contains(&format!("/{name}/")));
        assert!(of_it().count() >= 11, "{name} has {} tests", of_it().count());
        all_are_right(of_it().map(|((_, test), verdict)| {
            (verdict["outcome"] == "failed").then(|| format!("{test} fails: {}", verdict["failures"]))
        }));
    }
    // One who reads it is told the component and the reason.
    let ran = run(folder.path(), &["check", &file, "--only", "WrongSign/gradient", "--only", "Exits/split"]);
    ran.with_status(1).says(&["error: 2 tests fail"]).prints(&[
        "libbroken.so   2 of 2 tests fail",
        "FAIL      loss/WrongSign/gradient   the gradient is that of the values, by differences at every place",
        "FAIL      metric/Exits/split   a batch may be split anywhere",
        "ended the process by exit, with the status 0",
    ]);
}

#[test]
fn a_metric_whose_updates_ask_for_memory_is_warned_of() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let ran = run(folder.path(), &["check", &file, "--json", "--only", "Allocates", "--only", "GoodMetric"]);
    let verdicts = Verdicts::of(&ran.with_status(0));
    let warnings = |test: &str| verdicts.get("libbroken.so", test).expect("it is there")["warnings"].clone();
    assert_eq!(warnings("metric/Allocates/allocation"), serde_json::json!(["asks for memory 10 times in 10 updates"]));
    assert_eq!(warnings("metric/GoodMetric/allocation"), serde_json::json!([]));
}

#[test]
fn what_never_comes_back_is_ended_at_its_limit_of_time() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let started = Instant::now();
    let arguments = ["check", &file, "--json", "--timeout", "1", "--only", "LoopsForEver/split"];
    let ran = run(folder.path(), &arguments).with_status(1);
    assert!(started.elapsed() < Duration::from_secs(60), "it took {:?}", started.elapsed());
    let complaint = Verdicts::of(&ran).complaint("libbroken.so", "metric/LoopsForEver/split", "come back within 1s");
    all_are_right([complaint]);
}

#[test]
fn no_test_outlives_a_program_that_is_killed() {
    let folder = folder();
    let mark = folder.path().display().to_string();
    let file = library("broken").display().to_string();
    let mut command = command(folder.path());
    command.args(["check", &file, "--timeout", "3000", "--only", "LoopsForEver/split"]).env(MARK, &mark);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs");
    let until = |holds: &dyn Fn(&[String]) -> bool| {
        let begin = Instant::now();
        while !holds(&left_behind(&mark)) {
            assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", left_behind(&mark));
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    until(&|running| running.iter().any(|line| line.contains("--child metric/LoopsForEver/split")));
    // It has begun its loop, or is about to.
    std::thread::sleep(Duration::from_millis(500));
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    until(&|running| running.is_empty());
}

#[test]
fn a_limit_of_memory_that_is_there_already_may_be_the_lower_one() {
    let folder = folder();
    let file = library("calibration").display().to_string();
    let program = plugfit_tests::build::program().display().to_string();
    let line = "ulimit -v 3000000 && exec \"$0\" check \"$1\" --only load";
    let status = Command::new("sh").current_dir(folder.path()).args(["-c", line, &program, &file]).status();
    assert_eq!(status.expect("a shell").code(), Some(0));
}

#[test]
fn a_file_may_have_any_name() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    for name in [&b"-x.so"[..], b"lib\xff.so", b"two\nlines \x1b[31m.so"] {
        let name = std::ffi::OsStr::from_bytes(name);
        std::fs::copy(library("calibration"), folder.path().join(name)).expect("a copy");
        for format in [&["--json"][..], &["--format", "junit"], &["--format", "markdown"], &[]] {
            let mut command = command(folder.path());
            let output = command.args(["check", "--only", "load"]).args(format).arg("--").arg(name).output();
            let output = output.expect("it runs");
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert_eq!(output.status.code(), Some(0), "{name:?} {format:?}: {said}");
            assert!(!said.contains('\x1b'), "{name:?} {format:?}: {said:?}");
        }
    }
}

#[test]
fn no_name_of_a_file_reaches_a_terminal_as_it_is() {
    let folder = folder();
    let hostile = "x\u{1b}[2J\nerror: y.so";
    std::fs::write(folder.path().join(hostile), "a text").expect("a file");
    for arguments in
        [&["list", "--plugins", "."][..], &["list", "--plugins", ".", "--why"], &["list", "--plugins", hostile]]
    {
        let ran = run(folder.path(), arguments);
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains("x\u{fffd}[2J\u{fffd}error: y.so"), "{arguments:?}: {said:?}");
        assert!(!said.contains('\u{1b}'), "{arguments:?}: {said:?}");
    }
}

#[test]
fn what_goes_wrong_as_a_library_is_loaded_or_left_is_a_finding_of_check_and_does_not_happen_in_list() {
    let folder = folder();
    let plugins = folder.path().join("plugins");
    std::fs::create_dir(&plugins).expect("a folder");
    std::fs::copy(library("at-load"), plugins.join("libat_load.so")).expect("a copy");
    let check = ["check", "plugins/libat_load.so", "--only", "load", "--json", "--timeout", "2"];
    for (told, reason) in [
        ("segfault", "ended the process by a segmentation fault"),
        ("abort", "ended the process by abort"),
        ("exit", "ended the process by exit, with the status 0"),
        ("loop", "didn't come back within 2s"),
        ("print", "hello from the plug-in"),
        ("segfault at the end", "after all was done, ended the process by a segmentation fault"),
        ("loop at the end", "after all was done, didn't come back within 2s"),
    ] {
        let environment = [("PLUGFIT_TEST_AT_LOAD", told)];
        let ran = run_with(folder.path(), &check, &environment).with_status(1);
        all_are_right([Verdicts::of(&ran).complaint("libat_load.so", "load", reason)]);
        for command in [vec!["list", "--why"], vec!["list"], vec!["show", "Harmless"], vec!["schema"]] {
            let arguments = [command, vec!["--plugins", "plugins"]].concat();
            let ran = run_with(folder.path(), &arguments, &environment).with_status(0);
            assert!(ran.out.contains("armless") || ran.out.contains("at-load 0.1.0"), "{arguments:?}: {}", ran.out);
            assert!(!ran.out.contains("hello"), "{arguments:?}: {}", ran.out);
        }
    }
    run(folder.path(), &["check", "plugins/libat_load.so", "--only", "load"]).with_status(0);
}

/// The bytes of a library, where a text of its manifest is another of the same length.
#[track_caller]
fn patched(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "{from} and {to}");
    let manifest = manifest(bytes);
    let at = manifest.start + find(&bytes[manifest], from.as_bytes()).expect("it is in the manifest");
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// Where the manifest stands.
fn manifest(bytes: &[u8]) -> std::ops::Range<usize> {
    let start = find(bytes, br#"{"abi":1,"#).expect("a manifest");
    let mut texts = serde_json::Deserializer::from_slice(&bytes[start..]).into_iter::<Value>();
    texts.next().expect("a text").expect("JSON");
    start..start + texts.byte_offset()
}

/// The same library, whose manifest's section is elsewhere in the file than what is loaded.
fn with_another_section(bytes: &[u8], manifest_of_the_file: &[u8]) -> Vec<u8> {
    let place = manifest(bytes).start as u64;
    let mut bytes = bytes.to_vec();
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let sections = number(0x28) as usize..bytes.len();
    // In a section's header its address, its place and its length stand one after another.
    let header =
        sections.step_by(8).find(|&at| number(at) == place && number(at + 8) == manifest_of_the_file.len() as u64);
    let header = header.expect("a section");
    let end = bytes.len() as u64;
    bytes[header..header + 8].copy_from_slice(&end.to_le_bytes());
    // Nor does it say that it is loaded: two words before, the flags.
    bytes[header - 16] &= !2;
    bytes.extend_from_slice(manifest_of_the_file);
    bytes
}

/// Fills a folder with files that are no plug-ins, or bad ones; their names, and why each is refused.
fn bad_files(folder: &Path) -> Vec<(&'static str, &'static str)> {
    let good = std::fs::read(library("at-load")).expect("a library");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("a file");
    let copy = |name: &str, from: &Path| {
        std::fs::copy(from, folder.join(name)).expect("a copy");
    };
    write("libempty.so", b"");
    write("libtext.so", b"#!/bin/sh\necho this is a text, and longer than the header of any library would be\n");
    write("libtruncated.so", &good[..good.len() / 2]);
    write("libheader.so", &good[..40]);
    let mut other = good.clone();
    other[4] = 1;
    write("lib32bit.so", &other);
    other[4] = 2;
    other[18..20].copy_from_slice(&[0xb7, 0]);
    write("libarm.so", &other);
    write("libabi.so", &patched(&good, r#"{"abi":1,"#, r#"{"abi":3,"#));
    write("libjson.so", &patched(&good, r#""name":"at-load""#, r#""name":at-load:["#));
    write("libpath.so", &patched(&good, "Harmless", "../../up"));
    write("libcontrol.so", &patched(&good, "Harmless", r"H\u001b["));
    write("libplugin.so", &patched(&good, r#""name":"at-load""#, r#""name":"at/load""#));
    write("libdoc.so", &patched(&good, "Always the same.", r"A\u001b[2J same."));
    copy("libtwice.so", &library("twice"));
    let abort =
        elsewhere(&root().join("plugins/calibration"), "calibration", "test-abort", Compiler::Own, "-Cpanic=abort");
    copy("libabort.so", &abort.unwrap_or_else(|error| panic!("{error}")));
    std::fs::create_dir(folder.join("libfolder.so")).expect("a folder");
    std::os::unix::fs::symlink("nowhere", folder.join("libdangling.so")).expect("a link");
    let made = Command::new("mkfifo").arg(folder.join("libfifo.so")).stdin(Stdio::null()).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo is there");
    let sparse = File::create(folder.join("libsparse.so")).expect("a file");
    sparse.set_len(1 << 40).expect("a file of holes");
    let mut libc = std::fs::read_dir("/lib/x86_64-linux-gnu").into_iter().flatten().flatten();
    let libm = libc.find(|entry| entry.file_name() == "libm.so.6").map(|entry| entry.path());
    let mut bad = vec![
        ("libempty.so", "is empty: copy it again"),
        ("libtext.so", "is no shared library"),
        ("libtruncated.so", "is cut short"),
        ("libheader.so", "is cut short: 40 bytes are there"),
        ("lib32bit.so", "was built for a 32-bit machine"),
        ("libarm.so", "was built for aarch64"),
        ("libabi.so", "was built for plugfit ABI 3; this program speaks 1: rebuild it"),
        ("libjson.so", "has a manifest that can't be read"),
        ("libpath.so", "declares a schedule called \"../../up\": a name is of letters"),
        ("libcontrol.so", "declares a schedule called \"H\\u{1b}[\""),
        ("libplugin.so", "is called \"at/load\""),
        ("libdoc.so", "has control characters in its manifest"),
        ("libtwice.so", "declares the metric \"Same\" twice: rename one of them"),
        ("libabort.so", "was built with panic = \"abort\""),
        ("libfolder.so", "is no regular file"),
        ("libdangling.so", "does not exist"),
        ("libfifo.so", "is no regular file"),
        ("libsparse.so", "is larger than 2 GiB"),
    ];
    if let Some(libm) = libm {
        copy("libm.so", &libm);
        bad.push(("libm.so", "has no plugfit manifest"));
    }
    bad
}

#[test]
fn every_file_that_is_no_plugin_is_told_of_by_check_and_by_list() {
    let folder = folder();
    let plugins = folder.path().join("plugins");
    std::fs::create_dir(&plugins).expect("a folder");
    let bad = bad_files(&plugins);
    std::fs::copy(library("calibration"), plugins.join("libcalibration.so")).expect("a copy");

    let files: Vec<String> = bad.iter().map(|(name, _)| format!("plugins/{name}")).collect();
    let files = files.iter().map(String::as_str);
    let arguments: Vec<&str> =
        ["check", "--json", "--only", "load"].into_iter().chain(files).chain(["plugins/libcalibration.so"]).collect();
    let ran = run(folder.path(), &arguments).with_status(1);
    let verdicts = Verdicts::of(&ran);
    all_are_right(bad.iter().map(|(name, reason)| {
        let reason = Value::from(*reason).to_string();
        verdicts.complaint(name, "load", reason.trim_matches('"'))
    }));
    assert_eq!(verdicts.get("libcalibration.so", "load").expect("it was tried")["outcome"], "held");
    assert_eq!(verdicts.0.len(), bad.len() + 1);

    let why = run(folder.path(), &["list", "--why", "--plugins", "plugins"]).with_status(0).out;
    all_are_right(bad.iter().map(|(name, reason)| {
        let line = why.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap_or_default();
        let told = line.contains(reason) && (line.contains(" refused ") || line.contains(" passed by "));
        (!told).then(|| format!("{name}: not \"{reason}\" but {line:?}"))
    }));
    let good = why.lines().find(|line| line.contains("libcalibration.so")).expect("a line");
    assert!(good.contains("loaded") && good.contains("calibration 0.1.0, ABI 1: 2 metrics"), "{good}");
    assert!(!why.contains(|character: char| character.is_control() && character != '\n'), "{why}");
    run(folder.path(), &["list", "metrics", "--plugins", "plugins"])
        .with_status(0)
        .prints(&["BrierScore"])
        .says(&["libempty.so: is empty", "libabi.so: was built for plugfit ABI 3"]);
}

#[test]
fn a_manifest_that_says_other_things_than_the_module_does_is_found() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let schedule = std::fs::read(library("at-load")).expect("a library");
    let metric = std::fs::read(library("calibration")).expect("a library");
    let write = |name: &str, bytes: &[u8]| std::fs::write(path(name), bytes).expect("a file");
    write("libname.so", &patched(&schedule, "Harmless", "Harmful_"));
    write("libkind.so", &patched(&schedule, r#""kind":"schedule""#, r#""kind":"metric"  "#));
    write("libdefault.so", &patched(&metric, r#""default":15"#, r#""default":16"#));
    write("libbound.so", &patched(&metric, r#""maximum":100000"#, r#""maximum":10000 "#));
    write("libsetting.so", &patched(&metric, "num_bins", "num_pins"));
    let text = String::from_utf8(metric[manifest(&metric)].to_vec()).expect("UTF-8");
    let other = text.replace("BrierScore", "BetterName");
    write("libsection.so", &with_another_section(&metric, other.as_bytes()));
    let files =
        ["libname.so", "libkind.so", "libdefault.so", "libbound.so", "libsetting.so", "libsection.so"].into_iter();
    let only = ["load", "config", "bounds"].into_iter().flat_map(|test| ["--only", test]);
    let ran = run(folder.path(), &["check", "--json"].into_iter().chain(files).chain(only).collect::<Vec<_>>());
    let verdicts = Verdicts::of(&ran.with_status(1));
    let ece = "metric/ExpectedCalibrationError";
    all_are_right([
        verdicts.complaint("libname.so", "schedule/Harmful_/config", "this plug-in has no"),
        verdicts.complaint("libkind.so", "metric/Harmless/config", "this plug-in has no"),
        verdicts.complaint(
            "libdefault.so",
            &format!("{ece}/config"),
            "has 15 for num_bins where none is given, and says that the default is 16",
        ),
        verdicts.complaint("libbound.so", &format!("{ece}/bounds"), "takes num_bins = 10001"),
        verdicts.complaint("libsetting.so", &format!("{ece}/config"), "doesn't write num_pins"),
        verdicts.complaint("libsection.so", "load", "has a manifest that isn't loaded with it"),
    ]);
}

#[test]
fn a_failure_is_repeated_by_the_line_that_it_prints_and_leaves_its_arrays() {
    let folder = folder();
    let file = folder.path().join("a plug-in.so");
    std::fs::copy(library("broken"), &file).expect("a copy");
    let check = |seed: &str| {
        let arguments = ["check", "a plug-in.so", "--json", "--only", "WrongSign/gradient", "--seed", seed];
        let ran = run(folder.path(), &[&arguments[..], &["--failures", "kept"]].concat()).with_status(1);
        Verdicts::of(&ran).get("a plug-in.so", "loss/WrongSign/gradient").expect("it was tried").clone()
    };
    let verdict = check("11");
    assert_ne!(verdict["failures"], check("12")["failures"], "the seed decides the numbers");
    let again = verdict["again"].as_str().expect("a line");
    let expected = "plugfit check 'a plug-in.so' --only loss/WrongSign/gradient --seed 11 --in-process";
    assert_eq!(again, expected);
    let program = format!("'{}'", plugfit_tests::build::program().display());
    let line = again.replacen("plugfit", &program, 1);
    let output = Command::new("sh").current_dir(folder.path()).args(["-c", &line]).output().expect("a shell");
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains(verdict["failures"][0].as_str().expect("a reason")), "{out}");

    let arrays: Vec<&str> = verdict["arrays"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let names = ["y_true", "y_pred", "values", "gradient"];
    assert_eq!(arrays, names.map(|name| format!("kept/a plug-in.so/loss-WrongSign-gradient/{name}.npy")));
    for (path, (shape, count)) in arrays.iter().zip([("(12, 4)", 48), ("(12, 4)", 48), ("(12,)", 12), ("(48,)", 48)]) {
        let bytes = std::fs::read(folder.path().join(path)).expect("it was written");
        let numbers = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let header = String::from_utf8_lossy(&bytes[6..numbers]);
        assert!(bytes.starts_with(b"\x93NUMPY\x01\x00") && header.contains("'<f8'"), "{path}: {header}");
        assert!(
            header.contains(shape) && bytes.len() == numbers + 8 * count,
            "{path}: {header}, {} bytes",
            bytes.len()
        );
    }
}

#[test]
fn what_holds_exits_with_0_what_fails_with_1_and_what_is_asked_wrongly_with_2() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let check = |arguments: &[&str]| run(folder.path(), &[&["check", &file], arguments].concat());
    check(&["--only", "GoodSchedule"]).with_status(0).prints(&["tests hold"]);
    check(&["--only", "NanLate/finite"]).with_status(1).says(&["error: 1 test fails"]);
    check(&["--only", "GoodSchedul"]).with_status(2).says(&["has no test \"GoodSchedul\"", "near", "GoodSchedule"]);
    // Nor is one of two passed over, while each of two files may have its own.
    let both = ["--only", "GoodSchedule/finite", "--only", "GoodSchedul"];
    check(&both).with_status(2).says(&["has no test \"GoodSchedul\"", "near"]).prints(&["the 1 test holds"]);
    check(&[&both[..], &["--list"]].concat()).with_status(2).says(&["has no test \"GoodSchedul\""]);
    let other = library("calibration").display().to_string();
    check(&[&other, "--only", "GoodSchedule/finite", "--only", "BrierScore/split"])
        .with_status(0)
        .prints(&["libbroken.so   the 1 test holds", "libcalibration.so   the 1 test holds"]);
    check(&[&other, "--only", "GoodSchedule/finite"])
        .with_status(0)
        .prints(&["libcalibration.so   no test of it is wanted"]);
    check(&["--timeout", "0"]).with_status(2);
    check(&["--exclude", "missing.toml"]).with_status(2).says(&["cannot read missing.toml"]);
    run(folder.path(), &["check"]).with_status(2);
    let listed = check(&["--list", "--only", "GoodSchedule"]).with_status(0).out;
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 11 && names.iter().all(|name| name.starts_with("schedule/GoodSchedule/")), "{listed}");
    assert!(listed.contains("the rate is a finite number at every step up to 2^53"), "{listed}");
}

#[test]
fn a_test_may_be_excluded_with_a_reason_and_not_without() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let exclude = |text: &str| {
        std::fs::write(folder.path().join("exclude.toml"), text).expect("a file");
        let tests = ["--only", "NanLate/finite", "--only", "NegativeLate/not_negative"];
        run(folder.path(), &[&["check", &file, "--exclude", "exclude.toml"], &tests[..]].concat())
    };
    let both = "[[exclude]]\ntest = \"NanLate\"\nreason = \"no run is so long\"\n[[exclude]]\ntest = \
                \"schedule/NegativeLate/not_negative\"\nreason = \"nor this one\"\n";
    exclude(both).with_status(0).prints(&["2 excluded", "no run is so long", "has the rate NaN"]);
    exclude("[[exclude]]\ntest = \"NanLate\"\nreason = \"no run is so long\"\n")
        .with_status(1)
        .prints(&["FAIL      schedule/NegativeLate/not_negative", "excluded  schedule/NanLate/finite"]);
    exclude("[[exclude]]\ntest = \"NanLate\"\nreason = \" \"\n").with_status(2).says(&["without a reason"]);
    exclude("[[exclude]]\ntest = \"NanLate\"\n").with_status(2).says(&["missing field `reason`"]);
}

#[test]
fn verdicts_are_printed_for_programs_for_servers_and_for_pull_requests() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let tests = ["--only", "NanLate/finite", "--only", "GoodSchedule/finite", "--only", "Prints/split"];
    let check = |format: &[&str]| run(folder.path(), &[&["check", &file], &tests[..], format].concat()).with_status(1);

    let json = check(&["--json"]).out;
    let objects: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let events: Vec<&str> = objects.iter().filter_map(|object| object["event"].as_str()).collect();
    assert_eq!(events, ["check", "check", "check", "end", "error"], "{json}");
    assert_eq!(objects[3]["failed"], 2);

    let junit = check(&["--format", "junit"]).out;
    let document = roxmltree::Document::parse(&junit).unwrap_or_else(|error| panic!("{error}: {junit}"));
    let elements = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!((elements("testsuite"), elements("testcase"), elements("failure")), (1, 3, 2), "{junit}");
    let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).expect("a suite");
    assert_eq!((suite.attribute("tests"), suite.attribute("failures")), (Some("3"), Some("2")));
    let case = document.descendants().find(|node| node.attribute("classname") == Some("schedule.NanLate"));
    let failure = case.and_then(|case| case.first_element_child()).expect("a failure");
    assert!(failure.attribute("message").is_some_and(|message| message.contains("has the rate NaN")), "{junit}");

    let markdown = check(&["--format", "markdown"]).out;
    assert!(markdown.starts_with(&format!("### ❌ `{file}`: 2 of 3 tests fail")), "{markdown}");
    let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 4, "{markdown}");
    assert!(rows.iter().all(|row| row.replace("\\|", "").matches('|').count() == 4), "{markdown}");
    assert!(rows[2].contains("`metric/Prints/split`") && rows[2].contains("writes to stdout"), "{markdown}");
}

#[test]
fn every_plugin_of_the_repository_holds() {
    let others = ["calibration", "agreement", "ranking", "quantile", "segmentation", "stepsize"];
    // Of the standard set what a library of its own makes a difference for; all the rest its own test tries as well.
    let only = ["load", "manifest", "config", "instances", "allocation"].map(|test| ["--only", test]);
    for (names, only) in [(&others[..], &[][..]), (&["plugfit_standard"], only.as_flattened())] {
        let files: Vec<String> = names.iter().map(|name| library(name).display().to_string()).collect();
        let files = files.iter().map(String::as_str);
        let arguments: Vec<&str> = ["check", "--json"].into_iter().chain(only.iter().copied()).chain(files).collect();
        let verdicts = Verdicts::of(&run(folder().path(), &arguments).with_status(0));
        for name in names {
            let file = format!("lib{name}.so");
            let of_it = verdicts.0.iter().filter(|((of, _), _)| *of == file);
            let outcomes: Vec<(&str, &Value)> =
                of_it.map(|((_, test), verdict)| (test.as_str(), &verdict["outcome"])).collect();
            assert!(outcomes.len() > 20, "{name} has {} tests", outcomes.len());
            let allocates = |(test, outcome): &&(&str, &Value)| test.ends_with("/allocation") && **outcome != "held";
            assert_eq!(outcomes.iter().find(allocates), None);
        }
    }
}
