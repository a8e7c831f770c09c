//! Tests of the JSON Schema of a run file with a validator.

use std::path::Path;

use jsonschema::Validator;
use plugfit_tests::build::library;
use plugfit_tests::run::{folder, plugfit, plugins};
use serde_json::{Value, json};

/// Returns a validator for the schema that the program prints in a folder.
pub fn schema(folder: &Path, arguments: &[&str]) -> Validator {
    let ran = plugfit(folder, &[&["schema"], arguments].concat()).with_status(0);
    let schema: Value = serde_json::from_str(&ran.out).expect("JSON");
    jsonschema::meta::validate(&schema).expect("it is a schema");
    jsonschema::validator_for(&schema).expect("its patterns can be read")
}

/// Returns a run file with one part replaced, such as `compile.loss`.
fn with(path: &str, value: Value) -> Value {
    let mut run = json!({
        "data": {"file": "a.csv", "target": "y"},
        "network": {"layers": ["Dense(1)"]},
        "compile": {"optimizer": "SGD", "loss": "mse"},
        "fit": {},
    });
    let (table, key) = path.split_once('.').expect("a table and a key");
    run[table][key] = value;
    run
}

pub struct Schema(pub Validator);

impl Schema {
    #[track_caller]
    pub fn takes(&self, path: &str, values: impl IntoIterator<Item = Value>) {
        for value in values {
            let run = with(path, value.clone());
            assert!(self.0.is_valid(&run), "{path} = {value} is refused");
        }
    }

    #[track_caller]
    pub fn refuses(&self, path: &str, values: impl IntoIterator<Item = Value>) {
        for value in values {
            assert!(!self.0.is_valid(&with(path, value.clone())), "{path} = {value} is taken");
        }
    }
}

/// Returns the schema with the plug-in `calibration`.
pub fn with_calibration() -> Schema {
    let folder = folder();
    plugins(folder.path(), &[library("calibration")]);
    Schema(schema(folder.path(), &["--plugins", "plugins"]))
}

#[test]
fn identifiers_are_accepted_in_every_form_and_refused_if_they_are_misspelt() {
    let schema = with_calibration();
    check_losses(&schema);
    check_metrics(&schema);
}

fn check_losses(schema: &Schema) {
    schema.takes(
        "compile.loss",
        [
            json!(null),
            json!("mse"),
            json!("MSE"),
            json!("BinaryCrossentropy"),
            json!("binary_crossentropy"),
            json!("standard>Huber"),
            json!("crossentropy"),
            json!("Huber()"),
            json!("Huber(delta=2.0)"),
            json!(" Huber ( delta = 2 , name = 'a, (b)' , ) "),
            json!("Huber(delta=2, reduction=sum, dtype=float32)"),
            json!("Huber(reduction=None)"),
            json!("Huber(delta=inf)"),
            json!({"class_name": "Huber", "config": {"delta": "inf"}}),
            json!({"class_name": "Huber", "config": {}, "build_config": {}, "compile_config": {}, "shared_object_id": 3}),
            json!("lib/mine.so#my_loss"),
            json!("./a b.so#my_loss(name=x)"),
            json!({"class_name": "Huber"}),
            json!({"class_name": "Huber", "config": null}),
            json!({"class_name": "standard>Huber", "config": {"delta": 2}}),
            json!({"module": "keras.losses", "class_name": "Huber", "config": {"delta": 2.0, "name": "h"}, "registered_name": null}),
            json!({"class_name": "function", "config": "mse"}),
            json!({"class_name": "lib/mine.so#my_loss", "config": {"name": "x"}}),
            json!(["mse", null, "mae"]),
            json!({"a": "mse", "b": {"class_name": "Huber"}, "c": null}),
        ],
    );
    schema.refuses(
        "compile.loss",
        [
            json!(3),
            json!(""),
            json!("binary_crossentrpy"),
            json!("Hubber"),
            json!("huber loss"),
            json!("standart>Huber"),
            json!("calibration>Huber"),
            json!("Hubber(delta=2)"),
            json!("Huber(detla=2)"),
            json!("Huber(delta=2, detla=3)"),
            json!("Huber(delta=two)"),
            json!("Huber(2)"),
            json!("Huber(delta=2"),
            json!("Huber(delta=2) x"),
            json!("lib/mine.so#my_loss(nam=x)"),
            json!({"class_name": "Hubber"}),
            json!({"class_name": "Huber", "config": {"detla": 2}}),
            json!({"class_name": "Huber", "config": {"delta": -2}}),
            json!({"class_name": "Huber", "config": {"delta": "two"}}),
            json!({"class_name": "Huber", "args": [2]}),
            json!({"class_name": "Huber", "confg": {"delta": 2}}),
            json!({"class_name": "Huber", "delta": 2}),
            json!("Huber(delta=nan)"),
            json!({"class_name": "Huber", "config": {"delta": "nan"}}),
            json!("Tversky(alpha=inf)"),
            json!({"class_name": "Tversky", "config": {"alpha": "inf"}}),
            json!({"class_name": "function", "config": "msee"}),
            json!({"class_name": "lib/mine.so#my_loss", "config": {"nam": "x"}}),
            json!(["mse", "maee"]),
            json!({"a": "msee"}),
            json!({"a": {"class_name": "Huber", "config": {"detla": 2}}}),
            json!("ExpectedCalibrationError"),
        ],
    );
}

