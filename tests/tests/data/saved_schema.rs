//! Tests of the data schema that a saved run stores: later files are read in the same way as the training data, or
//! refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use plugfit_tests::run::{Finished, command, folder, history, plugfit};
use serde_json::Value;

/// Writes a run file for this data table, with this many classes, or for a regression if `classes` is 0.
fn run_file(folder: &Path, data: &str, classes: usize) {
    let (layer, loss) = match classes {
        0 => ("Dense(1)".to_owned(), "mse"),
        classes => (format!("Dense({classes}, activation=softmax)"), "sparse_categorical_crossentropy"),
    };
    let metrics = if classes > 0 { "metrics = [\"accuracy\"]\n" } else { "" };
    let text = format!(
        "[data]\n{data}\n[network]\nlayers = [\"{layer}\"]\n[compile]\noptimizer = \"Adam(learning_rate=0.1)\"\nloss = \"{loss}\"\n\
         {metrics}[fit]\nepochs = 60\nshuffle = false\n"
    );
    std::fs::write(folder.join("fit.toml"), text).expect("a file");
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file");
}

fn evaluated(ran: &Finished, name: &str) -> f64 {
    let event: Value = serde_json::from_str(ran.out.lines().last().expect("a line")).expect("JSON");
    event["logs"][name].as_f64().expect("a number")
}

/// Resumes the run for one more epoch.
const MORE: [&str; 5] = ["fit", "--resume", "r", "--set", "fit.epochs=61"];

#[test]
fn columns_are_found_by_name_in_any_order_and_among_other_columns() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "d.csv", "a,b,y\n1,0,1\n2,0,2\n3,0,3\n0,1,0\n");
    run_file(folder, "file = \"d.csv\"\ntarget = \"y\"", 0);
    plugfit(folder, &["fit", "fit.toml", "--out", "r"]).with_status(0);
    plugfit(folder, &["fit", "fit.toml", "--out", "whole", "--set", "fit.epochs=61"]).with_status(0);
    let before = evaluated(&plugfit(folder, &["evaluate", "r", "--json"]), "loss");
    write(folder, "d.csv", "new,b,y,a,note\n7,0,1,1,x\n8,0,2,2,y\n9,0,3,3,z\n1,1,0,0,z\n");
    for arguments in [&["evaluate", "r", "--json"][..], &["evaluate", "r", "d.csv", "--json"]] {
        assert_eq!(evaluated(&plugfit(folder, arguments).with_status(0), "loss"), before);
    }
    plugfit(folder, &MORE).with_status(0);
    let last =
        |run: &str| history(&folder.join(run)).as_array().expect("a list").last().expect("an epoch")["logs"].clone();
    assert_eq!(last("r"), last("whole"));
    for (text, says) in [
        ("b,y\n0,1\n", "has no column \"a\""),
        ("a,y\n0,1\n", "has no column \"b\""),
        ("a,b,y\n1,true,1\n", "a column of numbers has a boolean"),
        ("a,b,y\n1,x,1\n", "a cell isn't a number"),
    ] {
        write(folder, "d.csv", text);
        for arguments in [&MORE[..], &["evaluate", "r"], &["evaluate", "r", "d.csv"], &["predict", "r", "d.csv"]] {
            let ran = plugfit(folder, arguments);
            assert!(matches!(ran.status, Some(1 | 2)), "{arguments:?}: {ran:?}");
            ran.says(&[says, "d.csv"]);
        }
    }
    write(folder, "d.csv", "a,b,y\n1,0,1\n");
    for (set, key) in [
        ("data.inputs=[\"b\", \"a\"]", "data.inputs"),
        ("data.target=b", "data.target"),
        ("data.scale=2", "data.scale"),
        ("data.sample_weight=b", "data.sample_weight"),
    ] {
        plugfit(folder, &["fit", "--resume", "r", "--set", set]).with_status(2).says(&[key, "isn't what the run was"]);
    }
}

