//! Tests of the conditions for loading code: others can't write the file, the lock contains it, a trusted key has
//! signed it.

use minisign::KeyPair;
use plugfit::{
    Host,
    compile::Compile,
    plugin::{
        Isolation, Kind, LoadOptions, Lock, Locked,
        find::{Folder, Source, State, Verdict},
        trust::{TrustedKey, TrustedKeys},
    },
};
use plugfit_tests::{
    build::{c_library, frozen, library, program},
    run::{command, digits, folder, plugfit, plugins},
};
use serde_json::json;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const COMPILE: &str =
    "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"ExpectedCalibrationError\"]";

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Runs the command that a refusal gives between backticks, in the folder where the program was run.
fn apply_fix(folder: &Path, said: &str) {
    let line = said.split('`').find(|part| part.contains("chmod ") || part.contains("chown ")).expect("a command");
    assert!(Command::new("sh").current_dir(folder).args(["-c", line]).status().expect("a shell").success(), "{line}");
}

/// Builds a C library with the loss `squares`, which creates the file `mark` when it is loaded.
fn marking(folder: &Path, mark: &Path) -> PathBuf {
    let source = format!(
        "#include <stdio.h>\n#include <stddef.h>\n\
         __attribute__((constructor)) static void loaded(void) {{ FILE *f = fopen({mark:?}, \"w\"); if (f) fclose(f); }}\n\
         void squares(const float *t, const float *p, size_t rows, size_t columns, float *out) {{\n\
             for (size_t i = 0; i < rows; i++) out[i] = (p[i * columns] - t[i * columns]) * (p[i * columns] - t[i * columns]);\n\
         }}\n"
    );
    c_library(folder, "marking", &source, &[])
}

fn sign(keys: &KeyPair, library: &Path) {
    let data = std::fs::File::open(library).expect("a library");
    let signature = minisign::sign(Some(&keys.pk), &keys.sk, data, None, None).expect("it can be signed");
    std::fs::write(format!("{}.minisig", library.display()), signature.into_string()).expect("a file");
}

fn new_keys() -> (KeyPair, String) {
    let keys = KeyPair::generate_unencrypted_keypair().expect("keys");
    let text = keys.pk.to_base64();
    (keys, text)
}

fn locked(folder: &Path, files: &[&Path]) -> LoadOptions {
    let plugins = files.iter().map(|file| Locked::of(file, &LoadOptions::default()).expect("it is a plug-in"));
    let lock = Lock::new(folder.join(Lock::NAME), plugins.collect());
    lock.write().expect("it can be written");
    LoadOptions { locks: vec![Arc::new(Lock::read(lock.path()).expect("it can be read"))], ..LoadOptions::default() }
}

#[test]
fn paths_that_others_can_write_are_refused_and_the_suggested_command_fixes_them() {
    let folder = folder();
    let place = plugins(folder.path(), &[library("calibration")]);
    let file = place.join("libcalibration.so");
    let show = || plugfit(folder.path(), &["show", "BrierScore", "--plugins", "plugins"]);
    show().with_status(0);
    set_mode(&place, 0o777);
    plugfit(folder.path(), &["list", "--why", "--plugins", "plugins"])
        .with_status(0)
        .prints(&["plugins  (--plugins)\n  refused: can be written by others (mode 0777"]);
    let said = [
        "error: plugins can be written by others (mode 0777, owner uid",
        "code in it runs with your rights: `chmod go-w",
    ];
    apply_fix(folder.path(), &show().with_status(1).says(&said).err);
    show().with_status(0);
    digits(folder.path(), COMPILE);
    set_mode(&place, 0o757);
    plugfit(folder.path(), &["fit", "fit.toml"]).with_status(1).says(&["mode 0757", "or name another folder"]);
    set_mode(&place, 0o755);
    set_mode(&file, 0o666);
    // A refused file in a folder causes a warning; a refused file that was named is an error.
    show().with_status(2);
    plugfit(folder.path(), &["list", "--plugins", "plugins"])
        .with_status(0)
        .says(&["warning: plugins/libcalibration.so: can be written by others (mode 0666"]);
    let named = ["show", "BrierScore", "--plugins", "plugins/libcalibration.so"];
    apply_fix(folder.path(), &plugfit(folder.path(), &named).with_status(1).says(&["or name another file"]).err);
    show().with_status(0);
    set_mode(folder.path(), 0o777);
    apply_fix(
        folder.path(),
        &show()
            .with_status(1)
            .says(&["plugins can be replaced by others: ", "can be written by them (mode 0777", "copy it to"])
            .err,
    );
    show().with_status(0);
    if is_root() {
        for path in [&file, &place, &folder.path().to_owned()] {
            chown(path, Some(1002), None).expect("root can");
            let status = if *path == file { 0 } else { 1 };
            let said = plugfit(folder.path(), &["list", "--plugins", "plugins"]).with_status(status);
            apply_fix(folder.path(), &said.says(&["user", "owner uid 1002", "`chown 0 "]).err);
            show().with_status(0);
        }
    }
}

