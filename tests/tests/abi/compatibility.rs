//! Tests of plug-ins that were built with other versions of the API, another ABI or other compilers.

use plugfit::{Host, plugin::Kind};
use plugfit_api::{Tensor, metric::Outcome};
use plugfit_tests::{
    build::{Compiler, build_crate, frozen, library, root},
    run::{digits, folder, history, plugfit, plugins},
};
use std::path::{Path, PathBuf};

const Y: [f32; 6] = [0.1, 0.9, 0.4, 0.6, 0.7, 0.3];
const ONE_HOT: [f32; 6] = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0];

fn result(host: &Host, identifier: &str) -> Outcome {
    let mut metric = host.metric(identifier).unwrap_or_else(|error| panic!("{error}"));
    metric.update_state(Tensor::new(&ONE_HOT, &[3, 2]), Tensor::new(&Y, &[3, 2]), None, None).expect("it fits");
    let saved = metric.get_state().expect("it can be saved");
    metric.reset_state().expect("it can be reset");
    metric.set_state(&saved).expect("it can be loaded");
    metric.result().expect("it has a result")
}

/// Builds a plug-in called "bumped" with a copy of plugfit-api of another version.
fn bumped(folder: &Path) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            let to = to.join(entry.file_name());
            match entry.file_type().expect("a type").is_dir() {
                true => copy(&entry.path(), &to),
                false => std::fs::copy(entry.path(), to).map(drop).expect("a copy"),
            }
        }
    }
    copy(&root().join("plugin-api"), &folder.join("plugin-api"));
    copy(&root().join("plugins/calibration"), &folder.join("bumped"));
    let edit = |path: &str, from: &str, to: &str| {
        let path = folder.join(path);
        let text = std::fs::read_to_string(&path).expect("a file");
        assert!(text.contains(from), "{path:?} has no {from}");
        std::fs::write(&path, text.replace(from, to)).expect("a file");
    };
    edit("plugin-api/Cargo.toml", "version.workspace = true", "version = \"0.7.3\"");
    edit("bumped/Cargo.toml", "name = \"calibration\"", "name = \"bumped\"");
    // The workspace's own manifest, with the members that were copied.
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("a file");
    let (_, tables) = manifest.split_once("[workspace.package]").expect("a table");
    let (tables, _) = tables.split_once("[profile").expect("a table");
    let manifest = format!(
        "[workspace]\nresolver = \"2\"\nmembers = [\"bumped\", \"plugin-api\", \"plugin-api/abi\", \"plugin-api/macros\"]\n\
         [workspace.package]{}",
        tables.replace(
            "plugfit-api = { path = \"plugin-api\", version = \"0.2\" }",
            "plugfit-api = { path = \"plugin-api\" }"
        )
    );
    std::fs::write(folder.join("Cargo.toml"), manifest).expect("a file");
    std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).expect("a copy");
    build_crate(&folder.join("bumped"), "bumped", "test-others", Compiler::Own, "")
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn plugins_of_different_versions_load_together_in_every_order() {
    let folder = folder();
    let all = [library("calibration"), frozen(), bumped(folder.path())];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut host = Host::new();
        for index in order {
            host = host.with_plugins(&all[index]).unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(result(&host, "frozen>CountRows"), Outcome::Scalar(3.0), "{order:?}");
        let expected = result(&host, "calibration>BrierScore");
        assert!(matches!(expected, Outcome::Scalar(value) if value > 0.0), "{expected:?}");
        assert_eq!(result(&host, "bumped>BrierScore"), expected, "{order:?}");
        assert_eq!(result(&host, "bumped>ece"), result(&host, "calibration>ece"), "{order:?}");
    }
}

#[test]
fn unknown_kinds_of_components_in_a_plugin_are_ignored() {
    let host = Host::new().with_plugins(frozen()).expect("it loads");
    let names: Vec<String> = host.components(Kind::Metric).into_iter().map(|(_, component)| component.name).collect();
    assert!(names.contains(&"CountRows".to_owned()), "{names:?}");
    for kind in Kind::ALL {
        assert!(host.find(kind, "OfTheFuture").is_err());
    }
    let error = host.loss("frozen>CountRows").expect_err("it has no losses").to_string();
    assert!(error.contains("CountRows"), "{error}");
}

#[test]
fn a_plugin_of_another_abi_is_refused_with_a_hint() {
    let folder = folder();
    let mut bytes = std::fs::read(frozen()).expect("a library");
    let at = bytes.windows(8).position(|window| window == br#"{"abi":1"#).expect("a manifest");
    bytes[at + 7] = b'3';
    let plugins = folder.path().join("plugins");
    std::fs::create_dir_all(&plugins).expect("a folder");
    std::fs::write(plugins.join("libfuture.so"), bytes).expect("a file");
    plugfit(folder.path(), &["list", "--why", "--plugins", "plugins"]).with_status(0).prints(&[
        "libfuture.so",
        "refused",
        "ABI 3",
        "this program speaks 1",
        "rebuild it",
    ]);
}

/// Checks that a run has the same history if another compiler builds the calibration plug-in.
fn same_numbers_with(compiler: Compiler, target: &str, flags: &str) -> Result<(), String> {
    let other = build_crate(&root().join("plugins/calibration"), "calibration", target, compiler, flags)?;
    let histories = [library("calibration"), other].map(|library| {
        let folder = folder();
        plugins(folder.path(), &[library]);
        digits(
            folder.path(),
            "optimizer = \"AdamW(learning_rate=0.005)\"\nloss = \"sparse_categorical_crossentropy\"\n\
             metrics = [\"accuracy\", \"calibration>ExpectedCalibrationError(name=ece)\"]",
        );
        plugfit(folder.path(), &["fit", "fit.toml", "--out", "run"]).with_status(0);
        history(&folder.path().join("run"))
    });
    assert!(histories[0][0]["logs"]["ece"].is_number(), "{}", histories[0]);
    assert_eq!(histories[0], histories[1]);
    Ok(())
}

/// Returns Debian's rustc if it is another one than that of this build.
fn debian_rustc() -> Option<&'static str> {
    const PATH: &str = "/usr/bin/rustc";
    let version = |rustc: &str| {
        let output = std::process::Command::new(rustc).arg("--version").output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let other = version(PATH)?;
    (version("rustc").is_none_or(|this| this != other)).then_some(PATH)
}

#[test]
fn a_plugin_built_by_another_compiler_returns_the_same_numbers() {
    let nightly = std::process::Command::new("cargo").args(["+nightly", "--version"]).output();
    let nightly = nightly.is_ok_and(|output| output.status.success());
    if nightly {
        same_numbers_with(Compiler::Toolchain("nightly"), "test-nightly", "-Zrandomize-layout")
            .unwrap_or_else(|error| panic!("{error}"));
    }
    if let Some(rustc) = debian_rustc() {
        same_numbers_with(Compiler::At(rustc), "test-debian", "").unwrap_or_else(|error| panic!("{error}"));
    } else if !nightly {
        println!("skipped: there is no other compiler (`rustup toolchain install nightly`, or Debian's rustc-web)");
    }
}
