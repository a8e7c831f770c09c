//! Tests of the command `plugfit check`: its options, exit status, output and processes.

use super::*;

#[test]
fn test_processes_end_when_the_program_is_killed() {
    let folder = folder();
    let mark = folder.path().display().to_string();
    let file = library("broken").display().to_string();
    let mut command = command(folder.path());
    command.args(["check", &file, "--timeout", "3000", "--only", "LoopsForEver/split"]).env(MARK, &mark);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs");
    let until = |holds: &dyn Fn(&[String]) -> bool| {
        let begin = Instant::now();
        while !holds(&running_with_mark(&mark)) {
            assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", running_with_mark(&mark));
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    until(&|running| running.iter().any(|line| line.contains("--child metric/LoopsForEver/split")));
    // Give it time to begin its loop.
    std::thread::sleep(Duration::from_millis(500));
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    until(&|running| running.is_empty());
}

#[test]
fn a_lower_memory_limit_that_exists_already_is_accepted() {
    let folder = folder();
    let file = library("calibration").display().to_string();
    let program = plugfit_tests::build::program().display().to_string();
    let line = "ulimit -v 3000000 && exec \"$0\" check \"$1\" --only load";
    let status = Command::new("sh").current_dir(folder.path()).args(["-c", line, &program, &file]).status();
    assert_eq!(status.expect("a shell").code(), Some(0));
}

#[test]
fn the_printed_command_repeats_a_failure_and_its_arrays_are_saved() {
    let folder = folder();
    let file = folder.path().join("a plug-in.so");
    std::fs::copy(library("broken"), &file).expect("a copy");
    let check = |seed: &str| {
        let arguments = ["check", "a plug-in.so", "--json", "--only", "WrongSign/gradient", "--seed", seed];
        let ran = run(folder.path(), &[&arguments[..], &["--failures", "kept"]].concat()).with_status(1);
        Verdicts::of(&ran).get("a plug-in.so", "loss/WrongSign/gradient").expect("it was tried").clone()
    };
    let verdict = check("11");
    assert_ne!(verdict["failures"], check("12")["failures"], "the seed decides the numbers");
    let again = verdict["again"].as_str().expect("a line");
    let expected = "plugfit check 'a plug-in.so' --only loss/WrongSign/gradient --seed 11 --in-process";
    assert_eq!(again, expected);
    let program = format!("'{}'", plugfit_tests::build::program().display());
    let line = again.replacen("plugfit", &program, 1);
    let output = Command::new("sh").current_dir(folder.path()).args(["-c", &line]).output().expect("a shell");
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains(verdict["failures"][0].as_str().expect("a reason")), "{out}");

    let arrays: Vec<&str> = verdict["arrays"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let names = ["y_true", "y_pred", "values", "gradient"];
    assert_eq!(arrays, names.map(|name| format!("kept/a plug-in.so/loss-WrongSign-gradient/{name}.npy")));
    for (path, (shape, count)) in arrays.iter().zip([("(12, 4)", 48), ("(12, 4)", 48), ("(12,)", 12), ("(48,)", 48)]) {
        let bytes = std::fs::read(folder.path().join(path)).expect("it was written");
        let numbers = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let header = String::from_utf8_lossy(&bytes[6..numbers]);
        assert!(bytes.starts_with(b"\x93NUMPY\x01\x00") && header.contains("'<f8'"), "{path}: {header}");
        assert!(
            header.contains(shape) && bytes.len() == numbers + 8 * count,
            "{path}: {header}, {} bytes",
            bytes.len()
        );
    }
}

#[test]
fn the_exit_status_is_0_for_success_1_for_failures_and_2_for_wrong_usage() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let check = |arguments: &[&str]| run(folder.path(), &[&["check", &file], arguments].concat());
    check(&["--only", "GoodSchedule"]).with_status(0).prints(&["tests hold"]);
    check(&["--only", "NanLate/finite"]).with_status(1).says(&["error: 1 test fails"]);
    check(&["--only", "GoodSchedul"]).with_status(2).says(&["has no test \"GoodSchedul\"", "near", "GoodSchedule"]);
    // Each pattern must match a test, but with two files a match in one of them is enough.
    let both = ["--only", "GoodSchedule/finite", "--only", "GoodSchedul"];
    check(&both).with_status(2).says(&["has no test \"GoodSchedul\"", "near"]).prints(&["the 1 test holds"]);
    check(&[&both[..], &["--list"]].concat()).with_status(2).says(&["has no test \"GoodSchedul\""]);
    let other = library("calibration").display().to_string();
    check(&[&other, "--only", "GoodSchedule/finite", "--only", "BrierScore/split"])
        .with_status(0)
        .prints(&["libbroken.so   the 1 test holds", "libcalibration.so   the 1 test holds"]);
    check(&[&other, "--only", "GoodSchedule/finite"])
        .with_status(0)
        .prints(&["libcalibration.so   no test is selected"]);
    check(&["--timeout", "0"]).with_status(2);
    check(&["--exclude", "missing.toml"]).with_status(2).says(&["cannot read missing.toml"]);
    run(folder.path(), &["check"]).with_status(2);
    let listed = check(&["--list", "--only", "GoodSchedule"]).with_status(0).out;
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 11 && names.iter().all(|name| name.starts_with("schedule/GoodSchedule/")), "{listed}");
    assert!(listed.contains("the rate is a finite number at every step up to 2^53"), "{listed}");
}

