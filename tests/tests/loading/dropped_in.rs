//! Tests of plug-ins that are added to a folder, replaced or deleted while a program runs.

use plugfit::{
    Host,
    compile::{Compile, Compiled},
    plugin::{Kind, find::Verdict},
};
use plugfit_api::{Tensor, metric::Outcome};
use plugfit_tests::{
    build::{Compiler, build_crate, frozen, library, root},
    run::{folder, plugins},
};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Builds the next version of the frozen plug-in, which counts each row twice.
fn next() -> PathBuf {
    static NEXT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let (folder, from) = (folder(), root().join("tests/frozen"));
        let copy = |name: &str, changes: &[(&str, &str)]| {
            let mut text = std::fs::read_to_string(from.join(name)).expect("a file");
            for (old, new) in changes {
                assert!(text.contains(old), "{name} has no {old}");
                text = text.replace(old, new);
            }
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        std::fs::create_dir(folder.path().join("src")).expect("a folder");
        let abi = format!("path = {:?}", from.join("abi"));
        copy("Cargo.toml", &[("path = \"abi\"", &abi), ("[lib]", "[lib]\nname = \"frozen_next\"")]);
        copy("Cargo.lock", &[]);
        copy("src/lib.rs", &[("\"0.9.0\"", "\"0.10.0\""), ("*y_pred.shape as u64", "2 * *y_pred.shape as u64")]);
        build_crate(folder.path(), "frozen_next", "test-others", Compiler::Own, "")
            .unwrap_or_else(|error| panic!("{error}"))
    };
    NEXT.get_or_init(build).clone()
}

/// Moves a complete file into a folder atomically, as `mv` does.
fn move_into(library: &Path, folder: &Path, name: &str) {
    std::fs::copy(library, folder.join(".copied")).expect("a copy");
    std::fs::rename(folder.join(".copied"), folder.join(name)).expect("it can be");
}

/// Waits until a watch has made a condition true.
#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn version(host: &Host) -> Option<String> {
    host.find(Kind::Metric, "frozen>CountRows").ok().map(|(plugin, _)| plugin.version().to_owned())
}

fn has(host: &Host, version: &str) -> bool {
    self::version(host).as_deref() == Some(version)
}

fn compiled(host: &Host) -> Compiled {
    let compile = Compile { loss: "mse".into(), metrics: ["frozen>CountRows"].into(), ..Compile::default() };
    host.compile(compile).expect("it compiles")
}

/// Updates the metric with three rows and returns its count.
fn count(run: &mut Compiled) -> f64 {
    let y = ndarray::Array2::<f32>::zeros((3, 2));
    run.update_metrics(&y, &y).expect("it fits");
    let logs = run.logs().expect("there are logs");
    let name = logs.names().last().expect("a metric");
    logs.number(name).unwrap_or_else(|| panic!("{name} isn't a number"))
}

#[test]
fn the_next_compile_uses_a_newer_version_and_running_metrics_keep_theirs() {
    let folder = folder();
    move_into(&frozen(), folder.path(), "libfrozen.so");
    let host = Host::new().with_plugins(folder.path()).expect("it loads");
    let mut old = compiled(&host);
    assert_eq!(count(&mut old), 3.0);
    // Once under a new name, once in place of the older file.
    for name in ["libfrozen_next.so", "libfrozen.so"] {
        move_into(&next(), folder.path(), name);
        let mut new = compiled(&host);
        assert_eq!((count(&mut new), version(&host).as_deref()), (6.0, Some("0.10.0")), "{name}");
    }
    assert_eq!(count(&mut old), 6.0, "three rows more, each counted once");
    old.reset_metrics().expect("it can be");
    assert_eq!(count(&mut old), 3.0);
    let note = "frozen 0.10.0";
    assert!(host.notes().iter().any(|text| text.contains(note) && text.contains("0.9.0")), "{:?}", host.notes());
    // An older version that is added later changes nothing.
    move_into(&frozen(), folder.path(), "libolder.so");
    assert_eq!(count(&mut compiled(&host)), 6.0);
}

#[test]
fn a_watched_folder_loads_files_that_are_moved_into_it() {
    let folder = folder();
    let host = Host::new().with_plugins(folder.path()).expect("an empty folder is fine");
    let watch = host.watch().expect("it can be watched");
    assert_eq!(version(&host), None);
    move_into(&frozen(), folder.path(), "libfrozen.so");
    eventually("the first", || has(&host, "0.9.0"));
    let mut running = compiled(&host);
    move_into(&next(), folder.path(), "libfrozen.so");
    eventually("the next", || has(&host, "0.10.0"));
    assert_eq!(count(&mut running), 3.0);
    drop(watch);
    move_into(&library("calibration"), folder.path(), "libcalibration.so");
    std::thread::sleep(Duration::from_secs(1));
    host.find(Kind::Metric, "BrierScore").map(drop).expect_err("nobody watches any more");
    host.rescan();
    host.find(Kind::Metric, "BrierScore").expect("it is there");
}

