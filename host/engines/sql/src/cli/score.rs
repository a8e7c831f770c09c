//! `plugfit score`: computes metrics of predictions in files.

use std::io::Write;
use std::path::Path;

use datafusion::arrow::datatypes::Schema;
use plugfit::options::shown;
use plugfit::{Error, Host, Result};

use super::aggregate::{self, Scored};
use super::arguments::Arguments;
use super::config::{self, Nulls};
use super::control::{Control, Progress};
use super::input::{self, Source};
use super::locate::locate;
use super::output::{self, Format};
use super::query::{needs_memory, runtime, session};
use super::report;
use super::require::Requirement;
use super::results::Table;
use super::streams::{Keys, Selection};
use super::{Common, warn};
use crate::bootstrap::Settings;
use crate::resolve::{self, resolve};

pub use super::config::Options;

/// Computes the metrics and writes them. Returns the exit status.
///
/// # Errors
/// Returns an error if the options are invalid, or if the metrics can't be computed.
pub fn run(options: &Options, common: &Common) -> Result<u8> {
    let mut options = options.clone().complete()?;
    if common.json {
        options.format = options.format.or(Some(Format::Json));
    }
    let format = check_output(&options)?;
    let mut common_plugins = common.plugins.clone();
    common_plugins.plugins.extend(options.plugins.iter().cloned());
    let host = common.host(&common_plugins)?;
    let requirements = options.require.iter().map(|text| Requirement::parse(text)).collect::<Result<Vec<_>>>()?;
    let bootstrap = bootstrap(&options, format)?;
    let arguments = arguments(&options)?;
    let memory_limit = options.memory_limit.as_deref().map(config::size).transpose()?;
    let control = Control::of_process()?;
    let sources = input::find(&options.files, options.input_format, &control)?;
    check_out_is_no_input(&options, &sources)?;
    let skips_nulls = options.nulls == Some(Nulls::Skip);
    let runtime = runtime(options.threads)?;
    let context = session(options.threads, memory_limit)?;
    let selection = runtime.block_on(Selection::of(&sources, &arguments, &context, false))?;
    let metrics = metrics(&host, &options, &requirements, &arguments, &selection.schema)?;
    let query = async {
        let keys = match (bootstrap, &arguments.cluster) {
            (None, _) => Keys::None,
            (Some(_), None) => Keys::Rows,
            (Some(_), Some(_)) => Keys::Clusters,
        };
        let rows = selection.table(&context, &control, keys).await?;
        let progress = Progress::new(&control, rows.total);
        let groups = aggregate::groups(&host, &metrics, &arguments, rows, skips_nulls, bootstrap);
        Ok(Table::new(&metrics, &arguments, progress.during(groups).await?, options.ci.unwrap_or(0.0)))
    };
    let result = runtime.block_on(query);
    let mut table = match result {
        Ok(table) => table,
        // Wrong options are the same for every row.
        Err(error) if control.rows() == 0 || control.is_stopped() || needs_memory(&error) => return Err(error),
        Err(error) => {
            return Err(runtime.block_on(locate(&host, &metrics, &arguments, &sources, skips_nulls, error)));
        }
    };
    table.partial = control.is_stopped();
    table.counts_skipped = skips_nulls;
    let all = table.rows.len();
    table.rows.retain(|row| row.rows >= options.min_rows.unwrap_or(0));
    table.small = all - table.rows.len();
    if let Some(place) = options.compare.as_ref().and_then(|name| arguments.by.iter().position(|by| by == name)) {
        table.compare(place, options.baseline.as_deref(), options.ci.unwrap_or(0.0))?;
    }
    if let Some(path) = &options.report {
        let (selection, context, control, arguments) = (&selection, &context, &control, &arguments);
        let data = report::Data { selection, context, control, arguments, skips_nulls };
        let bins = runtime.block_on(report::bins(&data, table.rows.len()))?;
        table.partial |= control.is_stopped();
        let page = report::page(&table, &bins, &summary(&options, &host, &sources, &table), &options.classes)?;
        output::write(path, page.as_bytes(), options.overwrite)?;
    }
    write(&table, &options, format)?;
    if table.partial {
        warn(&format!("interrupted after {} rows: the results are partial", control.rows()));
        return Ok(130);
    }
    let unmet = requirements.iter().map(|requirement| requirement.unmet(&table)).collect::<Result<Vec<_>>>()?;
    for line in unmet.iter().flatten() {
        eprintln!("error: {}", shown(line));
    }
    Ok(u8::from(unmet.iter().any(|lines| !lines.is_empty())))
}

