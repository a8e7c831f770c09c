//! Confidence intervals of the program.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugfit-score"));
    command.current_dir(folder).args(arguments).env_remove("PLUGFIT_PLUGINS").env("HOME", folder);
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("it ends by itself"), text(&output.stdout), text(&output.stderr))
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let usual = ["score", "--y-true", "label", "--y-pred", "score", "--json"];
    let (status, out, err) = run(folder, &[&usual, arguments].concat());
    assert_eq!(status, 0, "{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

fn error(folder: &Path, arguments: &[&str]) -> String {
    let usual = ["score", "--y-true", "label", "--y-pred", "score"];
    let (status, _, err) = run(folder, &[&usual, arguments].concat());
    assert_eq!(status, 2, "{err}");
    err
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Pseudo-random numbers from 0 to 1 that are the same in every run.
fn numbers(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    })
}

/// Writes rows whose label is 1 with the probability `score`.
fn write(path: &Path, seed: u64, rows: usize, groups: usize) {
    let mut random = numbers(seed);
    let mut next = || random.next().expect("numbers never end");
    let mut text = "id,g,label,score\n".to_owned();
    for row in 0..rows {
        let (score, uniform) = (next(), next());
        writeln!(text, "{row},{},{},{score}", row % groups, u8::from(uniform < score)).expect("a text grows");
    }
    fs::write(path, text).expect("it can be written");
}

fn interval(group: &Value, metric: &str) -> [f64; 2] {
    let ends = &group["intervals"][metric];
    [0, 1].map(|end| ends[end].as_f64().unwrap_or_else(|| panic!("no interval of {metric}: {group}")))
}

#[test]
fn intervals_depend_on_the_seed_and_not_on_threads() {
    let folder = folder();
    write(&folder.path().join("a.csv"), 1, 3000, 3);
    write(&folder.path().join("b.csv"), 2, 2000, 3);
    let base = ["a.csv", "b.csv", "--metric", "binary_accuracy", "--metric", "auc", "--ci", "90", "--replicates", "50"];
    for by in [&["--by", "g"][..], &[], &["--ci-by", "id"]] {
        let of = |more: &[&str]| json(folder.path(), &[&base[..], by, more].concat());
        let one = of(&["--threads", "1"]);
        for threads in ["2", "8"] {
            let several = of(&["--threads", threads]);
            let groups = |found: &Value| found["groups"].as_array().expect("groups").clone();
            for (several, one) in groups(&several).iter().zip(groups(&one)) {
                for metric in ["binary_accuracy", "auc"] {
                    let (several, one) = (interval(several, metric), interval(&one, metric));
                    for (several, one) in several.iter().zip(one) {
                        assert!((several - one).abs() <= 1e-12, "{metric}: {several} {one}");
                    }
                }
            }
        }
        let group = &one["groups"][0];
        let [low, high] = interval(group, "binary_accuracy");
        let value = group["metrics"]["binary_accuracy"].as_f64().expect("a number");
        assert!(low < value && value < high && high - low < 0.1, "{low} {value} {high}");
        assert_ne!(interval(&of(&["--seed", "1"])["groups"][0], "binary_accuracy"), [low, high]);
        let wide = interval(
            &json(folder.path(), &[&["a.csv", "b.csv", "--metric", "binary_accuracy", "--ci", "99"], by].concat())["groups"]
                [0],
            "binary_accuracy",
        );
        assert!(wide[0] < low && high < wide[1]);
    }
}

#[test]
fn rows_that_belong_together_are_resampled_together() {
    let folder = folder();
    write(&folder.path().join("a.csv"), 3, 500, 1);
    let text = fs::read_to_string(folder.path().join("a.csv")).expect("it is there");
    let rows: Vec<&str> = text.lines().skip(1).collect();
    let four = format!("id,g,label,score\n{}\n", rows.repeat(4).join("\n"));
    fs::write(folder.path().join("four.csv"), four).expect("it can be written");
    let of = |arguments: &[&str]| {
        let found = json(folder.path(), &[&["--metric", "binary_accuracy", "--ci", "95"], arguments].concat());
        interval(&found["groups"][0], "binary_accuracy")
    };
    let once = of(&["a.csv", "--ci-by", "id"]);
    let together = of(&["four.csv", "--ci-by", "id"]);
    for (once, together) in once.iter().zip(together) {
        assert!((once - together).abs() < 1e-12, "{once} {together}");
    }
    let apart = of(&["four.csv"]);
    assert!(apart[1] - apart[0] < 0.7 * (once[1] - once[0]), "{apart:?} {once:?}");
}

