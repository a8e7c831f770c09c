//! Tests of plug-ins with the same name, version or components.

use plugfit_tests::{
    build::library,
    run::{digits, folder, plugfit, plugins},
};

#[test]
fn different_files_of_the_same_version_are_an_error() {
    let folder = folder();
    let place = plugins(folder.path(), &[library("calibration")]);
    let first = place.join(library("calibration").file_name().expect("a name"));
    let bytes = std::fs::read(&first).expect("it is there");
    std::fs::write(place.join("libother.so"), [&bytes[..], b"\0"].concat()).expect("a file");
    digits(
        folder.path(),
        "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\", \"BrierScore\"]",
    );
    let expected = [
        "error: there are different files of calibration 0.2.0",
        "file    plugins/libcalibration.so\n",
        "file    plugins/libother.so\n",
        "remove all but one of them",
    ];
    plugfit(folder.path(), &["show", "BrierScore", "--plugins", "plugins"]).with_status(2).says(&expected);
    let ran = plugfit(folder.path(), &["fit", "fit.toml", "--out", "run"]).with_status(2).says(&expected);
    assert!(ran.err.contains("compile.metrics[1]") && !ran.err.contains("config."), "{}", ran.err);
}

#[test]
fn a_name_in_two_plugins_is_an_error_that_lists_the_full_names() {
    let folder = folder();
    let plugins = plugins(folder.path(), &[library("rival"), library("calibration")]).display().to_string();
    plugfit(folder.path(), &["show", "BrierScore", "--plugins", &plugins]).with_status(2).says(&[
        "in two plug-ins",
        "rival>BrierScore",
        "calibration>BrierScore",
    ]);
    plugfit(folder.path(), &["show", "rival>BrierScore", "--plugins", &plugins])
        .with_status(0)
        .prints(&["rival 0.2.0"]);
}