fn check_metrics(schema: &Schema) {
    schema.takes(
        "compile.metrics",
        [
            json!("accuracy"),
            json!(["Acc", "ce", "AUC(curve=PR)", "AUC(curve=pr, thresholds=[0.1, 0.5])", "mse", "Huber(delta=2)"]),
            json!(["calibration>ExpectedCalibrationError(name=ece)", "ExpectedCalibrationError(num_bins=20)"]),
            json!(["Precision(top_k=1, thresholds=0.5)", {"class_name": "Precision", "config": {"thresholds": [0.2, 0.4]}}]),
            json!({"a": ["accuracy", "lib.so#f"], "b": null}),
            json!({"class_name": "__tuple__", "items": ["mse"]}),
            json!({"class_name": "MeanMetricWrapper", "config": {"fn": "mse", "name": "e"}}),
            json!(["MeanIoU(name=a, num_classes=3)", "standard>mean_io_u( num_classes = 3 )"]),
        ],
    );
    schema.refuses(
        "compile.metrics",
        [
            json!("accuracyy"),
            json!(["AUC(curve=PRC)"]),
            json!(["AUC(num_treshold=3)"]),
            json!(["ExpectedCalibrationErr"]),
            json!(["calibration>AUC"]),
            json!(["MeanIoU"]),
            json!(["MeanIoU()"]),
            json!(["MeanIoU(name=a)"]),
            json!(["crossentropy(name=a)"]),
            json!([{"class_name": "AUC", "config": {"num_thresholds": 1}}]),
            json!({"class_name": "__tuple__", "items": ["msee"]}),
            json!({"class_name": "MeanMetricWrapper", "config": {"fn": "msee"}}),
        ],
    );
}

