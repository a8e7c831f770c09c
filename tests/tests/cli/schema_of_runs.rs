//! Compares the JSON Schema with what the host accepts, and with run files.

use std::path::Path;

use plugfit::plugin::{Field, Kind};
use plugfit::{Host, Identifier};
use plugfit_tests::build::{library, root};
use plugfit_tests::run::{digits, folder, plugfit, plugins};
use serde_json::{Map, Value, json};

use crate::schema::{Schema, schema, with_calibration};

/// Returns a valid value of a setting: its default, or else a value of its type.
fn value_of(field: &Field) -> Value {
    match (&field.default, field.type_.as_str()) {
        (Some(default), _) => default.clone(),
        (None, "integer") => json!(3),
        (None, "number") => json!(0.5),
        (None, "array") => json!([1, 2]),
        (None, "identifier") => json!("SGD"),
        (None, _) => json!({}),
    }
}

fn is_taken(host: &Host, kind: Kind, identifier: &Value) -> bool {
    let identifier = Identifier::from(identifier.clone());
    match kind {
        Kind::Loss => host.loss(identifier).is_ok(),
        Kind::Metric => host.metric(identifier).is_ok(),
        Kind::Optimizer => host.optimizer(identifier).is_ok(),
        Kind::Schedule => host.schedule(identifier).is_ok(),
    }
}

#[test]
fn the_schema_accepts_what_the_host_accepts_for_every_component_and_setting() {
    let schema = with_calibration();
    let host = Host::new().with_plugins(library("calibration")).expect("a plug-in");
    let mut taken = 0;
    for (kind, path) in
        [(Kind::Loss, "compile.loss"), (Kind::Metric, "compile.metrics"), (Kind::Optimizer, "compile.optimizer")]
    {
        let components = host.components(kind);
        assert!(components.len() > 10);
        for (plugin, component) in components {
            let name = &component.name;
            let needed: Map<String, Value> = component
                .fields
                .iter()
                .filter(|field| field.default.is_none())
                .map(|field| (field.name.clone(), value_of(field)))
                .collect();
            let call = |settings: &Map<String, Value>| {
                let settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
                json!(format!("{name}({})", settings.join(", ")))
            };
            let mut forms = vec![json!(name), json!(format!("{}>{name}", plugin.name())), json!(name.to_lowercase())];
            forms.extend(component.aliases.iter().map(|alias| json!(alias)));
            for field in &component.fields {
                let mut settings = needed.clone();
                settings.insert(field.name.clone(), value_of(field));
                forms.push(call(&settings));
                forms.push(json!({"class_name": name, "config": settings}));
                settings.insert("no_such_setting".into(), json!(1));
                schema.refuses(path, [call(&settings), json!({"class_name": name, "config": settings})]);
            }
            schema.refuses(
                path,
                [json!(format!("{name}x")), json!(format!("{name}x()")), json!({"class_name": format!("{name}x")})],
            );
            for form in forms.into_iter().filter(|form| is_taken(&host, kind, form)) {
                schema.takes(path, [form]);
                taken += 1;
            }
            // The configuration that the host writes, with every setting.
            let identifier = Identifier::from(json!({"class_name": name, "config": needed}));
            let written = match kind {
                Kind::Loss => host.loss(identifier).ok().and_then(|loss| loss.get_config().ok()),
                Kind::Metric => host.metric(identifier).ok().and_then(|metric| metric.get_config().ok()),
                _ => host.optimizer(identifier).ok().and_then(|optimizer| optimizer.get_config().ok()),
            };
            if let Some(config) = written {
                schema.takes(path, [json!({"class_name": name, "config": config})]);
            }
        }
    }
    assert!(taken > 500, "{taken} forms were tried");
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("a file");
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
fn holds(schema: &Schema, run: &Value, what: &str) {
    let errors: Vec<String> = schema
        .0
        .iter_errors(run)
        .map(|error| format!("{}: {:.300}", error.instance_path(), error.to_string()))
        .collect();
    assert!(errors.is_empty(), "{what}\n{}", errors.join("\n"));
}

#[test]
fn every_run_file_of_the_project_is_valid() {
    let schema = with_calibration();
    for path in ["host/examples/digits/fit.toml", "tests/fuzz/corpus/config/run.toml"] {
        holds(&schema, &read(&root().join(path)), path);
    }
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a file");
    let run = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a run's file");
    holds(&schema, &toml::from_str(run).expect("TOML"), "README.md");
}

#[test]
fn the_schema_of_a_run_contains_its_plugins_and_accepts_its_saved_configuration() {
    let folder = folder();
    let file = digits(
        folder.path(),
        "optimizer = \"AdamW(learning_rate=CosineDecay(initial_learning_rate=0.005, decay_steps=100))\"\n\
         loss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\", \"ExpectedCalibrationError(name=ece)\"]",
    );
    let run = read(&file);
    let without = Schema(schema(folder.path(), &["fit.toml"]));
    assert!(!without.0.is_valid(&run), "the plug-in isn't there yet");
    plugins(folder.path(), &[library("calibration")]);
    let with = Schema(schema(folder.path(), &["fit.toml"]));
    holds(&with, &run, "fit.toml");
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run", "--set", "fit.epochs=1"]).with_status(0);
    let record: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("run/run.json")).expect("a file"))
            .expect("JSON");
    holds(&with, &record["config"], "run.json");
    holds(&with, &read(&folder.path().join("run/config.toml")), "config.toml");
}

#[test]
fn a_schema_contains_the_components_of_the_plugins_of_a_run() {
    let folder = folder();
    plugins(folder.path(), &[library("calibration")]);
    digits(
        folder.path(),
        "optimizer = \"AdamW\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\"]",
    );
    let text = plugfit(folder.path(), &["schema", "fit.toml"]).with_status(0).out;
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    let names = &schema["$defs"]["metric"]["anyOf"][0]["enum"];
    for name in ["accuracy", "mse", "ExpectedCalibrationError", "AUC"] {
        assert!(names.as_array().expect("names").contains(&Value::from(name)), "{name}");
    }
    let text = schema["$defs"]["loss"].to_string();
    assert!(text.contains("\"delta\"") && text.contains("exclusiveMinimum"), "Huber's settings are there");
    let without = plugfit(folder.path(), &["schema"]).with_status(0).out;
    assert!(!without.contains("ExpectedCalibrationError"));
}
