//! Tests of `plugfit check` on components with every fault that we could think of.

use super::*;

/// A test that a broken component fails with its default settings, and a part of the failure message.
const BROKEN: [(&str, &str); 89] = [
    ("loss/WrongSign/gradient", "gives the derivative"),
    ("loss/WrongScale/gradient", "gives the derivative"),
    ("loss/WritesNoGradient/gradient", "or doesn't give it"),
    ("loss/DependentRows/rows", "gives other values where only the rows [0] of 12 are there"),
    ("loss/NanValues/finite", "gives NaN where y_pred is all 0"),
    ("loss/MoreRows/weights", "aren't finite, or doesn't give all"),
    ("loss/NegativeShape/weights", "says that its values have the shape [-1]"),
    ("loss/AnyShapes/shapes", "takes y_true of the shape [5, 4] with y_pred of [12, 4]"),
    ("loss/Unweighted/weights", "says that its weighted values sum to"),
    ("loss/SharedSetting/instances", "gives other numbers once another instance was at work"),
    ("loss/SharedScratch/threads", "where 8 threads use it at once"),
    ("loss/KeepsASettingToItself/config", "doesn't write factor into its configuration"),
    ("loss/TakesAnything/config", "says that the default is 1.0"),
    ("loss/TakesAnything/unknown_key", "takes no such setting"),
    ("loss/TakesAnything/mistyped", "takes factor"),
    ("loss/LossPanicsInInfo/gradient", "panics at tests/plugins/broken/src/panics.rs"),
    ("loss/LossPanicsInPrepare/gradient", "told to panic in prepare"),
    ("loss/LossPanicsInOutputShape/gradient", "told to panic in output_shape"),
    ("loss/LossPanicsInCall/gradient", "told to panic in call"),
    ("loss/LossPanicsInDrop/config", "a destructor panics at tests/plugins/broken/src/panics.rs"),
    ("loss/OverflowsItsStack/weights", "has overflowed its stack"),
    ("loss/CrashesInDrop/config", "ended the process by a segmentation fault"),
    ("metric/MergesToTheMiddle/merge", "where states are merged in the order"),
    ("metric/ForgetsInSaving/saved", "doesn't continue from a saved state as if nothing had happened"),
    ("metric/KeepsThroughReset/reset", "gives something else after a reset"),
    ("metric/NanResult/defined", "what can't be said is undefined, not NaN"),
    ("metric/WrongShape/defined", "gives 1 numbers as an array of the shape [7]"),
    ("metric/Grows/bounded", "a metric may declare bounded_state: false"),
    ("metric/CountsCalls/split", "where rows come as"),
    ("metric/WrongDirection/direction", "says that more is better, and gives 0 for the truth"),
    ("metric/CountsWeightless/zero_weight", "have the weight 0"),
    ("metric/KeepsAPart/odd", "keeps something of a batch that it refuses, where NaN is in"),
    ("metric/MetricPanicsInInfo/split", "told to panic in info"),
    ("metric/MetricPanicsInPrepare/split", "told to panic in prepare"),
    ("metric/MetricPanicsInInit/split", "told to panic in init"),
    ("metric/MetricPanicsInUpdate/split", "told to panic in update"),
    ("metric/MetricPanicsInMerge/merge", "told to panic in merge"),
    ("metric/MetricPanicsInResult/split", "told to panic in result"),
    ("metric/MetricPanicsInDrop/config", "a destructor panics at"),
    ("metric/MetricPanicsInDropOfState/split", "told to panic in drop of a state"),
    ("metric/CrashesInUpdate/split", "ended the process by a segmentation fault"),
    ("metric/Aborts/split", "ended the process by abort"),
    ("metric/Exits/split", "ended the process by exit, with the status 0"),
    ("metric/Forges/split", "ended the process by exit, with the status 0"),
    ("metric/ReplacesItsRecord/split", "ended the process by exit, with the status 0"),
    ("metric/AsksForTooMuch/split", "memory allocation of 70368744177664 bytes failed"),
    ("metric/AsksForMoreAndMore/split", "memory allocation of"),
    ("metric/Prints/split", "writes to stdout, which is the program's: \\\"an update of the metric\\\""),
    ("metric/PanicsAtTheEndOfAThread/split", "thread local panicked on drop"),
    ("metric/LeavesAProcess/direction", "leaves a process running that it began"),
    // The message names the daemon and the program that started it, or the daemon alone.
    ("metric/LeavesADaemon/direction", "running that it began"),
    ("optimizer/Ascends/quadratic", "at the best of 14 rates in 500 steps"),
    ("optimizer/HidesMomentum/resume", "doesn't continue from its slots"),
    ("optimizer/MovesWithoutGradient/still", "moves a parameter that has no gradient"),
    ("optimizer/UnusedSlot/slots", "neither reads nor writes its slot \\\"velocity\\\""),
    ("optimizer/SpreadsNan/nan", "makes other parameters NaN by the gradient of one"),
    ("optimizer/NamesASlotTwice/slots", "wants two slots of one name"),
    ("optimizer/OptimizerPanicsInPrepare/finite", "told to panic in prepare"),
    ("optimizer/OptimizerPanicsInSlots/finite", "told to panic in slots"),
    ("optimizer/OptimizerPanicsInFillSlot/finite", "told to panic in fill_slot"),
    ("optimizer/OptimizerPanicsInUpdate/finite", "told to panic in update"),
    ("optimizer/OptimizerPanicsInFinalize/finite", "told to panic in finalize"),
    ("optimizer/OptimizerPanicsInDrop/config", "a destructor panics at"),
    ("loss/WritesPredictions/inputs", "writes into y_pred, which is an input"),
    ("metric/WritesScores/inputs", "writes into y_true, which is an input"),
    ("optimizer/WritesGradients/inputs", "writes into the gradient, which is an input"),
    ("loss/WritesBehindValues/buffers", "writes behind the last number of the values"),
    ("loss/WritesBeforeSlopes/buffers", "writes before the first number of the gradient"),
    ("metric/ReadsBehindScores/buffers", "gives other numbers where other bytes lie around its buffers"),
    (
        "metric/PeeksBehindScores/buffers",
        "reads or writes behind the end of a buffer: ended the process by a segmentation",
    ),
    ("metric/FlushesToZero/float_mode", "changes the subnormal results: it was kept, and is flushed to zero"),
    ("metric/RoundsUp/float_mode", "changes the rounding: it was to nearest, and is upward"),
    ("metric/InstallsAHandler/signals", "changes the handler of SIGINT: it was"),
    ("metric/ChangesTheDirectory/directory", "changes the working directory: it was"),
    ("metric/ChangesTheUmask/umask", "and is 0123"),
    ("metric/ClosesDescriptors/descriptors", "which is /dev/null"),
    ("metric/LeaksDescriptors/descriptors", "leaves descriptor"),
    ("metric/MergesPairsWrongly/merge", "where states are merged in the order"),
    ("loss/MixesMargins/rows", "gives other values where only the rows [3, 1] of 12 are there"),
    ("loss/OtherInDouble/float64", "gives the value 0.5 at 0 in float64, and"),
    ("metric/RefusesToMerge/merge", "fails: the other state has another shape"),
    ("metric/LosesNan/nan", "gives 0 for predictions that are NaN in all rows but one, and 0 for the truth"),
    ("metric/WeighsNan/zero_weight", "gives NaN where all rows but [0, 1, 2, 3, 4] have the weight 0 and are NaN"),
    ("optimizer/WritesBehindSlots/buffers", "writes behind the last number of the slot"),
    ("optimizer/ChangesTheUmaskAtLast/umask", "and is 0123"),
    ("schedule/NanLate/finite", "has the rate NaN at step 1099511627775"),
    ("schedule/NegativeLate/not_negative", "has the rate -0.0"),
    ("schedule/SchedulePanics/finite", "fails at step 0: it panics at"),
    ("schedule/SchedulePanicsLate/finite", "fails at step 4294967296: it panics at"),
];

