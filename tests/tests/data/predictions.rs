//! Tests of the columns that `plugfit predict` writes.

use std::path::Path;

use plugfit_tests::run::{folder, plugfit};

/// Trains on a file with a column `a` and the targets `y`, a word, and `z`, a number.
fn trained(folder: &Path, words: &[&str], target: &str, network: &str, loss: &str) {
    let rows: String = (0..40).map(|i| format!("{i},{},{}\n", words[i % words.len()], i % 3)).collect();
    std::fs::write(folder.join("d.csv"), format!("a,y,z\n{rows}")).expect("a file");
    let text = format!(
        "[data]\nfile = \"d.csv\"\ninputs = \"a\"\ntarget = {target}\n[network]\n{network}\n[compile]\n\
         optimizer = \"sgd\"\nloss = {loss}\n[fit]\nepochs = 1\n"
    );
    std::fs::write(folder.join("fit.toml"), text).expect("a file");
    plugfit(folder, &["fit", "fit.toml", "--out", "run"]).with_status(0);
}

fn predicted(folder: &Path) -> Vec<Vec<String>> {
    plugfit(folder, &["predict", "run", "d.csv", "--out", "p.csv", "--overwrite"]).with_status(0);
    let text = std::fs::read_to_string(folder.join("p.csv")).expect("predictions");
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

const SPARSE: &str = "\"sparse_categorical_crossentropy\"";

#[test]
fn classes_have_columns_with_their_names_and_the_predicted_one_is_named() {
    let folder = folder();
    let layers = "layers = [\"Dense(3, activation=softmax)\"]";
    trained(folder.path(), &["dog", "cat", "owl"], "\"y\"", layers, SPARSE);
    let rows = predicted(folder.path());
    assert_eq!(rows[0], ["cat", "dog", "owl", "predicted"]);
    assert_eq!(rows.len(), 41);
    for row in &rows[1..] {
        let scores: Vec<f32> = row[..3].iter().map(|score| score.parse().expect("a number")).collect();
        let best = (0..3).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).expect("three");
        assert_eq!(row[3], rows[0][best]);
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    plugfit(folder.path(), &["predict", "run", "d.csv", "--out", "p.npz"]).with_status(0);
}

#[test]
fn two_classes_of_a_sigmoid_have_both_probabilities() {
    let folder = folder();
    let layers = "layers = [\"Dense(1, activation=sigmoid)\"]";
    trained(folder.path(), &["yes", "no"], "\"y\"", layers, "\"binary_crossentropy\"");
    let rows = predicted(folder.path());
    assert_eq!(rows[0], ["no", "yes", "predicted"]);
    for row in &rows[1..] {
        let [no, yes] = [0, 1].map(|i| row[i].parse::<f32>().expect("a number"));
        assert!((no + yes - 1.0).abs() < 1e-6);
        assert_eq!(row[2], if yes > 0.5 { "yes" } else { "no" });
    }
}

#[test]
fn columns_of_several_outputs_begin_with_the_output_and_numbers_keep_their_names() {
    let folder = folder();
    let network = "layers = [\"Dense(4)\"]\noutputs = { y = [\"Dense(2, activation=softmax)\"], z = [\"Dense(1)\"] }";
    let loss = "{ y = \"sparse_categorical_crossentropy\", z = \"mse\" }";
    trained(folder.path(), &["b", "a"], "{ y = \"y\", z = \"z\" }", network, loss);
    assert_eq!(predicted(folder.path())[0], ["y_a", "y_b", "y_predicted", "z"]);
    // Without a sigmoid, a single number is no probability.
    let folder = plugfit_tests::run::folder();
    let logits = "\"BinaryCrossentropy(from_logits=true)\"";
    trained(folder.path(), &["b", "a"], "\"y\"", "layers = [\"Dense(1, name=score)\"]", logits);
    assert_eq!(predicted(folder.path())[0], ["score"]);
}

#[test]
fn classes_that_are_numbers_have_no_names() {
    let folder = folder();
    let layers = "layers = [\"Dense(3, activation=softmax, name=z)\"]";
    trained(folder.path(), &["b"], "\"z\"", layers, SPARSE);
    assert_eq!(predicted(folder.path())[0], ["z_0", "z_1", "z_2"]);
}