#[test]
fn a_column_of_booleans_accepts_only_booleans_later() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "d.csv", "a,b,y\ntrue,1,1\nfalse,2,0\n");
    run_file(folder, "file = \"d.csv\"\ntarget = \"y\"", 0);
    plugfit(folder, &["fit", "fit.toml", "--out", "r"]).with_status(0);
    let before = evaluated(&plugfit(folder, &["evaluate", "r", "--json"]), "loss");
    write(folder, "same.csv", "b,y,a\n1,1,1\n2,0,0.0\n");
    assert_eq!(evaluated(&plugfit(folder, &["evaluate", "r", "same.csv", "--json"]).with_status(0), "loss"), before);
    write(folder, "other.csv", "a,b,y\ntrue,1,1\n2,2,0\n");
    plugfit(folder, &["evaluate", "r", "other.csv"])
        .with_status(1)
        .says(&["a column of booleans has a number that is neither 0 nor 1", "other.csv:3, column \"a\""]);
}

#[test]
fn an_array_of_booleans_accepts_only_0_and_1_later() {
    let folder = folder();
    let folder = folder.path();
    npy(&folder.join("y.npy"), &[1.0, 0.0, 1.0]);
    let x = |name: &str, bytes: [u8; 3], descr: &str| {
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (3, 1), }}");
        header.push_str(&" ".repeat(117 - header.len()));
        header.push('\n');
        let file = [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &bytes].concat();
        std::fs::write(folder.join(name), file).expect("a file");
    };
    x("x.npy", [1, 0, 1], "|b1");
    run_file(folder, "file = \"x.npy\"\ntarget = \"y.npy\"", 0);
    plugfit(folder, &["fit", "fit.toml", "--out", "r"]).with_status(0);
    x("same.npy", [0, 1, 1], "|u1");
    plugfit(folder, &["predict", "r", "same.npy"]).with_status(0);
    x("pixels.npy", [0, 1, 255], "|u1");
    let says =
        ["the run was trained on booleans, and a number is neither 0 nor 1", "pixels.npy, inputs, row 2 (from 0)"];
    plugfit(folder, &["predict", "r", "pixels.npy", "--out", "p.csv"]).with_status(1).says(&says);
    x("x.npy", [0, 1, 255], "|u1");
    plugfit(folder, &MORE).with_status(1).says(&says[..1]);
}

#[test]
fn classes_keep_their_ids_and_new_ones_are_refused() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "d.csv", "a,b,y\n1,0,ant\n0,1,bee\n-1,-1,cat\n");
    run_file(folder, "file = \"d.csv\"\ntarget = \"y\"", 3);
    plugfit(folder, &["fit", "fit.toml", "--out", "r"]).with_status(0);
    assert_eq!(evaluated(&plugfit(folder, &["evaluate", "r", "--json"]), "accuracy"), 1.0);
    // Without the stored schema, the ids of these two classes would be 0 and 1.
    write(folder, "d.csv", "a,b,y\n-1,-1,cat\n0,1,bee\n");
    for arguments in [&["evaluate", "r", "--json"][..], &["evaluate", "r", "d.csv", "--json"]] {
        assert_eq!(evaluated(&plugfit(folder, arguments).with_status(0), "accuracy"), 1.0);
    }
    plugfit(folder, &MORE).with_status(0);
    assert_eq!(history(&folder.join("r"))[60]["logs"]["accuracy"], 1.0);
    write(folder, "d.csv", "a,b,y\n1,0,ant\n0,0,dog\n");
    for arguments in [&MORE[..], &["evaluate", "r"], &["evaluate", "r", "d.csv"]] {
        plugfit(folder, arguments).with_status(1).says(&[
            "a class isn't among those that were trained",
            "d.csv:3",
            "dog",
            "ant, bee, cat",
        ]);
    }
}

/// Writes a .npy file of float64.
fn npy(path: &Path, values: &[f64]) {
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({}, 1), }}", values.len());
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    std::fs::write(path, bytes).expect("a file");
}

#[test]
fn a_run_of_npy_files_can_be_used_from_any_folder() {
    let folder = folder();
    let project = folder.path().join("project");
    std::fs::create_dir(&project).expect("a folder");
    for (name, values) in
        [("x.npy", [1.0, 2.0, 3.0, 4.0]), ("y.npy", [1.0, 2.0, 3.0, 5.0]), ("w.npy", [1.0, 1.0, 2.0, 1.0])]
    {
        npy(&project.join(name), &values);
    }
    run_file(&project, "file = \"x.npy\"\ntarget = \"y.npy\"\nsample_weight = \"w.npy\"\nvalidation_split = 0.25", 0);
    plugfit(folder.path(), &["fit", "project/fit.toml", "--out", "r"]).with_status(0);
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder");
    let run = folder.path().join("r").display().to_string();
    plugfit(&elsewhere, &["evaluate", &run]).with_status(0);
    plugfit(&elsewhere, &["fit", "--resume", "../r", "--set", "fit.epochs=61"]).with_status(0);
    npy(&elsewhere.join("new.npy"), &[1.0, 2.0, 3.0, 6.0]);
    plugfit(&elsewhere, &["fit", "--resume", "../r", "--set", "fit.epochs=62", "--set", "data.target=new.npy"])
        .with_status(0);
    plugfit(&elsewhere, &["predict", "../r", "new.npy"]).with_status(0);
}