/// Returns what the report says of the data and the options.
fn summary(options: &Options, host: &Host, sources: &[Source], table: &Table) -> Vec<(String, String)> {
    let names: Vec<&str> = sources.iter().take(3).map(|source| source.name.as_str()).collect();
    let more = if sources.len() > names.len() { format!(", … ({} files)", sources.len()) } else { String::new() };
    let rows: u64 = table.rows.iter().map(|row| row.rows).sum();
    let plugins = host.plugins().iter().map(|plugin| plugin.label().to_owned()).collect::<Vec<_>>().join(", ");
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let rows_text =
        if table.partial { format!("{rows} (partial: the query was interrupted)") } else { rows.to_string() };
    let all = [
        ("files", names.join(", ") + &more),
        ("rows", rows_text),
        ("labels", text(&options.y_true)),
        ("predictions", text(&options.y_pred)),
        ("weights", text(&options.sample_weight)),
        ("where", text(&options.filter)),
        ("intervals", options.ci.map_or_else(String::new, |level| format!("{level} %, bootstrap"))),
        ("plug-ins", plugins),
        ("plugfit", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let given = all.into_iter().filter(|(_, text)| !text.is_empty());
    given.map(|(label, text)| (label.to_owned(), text)).collect()
}

fn arguments(options: &Options) -> Result<Arguments> {
    let input =
        |text: &String| match text.split_once('=') {
            Some((name, column)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), column.trim().to_owned())),
            _ => Err(Error::usage(format!("--input {text} isn't a name and a column"))
                .hint("write it as --input group=query")),
        };
    Ok(Arguments {
        y_true: options.y_true.clone(),
        y_pred: options.y_pred.clone(),
        sample_weight: options.sample_weight.clone(),
        inputs: options.input.iter().map(input).collect::<Result<_>>()?,
        classes: options.classes.clone(),
        filter: options.filter.clone(),
        // The groups that are compared are groups of the result.
        by: options
            .by
            .iter()
            .chain(options.compare.iter().filter(|name| !options.by.contains(name)))
            .cloned()
            .collect(),
        cluster: options.ci_by.clone().filter(|_| options.ci.is_some()),
    })
}

/// The default number of replicates.
const REPLICATES: u32 = 200;

/// Returns how intervals are computed, or `None` if there are none.
fn bootstrap(options: &Options, format: Format) -> Result<Option<Settings>> {
    let needs = |given: bool, option: &str, other: &str| match given {
        true => Err(Error::usage(format!("{option} has no effect without {other}"))),
        false => Ok(()),
    };
    needs(options.baseline.is_some() && options.compare.is_none(), "--baseline", "--compare")?;
    if options.compare.is_some() && matches!(format, Format::Csv | Format::Parquet) {
        return Err(Error::usage("--compare gives two tables, which this format doesn't hold")
            .hint("use --format table, markdown or json"));
    }
    let Some(level) = options.ci else {
        needs(options.ci_by.is_some(), "--ci-by", "--ci")?;
        needs(options.replicates.is_some(), "--replicates", "--ci")?;
        needs(options.seed.is_some(), "--seed", "--ci")?;
        return Ok(None);
    };
    if !(level > 0.0 && level < 100.0) {
        return Err(Error::usage(format!("--ci must be a percentage between 0 and 100, not {level}")));
    }
    if options.compare.is_some() && options.ci_by.is_none() {
        return Err(Error::usage("--compare with --ci needs --ci-by").hint(
            "it is the column that identifies an example in all groups, so that its rows are resampled together",
        ));
    }
    let replicates = options.replicates.unwrap_or(REPLICATES);
    match replicates {
        2..=100_000 => Ok(Some(Settings { replicates, seed: options.seed.unwrap_or(0) })),
        _ => Err(Error::usage(format!("--replicates must be from 2 to 100000, not {replicates}"))),
    }
}

/// Returns the metrics of `--metric`, and those that only `--require` names.
fn metrics(
    host: &Host,
    options: &Options,
    requirements: &[Requirement],
    arguments: &Arguments,
    schema: &Schema,
) -> Result<Vec<Scored>> {
    let mut metrics: Vec<Scored> = Vec::new();
    for text in &options.metric {
        let scored = scored(host, text, arguments, schema)?;
        if metrics.iter().any(|other| other.name == scored.name) {
            return Err(Error::usage(format!("two metrics are called {}", scored.name))
                .hint("give one of them a name: 'AUC(curve=\"PR\", name=\"pr\")'"));
        }
        metrics.push(scored);
    }
    for requirement in requirements {
        // A part of a result has the name of its metric at the beginning.
        let begins = |metric: &Scored| {
            requirement
                .name
                .strip_prefix(metric.name.as_str())
                .is_some_and(|part| part.is_empty() || part.starts_with(['[', '.']))
        };
        if !metrics.iter().any(begins) {
            metrics.push(scored(host, &requirement.name, arguments, schema)?);
        }
    }
    match metrics.is_empty() {
        true => {
            Err(Error::usage("no metric is given").hint("name one with --metric; `plugfit list metrics` shows all"))
        }
        false => Ok(metrics),
    }
}

