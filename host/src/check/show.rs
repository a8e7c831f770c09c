//! Formats verdicts: text for a terminal, JSON, JUnit for a CI server, and Markdown for a pull request.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::{Outcome, Verdict};
use crate::text::{printable_line, printable_path};

/// How verdicts are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text for a terminal.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
    /// JUnit XML, for a CI server.
    Junit,
    /// Tables for a pull request.
    Markdown,
}

/// Formats the verdicts on several files.
pub fn formatted(files: &[(&Path, Vec<Verdict>)], format: Format) -> String {
    match format {
        Format::Text => text(files),
        Format::Json => {
            files.iter().flat_map(|(_, verdicts)| verdicts).map(|verdict| format!("{}\n", object(verdict))).collect()
        }
        Format::Junit => junit(files),
        Format::Markdown => markdown(files),
    }
}

fn count(verdicts: &[Verdict], outcome: Outcome) -> usize {
    verdicts.iter().filter(|verdict| verdict.outcome == outcome).count()
}

/// Returns a summary such as "3 of 40 tests fail, 1 excluded".
fn summary(verdicts: &[Verdict]) -> String {
    let (failed, all) = (count(verdicts, Outcome::Failed), verdicts.len());
    let holds = count(verdicts, Outcome::Passed) + count(verdicts, Outcome::Warned);
    let mut text = match (failed, holds, all) {
        (0, _, 0) => "no test is selected".to_owned(),
        (0, 1, 1) => "the 1 test holds".to_owned(),
        (0, _, _) if holds == all => format!("all {all} tests hold"),
        (0, _, _) => format!("{holds} of {all} tests hold"),
        _ => format!("{failed} of {all} tests fail"),
    };
    for (outcome, word) in
        [(Outcome::Excluded, "excluded"), (Outcome::NotTried, "not tried"), (Outcome::Warned, "with a warning")]
    {
        let found = count(verdicts, outcome);
        if found > 0 {
            let _ = write!(text, ", {found} {word}");
        }
    }
    text
}

/// Returns a word and lines to print for a test, or `None` if it passed without a warning.
fn finding(verdict: &Verdict) -> Option<(&'static str, Vec<String>)> {
    let Verdict { report, reason, .. } = verdict;
    Some(match verdict.outcome {
        Outcome::Passed => return None,
        Outcome::Failed => ("FAIL", report.failures.clone()),
        Outcome::Excluded => ("excluded", reason.iter().cloned().chain(report.failures.clone()).collect()),
        Outcome::NotTried => ("not tried", Vec::new()),
        Outcome::Warned => ("warning", report.warnings.clone()),
    })
}

fn text(files: &[(&Path, Vec<Verdict>)]) -> String {
    let mut text = String::new();
    for (file, verdicts) in files {
        let _ = writeln!(text, "{}   {}", printable_path(file), summary(verdicts));
        let mut not_tried: Vec<(&str, &str)> = Vec::new();
        for verdict in verdicts {
            let Some((word, lines)) = finding(verdict) else { continue };
            if verdict.outcome == Outcome::NotTried {
                // A reason that several tests of a component share is printed once.
                let (component, _) = verdict.path.rsplit_once('/').unwrap_or((&verdict.path, ""));
                let why = verdict.report.notes.first().map_or("", String::as_str);
                if !not_tried.contains(&(component, why)) {
                    not_tried.push((component, why));
                }
                continue;
            }
            let _ = writeln!(text, "  {word:<9} {}   {}", verdict.path, verdict.about);
            // A failure may contain several lines of text from a plug-in. Each is indented, so that it can't be
            // mistaken for a line of the program.
            lines.iter().flat_map(|line| line.lines()).for_each(|line| {
                let _ = writeln!(text, "              {}", printable_line(line));
            });
            if verdict.outcome == Outcome::Failed {
                let _ = writeln!(text, "            again:  {}", verdict.repeat);
                for path in &verdict.arrays {
                    let _ = writeln!(text, "            array:  {}", path.display());
                }
            }
        }
        for (component, why) in not_tried {
            let why = printable_line(why.strip_prefix("not tried: ").unwrap_or(why));
            let _ = writeln!(text, "  not tried {component}   {why}");
        }
    }
    text
}

/// Returns a verdict as JSON.
fn object(verdict: &Verdict) -> Value {
    let outcome = match verdict.outcome {
        Outcome::Passed => "held",
        Outcome::Warned => "warned",
        Outcome::NotTried => "not_tried",
        Outcome::Excluded => "excluded",
        Outcome::Failed => "failed",
    };
    let report = &verdict.report;
    json!({
        "event": "check", "file": verdict.file.display().to_string(), "test": verdict.path, "about": verdict.about, "outcome": outcome,
        "failures": report.failures, "warnings": report.warnings, "notes": report.notes, "reason": verdict.reason,
        "seconds": verdict.time.as_secs_f64(), "again": verdict.repeat,
        "arrays": verdict.arrays.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
    })
}

