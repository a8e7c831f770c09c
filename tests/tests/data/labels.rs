//! Tests of targets that don't match an output or its loss: unknown classes, wrong shapes and labels that aren't
//! probabilities.

use plugfit_tests::run::{Finished, folder, plugfit, weights};

/// Trains on a file with a column `a` and a target `y` with these values.
fn fit_targets(values: &[&str], layer: &str, loss: &str, batch_size: usize) -> Finished {
    let folder = folder();
    let rows: String = values.iter().enumerate().map(|(i, value)| format!("{i},{value}\n")).collect();
    std::fs::write(folder.path().join("d.csv"), format!("a,y\n{rows}")).expect("a file");
    let text = format!(
        "[data]\nfile = \"d.csv\"\ntarget = \"y\"\n[network]\nlayers = [\"{layer}\"]\n[compile]\noptimizer = \"sgd\"\n\
         loss = \"{loss}\"\n[fit]\nbatch_size = {batch_size}\n"
    );
    std::fs::write(folder.path().join("fit.toml"), text).expect("a file");
    let ran = plugfit(folder.path(), &["fit", "fit.toml", "--out", "run"]);
    assert_eq!(folder.path().join("run").exists(), ran.status == Some(0), "{ran:?}");
    ran
}

#[test]
fn targets_that_are_not_classes_of_the_output_are_refused_before_training() {
    let sparse = "sparse_categorical_crossentropy";
    let fit = |values: &[&str], layer: &str| fit_targets(values, layer, sparse, 2);
    fit(&["1", "2", "3"], "Dense(3, activation=softmax)").with_status(2).says(&[
        "contains class 3",
        "row 2",
        "subtract 1",
    ]);
    fit(&["0", "1", "1"], "Dense(1, activation=softmax)").with_status(2).says(&[
        "contains class 1",
        "row 1",
        "binary_crossent",
    ]);
    fit(&["0", "-1", "1"], "Dense(2, activation=softmax)").with_status(2).says(&[
        "contains class -1",
        "row 1",
        "start at 0",
    ]);
    fit(&["0", "1.5", "1"], "Dense(2, activation=softmax)").with_status(2).says(&[
        "contains 1.5",
        "row 1",
        "class ids are integers",
    ]);
    fit(&["0", "7", "1"], "Dense(3, activation=softmax)").with_status(2).says(&["contains class 7", "8 units"]);
    let words = ["de", "fr", "na"];
    let says = ["3 classes", "2 numbers", "de, fr, na", "Dense(3, activation=softmax)"];
    fit(&words, "Dense(2, activation=softmax)").with_status(2).says(&says);
    fit_targets(&words, "Dense(1)", "binary_crossentropy", 2).with_status(2).says(&["3 classes", "one number"]);
    fit(&words, "Dense(3, activation=softmax)").with_status(0);
    fit(&["0", "2", "1"], "Dense(3, activation=softmax)").with_status(0);
    fit_targets(&["no", "yes", "no"], "Dense(1, activation=sigmoid)", "binary_crossentropy", 2).with_status(0);
}

#[test]
fn a_target_that_does_not_fit_the_output_is_refused_for_every_batch_size() {
    let values = ["0", "1", "2", "0", "1", "2", "0", "1"];
    for loss in
        ["mse", "huber", "binary_crossentropy", "hinge", "categorical_crossentropy", "cosine_similarity", "dice"]
    {
        for batch_size in [1, 3, 4, 8] {
            // The host refuses them or, if the loss doesn't declare its kind of labels, the plug-in does.
            fit_targets(&values, "Dense(4)", loss, batch_size).with_status(2).says(&["doesn't fit"]);
        }
    }
}

