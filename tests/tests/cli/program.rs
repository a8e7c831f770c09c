//! Tests of the program as a user runs it.

use plugfit_tests::{
    build::{c_library, cargo, library, root},
    run::{Finished, command, digits, folder, history, plugfit, plugins, weights},
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

const PLAIN: &str =
    "optimizer = \"AdamW(learning_rate=0.005)\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\"]";

#[test]
fn the_example_learns_the_digits_with_a_metric_of_a_plugin() {
    let folder = folder();
    let plugins = plugins(folder.path(), &[library("calibration")]).display().to_string();
    let example = root().join("host/examples/digits/fit.toml").display().to_string();
    let arguments = ["fit", &example, "--plugins", &plugins, "--set", "plugins=[]", "--json", "--out", "run"];
    let ran = plugfit(folder.path(), &arguments).with_status(0);
    let events = ran.events();
    let epochs: Vec<&Value> = events.iter().filter(|event| event["event"] == "epoch").collect();
    assert_eq!(epochs.len(), 30);
    for epoch in &epochs {
        assert!(epoch["logs"]["ece"].is_number() && epoch["logs"]["val_ece"].is_number(), "{epoch}");
    }
    let last = epochs[29]["logs"]["val_accuracy"].as_f64().expect("a number");
    assert!(last >= 0.97, "val_accuracy is {last}");
    assert_eq!(events[0]["event"], "start");
    assert_eq!(events.last().expect("an event")["event"], "end");
}

#[test]
fn a_repeated_run_is_identical_and_another_seed_changes_it() {
    let folder = folder();
    digits(folder.path(), PLAIN);
    for out in ["first", "second"] {
        plugfit(folder.path(), &["fit", "fit.toml", "--out", out]).with_status(0);
    }
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "third", "--set", "fit.seed=8"]).with_status(0);
    let weights = |run: &str| weights(&folder.path().join(run));
    assert_eq!(weights("first"), weights("second"));
    assert_eq!(history(&folder.path().join("first")), history(&folder.path().join("second")));
    assert_ne!(weights("first"), weights("third"));
}

#[test]
fn the_environment_sets_the_number_of_threads_which_changes_no_digit() {
    let folder = folder();
    digits(folder.path(), PLAIN);
    let fit = |threads: &str| {
        let out = format!("--out=run{threads}");
        let arguments = ["fit", "fit.toml", &out, "--set", "fit.batch_size=1024"];
        let mut command = command(folder.path());
        Finished::of(command.args(arguments).env("PLUGFIT_THREADS", threads).output().expect("the program runs"))
    };
    fit("1").with_status(0);
    fit("3").with_status(0);
    assert_eq!(weights(&folder.path().join("run1")), weights(&folder.path().join("run3")));
    for wrong in ["0", "-1", "two", "1025"] {
        fit(wrong).with_status(2).says(&["PLUGFIT_THREADS", "an integer from 1 to 1024"]);
    }
}

#[test]
fn no_builtin_empties_the_registries_and_the_standard_library_file_gives_identical_results() {
    let folder = folder();
    digits(folder.path(), PLAIN);
    for kind in ["losses", "metrics", "optimizers", "schedules"] {
        let out = plugfit(folder.path(), &["list", kind, "--no-builtin"]).with_status(0).out;
        assert!(!out.contains("standard"), "{out}");
    }
    plugfit(folder.path(), &["fit", "fit.toml", "--no-builtin"])
        .with_status(2)
        .says(&["no optimizer is called \"AdamW\""]);
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "in"]).with_status(0);
    plugins(folder.path(), &[library("plugfit-standard")]);
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "out", "--no-builtin"])
        .with_status(0)
        .prints(&["libplugfit_standard.so"]);
    let weights = |run: &str| weights(&folder.path().join(run));
    assert_eq!(weights("in"), weights("out"));
    assert_eq!(history(&folder.path().join("in")), history(&folder.path().join("out")));
}