fn scored(host: &Host, text: &str, arguments: &Arguments, schema: &Schema) -> Result<Scored> {
    let found = |name: &str| schema.field_with_name(name).ok().map(|field| field.data_type());
    let identifier = resolve(resolve::identifier(text), found("y_true"), found("y_pred"))?;
    let metric = host.metric(identifier.clone())?;
    // A name in the configuration is the user's.
    let usual = host.metric(metric.full_name().as_str()).map(|usual| usual.name().to_owned());
    let is_named = usual.is_ok_and(|usual| usual != metric.name()) || text.starts_with('{');
    let name = if is_named { metric.name().to_owned() } else { text.to_owned() };
    let options = [("values", "y_pred"), ("y_pred", "y_pred"), ("y_true", "y_true")];
    let mut columns = Vec::new();
    for input in &metric.info().inputs {
        let usual = options.iter().find(|(name, _)| name == input).map(|(_, option)| *option);
        let column = usual.unwrap_or(input);
        let is_given = match usual {
            Some("y_pred") => arguments.y_pred.is_some(),
            Some(_) => arguments.y_true.is_some(),
            None => arguments.inputs.iter().any(|(name, _)| name == input),
        };
        if !is_given {
            let option = usual.map_or_else(
                || format!("--input {input}=COLUMN"),
                |usual| format!("--{} COLUMN", usual.replace('_', "-")),
            );
            return Err(Error::usage(format!("{name} needs {input}")).hint(format!("name it with {option}")));
        }
        columns.push(column.to_owned());
    }
    let (inputs, bounded) = (metric.info().inputs.clone(), metric.info().bounded_state);
    Ok(Scored { name, identifier, inputs, columns, bounded })
}

fn check_output(options: &Options) -> Result<Format> {
    let by_name = options.out.as_deref().and_then(Format::of_file);
    let format = options.format.or(by_name).unwrap_or(Format::Table);
    if let Some(report) = options.report.as_ref().filter(|report| report.exists() && !options.overwrite) {
        return Err(Error::usage(format!("{} already exists", report.display()))
            .hint("name another file with --report, or replace it with --overwrite"));
    }
    if options.report.is_some() && options.report == options.out {
        return Err(Error::usage("--out and --report name the same file"));
    }
    match &options.out {
        None if format == Format::Parquet => {
            Err(Error::usage("Parquet can't be written to standard output").hint("name a file with --out"))
        }
        Some(out) if out.exists() && !options.overwrite => {
            Err(Error::usage(format!("{} already exists", out.display()))
                .hint("name another file with --out, or replace it with --overwrite"))
        }
        _ => Ok(format),
    }
}

fn check_out_is_no_input(options: &Options, sources: &[Source]) -> Result<()> {
    let place = |path: &Path| path.canonicalize().ok();
    let written = || options.out.iter().chain(&options.report).filter(|out| out.exists());
    match written().find(|out| sources.iter().any(|source| place(&source.path) == place(out))) {
        Some(out) => {
            Err(Error::usage(format!("{} is one of the input files, which are never overwritten", out.display()))
                .hint("name another file for the results"))
        }
        None => Ok(()),
    }
}

fn write(table: &Table, options: &Options, format: Format) -> Result<()> {
    let bytes = output::bytes(table, format)?;
    match &options.out {
        Some(out) => output::write(out, &bytes, options.overwrite)?,
        None => {
            let mut stdout = std::io::stdout().lock();
            let text = match format {
                Format::Table | Format::Markdown => {
                    plugfit::options::printable(&String::from_utf8_lossy(&bytes)).into_bytes()
                }
                _ => bytes,
            };
            // A closed pipe isn't an error (`| head`).
            let _ = stdout.write_all(&text).and_then(|()| stdout.flush());
        }
    }
    if table.small > 0 {
        let rows = options.min_rows.unwrap_or(0);
        eprintln!("{} groups with fewer than {rows} rows are left out", table.small);
    }
    Ok(())
}