#[test]
fn optimizers_and_the_components_nested_in_them_are_checked() {
    let schema = with_calibration();
    schema.takes(
        "compile.optimizer",
        [
            json!("AdamW"),
            json!("adamw"),
            json!("standard>ADAMW"),
            json!("sgd(lr=1e-2, momentum=.9, nesterov=True)"),
            json!("AdamW(learning_rate=CosineDecay(initial_learning_rate=0.005, decay_steps=1350), clipnorm=None)"),
            json!("AdamW(learning_rate='CosineDecay(initial_learning_rate=0.005, decay_steps=1350)')"),
            json!({"class_name": "AdamW", "config": {"learning_rate": 0.002, "weight_decay": null, "ema_overwrite_frequency": false}}),
            json!({"class_name": "AdamW", "config": {"learning_rate": "CosineDecay(initial_learning_rate=0.1, decay_steps=10)"}}),
            json!({"class_name": "AdamW", "config": {"learning_rate": {
                "module": "keras.optimizers.schedules", "class_name": "CosineDecay",
                "config": {"initial_learning_rate": 0.1, "decay_steps": 10}, "registered_name": null}}}),
            json!("LossScaleOptimizer(inner_optimizer=SGD(momentum=0.9))"),
            json!({"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": {"class_name": "SGD", "config": {}}}}),
        ],
    );
    schema.refuses(
        "compile.optimizer",
        [
            json!("AdamWW"),
            json!("mse"),
            json!("AdamW(learing_rate=0.1)"),
            json!("AdamW(learning_rate=fast)"),
            json!("AdamW(learning_rate=CosinDecay(decay_steps=10))"),
            json!("AdamW(learning_rate=CosineDecay(decay_stepz=10))"),
            json!({"class_name": "AdamW", "config": {"learing_rate": 0.1}}),
            json!({"class_name": "AdamW", "confg": {"learning_rate": 0.1}}),
            json!({"class_name": "AdamW", "config": {"learning_rate": {"class_name": "CosineDecay", "confg": {}}}}),
            json!("AdamW(learning_rate=CosineDecay)"),
            json!("AdamW(epsilon=inf)"),
            json!({"class_name": "AdamW", "config": {"learning_rate": {"class_name": "CosinDecay", "config": {}}}}),
            json!({"class_name": "AdamW", "config": {"learning_rate": {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1}}}}),
            json!("LossScaleOptimizer(inner_optimizer=SDG(momentum=0.9))"),
            json!({"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": "SDG"}}),
            json!("lib.so#f"),
        ],
    );
}

#[test]
fn layers_callbacks_and_tables_are_checked() {
    let schema = with_calibration();
    check_layers(&schema);
    check_callbacks(&schema);
    check_tables(&schema);
}

fn check_layers(schema: &Schema) {
    schema.takes(
        "network.layers",
        [
            json!(["Dense(8)", "Dense(8, relu)", "Dense(8, activation=softmax, name=out)", "Dense(units=8, use_bias=false)"]),
            json!(["Dense(1, None)", "Dense(1,None)", "Dense(1, null, use_bias=true)"]),
            json!(["Dense(8, kernel_initializer=HeNormal(seed=1))", "Dropout(0.3)", "Dropout(rate=0.3, seed=7)", "Flatten", "Activation(relu)"]),
            json!([{"class_name": "Dense", "config": {"units": 8, "activation": {"class_name": "function", "config": "relu"},
                "kernel_initializer": {"class_name": "RandomNormal", "config": {"stddev": 0.1}}, "kernel_regularizer": null}}]),
            json!([{"class_name": "Dense", "args": [8, "relu"]}, {"class_name": "Flatten", "config": {}}]),
        ],
    );
    schema.refuses(
        "network.layers",
        [
            json!(["Densee(8)"]),
            json!(["Dense(8, activaton=relu)"]),
            json!(["Dense(8, activation=rellu)"]),
            json!(["Dense(8, rellu)"]),
            json!(["Dense(eight)"]),
            json!(["Dense(8, relu, 3)"]),
            json!(["Dense(8, kernel_initializer=HeNorml)"]),
            json!(["Dense(8, kernel_initializer=HeNormal(sed=1))"]),
            json!(["Dropout(0.3, sead=7)"]),
            json!([{"class_name": "Densee", "config": {"units": 8}}]),
            json!([{"class_name": "Dense", "config": {"unit": 8}}]),
            json!([{"class_name": "Dense", "config": {"units": 0}}]),
            json!([{"class_name": "Dense", "config": {"units": 8, "kernel_regularizer": "l2"}}]),
            json!([{"class_name": "Dropout", "config": {"rate": 1.0}}]),
            json!("Dense(8)"),
        ],
    );
    let layers = json!(["Dense(1)"]);
    schema.takes("network.outputs", [json!({"a": layers}), json!([{"name": "a", "layers": layers}])]);
    schema.refuses("network.outputs", [json!({"a": ["Dens(1)"]}), json!([{"nam": "a", "layers": layers}])]);
    schema.refuses("network.layer", [layers]);
}

