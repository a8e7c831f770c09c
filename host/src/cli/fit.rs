//! `plugfit fit`: trains the run that a file describes, or resumes a saved run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use serde_json::{Value, json};

use super::ending::Ending;
use super::progress::{self, Reporter};
use super::resumed::Resumed;
use super::{Common, absolute, chance, event, in_pool, kept, lock, plugins, short, warn, working_folder};
use crate::compile::{Compile, Compiled};
use crate::data::LoadedData;
use crate::files::name_of;
use crate::network::{Network, Sequential};
use crate::report::{Confusion, Report, Roc};
use crate::train::{
    Ended, Fit, FitConfig, History, RunFile, RunFolder, RunRecord, Trainer, callbacks, checkpoint, classes,
};
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
        (Some(resumed), _) => kept::file_of(&resumed.folder, &resumed.record)?,
        (None, Some(file)) => RunFile::read(file)?,
        (None, None) => return Err(Error::usage("name a run's file, or a run with --resume")),
    };
    for assignment in &options.set {
        file.set(assignment)?;
    }
    run_file(&file, resumed, options, common).map_err(|error| file.located(error))
}

fn run_file(file: &RunFile, resumed: Option<Resumed>, options: &Options, common: &Common) -> Result<()> {
    let runs = working_folder()?.join("runs");
    if let Some(path) = &options.out {
        // The folder is created later, and only if the data and the plug-ins can be loaded.
        RunFolder::check(path, options.overwrite)?;
    }
    let (data, layers, compile, fit_config) = (file.data()?, file.network()?, file.compile()?, file.fit()?);
    let data = data.absolute(file.folder())?;
    let previous = resumed.as_ref().map(|resumed| resumed.record.clone());
    // The locks are read before plug-in code runs, because it may change the working directory.
    let locks = lock::here(common, Some(file), previous.as_ref().and_then(|previous| previous.lock.as_deref()))?;
    let lock = locks.first().map(|lock| name_of(lock.path()));
    let host = plugins::host(common, file, locks)?;
    plugins::warn_of_refusals(&host, common);
    file.check_infinite(&host)?;
    let compiled = host.compile(compile.clone())?;
    drop(compiled);
    let loaded = match &resumed {
        Some(resumed) => data.load_again(file.folder(), &resumed.record.schema)?,
        None => data.load(file.folder())?,
    };
    let mut network = Sequential::new(&layers, loaded.train.inputs().row_shape(), fit_config.seed)?;
    let compile = Compile { outputs: network.output_names().to_vec(), ..compile };
    let mut compiled = host.compile(compile)?;
    let stop = stop_at_interrupt(&host);
    let history = &mut History::default();

    let config = json!({
        "plugins": file.plugins()?.iter().map(|path| name_of(path)).collect::<Vec<_>>(),
        "require_signed": file.require_signed()? || common.require_signed,
        "data": data,
        "network": layers.to_json(),
        "compile": compiled.get_compile_config()?,
        "fit": fit_config,
    });
    let mut trainer = Trainer::new(&mut network, &mut compiled, &loaded.train)?;
    trainer.prepare()?;
    for note in loaded.notes.iter().chain(trainer.compiled().notes()) {
        warn(note, common.json);
    }
    let mut callbacks = callbacks::read(&host, &fit_config.callbacks)?;
    // The program shows its own progress bar.
    callbacks.retain(|callback| callback.name() != "ProgressBar");
    let mut folder = match (resumed, &options.out, &options.file) {
        (Some(resumed), ..) => {
            check_plugins(&resumed.record, &host, common)?;
            *history = resumed.restore(&mut trainer, &mut callbacks)?;
            if resumed.folder.work() != resumed.folder.path() {
                let text = format!("the run goes on with the replacement in {}", short(resumed.folder.work()));
                warn(&text, common.json);
            }
            resumed.folder
        }
        (None, Some(path), _) => RunFolder::create(path, options.overwrite)?,
        (None, None, file) => RunFolder::create_next(&runs, &run_name(file.as_deref().unwrap_or(Path::new("run"))))?,
    };
    let record = RunRecord { lock, ..record(&host, config, &loaded) };
    let record = if let Some(previous) = previous { kept::gone_on(record, previous) } else { record };
    if let Err(error) = folder.write_record(&record) {
        return Err(discard_run(folder, error));
    }
    start(&host, &trainer, &loaded, &fit_config, common);

    let mut reporter: Box<dyn Reporter> = progress::reporter(common.json, &trainer, &loaded, stop);
    let result = in_pool(|| {
        let sets = (&loaded.train, loaded.validation.as_ref());
        let mut fit = Fit { config: &fit_config, callbacks: &mut callbacks, folder: Some(&folder) };
        fit.run(&mut trainer, sets, history, reporter.watch())
    });
    reporter.finish();
    let result = match result {
        Err(error) if trainer.batches() == 0 => {
            return Err(discard_run(folder, error));
        }
        result => result,
    };
    if result.is_err() {
        // After a failure the state may be inconsistent: restore the last checkpoint.
        let last = folder.last_checkpoint();
        *history = match last.exists() {
            true => checkpoint::load(&mut trainer, &mut callbacks, &last)?,
            false => History::default(),
        };
    }
    folder.write_progress(trainer.network(), history)?;
    // A run that a callback ended may have NaN weights; it doesn't replace another run.
    if matches!(result, Ok(Ended::Done | Ended::Early { .. })) && has_finite_weights(trainer.network()) {
        folder.replace()?;
    }
    let result = match result {
        Ok(ended) => report(&host, &mut trainer, &loaded, history, &folder).map(|chance| (ended, chance)),
        Err(error) => Err(error),
    };
    let mut kept = format!("{} holds weights, history, report.html", short(folder.work()));
    if folder.work() != folder.path() {
        kept += &format!("; the run in {} is as it was", short(folder.path()));
    }
    let (ended, chance) = result.map_err(|error| error.with("kept", kept.clone()))?;
    let (compiled, validated) = (trainer.compiled(), loaded.validation.is_some());
    let ending = Ending { history, compiled, callbacks: &callbacks, validated, chance, kept: &kept };
    match ended {
        Ended::Done => {
            ending.show(common.json);
            Ok(())
        }
        Ended::Early { epoch, reason } => {
            warn(&format!("ended in epoch {epoch}: {reason}"), common.json);
            ending.show(common.json);
            Ok(())
        }
        Ended::Stopped { epoch, batch } => {
            Err(Error::interrupted(format!("stopped in epoch {epoch}, after batch {batch}"))
                .with("kept", kept)
                .hint(format!("go on with `plugfit fit --resume {}`", short(folder.path()))))
        }
    }
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

/// Writes the report. Returns a warning if the run is no better than chance.
fn report(
    host: &Host,
    trainer: &mut Trainer<'_>,
    loaded: &LoadedData,
    history: &History,
    folder: &RunFolder,
) -> Result<Option<String>> {
    let data = loaded.validation.as_ref().unwrap_or(&loaded.train);
    let (mut confusion, mut roc) = (None, Vec::new());
    let mut chance = chance::in_history(history, trainer.compiled(), trainer.network().output_names(), data);
    // Data on disk aren't read once more for the report.
    if let ([target], true) = (data.targets(), data.inputs().in_memory().is_some()) {
        let scores = trainer.predict(data.inputs(), 256)?;
        if let (Some(ids), [scores]) = (classes::of_rows(trainer.compiled(), 0, &target.values), &scores[..]) {
            let names = target.class_names.as_deref();
            confusion = Confusion::new(&ids, &scores.view(), names);
            roc = Roc::of(&ids, &scores.view(), names);
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
        history,
        confusion,
        roc,
        plugins: &record.plugins,
        config: &record.config,
    };
    report.write(folder.work())?;
    Ok(chance.map(|sign| chance::warning(&sign, data.inputs(), &loaded.schema.inputs)))
}

/// Checks that the plug-ins with which a resumed run began are loaded.
fn check_plugins(record_before: &RunRecord, host: &Host, common: &Common) -> Result<()> {
    kept::warn_of_changes(record_before, kept::digests(host), common);
    let loaded: Vec<String> = host.plugins().iter().map(|plugin| plugin.label().to_owned()).collect();
    match record_before.plugins.iter().find(|(label, _)| !loaded.contains(label)) {
        None => Ok(()),
        Some((label, from)) => Err(Error::failure(format!("the run began with {label}, which isn't loaded now"))
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
            .map(|plugin| (plugin.label().to_owned(), plugins::place(plugin.origin())))
            .collect(),
        digests: kept::digests(host),
        lock: None,
        config,
        schema: loaded.schema.clone(),
        outputs: None,
    }
}

/// Prints what is going to be trained, in four lines or as an event.
fn start(host: &Host, trainer: &Trainer<'_>, loaded: &LoadedData, fit: &FitConfig, common: &Common) {
    let compiled = trainer.compiled();
    let plugins: Vec<(String, String)> =
        host.plugins().iter().map(|plugin| (plugin.label().to_owned(), plugins::place(plugin.origin()))).collect();
    let what = compiled_line(compiled);
    if common.json {
        let plugins: Vec<Value> =
            plugins.iter().map(|(plugin, from)| json!({"plugin": plugin, "from": from})).collect();
        event(
            "start",
            json!({
                "plugfit": env!("CARGO_PKG_VERSION"),
                "plugins": plugins,
                "data": loaded.description,
                "network": trainer.network().summary(),
                "compiled": what,
                "epochs": fit.epochs,
            }),
        );
        return;
    }
    let plugins: Vec<String> = plugins.iter().map(|(plugin, from)| format!("{plugin} ({from})")).collect();
    let version = format!("plugfit {}", env!("CARGO_PKG_VERSION"));
    let lines = [
        (version.as_str(), plugins.join(", ")),
        (loaded.source.as_str(), loaded.description.clone()),
        ("network", trainer.network().summary()),
        ("compiled", what),
    ];
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