#[test]
fn intervals_cover_the_truth_as_often_as_they_say() {
    let folder = folder();
    let groups = 300;
    // A score from 0 to 1 is right with the probability max(score, 1 - score): 3/4 on average.
    write(&folder.path().join("a.csv"), 4, groups * 300, groups);
    let found = json(
        folder.path(),
        &["a.csv", "--metric", "binary_accuracy", "--by", "g", "--ci", "95", "--replicates", "100"],
    );
    let all = found["groups"].as_array().expect("groups");
    assert_eq!(all.len(), groups);
    let covered =
        all.iter().map(|group| interval(group, "binary_accuracy")).filter(|[low, high]| *low <= 0.75 && 0.75 <= *high);
    let share = covered.count() as f64 / groups as f64;
    // Three standard deviations of a share of 300 groups.
    assert!((share - 0.95).abs() < 0.04, "{share}");
}

#[test]
fn compared_groups_are_paired() {
    let folder = folder();
    write(&folder.path().join("a.csv"), 5, 400, 2);
    let text = fs::read_to_string(folder.path().join("a.csv")).expect("it is there");
    let mut models = "model,id,g,label,score\n".to_owned();
    for (at, row) in text.lines().skip(1).enumerate() {
        let (rest, score) = row.rsplit_once(',').expect("columns");
        let score: f64 = score.parse().expect("a number");
        // The model "c" is wrong in every seventh row.
        let worse = if at % 7 == 0 { 1.0 - score } else { score };
        writeln!(models, "b,{rest},{score}\na,{rest},{score}\nc,{rest},{worse}").expect("a text grows");
    }
    fs::write(folder.path().join("models.csv"), models).expect("it can be written");
    let base = ["models.csv", "--metric", "binary_accuracy", "--compare", "model"];
    let found = json(folder.path(), &[&base[..], &["--by", "g", "--ci", "95", "--ci-by", "id"]].concat());
    assert_eq!(found["groups"].as_array().map(Vec::len), Some(6));
    let differences = &found["differences"];
    assert_eq!((&differences["compare"], &differences["baseline"]), (&"model".into(), &"a".into()));
    let groups = differences["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 4);
    for group in groups {
        let ends = interval(group, "binary_accuracy");
        match group["by"]["model"].as_str() {
            // The same predictions differ in no replicate.
            Some("b") => assert_eq!((&group["metrics"]["binary_accuracy"], ends), (&0.0.into(), [0.0, 0.0])),
            Some("c") => assert!(ends[1] - ends[0] < 0.15 && ends[0] <= ends[1], "{group}"),
            other => panic!("{other:?}"),
        }
    }
    let found = json(folder.path(), &[&base[..], &["--baseline", "c"]].concat());
    let groups = found["differences"]["groups"].as_array().expect("groups");
    assert!(groups.iter().all(|group| group["metrics"]["binary_accuracy"].as_f64() > Some(0.0)), "{groups:?}");
    let usual = ["score", "--y-true", "label", "--y-pred", "score"];
    let (_, table, _) = run(folder.path(), &[&usual, &base[..]].concat());
    assert!(table.contains("\ndifferences from model = a\n"), "{table}");
    for (more, text) in [
        (&["--baseline", "d"][..], "no group has model = d"),
        (&["--ci", "95"], "--compare with --ci needs --ci-by"),
        (&["--format", "csv"], "two tables"),
    ] {
        let error = error(folder.path(), &[&base[..], more].concat());
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn wrong_options_of_intervals_are_refused() {
    let folder = folder();
    write(&folder.path().join("a.csv"), 6, 10, 1);
    let base = ["a.csv", "--metric", "auc"];
    for (more, text) in [
        (&["--ci", "100"][..], "between 0 and 100"),
        (&["--ci-by", "id"], "--ci-by has no effect without --ci"),
        (&["--seed", "3"], "--seed has no effect without --ci"),
        (&["--baseline", "a"], "--baseline has no effect without --compare"),
        (&["--ci", "95", "--replicates", "1"], "--replicates must be from 2"),
        (&["--ci", "95", "--ci-by", "user"], "has no column user"),
    ] {
        let error = error(folder.path(), &[&base[..], more].concat());
        assert!(error.contains(text), "{error}");
    }
}
