//! Tests how the test of a plug-in crate ends if a component never returns.

use plugfit_api::prelude::*;
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A metric whose value never returns.
#[derive(Config)]
pub struct SumsForEver;

impl MeanMetric for SumsForEver {
    const DIRECTION: Direction = Direction::Neither;
    fn value<R: Real>(&self, _: Row<'_, R>, _: Row<'_, R>) -> R {
        loop {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

export_plugin! { metrics: [SumsForEver] }

/// Set in the child process that runs the endless metric.
const RUN_ENDLESS: &str = "PLUGFIT_TEST_ENDLESS";

/// The test that a plug-in author writes. It does nothing unless the test below runs it in a child process.
#[test]
fn follows_the_rules_for_plugins() {
    if std::env::var_os(RUN_ENDLESS).is_some() {
        plugfit_api::testing::check(plugin());
    }
}

#[test]
fn a_component_that_never_returns_is_named_and_ended() {
    let begin = Instant::now();
    let output = Command::new(std::env::current_exe().expect("a test has a file"))
        .args(["--exact", "follows_the_rules_for_plugins"])
        .envs([(RUN_ENDLESS, "1"), ("PLUGFIT_TEST_TIMEOUT", "1")])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("the metric SumsForEver, in the test ") && said.contains("didn't return within 1s"),
        "{said}"
    );
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}