#[test]
fn a_running_host_loads_a_file_once_nobody_else_can_write_it() {
    let folder = folder();
    let place = plugins(folder.path(), &[library("calibration")]);
    let file = place.join("libcalibration.so");
    set_mode(&file, 0o666);
    let host = Host::new().with_plugins(&place).expect("the folder is fine");
    host.find(Kind::Metric, "BrierScore").map(drop).expect_err("the file isn't");
    set_mode(&file, 0o644);
    host.rescan();
    host.find(Kind::Metric, "BrierScore").expect("it is now");
    set_mode(&place, 0o777);
    let error = Host::new().with_plugins(&place).map(drop).expect_err("others can add to it").to_string();
    assert!(error.contains("mode 0777"), "{error}");
}

#[test]
fn under_a_lock_no_code_of_another_file_runs() {
    let folder = folder();
    let place = plugins(folder.path(), &[library("calibration")]);
    let calibration = place.join("libcalibration.so");
    let host = Host::with_options(locked(folder.path(), &[&calibration])).with_plugins(&place).expect("it loads");
    host.add_builtin();
    host.metric("BrierScore").expect("it is in the lock");
    let mark = folder.path().join("mark");
    let marking = marking(folder.path(), &mark);
    let function = format!("{}#squares", marking.display());
    let refused = |what: &str, error: plugfit::Error| {
        assert!(error.to_string().contains("isn't in"), "{what}: {error}");
        assert!(!mark.exists(), "{what}");
    };
    refused("as a loss", host.loss(function.as_str()).map(drop).expect_err("refused"));
    refused("as a metric", host.metric(function.as_str()).map(drop).expect_err("refused"));
    let compile = Compile { loss: function.as_str().into(), ..Compile::default() };
    refused("compiled", host.compile(compile).map(drop).expect_err("refused"));
    refused("a file", host.add_file(&marking).expect_err("refused"));
    // In the folder under a new name, as a link, and under the name of the locked file.
    std::fs::copy(&marking, place.join("libmore.so")).expect("a copy");
    symlink(&marking, place.join("liblink.so")).expect("a link");
    std::fs::copy(&marking, place.join("libnew.so")).expect("a copy");
    std::fs::rename(place.join("libnew.so"), &calibration).expect("it can be");
    host.rescan();
    let files = host.reports().remove(0).files;
    assert_eq!(files.len(), 3);
    for file in files {
        let Verdict::Refused(refusal) = file.verdict else { panic!("{:?}", file.path) };
        assert!(refusal.reason.starts_with("isn't "), "{}", refusal.reason);
    }
    assert!(!mark.exists());
    host.metric("BrierScore").expect("what was loaded goes on");
    Host::new().loss(function.as_str()).expect("without a lock it can be");
    assert!(mark.exists(), "the mark is made when code of it runs");
}

#[test]
fn a_lock_applies_to_components_that_an_isolated_plugin_nests() {
    let folder = folder();
    let crashing = plugins(folder.path(), &[library("crashing")]).join("libcrashing.so");
    let mark = folder.path().join("mark");
    let function = format!("{}#squares", marking(folder.path(), &mark).display());
    let isolate = Some(Isolation { program: vec![program().into()], ..Isolation::default() });
    let host = Host::with_options(LoadOptions { isolate, ..locked(folder.path(), &[&crashing]) });
    host.add_builtin();
    host.add_file(&crashing).expect("it is in the lock");
    let nesting = |inner: &str| host.loss(json!({"class_name": "NestingLoss", "config": {"loss": inner}}));
    nesting("mae").expect("the standard set is there");
    let error = nesting(&function).map(drop).expect_err("no function is").to_string();
    assert!(error.contains("only others of its own file and of the standard set"), "{error}");
    assert!(!mark.exists(), "{error}");
}

#[test]
fn the_lock_of_a_host_cannot_be_loosened_later() {
    let folder = folder();
    let place = plugins(folder.path(), &[library("calibration")]);
    let options = locked(folder.path(), &[&place.join("libcalibration.so")]);
    let host = Host::with_options(options.clone());
    // A lock that is rewritten applies only to hosts that are created afterwards.
    locked(folder.path(), &[&place.join("libcalibration.so"), &frozen()]);
    host.add_file(&frozen()).expect_err("it isn't in the lock of this host");
    std::fs::remove_file(folder.path().join(Lock::NAME)).expect("it is there");
    host.add_file(&frozen()).expect_err("nor without a file");
    host.clone().with_plugins(frozen()).map(drop).expect_err("nor in a clone");
    let state = host.add_folder(Folder { path: place.clone(), source: Source::Environment }).state;
    assert!(matches!(&state, State::Refused(refusal) if refusal.reason.contains("isn't searched")), "{state:?}");
    // The loader would read the file again, so that it could differ from the bytes that were hashed.
    let in_place = Host::with_options(LoadOptions { load_in_place: true, ..options });
    let error = in_place.add_file(&place.join("libcalibration.so")).expect_err("refused").to_string();
    assert!(error.contains("can't be loaded in place with"), "{error}");
}

