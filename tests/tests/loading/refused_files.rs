//! Tests of files that aren't plug-ins, and of plug-ins that are refused.

use plugfit_tests::{
    build::{c_library, calibration_with_panic_abort, library},
    run::{digits, folder, plugfit, plugins},
};

const COMPILE: &str =
    "optimizer = \"AdamW(learning_rate=0.005)\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\"]";

#[test]
fn files_that_are_not_plugins_are_refused_with_one_line_each_and_the_others_load() {
    let folder = folder();
    let plugins = plugins(folder.path(), &[library("calibration")]);
    let whole = std::fs::read(library("calibration")).expect("a library");
    let write = |name: &str, bytes: &[u8]| std::fs::write(plugins.join(name), bytes).expect("a file");
    write("libcut.so", &whole[..whole.len() / 2]);
    write("libtext.so", b"not a library");
    write("libempty.so", b"");
    let mut foreign = whole.clone();
    foreign[18] = 0xb7; // the ELF header's machine: aarch64
    foreign[19] = 0;
    write("libforeign.so", &foreign);
    std::fs::create_dir(plugins.join("libfolder.so")).expect("a folder");
    std::os::unix::fs::symlink("nowhere.so", plugins.join("libdangling.so")).expect("a link");
    write("README.txt", b"no plug-in at all");
    let ran = plugfit(folder.path(), &["list", "--why", "--plugins", "plugins"]).with_status(0);
    let reason = |name: &str| {
        let lines: Vec<&str> = ran.out.lines().filter(|line| line.contains(name)).collect();
        assert_eq!(lines.len(), 1, "{name}:\n{}", ran.out);
        lines[0].to_owned()
    };
    for (name, says) in [
        ("libcut.so", "cut short"),
        ("libtext.so", "isn't a shared library"),
        ("libempty.so", "empty"),
        ("libforeign.so", "aarch64"),
        ("libcalibration.so", "loaded"),
    ] {
        assert!(reason(name).contains(says), "{}", reason(name));
    }
    reason("libdangling.so");
    plugfit(folder.path(), &["show", "BrierScore", "--plugins", "plugins"])
        .with_status(0)
        .prints(&["calibration 0.2.0"]);
}

#[test]
fn libraries_that_are_not_plugins_are_ignored_silently() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let python = library("_native");
    let found = plugins(folder.path(), &[library("calibration"), python.clone()]);
    let mut foreign = std::fs::read("/bin/sh").expect("a program");
    foreign[18] = 0xb7; // the machine: aarch64
    std::fs::write(found.join("libforeign.so"), foreign).expect("a file");
    for arguments in [
        &["fit", "fit.toml", "--out", "run"][..],
        &["fit", "fit.toml", "--out", "isolated", "--isolate"],
        &["list", "metrics", "--plugins", "plugins"],
        &["schema", "fit.toml"],
        &["evaluate", "run"],
    ] {
        let ran = plugfit(folder.path(), arguments).with_status(0);
        assert_eq!(ran.err, "", "{arguments:?}");
    }
    let why = plugfit(folder.path(), &["list", "--why", "--plugins", "plugins"]).with_status(0).out;
    for (name, reason) in [
        ("lib_native.so", "is an extension module of Python"),
        ("libforeign.so", "has no plugfit manifest, and was built for aarch64"),
    ] {
        let line = why.lines().find(|line| line.contains(name)).expect("each file has a line");
        assert!(line.contains("passed by") && line.contains(reason), "{line}");
    }
    let named = [
        (python.display().to_string(), "is an extension module of Python"),
        ("plugins/libforeign.so".into(), "was built for aarch64"),
    ];
    for (file, reason) in named {
        plugfit(folder.path(), &["list", "--plugins", &file]).with_status(1).says(&["error", reason]);
    }
    // A file that may be a damaged plug-in is reported.
    std::fs::write(found.join("libpage.so"), "<html>404 Not Found").expect("a file");
    plugfit(folder.path(), &["list", "--plugins", "plugins"])
        .says(&["warning: plugins/libpage.so: isn't a shared library"]);
    plugfit(folder.path(), &["lock", "fit.toml"]).with_status(0).prints(&["lists 1 plug-ins"]);
}

#[test]
fn list_why_has_a_line_for_every_named_file_and_folder() {
    let folder = folder();
    let root = folder.path();
    let copy = root.join("libcalibration.so");
    std::fs::copy(library("calibration"), &copy).expect("a copy");
    c_library(root, "searching", "int searching(void) { return 0; }\n", &["-Wl,-rpath,$ORIGIN"]);
    let why = |file: &str| plugfit(root, &["list", "--why", "--plugins", file]).with_status(0);
    why("libcalibration.so").prints(&["libcalibration.so  loaded  calibration 0.2.0, ABI 1: "]);
    why("libsearching.so").prints(&["libsearching.so  refused  has no plugfit manifest"]);
    std::fs::write(root.join("text.so"), "a text").expect("a file");
    why("text.so").prints(&["text.so  refused  isn't a shared library"]);
    why("nowhere.so").prints(&["nowhere.so  (--plugins)\n  does not exist"]);
    plugfit(root, &["list", "--why", "--json", "--plugins", "text.so"])
        .with_status(0)
        .prints(&["{\"event\":\"file\",\"file\":\"text.so\",\"verdict\":\"refused\""]);
    let open = root.join("open");
    std::fs::create_dir(&open).expect("a folder");
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("they can be set");
    for (path, state, why) in [
        (".", "exists", "null"),
        ("nowhere", "missing", "null"),
        ("open", "refused", "\"can be written by others (mode 0777"),
    ] {
        let ran = plugfit(root, &["list", "--why", "--json", "--plugins", path]).with_status(0);
        let says = |line: &str| {
            line.contains("\"event\":\"folder\"")
                && line.contains("\"source\":\"--plugins\"")
                && line.contains(&format!("\"state\":\"{state}\""))
                && line.contains(&format!("\"why\":{why}"))
        };
        assert!(ran.out.lines().any(says), "{path}: {}", ran.out);
    }
    // Without `--why`, a named file that is refused is an error.
    plugfit(root, &["list", "--plugins", "text.so"]).with_status(1).says(&["error: text.so isn't a shared library"]);
}

#[test]
fn a_plugin_built_with_panic_abort_is_refused() {
    let folder = folder();
    let plugins = plugins(folder.path(), &[calibration_with_panic_abort()]);
    let plugins = plugins.display().to_string();
    plugfit(folder.path(), &["list", "--why", "--plugins", &plugins]).with_status(0).prints(&[
        "libcalibration.so",
        "refused",
        "panic = \"abort\"",
    ]);
    plugfit(folder.path(), &["show", "BrierScore", "--plugins", &plugins]).with_status(2).says(&["BrierScore"]);
}

#[test]
fn a_plugin_that_declares_a_name_twice_is_refused_and_the_others_load() {
    let folder = folder();
    let plugins = plugins(folder.path(), &[library("twice"), library("calibration")]).display().to_string();
    plugfit(folder.path(), &["list", "--why", "--plugins", &plugins]).with_status(0).prints(&[
        "libtwice.so",
        "refused",
        "\"Same\" twice",
        "libcalibration.so",
        "loaded",
    ]);
}
