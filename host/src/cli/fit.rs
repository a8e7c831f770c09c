//! `plugfit fit`: trains the run that a file describes, or resumes a saved run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use serde_json::{Value, json};

use super::defaults::{self, Defaults};
use super::progress::{self, Reporter};
use super::resumed::Resumed;
use super::summary::Summary;
use super::{Common, absolute, chance, event, in_pool, plugins, saved_run, short, warn, working_folder};
use crate::compile::{Compile, Compiled};
use crate::data::{Encoding, LearntColumn, LoadedData, Schema};
use crate::files::name_of;
use crate::network::{ColumnEmbedding, Network, NetworkConfig, Sequential};
use crate::report::{Confusion, Report, Roc};
use crate::train::callbacks::{self, Callback};
use crate::train::{Ended, Fit, FitConfig, History, RunFile, RunFolder, RunRecord, Trainer, check_targets, checkpoint};
use crate::{Error, Host, Result};

#[derive(Args)]
pub struct Options {
    /// The run file, such as fit.toml
    #[arg(required_unless_present = "resume", value_parser = absolute())]
    file: Option<PathBuf>,
    /// Set a key of the file, such as fit.epochs=3 or 'compile.loss=Huber(delta=2)'; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder for the run, which must be empty or not exist [default: runs/NAME-1, or the next that is free]
    #[arg(long, value_name = "FOLDER", value_parser = absolute())]
    out: Option<PathBuf>,
    /// Replace the run in --out, once the new one has ended
    #[arg(long, requires = "out")]
    overwrite: bool,
    /// Continue a saved run from its last checkpoint, or from the checkpoint given; the result is that of an
    /// uninterrupted run
    #[arg(long, value_name = "RUN", conflicts_with_all = ["file", "out"], value_parser = absolute())]
    resume: Option<PathBuf>,
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    let resumed = options.resume.as_deref().map(Resumed::open).transpose()?;
    let mut file = match (&resumed, &options.file) {
        (Some(resumed), _) => saved_run::run_file(&resumed.folder, &resumed.record)?,
        (None, Some(file)) => RunFile::read(file)?,
        (None, None) => return Err(Error::usage("name a run's file, or a run with --resume")),
    };
    for assignment in &options.set {
        file.set(assignment)?;
    }
    train_file(&file, resumed, options, common).map_err(|error| file.located(error))
}