#[test]
fn every_broken_component_fails_and_the_good_ones_pass() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let mut arguments = vec!["check", &file, "--json", "--memory", "1024", "--only", "load"];
    let good = [
        "GoodLoss",
        "GoodMetric",
        "GoodOptimizer",
        "GoodSchedule",
        "GoodPairs",
        "GoodMargins",
        "GoodTwoColumns",
        "GoodClimber",
        "GoodGroups",
        "GoodGroupMean",
        "GoodLevel",
        "GoodWide",
        "GoodBoth",
        "GoodIds",
    ];
    BROKEN.iter().map(|(test, _)| *test).chain(good).for_each(|test| arguments.extend(["--only", test]));
    let ran = run(folder.path(), &arguments).with_status(1);
    let verdicts = Verdicts::of(&ran);
    assert_no_complaints(BROKEN.iter().map(|(test, reason)| verdicts.complaint("libbroken.so", test, reason)));
    // On a busy machine a warning says that loading was slow.
    assert_ne!(verdicts.get("libbroken.so", "load").expect("it is first")["outcome"], "failed");
    for name in good {
        let its_verdicts = || verdicts.0.iter().filter(|((_, test), _)| test.contains(&format!("/{name}/")));
        assert!(its_verdicts().count() >= 11, "{name} has {} tests", its_verdicts().count());
        assert_no_complaints(its_verdicts().map(|((_, test), verdict)| {
            (verdict["outcome"] == "failed").then(|| format!("{test} fails: {}", verdict["failures"]))
        }));
    }
    // The text output names the component and the reason.
    let ran = run(folder.path(), &["check", &file, "--only", "WrongSign/gradient", "--only", "Exits/split"]);
    ran.with_status(1).says(&["error: 2 tests fail"]).prints(&[
        "libbroken.so   2 of 2 tests fail",
        "FAIL      loss/WrongSign/gradient   the gradient is that of the values, by differences at every place",
        "FAIL      metric/Exits/split   a batch may be split anywhere",
        "ended the process by exit, with the status 0",
    ]);
}

