//! Tests of the data files of a run: in memory, on disk and missing.

use plugfit_tests::run::{digits, folder, history, plugfit, weights};

#[test]
fn a_run_is_the_same_with_data_in_memory_and_on_disk() {
    let folder = folder();
    let file = digits(folder.path(), "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"");
    let file = file.to_str().expect("a name");
    for (name, in_memory) in [("memory", "true"), ("disk", "false")] {
        let set = format!("data.in_memory={in_memory}");
        plugfit(folder.path(), &["fit", file, "--set", &set, "--set", "fit.epochs=2", "--out", name]).with_status(0);
    }
    let (memory, disk) = (folder.path().join("memory"), folder.path().join("disk"));
    assert_eq!(history(&memory), history(&disk));
    assert_eq!(weights(&memory), weights(&disk));
}

#[test]
fn a_missing_data_file_is_named() {
    let folder = folder();
    let file = digits(folder.path(), "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"");
    let text = std::fs::read_to_string(&file).expect("it is there");
    let name = text.lines().find_map(|line| line.strip_prefix("file = ")).expect("it names its data");
    let data = folder.path().join("gone.csv");
    std::fs::copy(file.parent().expect("a folder").join(name.trim_matches('"')), &data).expect("a copy");
    std::fs::write(&file, text.replace(name, "\"gone.csv\"")).expect("it can be written");
    plugfit(folder.path(), &["fit", file.to_str().expect("a name"), "--out", "run"]).with_status(0);
    std::fs::remove_file(data).expect("it was there");
    let arguments = ["fit", "--resume", "run", "--set", "fit.epochs=50"];
    plugfit(folder.path(), &arguments).with_status(1).says(&["cannot read", "gone.csv"]);
    plugfit(folder.path(), &["evaluate", "run"]).with_status(1).says(&["gone.csv"]);
}