fn train_file(file: &RunFile, resumed: Option<Resumed>, options: &Options, common: &Common) -> Result<()> {
    let runs = working_folder()?.join("runs");
    if let Some(path) = &options.out {
        // The folder is created later, and only if the data and the plug-ins can be loaded.
        RunFolder::check(path, options.overwrite)?;
    }
    let (data, fit) = (file.data()?, file.fit()?);
    // What the file says of the network and of compile, unless that follows from the target.
    let said = match defaults::are_wanted(file)? {
        true => None,
        false => Some((file.network()?, file.compile()?)),
    };
    let data = if said.is_some() { data } else { defaults::with_validation(data) };
    let data = data.absolute(file.folder())?.with_split_seed(fit.seed);
    let previous = resumed.as_ref().map(|resumed| resumed.record.clone());
    // The locks are read before plug-in code runs, because it may change the working directory.
    let trained_under = previous.as_ref().and_then(|previous| previous.lock.as_deref());
    let locks = plugins::applicable_locks(common, Some(file), trained_under)?;
    let lock = locks.first().map(|lock| name_of(lock.path()));
    let host = plugins::host(common, Some(file), locks)?;
    plugins::warn_of_refusals(&host, common);
    file.check_infinite(&host)?;
    // Reports misspelled names before the data are loaded.
    if let Some((_, compile)) = &said {
        host.compile(compile.clone()).map(drop)?;
    }
    let loaded = match &previous {
        Some(previous) => data.load_again(file.folder(), &previous.schema)?,
        None => data.load(file.folder())?,
    };
    let (layers, compile, fit, defaults) = match said {
        Some((layers, compile)) => (layers, compile, fit, None),
        None => {
            let Defaults { network, compile, fit, of } =
                Defaults::of(&loaded.train, loaded.validation.is_some(), file)?;
            (network, compile, fit, Some(of))
        }
    };
    let layers = with_embeddings(layers, &loaded.schema);
    let mut network = Sequential::new(&layers, loaded.train.inputs().row_shape(), fit.seed)?;
    let mut compiled = host.compile(Compile { outputs: network.output_names().to_vec(), ..compile })?;
    let stop = stop_at_interrupt(&host);
    let config = json!({
        "plugins": file.plugins()?.iter().map(|path| name_of(path)).collect::<Vec<_>>(),
        "require_signed": file.require_signed()? || common.options.require_signed,
        "data": data,
        "network": layers.to_json(),
        "compile": compiled.get_compile_config()?,
        "fit": fit,
    });
    let mut trainer = Trainer::new(&mut network, &mut compiled, &loaded.train)?;
    trainer.prepare()?;
    for note in loaded.notes.iter().chain(trainer.compiled().notes()) {
        warn(note, common.json);
    }
    let mut callbacks = callbacks::read(&host, &fit.callbacks)?;
    // The program shows its own progress bar.
    callbacks.retain(|callback| callback.name() != "ProgressBar");
    let (folder, history) = match resumed {
        Some(resumed) => {
            check_plugins(&resumed.record, &host, common)?;
            let history = resumed.restore(&mut trainer, &mut callbacks)?;
            if resumed.folder.work() != resumed.folder.path() {
                let text = format!("the run continues in the replacement, {}", short(resumed.folder.work()));
                warn(&text, common.json);
            }
            (resumed.folder, history)
        }
        None => (create_folder(options, &runs)?, History::default()),
    };
    let record = RunRecord { lock, ..record(&host, config, &loaded) };
    let record = if let Some(previous) = previous { saved_run::resumed_record(record, previous) } else { record };
    if let Err(error) = folder.write_record(&record) {
        return Err(discard_run(folder, error));
    }
    start(&record, &trainer, &loaded, (&fit, defaults.as_deref()), common);
    let mut run = Run { host: &host, loaded: &loaded, fit: &fit, trainer, callbacks, folder, history };
    match run.train(stop, common) {
        Err(error) if run.trainer.batches() == 0 => Err(discard_run(run.folder, error)),
        result => run.end(result, common),
    }
}

fn create_folder(options: &Options, runs: &Path) -> Result<RunFolder> {
    match &options.out {
        Some(path) => RunFolder::create(path, options.overwrite),
        None => RunFolder::create_next(runs, &run_name(options.file.as_deref().unwrap_or(Path::new("run")))),
    }
}

/// A run that is ready to train.
struct Run<'r> {
    host: &'r Host,
    loaded: &'r LoadedData,
    fit: &'r FitConfig,
    trainer: Trainer<'r>,
    callbacks: Vec<Box<dyn Callback>>,
    folder: RunFolder,
    history: History,
}

