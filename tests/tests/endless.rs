//! What a crate's own test does where a component never comes back.

use plugfit_api::prelude::*;
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Sums without end.
#[derive(Config)]
pub struct SumsForEver;

impl MeanMetric for SumsForEver {
    const DIRECTION: Direction = Direction::Neither;
    fn value(&self, _: &[f64], _: &[f64]) -> f64 {
        loop {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

export_plugin! { metrics: [SumsForEver] }

const ASKED: &str = "PLUGFIT_TEST_ENDLESS";

/// What an author would write; alone, it is a part of the test below.
#[test]
fn holds_what_a_plugin_must() {
    if std::env::var_os(ASKED).is_some() {
        plugfit_api::testing::check(plugin());
    }
}

#[test]
fn a_component_that_never_comes_back_is_named_and_ended() {
    let begin = Instant::now();
    let output = Command::new(std::env::current_exe().expect("a test has a file"))
        .args(["--exact", "holds_what_a_plugin_must"])
        .envs([(ASKED, "1"), ("PLUGFIT_TEST_TIMEOUT", "1")])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("the metric SumsForEver, in the test ") && said.contains("didn't come back within 1s"),
        "{said}"
    );
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}