#[test]
fn labels_that_are_not_probabilities_are_refused_before_training() {
    let fit = |values: &[&str], loss: &str| fit_targets(values, "Dense(1, activation=sigmoid)", loss, 2);
    for loss in ["binary_crossentropy", "binary_focal_crossentropy"] {
        fit(&["0", "1", "2"], loss).with_status(2).says(&["contains 2", "row 2", "between 0 and 1", "Dense(3"]);
        fit(&["1", "-1", "1"], loss).with_status(2).says(&["contains -1", "row 1", "write 0 for -1"]);
        fit(&["1", "0.5", "1.5"], loss).with_status(2).says(&["contains 1.5", "row 2", "mse"]);
        fit(&["1", "0.5", "1.0000001"], loss).with_status(0);
    }
    let folder = folder();
    std::fs::write(folder.path().join("d.csv"), "a,y,z\n0,1,0\n1,0,1\n2,-1,1\n").expect("a file");
    let text = "[data]\nfile = \"d.csv\"\ntarget = [\"y\", \"z\"]\n[network]\nlayers = [\"Dense(2, activation=softmax)\"]\n\
                [compile]\noptimizer = \"sgd\"\nloss = \"LOSS\"\n";
    let fit = |loss: &str| {
        std::fs::write(folder.path().join("fit.toml"), text.replace("LOSS", loss)).expect("a file");
        plugfit(folder.path(), &["fit", "fit.toml"])
    };
    fit("binary_crossentropy").with_status(2).says(&["contains -1", "row 2, column 0"]);
    // Weighted rows, such as those of policy gradients and of counts, aren't probabilities but are valid labels.
    fit("categorical_crossentropy").with_status(0);
}

#[test]
fn a_label_with_weight_0_is_ignored() {
    let folder = folder();
    std::fs::write(folder.path().join("d.csv"), "a,y,w\n0,1,1\n1,0,2\n2,-1,0\n3,1,1\n").expect("a file");
    let text = "[data]\nfile = \"d.csv\"\ntarget = \"y\"\nsample_weight = \"w\"\n[network]\n\
                layers = [\"Dense(1, activation=sigmoid)\"]\n[compile]\noptimizer = \"sgd\"\nloss = \"binary_crossentropy\"\n";
    std::fs::write(folder.path().join("fit.toml"), text).expect("a file");
    plugfit(folder.path(), &["fit", "fit.toml"]).with_status(0);
}

#[test]
fn the_inputs_of_a_row_with_weight_0_do_not_affect_training() {
    let fit = |placeholder: &str| {
        let folder = folder();
        let data = format!("a,y,w\n0,1,1\n1,0,2\n{placeholder},1,0\n3,1,1\n");
        std::fs::write(folder.path().join("d.csv"), data).expect("a file");
        let text = "[data]\nfile = \"d.csv\"\ntarget = \"y\"\nsample_weight = \"w\"\n[network]\n\
                    layers = [\"Dense(4, activation=gelu)\", \"Dense(1, activation=sigmoid)\"]\n[compile]\n\
                    optimizer = \"sgd\"\nloss = \"binary_crossentropy\"\n[fit]\nepochs = 3\nbatch_size = 4\n";
        std::fs::write(folder.path().join("fit.toml"), text).expect("a file");
        plugfit(folder.path(), &["fit", "fit.toml", "--out", "run"]).with_status(0);
        weights(&folder.path().join("run"))
    };
    let zero = fit("0");
    // Every activation of the first layer overflows.
    assert!(fit("3e38") == zero, "other weights");
}

#[test]
fn a_label_that_a_metric_refuses_is_reported_with_its_row_in_the_data() {
    let folder = folder();
    let rows: String = (0..40).map(|i| format!("{i},{}\n", if i == 23 { -1 } else { 1 })).collect();
    std::fs::write(folder.path().join("d.csv"), format!("a,y\n{rows}")).expect("a file");
    let text = "[data]\nfile = \"d.csv\"\ntarget = \"y\"\n[network]\nlayers = [\"Dense(1)\"]\n[compile]\noptimizer = \"sgd\"\n\
                loss = \"mse\"\nweighted_metrics = [\"BinaryAccuracy\"]\n[fit]\nbatch_size = 4\n";
    std::fs::write(folder.path().join("fit.toml"), text).expect("a file");
    plugfit(folder.path(), &["fit", "fit.toml", "--set", "compile.optimizer=SGD(learning_rate=1e-6)"])
        .with_status(1)
        .says(&["contains -1", "of the batch is 23 of the data", "write 0 for -1"]);
}