impl Run<'_> {
    fn train(&mut self, stop: Arc<AtomicBool>, common: &Common) -> Result<Ended> {
        let mut reporter: Box<dyn Reporter> = progress::reporter(common.json, &self.trainer, self.loaded, stop);
        let sets = (&self.loaded.train, self.loaded.validation.as_ref());
        let mut fit = Fit { config: self.fit, callbacks: &mut self.callbacks, folder: Some(&self.folder) };
        let result = in_pool(|| fit.run(&mut self.trainer, sets, &mut self.history, reporter.watch()));
        reporter.finish();
        result
    }

    /// Saves the run, and reports how it ended.
    fn end(mut self, result: Result<Ended>, common: &Common) -> Result<()> {
        self.save(&result)?;
        let result = result.and_then(|ended| Ok((ended, self.report()?)));
        let (work, path) = (self.folder.work(), self.folder.path());
        let mut kept = format!("weights, history and report.html are in {}", short(work));
        if work != path {
            kept += &format!("; the run in {} is unchanged", short(path));
        }
        let (ended, chance) = result.map_err(|error| error.with("kept", kept.clone()))?;
        match ended {
            Ended::Done => {}
            Ended::Early { epoch, reason } => warn(&format!("ended in epoch {epoch}: {reason}"), common.json),
            Ended::Stopped { epoch, batch } => {
                return Err(Error::interrupted(format!("stopped in epoch {epoch}, after batch {batch}"))
                    .with("kept", kept)
                    .hint(format!("continue with `plugfit fit --resume {}`", short(path))));
            }
        }
        let Run { history, callbacks, .. } = &self;
        let (compiled, validated) = (self.trainer.compiled(), self.loaded.validation.is_some());
        Summary { history, compiled, callbacks, validated, chance, kept: &kept }.show(common.json);
        Ok(())
    }

    fn save(&mut self, result: &Result<Ended>) -> Result<()> {
        if result.is_err() {
            // After a failure the state may be inconsistent: restore the last checkpoint.
            let last = self.folder.last_checkpoint();
            self.history = match last.exists() {
                true => checkpoint::load(&mut self.trainer, &mut self.callbacks, &last)?,
                false => History::default(),
            };
        }
        self.folder.write_progress(self.trainer.network(), &self.history)?;
        // A run that a callback ended may have NaN weights; it doesn't replace another run.
        let is_complete = matches!(result, Ok(Ended::Done | Ended::Early { .. }));
        if is_complete && has_finite_weights(self.trainer.network()) {
            self.folder.replace()?;
        }
        Ok(())
    }

    /// Writes the report. Returns a warning if the run is no better than chance.
    fn report(&mut self) -> Result<Option<String>> {
        let Run { host, loaded, trainer, folder, history, .. } = self;
        let data = loaded.validation.as_ref().unwrap_or(&loaded.train);
        let (mut confusion, mut roc) = (None, Vec::new());
        let mut chance = chance::in_history(history, trainer.compiled(), trainer.network().output_names(), data);
        // Data on disk aren't read once more for the report.
        if let ([target], true) = (data.targets(), data.inputs().in_memory().is_some()) {
            let scores = trainer.predict(data.inputs(), 256)?;
            if let (Some(ids), [scores]) =
                (check_targets::row_classes(trainer.compiled(), 0, &target.values), &scores[..])
            {
                let names = target.class_names.as_deref();
                confusion = Confusion::new(&ids, &scores.view(), names);
                roc = Roc::per_class(&ids, &scores.view(), names);
            }
            if let [scores] = &scores[..] {
                let (found, epochs) = ((confusion.as_ref(), &roc[..]), history.epochs.len());
                chance = chance::in_predictions(&target.values, &scores.view(), found, epochs, chance);
            }
        }
        let (_, record) = RunFolder::open(folder.work())?;
        let seconds: f64 = history.epochs.iter().map(|epoch| epoch.seconds).sum();
        let summary = [
            (loaded.source.clone(), loaded.description.clone()),
            ("network".into(), trainer.network().summary()),
            ("compiled".into(), compiled_line(trainer.compiled())),
            ("time".into(), format!("{} epochs in {seconds:.2} s", history.epochs.len())),
            ("plugfit".into(), format!("{} with {} plug-ins", record.plugfit, host.plugins().len())),
        ];
        let title = folder.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let report = Report {
            title,
            summary: summary.into(),
            columns: loaded.schema.descriptions(),
            history,
            confusion,
            roc,
            plugins: &record.plugins,
            config: &record.config,
        };
        report.write(folder.work())?;
        let ids: Vec<usize> = loaded.schema.embedded().into_iter().map(|(feature, _)| feature).collect();
        Ok(chance.map(|sign| chance::warning(&sign, data.inputs(), &loaded.schema.feature_names(), &ids)))
    }
}

/// Adds the embeddings of the columns of a table. A resumed run has them already.
fn with_embeddings(mut layers: NetworkConfig, schema: &Schema) -> NetworkConfig {
    let embedding = |(feature, column): (usize, &LearntColumn)| match &column.encoding {
        // The id 0 is that of other categories.
        Encoding::Embedding { categories, dim } => Some(ColumnEmbedding {
            name: column.name.clone(),
            column: feature,
            categories: categories.len() + 1,
            dim: *dim,
        }),
        _ => None,
    };
    let embeddings: Vec<ColumnEmbedding> = schema.embedded().into_iter().filter_map(embedding).collect();
    layers.embeddings.retain(|given| !embeddings.iter().any(|embedding| embedding.column == given.column));
    layers.embeddings.extend(embeddings);
    layers
}

fn has_finite_weights(network: &dyn Network) -> bool {
    (0..network.parameters().len()).all(|index| network.parameter(index).iter().all(|weight| weight.is_finite()))
}