#[test]
fn runs_work_in_folders_whose_names_are_patterns_or_not_utf_8() {
    for name in [&b"data[1]"[..], b"what?*", b"caf\xe9", b"a#b", b"\xff[x]"] {
        let folder = folder();
        let project = folder.path().join(OsStr::from_bytes(name));
        std::fs::create_dir(&project).expect("a folder");
        write(&project, "part-1.csv", "a,y\n1,2\n2,4\n");
        write(&project, "part-2.csv", "a,y\n3,6\n4,8\n");
        // Patterns are supported only in folders whose names are UTF-8.
        let file =
            if std::str::from_utf8(name).is_ok() { "\"part-*.csv\"" } else { "[\"part-1.csv\", \"part-2.csv\"]" };
        run_file(&project, &format!("file = {file}\ntarget = \"y\""), 0);
        let run = project.join(OsStr::from_bytes(b"r[2]\xe8"));
        let program =
            |arguments: &[&OsStr]| Finished::of(command(folder.path()).args(arguments).output().expect("it runs"));
        let os = OsStr::new;
        program(&[os("fit"), project.join("fit.toml").as_os_str(), os("--out"), run.as_os_str()]).with_status(0);
        let before = evaluated(&program(&[os("evaluate"), run.as_os_str(), os("--json")]).with_status(0), "loss");
        // A file that is added later doesn't belong to the run, even if the pattern matches it.
        write(&project, "part-3.csv", "a,y\n100,0\n");
        write(folder.path(), "data1", "another path that the pattern fits");
        let after = program(&[os("evaluate"), run.as_os_str(), os("--json")]).with_status(0);
        assert_eq!(evaluated(&after, "loss"), before);
        let more = [os("fit"), os("--resume"), run.as_os_str(), os("--set"), os("fit.epochs=61")];
        program(&more).with_status(0);
        let file = project.join("part-1.csv");
        program(&[os("predict"), run.as_os_str(), file.as_os_str()]).with_status(0);
        let config = run.join("config.toml");
        program(&[os("fit"), config.as_os_str(), os("--out"), os("again")]).with_status(0);
    }
}

/// Returns the bytes with the first occurrence of `from` replaced.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("it is in there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn a_run_of_the_previous_version_can_be_used() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "d.csv", "a,b,y\n1,0,ant\n0,1,bee\n");
    run_file(folder, "file = \"d.csv\"\ntarget = \"y\"", 2);
    plugfit(folder, &["fit", "fit.toml", "--out", "r", "--set", "fit.callbacks=[\"CSVLogger\"]"]).with_status(0);
    let path = folder.join("r/run.json");
    let mut record: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("a record")).expect("JSON");
    for key in ["outputs", "lock"] {
        record.as_object_mut().expect("an object").remove(key);
    }
    let schema = record["schema"].as_object_mut().expect("an object");
    schema.remove("kinds");
    schema["targets"][0].as_object_mut().expect("an object").remove("shape");
    std::fs::write(&path, record.to_string()).expect("a record");
    // The previous version had no checksums.
    for name in ["checkpoint", "weights"] {
        let path = folder.join(format!("r/{name}.safetensors"));
        let bytes = std::fs::read(&path).expect("it is there");
        let bytes = replaced(&bytes, b"\"checksum\":", b"\"whatever\":");
        let old = if name == "weights" { bytes } else { replaced(&bytes, b"\\\"version\\\":2", b"\\\"version\\\":1") };
        std::fs::write(&path, old).expect("a file");
    }
    plugfit(folder, &["evaluate", "r"]).with_status(0);
    plugfit(folder, &["fit", "--resume", "r", "--set", "fit.epochs=61"]).with_status(0);
    plugfit(folder, &["predict", "r", "d.csv"]).with_status(0);
}
