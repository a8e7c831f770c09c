//! Tests of the messages of a first run: no needless warnings, the best epoch, and a warning if nothing was learnt.

use std::path::Path;

use plugfit_tests::run::{digits, folder, plugfit};

const CLASSES: &str =
    "optimizer = \"AdamW(learning_rate=0.005)\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\"]";

/// Writes a table with two columns far from 0, and a run file with this network and these compile and fit tables.
fn unscaled(folder: &Path, network: &str, compile: &str, fit: &str) {
    let row = |i: usize| {
        let (age, income) = (18 + i * 37 % 70, 12_000 + i * 7919 % 90_000);
        format!("{age},{income},{},{}\n", usize::from(age > 50), (i * 31 % 100) as f32 / 100.0)
    };
    let rows: String = (0..400).map(row).collect();
    std::fs::write(folder.join("people.csv"), format!("age,income,old,share\n{rows}")).expect("a file");
    let text = format!(
        "[data]\nfile = \"people.csv\"\ninputs = [\"age\", \"income\"]\n{network}\n[compile]\n{compile}\n[fit]\nbatch_size = 32\n{fit}\n"
    );
    std::fs::write(folder.join("fit.toml"), text).expect("a file");
}

const SATURATES: &str = "target = \"old\"\nnumbers = \"none\"\nvalidation_split = 0.25\n[network]\nlayers = [\"Dense(8, activation=relu)\", \"Dense(1, activation=sigmoid)\"]";

#[test]
fn the_best_epoch_is_chosen_by_the_monitored_value() {
    let folder = folder();
    digits(folder.path(), CLASSES);
    plugfit(folder.path(), &["fit", "fit.toml"]).with_status(0).prints(&["best val_accuracy 0."]);
    let set = "fit.callbacks=[\"EarlyStopping(monitor=val_loss, patience=5)\"]";
    let ran = plugfit(folder.path(), &["fit", "fit.toml", "--set", set]).with_status(0).prints(&["best val_loss 0."]);
    assert!(!ran.out.contains("best val_accuracy"), "{}", ran.out);
    let ran = plugfit(folder.path(), &["fit", "fit.toml", "--json", "--set", set]).with_status(0);
    assert_eq!(ran.events_of("end")[0]["best"]["name"], "val_loss");
    let once = ["fit", "fit.toml", "--set", "fit.epochs=1"];
    plugfit(folder.path(), &once).with_status(0).prints(&["best val_accuracy 0.", "at epoch 1"]);
    // A regression without metrics.
    let network = "target = \"share\"\nscale = 1e-4\nvalidation_split = 0.25\n[network]\nlayers = [\"Dense(1)\"]";
    unscaled(folder.path(), network, "optimizer = \"SGD(learning_rate=0.001)\"\nloss = \"mse\"", "epochs = 2");
    plugfit(folder.path(), &["fit", "fit.toml"]).with_status(0).prints(&["best val_loss"]);
}

#[test]
fn a_run_that_is_no_better_than_chance_warns_once_with_the_likely_reason() {
    let folder = folder();
    let compile =
        "optimizer = \"SGD(learning_rate=0.1)\"\nloss = \"binary_crossentropy\"\nmetrics = [\"accuracy\", \"AUC\"]";
    unscaled(folder.path(), SATURATES, compile, "epochs = 3");
    let ran = plugfit(folder.path(), &["fit", "fit.toml"]).with_status(0).says(&[
        "warning: this run is no better than chance",
        "aren't scaled",
        "\"income\" goes from 12,",
        "data.scale",
        "standardise",
    ]);
    assert_eq!(ran.err.matches("no better than chance").count(), 1, "{}", ran.err);
    let ran = plugfit(folder.path(), &["fit", "fit.toml", "--json"]).with_status(0);
    let warnings = ran.events_of("warning");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let text = warnings[0]["message"].as_str().expect("a text");
    assert!(text.contains("no better than chance") && text.contains("data.scale"), "{text}");
}

#[test]
fn a_regression_of_several_columns_is_not_taken_for_a_classification() {
    let folder = folder();
    let row = |i: usize| {
        let (a, b) = ((i * 37 % 100) as f32 / 100.0, (i * 91 % 100) as f32 / 100.0);
        format!("{a},{b},{},{}\n", 10.0 + a, 0.5 - b)
    };
    let rows: String = (0..200).map(row).collect();
    std::fs::write(folder.path().join("rows.csv"), format!("a,b,u,v\n{rows}")).expect("a file");
    // The first column is the greatest in each row.
    for metrics in ["", "metrics = [\"categorical_accuracy\"]"] {
        let text = format!(
            "[data]\nfile = \"rows.csv\"\ntarget = [\"u\", \"v\"]\n[network]\nlayers = [\"Dense(2)\"]\n[compile]\n\
             optimizer = \"Adam(learning_rate=0.1)\"\nloss = \"mse\"\n{metrics}\n[fit]\nepochs = 60\n"
        );
        std::fs::write(folder.path().join("fit.toml"), text).expect("a file");
        let ran = plugfit(folder.path(), &["fit", "fit.toml", "--out", "r"]).with_status(0);
        assert_eq!(ran.err, "");
        let page = std::fs::read_to_string(folder.path().join("r/report.html")).expect("a page");
        assert!(!page.contains("ROC"), "it has a ROC curve");
        std::fs::remove_dir_all(folder.path().join("r")).expect("a run");
    }
}

#[test]
fn a_run_that_learns_has_no_warning_about_chance() {
    let folder = folder();
    digits(folder.path(), CLASSES);
    let ran = plugfit(folder.path(), &["fit", "fit.toml"]).with_status(0);
    assert_eq!(ran.err, "");
    let ran = plugfit(folder.path(), &["fit", "fit.toml", "--json", "--set", "fit.epochs=1"]).with_status(0);
    assert!(ran.events_of("warning").is_empty(), "{}", ran.out);
    // A regression, and labels of which nine tenths are the same.
    let compile = "optimizer = \"AdamW(learning_rate=0.05)\"\nloss = \"mse\"";
    digits(folder.path(), compile);
    let layers = "network.layers=[\"Dense(16, activation=relu)\", \"Dense(1)\"]";
    let ran = plugfit(folder.path(), &["fit", "fit.toml", "--set", layers]).with_status(0);
    assert_eq!(ran.err, "");
    let text = std::fs::read_to_string(folder.path().join("fit.toml")).expect("a file");
    let data = text.split('"').find(|part| part.ends_with("digits.csv")).expect("the data's file");
    let table = std::fs::read_to_string(data).expect("a table");
    let lines = table.lines().enumerate().map(|(index, line)| {
        let (rest, label) = line.rsplit_once(',').expect("columns");
        if index == 0 { line.to_owned() } else { format!("{rest},{}", u8::from(label == "3")) }
    });
    std::fs::write(folder.path().join("threes.csv"), lines.collect::<Vec<_>>().join("\n")).expect("a file");
    let text = text.replace(data, &folder.path().join("threes.csv").display().to_string());
    std::fs::write(folder.path().join("fit.toml"), text).expect("a file");
    let sets = [
        "network.layers=[\"Dense(16, activation=relu)\", \"Dense(1, activation=sigmoid)\"]",
        "compile.loss=binary_crossentropy",
        "compile.optimizer=SGD(learning_rate=0.01)",
        "compile.metrics=[\"accuracy\"]",
    ];
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let ran = plugfit(folder.path(), &["fit", "fit.toml"].into_iter().chain(sets).collect::<Vec<_>>()).with_status(0);
    assert_eq!(ran.err, "", "{}", ran.out);
}