/// Discards the run's folder, and returns the error.
fn discard_run(folder: RunFolder, error: Error) -> Error {
    match folder.discard() {
        Ok(()) => error,
        Err(other) => error.with("also", other.to_string()),
    }
}

/// Checks that the plug-ins with which a resumed run began are loaded.
fn check_plugins(record_before: &RunRecord, host: &Host, common: &Common) -> Result<()> {
    saved_run::warn_of_changes(record_before, saved_run::digests(host), common);
    let loaded: Vec<String> = host.plugins().iter().map(|plugin| plugin.label().to_owned()).collect();
    match record_before.plugins.iter().find(|(label, _)| !loaded.contains(label)) {
        None => Ok(()),
        Some((label, from)) => Err(Error::failure(format!("the run was trained with {label}, which isn't loaded now"))
            .with("from", from.clone())
            .with("loaded", loaded.join(", "))
            .hint("put it back, or begin a new run")),
    }
}

/// Installs a handler of Ctrl-C: the first one stops after the current batch, the second at once. Returns the stop
/// flag.
fn stop_at_interrupt(host: &Host) -> Arc<AtomicBool> {
    let stop = host.callbacks().cancel_flag();
    let flag = stop.clone();
    // This fails only if a handler is already installed; that one stays in use.
    let _ = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this batch; once more to stop at once");
    });
    stop
}

/// Returns the file's stem, or its folder's name if the stem is `fit` or `config`.
fn run_name(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = std::path::absolute(path)
        .ok()
        .and_then(|path| Some(path.parent()?.file_name()?.to_string_lossy().into_owned()));
    match folder {
        Some(folder) if stem == "fit" || stem == "config" => folder,
        _ => stem,
    }
}

fn record(host: &Host, config: Value, loaded: &LoadedData) -> RunRecord {
    RunRecord {
        plugfit: env!("CARGO_PKG_VERSION").into(),
        plugins: host
            .plugins()
            .iter()
            .map(|plugin| (plugin.label().to_owned(), plugins::origin_text(plugin.origin())))
            .collect(),
        digests: saved_run::digests(host),
        lock: None,
        config,
        schema: loaded.schema.clone(),
        outputs: None,
    }
}

/// Prints what is going to be trained, in some lines or as an event. `defaults` says what the settings follow from.
fn start(
    record: &RunRecord,
    trainer: &Trainer<'_>,
    loaded: &LoadedData,
    (fit, defaults): (&FitConfig, Option<&str>),
    common: &Common,
) {
    let what = compiled_line(trainer.compiled());
    if common.json {
        let plugins: Vec<Value> =
            record.plugins.iter().map(|(plugin, from)| json!({"plugin": plugin, "from": from})).collect();
        event(
            "start",
            json!({
                "plugfit": record.plugfit,
                "plugins": plugins,
                "data": loaded.description,
                "network": trainer.network().summary(),
                "compiled": what,
                "epochs": fit.epochs,
                "defaults_for": defaults,
            }),
        );
        return;
    }
    let plugins: Vec<String> = record.plugins.iter().map(|(plugin, from)| format!("{plugin} ({from})")).collect();
    let version = format!("plugfit {}", record.plugfit);
    let mut lines = vec![
        (version.as_str(), plugins.join(", ")),
        (loaded.source.as_str(), loaded.description.clone()),
        ("network", trainer.network().summary()),
        ("compiled", what),
    ];
    if let Some(of) = defaults {
        let epochs = format!("up to {} epochs", crate::text::grouped(fit.epochs as usize));
        lines.push(("defaults", format!("for {of}; {epochs}; run.json has all settings")));
    }
    for (label, text) in lines {
        super::print(&format!("{label:<15} {text}\n"));
    }
    super::print("\n");
}

fn compiled_line(compiled: &Compiled) -> String {
    let identifier = compiled.config().optimizer.to_json();
    let optimizer = match identifier["class_name"].as_str() {
        // The class alone: with its configuration the line would be too long.
        Some(class) => class.rsplit('>').next().unwrap_or(class).to_owned(),
        None => compiled.config().optimizer.to_string(),
    };
    let losses = compiled.component_losses().map(|(_, loss)| loss.name().to_owned());
    let metrics = compiled.component_metrics().map(|(column, _, _)| column.to_owned());
    std::iter::once(optimizer).chain(losses).chain(metrics).collect::<Vec<_>>().join(", ")
}
