//! Tests of relative and absolute paths: of run folders, outputs and C functions.

use std::collections::BTreeMap;
use std::path::Path;

use plugfit_tests::{
    build::{c_library, root},
    run::{digits, folder, listing, plugfit},
};

const COMPILE: &str = "optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"";

#[test]
fn a_run_folder_can_be_named_by_any_path_to_it() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let inside = folder.path().join("sub/deep");
    std::fs::create_dir_all(&inside).expect("a folder");
    let run = folder.path().join("run");
    let callbacks = "fit.callbacks=[\"CSVLogger\", \"TensorBoard(log_dir='')\"]";
    plugfit(&inside, &["fit", "../../fit.toml", "--out", "../../run", "--set", callbacks]).with_status(0);
    for file in ["history.csv", "train/events.out.tfevents.1.plugfit.v2"] {
        assert!(run.join(file).exists(), "{file}");
    }
    std::os::unix::fs::symlink("run", folder.path().join("link")).expect("a link");
    let resumptions =
        [(&inside, "../../run"), (&run, "."), (&run.join("train"), ".."), (&folder.path().to_owned(), "link")];
    for (epochs, (from, name)) in (4..).zip(resumptions) {
        let epochs = format!("fit.epochs={epochs}");
        plugfit(from, &["fit", "--resume", name, "--set", &epochs]).with_status(0);
        plugfit(from, &["evaluate", name]).with_status(0);
    }
    let reserved = "fit.callbacks=[\"ModelCheckpoint(filepath='weights.safetensors')\"]";
    plugfit(&inside, &["fit", "../../fit.toml", "--out", "../../other", "--set", reserved])
        .with_status(2)
        .says(&["is a name that every run uses itself"]);
    let weights = folder.path().join("link/weights.safetensors").display().to_string();
    let through_link = format!("fit.callbacks=[\"CSVLogger(filename='{weights}')\"]");
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "link", "--overwrite", "--set", &through_link])
        .with_status(2)
        .says(&["is a name that every run uses itself"]);
    // The error for a run without weights names the run and the command to use.
    std::fs::remove_file(run.join("weights.safetensors")).expect("weights");
    plugfit(&run, &["evaluate", "."]).with_status(1).says(&[". has no weights yet", "`plugfit fit --resume .`"]);
}

#[test]
fn a_plugin_that_changes_the_working_directory_does_not_redirect_output() {
    let folder = folder();
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder");
    let source = format!(
        "#include <plugfit.h>\n#include <unistd.h>\n\
         PLUGFIT_CALLABLE moves(const float *t, const float *p, size_t rows, size_t columns, float *out) {{\n\
             if (chdir({elsewhere:?})) return;\n\
             for (size_t i = 0; i < rows; i++) out[i] = p[i * columns] - t[i];\n\
         }}\n"
    );
    c_library(folder.path(), "moves", &source, &[]);
    digits(
        folder.path(),
        "optimizer = \"SGD(learning_rate=0.001)\"\nloss = \"mse\"\nmetrics = [\"./libmoves.so#moves\"]",
    );
    let data = root().join("host/examples/digits/digits.csv");
    std::fs::copy(data, folder.path().join("digits.csv")).expect("a copy");
    let set = [
        "--set",
        "network.layers=[\"Dense(1)\"]",
        "--set",
        "data.file=digits.csv",
        "--set",
        "fit.callbacks=[\"CSVLogger\"]",
    ];
    plugfit(folder.path(), &[&["fit", "fit.toml", "--out", "run"], &set[..]].concat()).with_status(0);
    plugfit(folder.path(), &[&["fit", "fit.toml"], &set[..]].concat()).with_status(0);
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=4"]).with_status(0);
    plugfit(folder.path(), &["evaluate", "run", "digits.csv"]).with_status(0);
    plugfit(folder.path(), &["predict", "run", "digits.csv"]).with_status(0);
    assert_eq!(listing(&elsewhere), BTreeMap::new());
    for file in ["run/weights.safetensors", "run/history.csv", "runs", "predictions.csv"] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
}

/// Builds the C function `error_of` into `FOLDER/libmean.so`. It returns this multiple of the error.
fn build_function(folder: &Path, factor: f32) {
    let source = format!(
        "#include <plugfit.h>\n\
         PLUGFIT_CALLABLE error_of(const float *t, const float *p, size_t rows, size_t columns, float *out) {{\n\
             for (size_t i = 0; i < rows; i++) out[i] = {factor:?}f * (p[i * columns] - t[i]);\n\
         }}\n"
    );
    std::fs::create_dir_all(folder).expect("a folder");
    c_library(folder, "mean", &source, &[]);
}

#[test]
fn a_saved_run_uses_the_c_function_that_it_was_trained_with_from_any_folder() {
    let folder = folder();
    let project = folder.path().join("project (1)");
    build_function(&project, 1.0);
    build_function(&folder.path().join("elsewhere"), 1000.0);
    for metrics in
        ["[\"./libmean.so#error_of\"]", "[{class_name = \"./libmean.so#error_of\", config = {name = \"error_of\"}}]"]
    {
        digits(&project, &format!("optimizer = \"SGD(learning_rate=0.001)\"\nloss = \"mse\"\nmetrics = {metrics}"));
        let set = ["--set", "network.layers=[\"Dense(1)\"]"];
        plugfit(folder.path(), &[&["fit", "project (1)/fit.toml", "--out", "run", "--overwrite"], &set[..]].concat())
            .with_status(0);
        let expected = plugfit(folder.path(), &["evaluate", "run"]).with_status(0);
        for (from, run) in [("project (1)", "../run"), ("elsewhere", "../run")] {
            let found = plugfit(&folder.path().join(from), &["evaluate", run]).with_status(0);
            assert_eq!(found.out, expected.out, "{from}");
        }
        let elsewhere = folder.path().join("elsewhere");
        plugfit(&elsewhere, &["fit", "--resume", "../run", "--set", "fit.epochs=4"]).with_status(0);
    }
}