#[test]
fn a_test_can_be_excluded_only_with_a_reason() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let exclude = |text: &str| {
        std::fs::write(folder.path().join("exclude.toml"), text).expect("a file");
        let tests = ["--only", "NanLate/finite", "--only", "NegativeLate/not_negative"];
        run(folder.path(), &[&["check", &file, "--exclude", "exclude.toml"], &tests[..]].concat())
    };
    let both = "[[exclude]]\ntest = \"NanLate\"\nreason = \"no run is so long\"\n[[exclude]]\ntest = \
                \"schedule/NegativeLate/not_negative\"\nreason = \"nor this one\"\n";
    exclude(both).with_status(0).prints(&["2 excluded", "no run is so long", "has the rate NaN"]);
    exclude("[[exclude]]\ntest = \"NanLate\"\nreason = \"no run is so long\"\n")
        .with_status(1)
        .prints(&["FAIL      schedule/NegativeLate/not_negative", "excluded  schedule/NanLate/finite"]);
    exclude("[[exclude]]\ntest = \"NanLate\"\nreason = \" \"\n").with_status(2).says(&["without a reason"]);
    exclude("[[exclude]]\ntest = \"NanLate\"\n").with_status(2).says(&["missing field `reason`"]);
    let old = "[[exclude]]\ntest = \"Harmful\"\nreason = \"it was renamed\"\n";
    std::fs::write(folder.path().join("exclude.toml"), old).expect("a file");
    let harmless = library("at-load").display().to_string();
    run(folder.path(), &["check", &harmless, "--exclude", "exclude.toml"])
        .with_status(0)
        .says(&["exclude.toml excludes \"Harmful\", and there is no such test"]);
}

#[test]
fn verdicts_are_printed_as_json_junit_and_markdown() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let tests = ["--only", "NanLate/finite", "--only", "GoodSchedule/finite", "--only", "Prints/split"];
    let check = |format: &[&str]| run(folder.path(), &[&["check", &file], &tests[..], format].concat()).with_status(1);

    let json = check(&["--json"]).out;
    let objects: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let events: Vec<&str> = objects.iter().filter_map(|object| object["event"].as_str()).collect();
    assert_eq!(events, ["check", "check", "check", "end", "error"], "{json}");
    assert_eq!(objects[3]["failed"], 2);

    let junit = check(&["--format", "junit"]).out;
    let document = roxmltree::Document::parse(&junit).unwrap_or_else(|error| panic!("{error}: {junit}"));
    let elements = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!((elements("testsuite"), elements("testcase"), elements("failure")), (1, 3, 2), "{junit}");
    let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).expect("a suite");
    assert_eq!((suite.attribute("tests"), suite.attribute("failures")), (Some("3"), Some("2")));
    let case = document.descendants().find(|node| node.attribute("classname") == Some("schedule.NanLate"));
    let failure = case.and_then(|case| case.first_element_child()).expect("a failure");
    assert!(failure.attribute("message").is_some_and(|message| message.contains("has the rate NaN")), "{junit}");

    let markdown = check(&["--format", "markdown"]).out;
    assert!(markdown.starts_with(&format!("### ❌ `{file}`: 2 of 3 tests fail")), "{markdown}");
    let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 4, "{markdown}");
    assert!(rows.iter().all(|row| row.replace("\\|", "").matches('|').count() == 4), "{markdown}");
    assert!(rows[2].contains("`metric/Prints/split`") && rows[2].contains("writes to stdout"), "{markdown}");
}

#[test]
fn every_plugin_of_the_repository_passes() {
    let others = ["calibration", "agreement", "ranking", "quantile", "segmentation", "stepsize"];
    // For the standard set, only the tests that depend on a separate library. Its own test covers the rest.
    let only = ["load", "manifest", "config", "instances", "allocation", "buffers", "descriptors", "signals"]
        .map(|test| ["--only", test]);
    for (names, only) in [(&others[..], &[][..]), (&["plugfit_standard"], only.as_flattened())] {
        let files: Vec<String> = names.iter().map(|name| library(name).display().to_string()).collect();
        let files = files.iter().map(String::as_str);
        let arguments: Vec<&str> = ["check", "--json"].into_iter().chain(only.iter().copied()).chain(files).collect();
        let verdicts = Verdicts::of(&run(folder().path(), &arguments).with_status(0));
        for name in names {
            let file = format!("lib{name}.so");
            let its_verdicts = verdicts.0.iter().filter(|((name, _), _)| *name == file);
            let outcomes: Vec<(&str, &Value)> =
                its_verdicts.map(|((_, test), verdict)| (test.as_str(), &verdict["outcome"])).collect();
            assert!(outcomes.len() > 20, "{name} has {} tests", outcomes.len());
            let allocates = |(test, outcome): &&(&str, &Value)| test.ends_with("/allocation") && **outcome != "held";
            assert_eq!(outcomes.iter().find(allocates), None);
        }
    }
}