#[test]
fn a_misspelled_name_is_reported_with_its_place_and_similar_names() {
    let folder = folder();
    digits(folder.path(), &PLAIN.replace("accuracy", "accuracyy"));
    plugfit(folder.path(), &["fit", "fit.toml"]).with_status(2).says(&[
        "error: no metric is called \"accuracyy\"",
        "fit.toml:15",
        "compile.metrics[0]",
        "near",
        "Accuracy",
        "looked",
    ]);
    digits(folder.path(), PLAIN);
    plugfit(folder.path(), &["fit", "fit.toml", "--set", "compile.loss=Huber(detla=2)"])
        .with_status(2)
        .says(&["Huber has no setting \"detla\"", "did you mean \"delta\"?"]);
    plugfit(folder.path(), &["fit", "fit.toml", "--set", "fit.epoch=3"]).with_status(2).says(&["epoch", "epochs"]);
    plugfit(folder.path(), &["fit", "fit.toml", "--set", "fit.batch_size=0"]).with_status(2).says(&["fit.batch_size"]);
    plugfit(folder.path(), &["fit", "fit.toml", "--set", "compile.metrics=[\"CategoricalAccuracy\"]"])
        .with_status(1)
        .says(&["CategoricalAccuracy", "y_true", "[64]"]);
    plugfit(folder.path(), &["fit", "fot.toml"]).with_status(2).says(&["fot.toml"]);
    plugfit(folder.path(), &["show", "Hubber"]).with_status(2).says(&["Hubber", "Huber"]);
    let remaining = std::fs::read_dir(folder.path().join("runs")).map_or(0, Iterator::count);
    assert_eq!(remaining, 0, "nothing is left of a run that didn't start");
}

