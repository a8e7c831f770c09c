//! `plugfit show`: prints a component's documentation and settings, or its formula.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{Common, absolute, event, formula, plugins, print, table};
use crate::plugin::{Component, Field, Kind};
use crate::train::RunFile;
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// A loss, metric, optimizer or schedule, such as Huber or "robust>Tukey"; with --formula also "Huber(delta=2)"
    name: String,
    /// Print the formula of the component instead, that of a loss with its derivatives; plug-ins are loaded for it, and
    /// their code runs
    #[arg(long)]
    formula: bool,
    /// Print the formula as LaTeX
    #[arg(long, requires = "formula")]
    latex: bool,
    /// A run file, whose plug-ins are searched too
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    run: Option<PathBuf>,
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    let file = options.run.as_deref().map(RunFile::read).transpose()?;
    if options.formula {
        let locks = plugins::applicable_locks(common, file.as_ref(), None)?;
        let host = plugins::host(common, file.as_ref(), locks)?;
        let class_name = formula::class_name(&options.name)?;
        let (kinds, others): (Vec<Kind>, Vec<Kind>) =
            Kind::ALL.into_iter().partition(|&kind| host.has(kind, &class_name));
        if kinds.is_empty() {
            let error = |kind: Kind| host.find(kind, &class_name).err().map(|error| (kind, error));
            return Err(not_found(&class_name, &others.into_iter().filter_map(error).collect::<Vec<_>>()));
        }
        return formula::show(&host, &kinds, &options.name, options.latex, common);
    }
    let host = plugins::host_of_manifests(common, file.as_ref())?;
    let mut shown = 0;
    let mut errors = Vec::new();
    for kind in Kind::ALL {
        match host.find(kind, &options.name) {
            Ok((plugin, component)) => {
                let from = format!("{} ({})", plugin.label(), plugins::origin_text(plugin.origin()));
                if common.json {
                    event("component", json!({"kind": kind.to_string(), "plugin": from, "component": component}));
                } else {
                    let between = if shown > 0 { "\n" } else { "" };
                    print(&format!("{between}{}", describe(kind, &component, &from)));
                }
                shown += 1;
            }
            Err(error) => errors.push((kind, error)),
        }
    }
    if shown > 0 {
        return Ok(());
    }
    // If a component of that name exists but can't be used, such as one in two files, report its own error.
    let unusable = errors.iter().find(|(kind, _)| host.has(*kind, &options.name));
    Err(unusable.map_or_else(|| not_found(&options.name, &errors), |(_, error)| error.clone()))
}

fn not_found(name: &str, errors: &[(Kind, Error)]) -> Error {
    let near: Vec<String> = errors
        .iter()
        .flat_map(|(_, error)| {
            error.details().iter().filter(|(label, _)| *label == "near").map(|(_, text)| text.clone())
        })
        .collect();
    let error = Error::usage(format!("no loss, metric, optimizer or schedule is called \"{name}\""));
    let error = if near.is_empty() { error } else { error.with("near", near.join(", ")) };
    error.hint("`plugfit list` shows them all")
}

fn describe(kind: Kind, component: &Component, from: &str) -> String {
    let also = if component.aliases.is_empty() {
        String::new()
    } else {
        format!("    also: {}", component.aliases.join(", "))
    };
    let mut text = format!("{}  {kind}  {from}{also}\n", component.name);
    // Indented, so that its lines can't be mistaken for those of the program.
    for line in component.doc.trim().lines() {
        text.push_str(format!("  {line}").trim_end());
        text.push('\n');
    }

    let mut rows: Vec<Vec<String>> = component.fields.iter().map(field).collect();
    rows.extend(base(kind, component));
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table::aligned(&rows, 2));
    }
    let example = component.fields.iter().find_map(|field| {
        let default = field.default.as_ref().filter(|default| default.is_number())?;
        Some(format!("{}({}={default})", component.name, field.name))
    });
    let example = example.unwrap_or_else(|| component.name.clone());
    let usage = match kind {
        Kind::Loss => format!("loss = \"{example}\""),
        Kind::Metric => format!("metrics = [\"{example}\"]"),
        Kind::Optimizer => format!("optimizer = \"{example}\""),
        Kind::Schedule => format!("optimizer = \"SGD(learning_rate={example})\""),
    };
    text.push_str(&format!("\n  use  {usage}\n"));
    text
}

fn field(field: &Field) -> Vec<String> {
    let bound = |sign: &str, value: &Option<f64>| value.map(|value| format!("{sign} {value}"));
    let bounds =
        [bound(">", &field.above), bound(">=", &field.minimum), bound("<", &field.below), bound("<=", &field.maximum)];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    let mut kind =
        if field.choices.is_empty() { field.type_.clone() } else { format!("one of {}", field.choices.join(", ")) };
    if !bounds.is_empty() {
        kind = format!("{kind} {}", bounds.join(", "));
    }
    if field.optional {
        kind.push_str(" or null");
    }
    let default = field.default.as_ref().map_or_else(|| "needed".into(), value_text);
    vec![field.name.clone(), kind, default, field.doc.trim().to_owned()]
}

/// Returns rows for the keys of the host, with the defaults of the component.
fn base(kind: Kind, component: &Component) -> Vec<Vec<String>> {
    crate::component::base_keys(kind)
        .iter()
        .filter(|(name, ..)| !component.fields.iter().any(|field| field.name == *name))
        .map(|(name, type_, default, doc)| {
            let component_default = component.base.get(*name).filter(|value| *name != "name" || !value.is_null());
            let default = component_default.map_or_else(|| (*default).to_owned(), value_text);
            vec![(*name).to_owned(), (*type_).to_owned(), default, (*doc).to_owned()]
        })
        .collect()
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