/// Escapes text for XML, and replaces the control characters that XML doesn't allow.
fn xml(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            control if control < ' ' || control == '\u{fffe}' || control == '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

fn junit(files: &[(&Path, Vec<Verdict>)]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"plugfit check\">\n");
    for (file, verdicts) in files {
        let time: f64 = verdicts.iter().map(|verdict| verdict.time.as_secs_f64()).sum();
        let skipped = count(verdicts, Outcome::NotTried) + count(verdicts, Outcome::Excluded);
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{skipped}\" time=\"{time:.3}\">",
            xml(&printable_path(file)),
            verdicts.len(),
            count(verdicts, Outcome::Failed)
        );
        for verdict in verdicts {
            let (class, name) = verdict.path.rsplit_once('/').unwrap_or(("", &verdict.path));
            let seconds = verdict.time.as_secs_f64();
            let _ = write!(
                text,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{seconds:.3}\"",
                xml(&class.replace('/', ".")),
                xml(name)
            );
            let lines = |lines: &[String]| xml(&lines.join("\n"));
            let _ = match verdict.outcome {
                Outcome::Passed | Outcome::Warned if verdict.report.warnings.is_empty() => writeln!(text, "/>"),
                Outcome::Passed | Outcome::Warned => {
                    writeln!(text, "><system-out>{}</system-out></testcase>", lines(&verdict.report.warnings))
                }
                Outcome::NotTried => {
                    writeln!(text, "><skipped message=\"{}\"/></testcase>", lines(&verdict.report.notes))
                }
                Outcome::Excluded => {
                    let reason = verdict.reason.as_deref().unwrap_or_default();
                    writeln!(text, "><skipped message=\"{}\"/></testcase>", xml(reason))
                }
                Outcome::Failed => writeln!(
                    text,
                    "><failure message=\"{}\">{}</failure></testcase>",
                    xml(verdict.report.failures.first().map_or("", String::as_str)),
                    xml(&format!("{}\n{}\n{}", verdict.about, verdict.report.failures.join("\n"), verdict.repeat))
                ),
            };
        }
        text.push_str("  </testsuite>\n");
    }
    text + "</testsuites>\n"
}

fn markdown(files: &[(&Path, Vec<Verdict>)]) -> String {
    // A cell has one line and ends at a bar. Text from a plug-in is escaped, so that it contains no HTML and mentions
    // no user.
    let plain = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('@', "&#64;");
    let cell = |text: &str| plain(text).replace('|', "\\|").replace('\n', "<br>");
    let mut text = String::new();
    for (file, verdicts) in files {
        let mark = if count(verdicts, Outcome::Failed) == 0 { "✅" } else { "❌" };
        let _ = writeln!(text, "### {mark} `{}`: {}\n", printable_path(file), summary(verdicts));
        let rows: Vec<_> = verdicts
            .iter()
            .filter_map(|verdict| finding(verdict).map(|(word, lines)| (verdict, word, lines)))
            .collect();
        if !rows.is_empty() {
            text.push_str("| | test | what was found |\n|---|---|---|\n");
        }
        for (verdict, word, lines) in rows {
            let lines = if lines.is_empty() { verdict.report.notes.clone() } else { lines };
            let _ = writeln!(
                text,
                "| {word} | `{}`<br>{} | {} |",
                cell(&verdict.path),
                verdict.about,
                cell(&lines.join("\n"))
            );
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use plugfit_api::testing::Report;

    use super::*;

    fn verdicts() -> Vec<Verdict> {
        let verdict = |path: &str, outcome, failures: &[&str]| Verdict {
            file: PathBuf::from("lib<x>.so"),
            path: path.into(),
            about: "it holds",
            outcome,
            report: failures.iter().fold(Report::default(), |mut report, &line| {
                report.failures.push(line.to_owned());
                report
            }),
            reason: None,
            time: Duration::from_millis(5),
            repeat: "plugfit check again".into(),
            arrays: Vec::new(),
        };
        vec![
            verdict("load", Outcome::Passed, &[]),
            verdict("loss/A/gradient", Outcome::Failed, &["a | b", "gives \u{1} & <2>"]),
        ]
    }

    #[test]
    fn text_says_what_failed_and_how_to_repeat_it() {
        let text = formatted(&[(Path::new("lib<x>.so"), verdicts())], Format::Text);
        assert!(text.starts_with("lib<x>.so   1 of 2 tests fail\n  FAIL      loss/A/gradient"), "{text}");
        assert!(text.contains("again:  plugfit check again") && !text.contains("load"), "{text}");
    }

    #[test]
    fn a_failure_of_several_lines_makes_no_line_that_looks_like_a_verdict() {
        let mut verdicts = verdicts();
        verdicts[1].report.failures = vec!["wrong\n  FAIL      load\r\u{1b}[2J".into()];
        let text = formatted(&[(Path::new("lib<x>.so"), verdicts)], Format::Text);
        assert_eq!(text.lines().filter(|line| line.starts_with("  FAIL")).count(), 1, "{text}");
        assert!(!text.contains(['\u{1b}', '\r']), "{text}");
    }

    #[test]
    fn xml_is_well_formed_whatever_text_a_plugin_returns() {
        let text = formatted(&[(Path::new("lib<x>.so"), verdicts())], Format::Junit);
        assert!(text.contains("name=\"lib&lt;x&gt;.so\" tests=\"2\" failures=\"1\""), "{text}");
        assert!(text.contains("gives \u{fffd} &amp; &lt;2&gt;"), "{text}");
    }

    #[test]
    fn a_table_in_markdown_keeps_its_columns() {
        let text = formatted(&[(Path::new("lib<x>.so"), verdicts())], Format::Markdown);
        assert!(text.contains("| FAIL | `loss/A/gradient`<br>it holds | a \\| b<br>gives"), "{text}");
    }
}