#[test]
fn a_component_with_custom_inputs_is_tested_with_those_of_its_example() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let ran = run(folder.path(), &["check", &file, "--json", "--only", "GoodPairs", "--only", "GoodMargins"]);
    let verdicts = Verdicts::of(&ran.with_status(0));
    for test in ["split", "merge", "reset", "saved", "zero_weight", "defined", "bounded", "again", "threads", "buffers"]
    {
        let verdict = verdicts.get("libbroken.so", &format!("metric/GoodPairs/{test}")).expect("it is there");
        assert_eq!(verdict["outcome"], "held", "{test}: {verdict}");
    }
    for test in ["gradient", "fused", "weights", "rows", "line", "again", "buffers"] {
        let verdict = verdicts.get("libbroken.so", &format!("loss/GoodMargins/{test}")).expect("it is there");
        assert_eq!(verdict["outcome"], "held", "{test}: {verdict}");
    }
    // If an input is about the rows together, the example is used unchanged.
    let ran = run(folder.path(), &["check", &file, "--json", "--only", "GoodGroups", "--only", "GoodGroupMean"]);
    let of_groups = Verdicts::of(&ran.with_status(0));
    for (of_rows, tests) in [
        (false, &["again", "threads", "overhead", "buffers", "examples"][..]),
        (true, &["loss/GoodGroups/rows", "loss/GoodGroups/gradient", "metric/GoodGroupMean/split"]),
    ] {
        for test in tests {
            let matching = of_groups.0.iter().filter(|((_, path), _)| path.ends_with(test));
            let outcomes: Vec<&Value> = matching.map(|(_, verdict)| &verdict["outcome"]).collect();
            let expected = if of_rows { "not_tried" } else { "held" };
            assert!(
                !outcomes.is_empty() && outcomes.iter().all(|outcome| **outcome == expected),
                "{test}: {outcomes:?}"
            );
        }
    }
    // The best value for such inputs is unknown.
    assert_eq!(verdicts.get("libbroken.so", "loss/GoodMargins/truth").expect("it is there")["outcome"], "not_tried");
}

#[test]
fn a_law_that_a_component_excludes_is_listed_with_its_reason_and_not_tested() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let check = |more: &[&str]| {
        let arguments = [&["check", &file, "--only", "GoodClimber"][..], more].concat();
        run(folder.path(), &arguments).with_status(0)
    };
    check(&[]).prints(&["3 excluded", "excluded  optimizer/GoodClimber/quadratic", "as it declares: it climbs"]);
    let verdicts = Verdicts::of(&check(&["--json"]));
    let verdict = verdicts.get("libbroken.so", "optimizer/GoodClimber/valley").expect("it is listed");
    assert_eq!((&verdict["outcome"], &verdict["reason"]), (&"excluded".into(), &"as it declares: it climbs".into()));
    assert_eq!(verdicts.get("libbroken.so", "optimizer/GoodClimber/resume").expect("it is tried")["outcome"], "held");
}

#[test]
fn a_metric_that_allocates_in_updates_causes_a_warning() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let ran = run(folder.path(), &["check", &file, "--json", "--only", "Allocates", "--only", "GoodMetric"]);
    let verdicts = Verdicts::of(&ran.with_status(0));
    let warnings = |test: &str| verdicts.get("libbroken.so", test).expect("it is there")["warnings"].clone();
    assert_eq!(warnings("metric/Allocates/allocation"), serde_json::json!(["requests memory 10 times in 10 updates"]));
    assert_eq!(warnings("metric/GoodMetric/allocation"), serde_json::json!([]));
}