#[test]
fn an_interrupted_run_keeps_the_trained_weights() {
    let folder = folder();
    digits(folder.path(), PLAIN);
    let mut child = command(folder.path())
        .args(["fit", "fit.toml", "--set", "fit.epochs=100000", "--out", "run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    while !lines.next().expect("a line").expect("text").contains("2/100000") {}
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    std::thread::spawn(move || lines.for_each(drop));
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped in epoch") && said.contains("report.html are in run"), "{said}");
    let epochs = history(&folder.path().join("run")).as_array().expect("a list").len();
    assert!(epochs >= 2);
    plugfit(folder.path(), &["evaluate", "run"]).with_status(0).prints(&["accuracy"]);
}

#[test]
fn a_run_can_be_evaluated_and_used_for_predictions() {
    let folder = folder();
    digits(folder.path(), PLAIN);
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run"]).with_status(0);
    let evaluated = plugfit(folder.path(), &["evaluate", "run", "--json"]).with_status(0);
    let last = history(&folder.path().join("run"));
    let last = &last.as_array().expect("a list").last().expect("an epoch")["logs"];
    let found = &evaluated.events_of("end")[0];
    for (name, value) in [("loss", &last["val_loss"]), ("accuracy", &last["val_accuracy"])] {
        assert_eq!(&found["logs"][name], value, "{name}");
    }
    let data = root().join("host/examples/digits/digits.csv").display().to_string();
    plugfit(folder.path(), &["predict", "run", &data, "--out", "predicted.csv"]).with_status(0);
    let predicted = std::fs::read_to_string(folder.path().join("predicted.csv")).expect("a file");
    assert_eq!(predicted.lines().count(), 1798);
}

#[test]
fn a_new_crate_builds_passes_its_test_and_works_as_a_plugin() {
    for (kind, table) in [
        ("metric", "optimizer = \"SGD\"\nloss = \"mse\"\nmetrics = [\"{}\"]"),
        ("loss", "optimizer = \"SGD\"\nloss = \"{}\""),
        ("optimizer", "optimizer = \"{}\"\nloss = \"sparse_categorical_crossentropy\""),
    ] {
        let folder = folder();
        let name = format!("my-{kind}");
        plugfit(folder.path(), &["new", kind, &name]).with_status(0);
        let project = folder.path().join(&name);
        let target = shared_target();
        let environment = [("CARGO_TARGET_DIR", &*target), ("CARGO_PROFILE_DEV_DEBUG", "0")];
        cargo(&project, &["test", "--quiet"], &environment);
        cargo(&project, &["build", "--quiet"], &environment);
        let library = Path::new(&target).join(format!("debug/libmy_{kind}.so"));
        plugins(folder.path(), &[library]);
        let type_name = format!("My{}{}", kind[..1].to_uppercase(), &kind[1..]);
        let compile = table.replace("{}", &type_name);
        digits(folder.path(), &compile);
        let layers = if kind == "optimizer" { "[\"Dense(10, activation=softmax)\"]" } else { "[\"Dense(1)\"]" };
        let layers = format!("network.layers={layers}");
        let ran = plugfit(folder.path(), &["fit", "fit.toml", "--out", "run", "--set", &layers]).with_status(0);
        assert!(ran.out.contains(&format!("my-{kind} 0.1.0")), "{}", ran.out);
        if kind == "metric" {
            assert!(history(&folder.path().join("run"))[0]["logs"]["MyMetric"].is_number());
        }
    }
}

/// Returns the target folder of all new crates, so that their dependencies are built only once.
fn shared_target() -> String {
    let test = std::env::current_exe().expect("a file");
    test.ancestors().nth(3).expect("the target folder").join("test-others").display().to_string()
}

#[test]
fn a_c_function_with_a_gradient_is_a_loss_and_without_one_only_a_metric() {
    let folder = folder();
    let source = "#include <plugfit.h>\n\
        PLUGFIT_CALLABLE squares(const float *t, const float *p, size_t rows, size_t columns, float *out) {\n\
            for (size_t i = 0; i < rows; i++) {\n\
                out[i] = 0;\n\
                for (size_t j = 0; j < columns; j++) { float e = p[i * columns + j] - t[i * columns + j]; out[i] += e * e / columns; }\n\
            }\n\
        }\n\
        #ifdef WITH_GRADIENT\n\
        PLUGFIT_CALLABLE squares_gradient(const float *t, const float *p, size_t rows, size_t columns, float *out) {\n\
            for (size_t i = 0; i < rows * columns; i++) out[i] = 2 * (p[i] - t[i]) / columns;\n\
        }\n\
        #endif\n";
    for (library, flag) in [("with", "-DWITH_GRADIENT"), ("without", "-DWITHOUT")] {
        c_library(folder.path(), library, source, &["-Wall", "-Werror", flag]);
    }
    let regression = ["--set", "network.layers=[\"Dense(1)\"]"];
    let fit = |compile: &str, out: &str| {
        digits(folder.path(), compile);
        plugfit(folder.path(), &[&["fit", "fit.toml", "--out", out], &regression[..]].concat())
    };
    let custom =
        "optimizer = \"SGD\"\nloss = \"./libwith.so#squares\"\nmetrics = [\"./libwithout.so#squares\", \"mse\"]";
    fit(custom, "own").with_status(0);
    let logs = &history(&folder.path().join("own"))[2]["logs"];
    let near = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-4 * b.as_f64().unwrap();
    assert!(near(&logs["squares"], &logs["mse"]) && near(&logs["loss"], &logs["mse"]), "{logs}");
    fit("optimizer = \"SGD\"\nloss = \"./libwithout.so#squares\"", "not").with_status(2).says(&[
        "cannot train with",
        "squares",
        "no gradient",
    ]);
    fit("optimizer = \"SGD\"\nloss = \"./libwith.so#circles\"", "not").with_status(2).says(&["circles"]);
}

#[test]
fn the_classic_example_of_keras_works_as_written() {
    let folder = folder();
    let classic = "optimizer = \"SGD(lr=0.01, decay=1e-6, momentum=0.9, nesterov=True)\"\nloss = 'categorical_crossentropy'\nmetrics = ['accuracy']";
    digits(folder.path(), classic);
    // The labels of the digits are class ids; one column for each class makes them one-hot.
    let text = std::fs::read_to_string(root().join("host/examples/digits/digits.csv")).expect("a file");
    let mut lines = text.lines();
    let mut one_hot = lines.next().expect("a header").replace("label", "");
    one_hot += &(0..10).map(|class| format!("class_{class}")).collect::<Vec<_>>().join(",");
    for line in lines {
        let (pixels, label) = line.rsplit_once(',').expect("a label");
        let label: usize = label.parse().expect("a class");
        let classes: Vec<&str> = (0..10).map(|class| if class == label { "1" } else { "0" }).collect();
        one_hot += &format!("\n{pixels},{}", classes.join(","));
    }
    std::fs::write(folder.path().join("one_hot.csv"), one_hot + "\n").expect("a file");
    let target =
        format!("data.target=[{}]", (0..10).map(|class| format!("\"class_{class}\"")).collect::<Vec<_>>().join(", "));
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run", "--set", "data.file=one_hot.csv", "--set", &target])
        .with_status(0);
    let history = history(&folder.path().join("run"));
    assert!(history[2]["logs"]["accuracy"].as_f64().expect("a number") > 0.5, "{history}");
    let rate = history[2]["learning_rate"].as_f64().expect("a number");
    assert!(rate < 0.01 && rate > 0.0099, "{rate}");
}

#[test]
fn the_report_of_a_run_is_a_self_contained_page() {
    let folder = folder();
    plugins(folder.path(), &[library("calibration")]);
    digits(folder.path(), &PLAIN.replace("[\"accuracy\"]", "[\"accuracy\", \"ECE(name='<ece>')\"]"));
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run"]).with_status(0).prints(&["report.html"]);
    let page = std::fs::read_to_string(folder.path().join("run/report.html")).expect("a page");
    for part in
        ["<h2>Curves</h2>", "<h2>Confusion</h2>", "<h2>Epochs</h2>", "calibration 0.2.0", "&lt;ece&gt;", "batch_size"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<svg").count(), 5, "loss, accuracy, ece, learning rate, ROC");
    assert!(!page.contains("<ece>"), "names are escaped");
    for outside in ["src=", "href=", "<script", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let curve = std::fs::read_to_string(folder.path().join("run/curves/accuracy.svg")).expect("a picture");
    assert!(curve.starts_with("<svg") && curve.trim_end().ends_with("</svg>"));
}

#[test]
fn completions_and_help_are_printed() {
    let folder = folder();
    plugfit(folder.path(), &["completions", "bash"]).with_status(0).prints(&["plugfit"]);
    plugfit(folder.path(), &["--help"]).with_status(0).prints(&["fit", "evaluate", "predict", "list", "show", "new"]);
    plugfit(folder.path(), &["list", "losses"]).with_status(0).prints(&["Huber", "standard 0.2.0"]);
    let auc = plugfit(folder.path(), &["show", "auc"]).with_status(0).prints(&[
        "num_thresholds",
        "200",
        "integer >= 2, <= 10000000",
    ]);
    assert!(!auc.out.contains("needed"), "{}", auc.out);
    plugfit(folder.path(), &["show", "CosineDecay"]).with_status(0).prints(&["needed", "warmup_target"]);
    plugfit(folder.path(), &["fit"]).with_status(2);
    plugfit(folder.path(), &["fitt"]).with_status(2).says(&["fit"]);
}

#[test]
fn score_and_sql_run_another_program_or_say_how_to_get_it() {
    let folder = folder();
    for subcommand in ["score", "sql"] {
        plugfit(folder.path(), &[subcommand, "--y-true", "y"])
            .with_status(2)
            .says(&[&format!("`plugfit {subcommand}` needs the program plugfit-score"), "host/engines/sql"]);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let program = folder.path().join("plugfit-score");
        std::fs::write(&program, "#!/bin/sh\necho \"got $*\"\nexit 3\n").expect("it can be written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
        let mut process = command(folder.path());
        process.args(["--no-builtin", "score", "a.csv", "--metric", "auc"]);
        let output = process.env("PATH", path).output().expect("it runs");
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "got score --no-builtin a.csv --metric auc\n");
    }
}