#[test]
fn a_dangling_lock_or_one_that_others_can_write_is_an_error() {
    let folder = folder();
    plugins(folder.path(), &[library("calibration")]);
    digits(folder.path(), COMPILE);
    plugfit(folder.path(), &["lock", "fit.toml"]).with_status(0);
    let lock = folder.path().join(Lock::NAME);
    set_mode(&lock, 0o666);
    let list = || plugfit(folder.path(), &["list"]);
    apply_fix(
        folder.path(),
        &list().with_status(1).says(&["plugfit.lock can be written by others", "it decides which code may run"]).err,
    );
    list().with_status(0);
    std::fs::rename(&lock, folder.path().join("moved")).expect("it can be");
    symlink("nowhere", &lock).expect("a link");
    list().with_status(1).says(&["plugfit.lock does not exist"]);
}

#[test]
fn under_a_lock_the_environment_variable_adds_no_folder_and_its_plugins_are_not_locked() {
    let folder = folder();
    let more = plugins(folder.path(), &[library("stepsize")]);
    let run = |arguments: &[&str]| {
        let output = command(folder.path()).args(arguments).env("PLUGFIT_PLUGINS", &more).output().expect("it runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    assert!(run(&["list", "optimizers"]).contains("Prodigy"));
    assert!(run(&["lock"]).contains("lists 0 plug-ins"));
    let why = run(&["list", "--why"]);
    assert!(
        why.contains("($PLUGFIT_PLUGINS)\n  refused: isn't searched with ") && why.contains("plugfit.lock: name it"),
        "{why}"
    );
    std::fs::remove_file(folder.path().join(Lock::NAME)).expect("it is there");
    assert!(run(&["list", "optimizers"]).contains("Prodigy"));
    let signed = run(&["list", "optimizers", "--require-signed"]);
    assert!(!signed.contains("Prodigy") && signed.contains("isn't searched with --require-signed"), "{signed}");
}

#[test]
fn if_signatures_are_required_only_files_signed_by_a_trusted_key_are_loaded() {
    let folder = folder();
    let place = plugins(folder.path(), &[library("calibration"), library("stepsize")]);
    let file = place.join("libcalibration.so");
    let (keys, text) = new_keys();
    let named = |name: &str| {
        plugfit(folder.path(), &["show", "BrierScore", "--require-signed", "--plugins", &format!("plugins/{name}")])
    };
    named("libcalibration.so").with_status(1).says(&["isn't signed: there is no libcalibration.so.minisig"]);
    sign(&keys, &file);
    named("libcalibration.so").with_status(1).says(&["isn't signed with a trusted key", "`plugfit trust KEY`"]);
    plugfit(folder.path(), &["trust", &text]).with_status(0).prints(&[&text, "contains 1 key"]);
    named("libcalibration.so").with_status(0);
    plugfit(folder.path(), &["list", "--require-signed", "--plugins", "plugins"])
        .with_status(0)
        .prints(&["BrierScore"])
        .says(&["libstepsize.so: isn't signed"]);
    // A signature is valid only for exactly the file that was signed.
    let whole = std::fs::read(&file).expect("a library");
    let mut changed = whole.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    std::fs::write(&file, changed).expect("it can be written");
    named("libcalibration.so").with_status(1).says(&["doesn't match the signature libcalibration.so.minisig"]);
    std::fs::write(&file, whole).expect("it can be written");
    std::fs::copy(place.join("libcalibration.so.minisig"), place.join("libstepsize.so.minisig")).expect("a copy");
    named("libstepsize.so").with_status(1).says(&["doesn't match the signature libstepsize.so.minisig"]);
    named("libcalibration.so").with_status(0);
    let in_place = ["list", "--require-signed", "--load-in-place"];
    plugfit(folder.path(), &in_place).with_status(2).says(&["--load-in-place can't be used with --require-signed"]);
    plugfit(folder.path(), &["trust", "--remove", &text]).with_status(0).prints(&["contains no key"]);
    named("libcalibration.so").with_status(1).says(&["none of 0 keys"]);
}

#[test]
fn a_run_file_can_require_signatures_also_for_the_saved_run() {
    let folder = folder();
    let place = plugins(folder.path(), &[library("calibration")]);
    let (keys, text) = new_keys();
    sign(&keys, &place.join("libcalibration.so"));
    plugfit(folder.path(), &["trust", &text]).with_status(0);
    digits(folder.path(), COMPILE);
    let fit = folder.path().join("fit.toml");
    let described = std::fs::read_to_string(&fit).expect("a file");
    std::fs::write(&fit, format!("require_signed = true\n{described}")).expect("a file");
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run"]).with_status(0);
    plugfit(folder.path(), &["lock", "fit.toml"]).with_status(0).prints(&["lists 1 plug-ins"]);
    std::fs::remove_file(place.join("libcalibration.so.minisig")).expect("it is there");
    plugfit(folder.path(), &["lock", "fit.toml"]).with_status(0).prints(&["lists 0 plug-ins"]).says(&["isn't signed"]);
    std::fs::remove_file(folder.path().join(Lock::NAME)).expect("it is there");
    plugfit(folder.path(), &["fit", "fit.toml"]).with_status(2).says(&["isn't signed", "no metric is called"]);
    plugfit(folder.path(), &["evaluate", "run"]).with_status(2).says(&["isn't signed"]);
    std::fs::write(&fit, format!("require_signed = \"no\"\n{described}")).expect("a file");
    plugfit(folder.path(), &["fit", "fit.toml"]).with_status(2).says(&["must be true or false", "fit.toml:1"]);
}

#[test]
fn a_host_that_requires_signatures_loads_nothing_unsigned_later() {
    let folder = folder();
    let mark = folder.path().join("mark");
    let marking = marking(folder.path(), &mark);
    let function = format!("{}#squares", marking.display());
    let place = plugins(folder.path(), &[library("calibration")]);
    let (keys, text) = new_keys();
    let mut trusted = TrustedKeys::read(&folder.path().join("keys")).expect("none yet");
    trusted.add(TrustedKey::read(&text).expect("a key"));
    let options = LoadOptions { signed_by: Some(Arc::new(trusted)), ..LoadOptions::default() };
    let host = Host::with_options(options).with_plugins(&place).expect("the folder is fine");
    host.find(Kind::Metric, "BrierScore").map(drop).expect_err("it isn't signed");
    host.loss(function.as_str()).map(drop).expect_err("it isn't signed");
    host.add_file(&marking).expect_err("it isn't signed");
    assert!(!mark.exists());
    sign(&keys, &place.join("libcalibration.so"));
    host.rescan();
    host.find(Kind::Metric, "BrierScore").expect("its signature came after it");
    sign(&keys, &marking);
    host.loss(function.as_str()).expect("it is signed");
    assert!(mark.exists());
}

#[test]
fn trusted_keys_can_be_added_shown_and_removed() {
    let folder = folder();
    let trust = |arguments: &[&str]| plugfit(folder.path(), &[&["trust"], arguments].concat());
    trust(&[]).with_status(0).prints(&["contains no key"]);
    let (keys, text) = new_keys();
    let public = keys.pk.to_box().expect("a box").into_string();
    std::fs::write(folder.path().join("minisign.pub"), public).expect("a file");
    trust(&["minisign.pub"]).with_status(0).prints(&[&text, "minisign public key", "contains 1 key"]);
    trust(&[&text]).with_status(0).prints(&["contains 1 key:"]);
    let (_, other) = new_keys();
    trust(&[&other]).with_status(0).prints(&[&text, &other, "contains 2 keys"]);
    trust(&["--json"]).with_status(0).prints(&["\"event\":\"trusted\"", &other]);
    let file = folder.path().join(".config/plugfit/trusted_keys");
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().expect("a folder"))), (0o600, 0o700));
    set_mode(&file, 0o622);
    trust(&[]).with_status(1).says(&["trusted_keys can be written by others", "chmod go-w"]);
    plugfit(folder.path(), &["list", "--require-signed"]).with_status(1).says(&["can be written by others"]);
    set_mode(&file, 0o600);
    trust(&["--remove", &text]).with_status(0).prints(&[&other, "contains 1 key:"]);
    trust(&["--remove", &text]).with_status(2).says(&["isn't trusted"]);
    trust(&["nonsense"]).with_status(2).says(&["nonsense is neither a minisign public key nor a file"]);
    trust(&["--remove"]).with_status(2);
    trust(&["--help"]).with_status(0).prints(&[
        "A lock: only these files",
        "It proves who signed",
        "None of this is a sandbox",
    ]);
}

#[test]
fn a_folder_that_others_can_write_is_refused() {
    let folder = folder();
    set_mode(&plugins(folder.path(), &[library("calibration")]), 0o777);
    plugfit(folder.path(), &["list", "--why", "--plugins", "plugins"]).prints(&["0777"]);
    plugfit(folder.path(), &["show", "BrierScore", "--plugins", "plugins"]).with_status(1).says(&["0777"]);
}
