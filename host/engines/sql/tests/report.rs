//! The page of `--report`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn score(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugfit-score"));
    command.current_dir(folder).arg("score").args(arguments).env_remove("PLUGFIT_PLUGINS").env("HOME", folder);
    command.output().expect("it runs")
}

/// Scores `rows.csv` with this text, and returns the page.
fn page(csv: &str, arguments: &[&str]) -> String {
    let folder = folder(csv);
    let all = [&["rows.csv", "--y-true", "y", "--y-pred", "p", "--report", "page.html"], arguments].concat();
    let output = score(folder.path(), &all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(folder.path().join("page.html")).expect("it is written");
    // The page needs nothing else.
    assert!(page.starts_with("<!doctype html>") && !page.contains("<script") && !page.contains("src="));
    page
}

fn folder(csv: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rows.csv"), csv).expect("it can be written");
    folder
}

fn binary() -> String {
    let row = |row: usize| {
        let group = if row.is_multiple_of(3) { "<b>" } else { "c&d" };
        format!("{},{},{group}\n", usize::from(row * 7 % 10 > 4), (row * 7 % 10) as f64 / 10.0 + 0.05)
    };
    format!("y,p,g\n{}", (0..60).map(row).collect::<String>())
}

#[test]
fn scores_of_two_classes_have_curves_for_each_group() {
    let page = page(&binary(), &["--metric", "auc", "--by", "g", "--ci", "90", "--replicates", "5"]);
    for title in ["ROC", "Precision and recall", "Calibration", "By group", "90 %, bootstrap"] {
        assert!(page.contains(title), "{title}");
    }
    assert!(!page.contains("<b>") && page.matches("&lt;b&gt;").count() >= 4, "{page}");
    // The labels are 1 above 0.5: the curve goes through the upper left corner.
    assert!(page.contains("66,119 66,40 155,40"), "{page}");
}

#[test]
fn other_scores_than_probabilities_have_no_calibration() {
    let csv = binary().replace("0.95", "3.5");
    let page = page(&csv, &["--metric", "auc"]);
    assert!(page.contains("ROC") && !page.contains("Calibration") && page.contains("from 0 to 3.5"));
}

#[test]
fn classes_have_a_confusion_matrix_of_weights() {
    let csv = "y,p_0,p_1,p_2,w\n0,0.8,0.1,0.1,1\n0,0.1,0.8,0.1,2.5\n2,0.2,0.2,0.6,1\n2,0.1,0.2,0.7,0.5\n";
    let options = ["--y-pred", "p_*", "--metric", "accuracy", "--sample-weight", "w"];
    let folder = folder(csv);
    let all = [&["rows.csv", "--y-true", "y", "--report", "page.html"], &options[..]].concat();
    assert!(score(folder.path(), &all).status.success());
    let page = fs::read_to_string(folder.path().join("page.html")).expect("it is written");
    let cells: Vec<&str> = page.split("color:").skip(1).filter_map(|cell| cell.split(['>', '<']).nth(1)).collect();
    assert_eq!(cells[cells.len() - 9..], ["1", "2.5", "0", "0", "0", "0", "0", "0", "1.5"]);
}

#[test]
fn numbers_have_residuals() {
    let row = |row: usize| format!("{},{}\n", row as f64, row as f64 * 0.9 + (row % 7) as f64);
    let csv = format!("y,p\n{}5,\n", (2..200).map(row).collect::<String>());
    let page = page(&csv, &["--metric", "mse", "--nulls", "skip"]);
    assert!(page.contains("Predictions") && page.contains("Residuals") && !page.contains("ROC"));
    assert!(page.matches("<rect").count() > 60, "{page}");
}

#[test]
fn rows_without_curves_have_a_page_that_says_why() {
    for (csv, why) in [
        ("y,p\n1,inf\n0,0.5\n", "isn&#39;t finite"),
        ("y,p\n3,3\n3,3\n", "Residuals"),
        ("y,p\n1,0.5\n1,0.5\n", "Calibration"),
    ] {
        let page = page(csv, &["--metric", "mse"]);
        assert!(page.contains(&why.replace("&#39;", "'")), "{why}: {page}");
    }
}

#[test]
fn a_report_replaces_no_file_unless_that_is_said() {
    let folder = folder(&binary());
    let all = ["rows.csv", "--y-true", "y", "--y-pred", "p", "--metric", "auc"];
    let run = |more: &[&str]| score(folder.path(), &[&all, more].concat());
    fs::write(folder.path().join("page.html"), "mine").expect("it can be written");
    let refused = run(&["--report", "page.html"]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(fs::read_to_string(folder.path().join("page.html")).expect("it is there"), "mine");
    assert!(run(&["--report", "page.html", "--overwrite"]).status.success());
    assert_ne!(fs::read_to_string(folder.path().join("page.html")).expect("it is there"), "mine");
    for options in [["--report", "rows.csv", "--overwrite"].as_slice(), &["--report", "a", "--out", "a"]] {
        assert_eq!(run(options).status.code(), Some(2), "{options:?}");
    }
    assert!(fs::read_to_string(folder.path().join("rows.csv")).expect("it is there").starts_with("y,p,g"));
}
