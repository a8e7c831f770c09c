//! `plugfit list`: lists components, or why each file was loaded or not.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Common, absolute, event, plugins, print, short, table};
use crate::plugin::Kind;
use crate::plugin::find::{State, Verdict};
use crate::text::{printable_line, printable_path};
use crate::train::RunFile;
use crate::{Host, Result};

#[derive(Args)]
pub struct Options {
    /// List only components of this kind
    kind: Option<Kind>,
    /// Show for each named file, and for each folder and each file in it, whether it is loaded, and why; no plug-in
    /// code runs
    #[arg(long)]
    why: bool,
    /// A run file, whose plug-ins are listed too
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    run: Option<PathBuf>,
}

impl ValueEnum for Kind {
    fn value_variants<'a>() -> &'a [Self] {
        &Kind::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.plural()))
    }
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    let file = options.run.as_deref().map(RunFile::read).transpose()?;
    if options.why {
        why(&plugins::host_with_refusals(common, file.as_ref())?, common);
        return Ok(());
    }
    let host = plugins::host_of_manifests(common, file.as_ref())?;
    plugins::warn_of_refusals(&host, common);
    let kinds: &[Kind] = match &options.kind {
        Some(kind) => std::slice::from_ref(kind),
        None => &Kind::ALL,
    };
    components(&host, kinds, common);
    Ok(())
}

fn components(host: &Host, kinds: &[Kind], common: &Common) {
    let mut rows = Vec::new();
    for &kind in kinds {
        let components = host.components(kind);
        if common.json {
            for (plugin, component) in components {
                let (name, aliases, doc) = (&component.name, &component.aliases, first_sentence(&component.doc));
                event(
                    "component",
                    json!({"kind": kind.to_string(), "name": name, "aliases": aliases, "plugin": plugin.label(), "doc": doc}),
                );
            }
            continue;
        }
        if kinds.len() > 1 && !components.is_empty() {
            let between = if rows.is_empty() { 0 } else { 1 };
            rows.extend(std::iter::repeat_n(Vec::new(), between));
        }
        rows.push([kind.plural().to_uppercase(), "ALIASES".into(), "PLUG-IN".into(), "DESCRIPTION".into()].to_vec());
        rows.extend(components.iter().map(|(plugin, component)| {
            vec![
                component.name.clone(),
                component.aliases.join(" "),
                plugin.label().to_owned(),
                first_sentence(&component.doc).to_owned(),
            ]
        }));
    }
    print(&table::aligned(&rows, 0));
}

/// Returns the first sentence.
fn first_sentence(doc: &str) -> &str {
    let line = doc.trim().lines().next().unwrap_or_default();
    line.find(". ").map_or(line, |end| &line[..end]).trim_end_matches('.')
}

fn why(host: &Host, common: &Common) {
    for plugin in host.plugins() {
        if plugin.origin() == &crate::plugin::Origin::BuiltIn && !common.json {
            print(&format!("{}  (built in)\n", plugin.label()));
        }
    }
    let named: Vec<Vec<String>> = host
        .files()
        .iter()
        .map(|file| {
            let (word, reason) = describe(&file.verdict);
            vec![short(&file.path), word.to_owned(), reason]
        })
        .collect();
    if common.json {
        for file in &named {
            event("file", json!({"file": file[0], "verdict": file[1], "why": file[2]}));
        }
    } else {
        print(&table::aligned(&named, 0));
    }
    for report in host.reports() {
        let folder = short(&report.folder.path);
        let source = report.folder.source.to_string();
        let verdicts: Vec<(String, &str, String)> = report
            .files
            .iter()
            .map(|file| {
                let path = &file.path;
                let name = path.file_name().map_or_else(|| short(path), |name| printable_path(name.as_ref()));
                let (word, reason) = describe(&file.verdict);
                (name, word, reason)
            })
            .collect();
        let (state, why) = match &report.state {
            State::Exists => ("exists", None),
            State::Missing => ("missing", None),
            State::Unreadable(why) => ("unreadable", Some(printable_line(why).into_owned())),
            State::Refused(refusal) => ("refused", Some(refusal.line())),
        };
        if common.json {
            event("folder", json!({"folder": folder, "source": source, "state": state, "why": why}));
            for (name, word, reason) in verdicts {
                event(
                    "file",
                    json!({"folder": folder, "source": source, "file": name, "verdict": word, "why": reason}),
                );
            }
            continue;
        }
        print(&format!("{folder}  ({source})\n"));
        match (&report.state, why) {
            (State::Exists, _) if verdicts.is_empty() => print("  has no library\n"),
            (State::Missing, _) => print("  does not exist\n"),
            (State::Unreadable(_), Some(why)) => print(&format!("  cannot be read: {why}\n")),
            (State::Refused(_), Some(why)) => print(&format!("  refused: {why}\n")),
            _ => {}
        }
        let rows: Vec<Vec<String>> =
            verdicts.into_iter().map(|(name, word, reason)| vec![name, word.to_owned(), reason]).collect();
        print(&table::aligned(&rows, 2));
        for file in &report.files {
            if let (true, Verdict::Refused(refusal)) = (common.verbose, &file.verdict)
                && let Some(details) = &refusal.details
            {
                print(&format!("{details}\n"));
            }
        }
    }
}

fn describe(verdict: &Verdict) -> (&'static str, String) {
    match verdict {
        Verdict::Loaded(plugin) => {
            let manifest = plugin.manifest();
            let counts: Vec<String> = Kind::ALL
                .into_iter()
                .filter_map(|kind| {
                    let count = manifest.components.iter().filter(|component| component.kind() == Some(kind)).count();
                    match count {
                        0 => None,
                        1 => Some(format!("1 {kind}")),
                        _ => Some(format!("{count} {}", kind.plural())),
                    }
                })
                .collect();
            ("loaded", format!("{}, ABI {}: {}", plugin.label(), manifest.abi, counts.join(", ")))
        }
        Verdict::Refused(refusal) => ("refused", refusal.line()),
        Verdict::Ignored(why) => ("passed by", why.clone()),
        Verdict::AlreadyLoaded(why) => ("same", why.clone()),
    }
}
