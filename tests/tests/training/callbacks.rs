//! Tests of callbacks.

use plugfit_tests::{
    build::library,
    run::{digits, folder, history, plugfit, plugins, weights},
};

#[test]
fn early_stopping_ends_a_run_with_its_best_weights() {
    let folder = folder();
    digits(
        folder.path(),
        "optimizer = \"SGD(learning_rate=0.1)\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\"]",
    );
    let callback = "fit.callbacks=[\"EarlyStopping(monitor=val_accuracy, patience=3, restore_best_weights=true)\", \
        \"ModelCheckpoint(filepath='best-{epoch:03d}.safetensors', monitor=val_accuracy)\"]";
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run", "--set", "fit.epochs=500", "--set", callback])
        .with_status(0)
        .says(&["ended in epoch", "val_accuracy was best at epoch"]);
    let run = folder.path().join("run");
    let epochs = history(&run);
    let values: Vec<f64> = epochs
        .as_array()
        .expect("a list")
        .iter()
        .map(|epoch| epoch["logs"]["val_accuracy"].as_f64().expect("a number"))
        .collect();
    let best = (0..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best });
    assert_eq!(values.len(), best + 1 + 3, "{values:?}");
    let file = run.join(format!("best-{:03}.safetensors", best + 1));
    assert_eq!(std::fs::read(file).expect("the best weights"), weights(&run));
}

#[test]
fn errors_of_callbacks_name_the_cause() {
    let folder = folder();
    digits(folder.path(), "optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"");
    let fit = |callback: &str| {
        plugfit(folder.path(), &["fit", "fit.toml", "--set", &format!("fit.callbacks=[\"{callback}\"]")])
    };
    fit("EarlyStoping(patience=3)").with_status(2).says(&["EarlyStoping", "fit.callbacks[0]", "EarlyStopping"]);
    fit("EarlyStopping(patients=3)").with_status(2).says(&["patients", "patience"]);
    fit("EarlyStopping(monitor=val_acuracy)").with_status(2).says(&["val_acuracy"]);
    let nan = "optimizer = \"SGD(learning_rate=1e30)\"\nloss = \"mse\"";
    digits(folder.path(), nan);
    let layers = "network.layers=[\"Dense(1)\"]";
    let ran = plugfit(
        folder.path(),
        &["fit", "fit.toml", "--out", "nan", "--set", "fit.callbacks=[\"TerminateOnNaN\"]", "--set", layers],
    );
    ran.with_status(0).says(&["ended in epoch 1", "the loss is"]);
}

#[test]
fn event_files_are_written_and_a_changed_plugin_causes_a_warning() {
    let folder = folder();
    let place = plugins(folder.path(), &[library("calibration")]);
    let compile = "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\"]";
    let file = digits(folder.path(), compile);
    let callbacks = "fit.callbacks=[\"TensorBoard\", \"ProgressBar\"]";
    let arguments = ["fit", file.to_str().expect("a name"), "--set", callbacks, "--out", "run"];
    plugfit(folder.path(), &arguments).with_status(0);
    for name in ["train", "validation"] {
        let events = folder.path().join("run/logs").join(name).join("events.out.tfevents.1.plugfit.v2");
        let bytes = std::fs::read(events).expect("an event file");
        let count = |tag: &[u8]| bytes.windows(tag.len()).filter(|window| *window == tag).count();
        assert_eq!((count(b"epoch_loss"), count(b"epoch_accuracy")), (3, 3), "{name}");
    }
    // Bytes after the end change the file but not the plug-in.
    let plugin = place.join(library("calibration").file_name().expect("a file"));
    let mut bytes = std::fs::read(&plugin).expect("it is there");
    bytes.extend([0; 8]);
    std::fs::write(&plugin, bytes).expect("it can be written");
    let more = ["fit", "--resume", "run", "--set", "fit.epochs=4"];
    plugfit(folder.path(), &more)
        .with_status(0)
        .says(&["calibration 0.2.0 isn't the file that the run was trained with"]);
}