#[test]
fn a_watched_folder_loads_a_slowly_copied_file_once_it_is_complete() {
    let folder = folder();
    let host = Host::new().with_plugins(folder.path()).expect("an empty folder is fine");
    let _watch = host.watch().expect("it can be watched");
    let bytes = std::fs::read(frozen()).expect("a library");
    let path = folder.path().join("libfrozen.so");
    let mut file = std::fs::File::create(&path).expect("a file");
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    let slowly = |file: &mut std::fs::File, bytes: &[u8]| {
        for piece in bytes.chunks(bytes.len() / 8) {
            file.write_all(piece).expect("it can be written");
            std::thread::sleep(Duration::from_millis(30));
        }
    };
    slowly(&mut file, half);
    // Wait until the watch has seen the incomplete file.
    eventually("the half is refused", || {
        host.reports()[0]
            .files
            .iter()
            .any(|file| matches!(&file.verdict, Verdict::Refused(why) if why.reason.contains("cut short")))
    });
    assert_eq!(version(&host), None);
    slowly(&mut file, rest);
    drop(file);
    eventually("the whole is loaded", || has(&host, "0.9.0"));
    assert_eq!(host.notes(), Vec::<String>::new());
}

#[test]
fn a_watched_folder_may_be_created_later_and_be_replaced() {
    let folder = folder();
    let place = folder.path().join("a/plugins");
    let host = Host::new();
    host.add_folder(plugfit::plugin::find::Folder { path: place.clone(), source: plugfit::plugin::find::Source::Flag });
    let _watch = host.watch().expect("it can be watched");
    plugins(&folder.path().join("a"), &[frozen()]);
    eventually("the folder is there", || has(&host, "0.9.0"));
    let other = folder.path().join("a/other");
    std::fs::create_dir(&other).expect("a folder");
    move_into(&next(), &other, "libfrozen.so");
    std::fs::rename(&place, folder.path().join("a/before")).expect("it can be");
    std::fs::rename(&other, &place).expect("it can be");
    eventually("another is in its place", || has(&host, "0.10.0"));
    move_into(&library("calibration"), &place, "libcalibration.so");
    eventually("which is watched", || host.find(Kind::Metric, "BrierScore").is_ok());
}

#[test]
fn a_library_added_to_a_folder_is_available_at_the_next_compile() {
    let folder = folder();
    let host = Host::new().with_plugins(folder.path()).expect("an empty folder is fine");
    let compile = || Compile { loss: "mse".into(), metrics: ["frozen>CountRows"].into(), ..Compile::default() };
    let error = host.compile(compile()).expect_err("not there yet").to_string();
    assert!(error.contains("CountRows"), "{error}");
    std::fs::copy(frozen(), folder.path().join("libfrozen.so")).expect("a copy");
    host.compile(compile()).expect("it is there now");
}

#[test]
fn a_half_copied_library_is_loaded_once_it_is_complete_and_a_changed_one_is_noted() {
    let folder = folder();
    let file = folder.path().join("libfrozen.so");
    let bytes = std::fs::read(frozen()).expect("a library");
    std::fs::write(&file, &bytes[..bytes.len() / 2]).expect("a file");
    let host = Host::new().with_plugins(folder.path()).expect("the folder is there");
    host.metric("frozen>CountRows").map(drop).expect_err("it isn't whole");
    std::fs::write(&file, &bytes).expect("a file");
    host.rescan();
    host.metric("frozen>CountRows").expect("it is whole");
    std::fs::write(&file, [&bytes[..], b"more"].concat()).expect("a file");
    host.rescan();
    host.metric("frozen>CountRows").expect("it is there still");
    assert!(host.notes().iter().any(|note| note.contains("raise its version")), "{:?}", host.notes());
}

#[test]
fn a_loaded_library_keeps_working_after_its_file_is_replaced_or_deleted() {
    let folder = folder();
    let file = folder.path().join("libfrozen.so");
    std::fs::copy(frozen(), &file).expect("a copy");
    let host = Host::new().with_plugins(folder.path()).expect("it loads");
    let mut metric = host.metric("frozen>CountRows").expect("it is there");
    std::fs::write(&file, b"overwritten").expect("a file");
    let (y, shape) = ([0.0_f32; 4], [4]);
    let y = Tensor::new(&y, &shape);
    metric.update_state(y, y, None, None).expect("it works");
    std::fs::remove_file(&file).expect("it is there");
    metric.update_state(y, y, None, None).expect("it works");
    assert_eq!(metric.result().expect("a result"), Outcome::Scalar(8.0));
}