fn check_callbacks(schema: &Schema) {
    schema.takes(
        "fit.callbacks",
        [
            json!(["EarlyStopping", "EarlyStopping(monitor=val_accuracy, patience=5, mode=max)", "TerminateOnNaN", "ProgressBar()"]),
            json!(["ModelCheckpoint(filepath='best-{epoch:03d}.safetensors', monitor=\"val_loss\")", "CSVLogger(separator=';')"]),
            json!(["LearningRateScheduler(schedule=ExponentialDecay(initial_learning_rate=0.1, decay_steps=1, decay_rate=0.9))"]),
            json!([{"class_name": "ReduceLROnPlateau", "config": {"factor": 0.5, "min_lr": 1e-6}}, {"class_name": "TensorBoard"}]),
        ],
    );
    schema.refuses(
        "fit.callbacks",
        [
            json!(["EarlyStoping"]),
            json!(["earlystopping"]),
            json!(["EarlyStopping(patence=5)"]),
            json!(["EarlyStopping(patience=five)"]),
            json!(["EarlyStopping(5)"]),
            json!(["EarlyStopping(mode=maximum)"]),
            json!(["LearningRateScheduler(schedule=ExponentialDecy(decay_steps=1))"]),
            json!([{"class_name": "EarlyStoping"}]),
            json!([{"class_name": "EarlyStopping", "confg": {"patience": 5}}]),
            json!([{"class_name": "EarlyStopping", "patience": 5}]),
            json!([{"class_name": "EarlyStopping", "args": [5]}]),
            json!(["EarlyStopping(baseline=inf)"]),
            json!([{"class_name": "EarlyStopping", "config": {"patence": 5}}]),
            json!([{"class_name": "TerminateOnNaN", "config": {"patience": 5}}]),
            json!([3]),
        ],
    );
}

fn check_tables(schema: &Schema) {
    schema.refuses("fit.epoch", [json!(3)]);
    schema.refuses("fit.class_weight", [json!({"1": -1}), json!({"1": "a"}), json!([1])]);
    schema.takes("fit.class_weight", [json!({"1": 0.5, "cat": 2})]);
    schema.refuses("data.targets", [json!("y")]);
    schema.refuses("data.target", [json!(3)]);
    schema.takes("data.numbers", [json!("minmax"), json!("none")]);
    schema.refuses("data.numbers", [json!("min"), json!(1)]);
    schema.refuses("data.missing", [json!("median")]);
    let columns =
        json!({"a": "standard", "b": {"embed": 8}, "c": {"as": "one_hot", "missing": "error"}, "d": "cyclic"});
    schema.takes("data.columns", [columns, json!({})]);
    schema.refuses(
        "data.columns",
        [json!({"a": "min"}), json!({"a": {"embed": 0}}), json!({"a": {"scale": 2}}), json!("drop")],
    );
    schema.refuses("compile.metric", [json!("mse")]);
    schema.takes("compile.groups", [json!([{"match": "*/bias", "trainable": false}])]);
    schema.refuses("compile.groups", [json!([{"pattern": "*/bias"}])]);
    schema.takes("compile.loss_weights", [json!(0.5), json!([1, 2]), json!({"a": 0.5})]);
    schema.refuses("compile.loss_weights", [json!("a"), json!(["a"]), json!({"a": "b"})]);
}