#[test]
fn an_endless_loop_is_ended_at_the_time_limit() {
    let folder = folder();
    let file = library("broken").display().to_string();
    let started = Instant::now();
    let arguments = ["check", &file, "--json", "--timeout", "1", "--only", "LoopsForEver/split"];
    let ran = run(folder.path(), &arguments).with_status(1);
    assert!(started.elapsed() < Duration::from_secs(60), "it took {:?}", started.elapsed());
    let complaint = Verdicts::of(&ran).complaint("libbroken.so", "metric/LoopsForEver/split", "return within 1s");
    assert_no_complaints([complaint]);
}

#[test]
fn check_finds_faults_at_load_and_at_exit_and_list_runs_no_plugin_code() {
    let folder = folder();
    let plugins = folder.path().join("plugins");
    std::fs::create_dir(&plugins).expect("a folder");
    std::fs::copy(library("at-load"), plugins.join("libat_load.so")).expect("a copy");
    let check = ["check", "plugins/libat_load.so", "--only", "load", "--json", "--timeout", "2"];
    for (action, reason) in [
        ("segfault", "ended the process by a segmentation fault"),
        ("abort", "ended the process by abort"),
        ("exit", "ended the process by exit, with the status 0"),
        ("loop", "didn't return within 2s"),
        ("print", "hello from the plug-in"),
        ("segfault at the end", "after the tests, ended the process by a segmentation fault"),
        ("loop at the end", "after the tests, didn't return within 2s"),
    ] {
        let environment = [("PLUGFIT_TEST_AT_LOAD", action)];
        let ran = run_with(folder.path(), &check, &environment).with_status(1);
        assert_no_complaints([Verdicts::of(&ran).complaint("libat_load.so", "load", reason)]);
        for command in [vec!["list", "--why"], vec!["list"], vec!["show", "Harmless"], vec!["schema"]] {
            let arguments = [command, vec!["--plugins", "plugins"]].concat();
            let ran = run_with(folder.path(), &arguments, &environment).with_status(0);
            assert!(ran.out.contains("armless") || ran.out.contains("at-load 0.2.0"), "{arguments:?}: {}", ran.out);
            assert!(!ran.out.contains("hello"), "{arguments:?}: {}", ran.out);
        }
    }
    run(folder.path(), &["check", "plugins/libat_load.so", "--only", "load"]).with_status(0);
}

#[test]
fn a_test_of_the_process_state_finds_the_same_along_with_any_other_test() {
    let folder = folder();
    let file = library("broken").display().to_string();
    for other in ["inputs", "buffers", "umask", "split"] {
        let only = [format!("InstallsAHandler/{other}"), "InstallsAHandler/signals".to_owned()];
        let ran = run(folder.path(), &["check", &file, "--json", "--only", &only[0], "--only", &only[1]]);
        let complaint = Verdicts::of(&ran.with_status(1)).complaint(
            "libbroken.so",
            "metric/InstallsAHandler/signals",
            "changes the handler of SIGINT",
        );
        assert_no_complaints([complaint.map(|complaint| format!("beside {other}, {complaint}"))]);
    }
}

#[test]
fn in_process_tests_need_no_parent_and_find_relative_paths() {
    let folder = folder();
    std::fs::copy(library("broken"), folder.path().join("libbroken.so")).expect("a copy");
    // One test changes the working directory, and another one runs after it.
    let tests =
        ["--only", "GoodLoss/buffers", "--only", "ChangesTheDirectory/directory", "--only", "Ascends/quadratic"];
    let ran = run(folder.path(), &[&["check", "libbroken.so", "--in-process", "--json"][..], &tests].concat());
    let ran = ran.with_status(1);
    assert!(!ran.err.contains("guard pages"), "{}", ran.err);
    let verdicts = Verdicts::of(&ran);
    assert_eq!(verdicts.get("libbroken.so", "loss/GoodLoss/buffers").expect("it was tried")["outcome"], "held");
    assert_no_complaints([
        verdicts.complaint("libbroken.so", "metric/ChangesTheDirectory/directory", "changes the working directory"),
        verdicts.complaint("libbroken.so", "optimizer/Ascends/quadratic", "at the best of 14 rates"),
    ]);
}
