//! Tests of the registry: names, versions and conflicts.

use serde_json::{Value, json};

use super::*;

#[derive(Clone, Debug)]
struct Fake {
    manifest: Manifest,
    from: &'static str,
    broken: Option<Kind>,
    digest: &'static str,
}

impl RegisteredPlugin for Fake {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn place(&self) -> String {
        self.from.into()
    }

    fn unusable_reason(&self, kind: Kind) -> Option<String> {
        (self.broken == Some(kind)).then(|| "its interface has another layout".into())
    }

    fn digest(&self) -> String {
        self.digest.into()
    }

    fn built_in(&self) -> bool {
        self.from == "built in"
    }

    fn manifest_digest(&self) -> String {
        format!("{:?}", self.manifest)
    }
}

fn plugin(label: &str, from: &'static str, components: &[(&str, &str, &[&str])]) -> Fake {
    let (name, version) = label.split_once(' ').expect("a name and a version");
    let components: Vec<Value> = components
        .iter()
        .map(|(kind, name, aliases)| json!({
            "kind": kind, "name": name, "aliases": aliases, "doc": "", "config_version": 1, "base": {}, "fields": [],
        }))
        .collect();
    let manifest = json!({
        "abi": 1, "name": name, "version": version, "description": "", "compiler": "", "target": "", "api": "",
        "panic": "unwind", "interfaces": [], "components": components,
    });
    Fake { manifest: serde_json::from_value(manifest).expect("a manifest"), from, broken: None, digest: "0" }
}

fn standard() -> Fake {
    plugin(
        "standard 0.1.0",
        "built in",
        &[
            ("loss", "MeanSquaredError", &["mean_squared_error", "mse", "MSE"]),
            ("loss", "Huber", &["huber", "huber_loss"]),
            ("metric", "MeanSquaredError", &["mse"]),
            ("metric", "AUC", &[]),
            ("optimizer", "Adam", &[]),
            ("optimizer", "AdamW", &[]),
        ],
    )
}

fn registry(plugins: impl IntoIterator<Item = Fake>) -> Registry<Fake> {
    let mut registry = Registry::default();
    plugins.into_iter().for_each(|plugin| {
        registry.add(plugin);
    });
    registry
}

fn found(registry: &Registry<Fake>, kind: Kind, name: &str) -> String {
    match registry.find(kind, name) {
        Ok((plugin, component)) => format!("{} {}", plugin.label(), component.name),
        Err(error) => error.to_string(),
    }
}

#[test]
fn names_aliases_and_qualified_names_are_found() {
    let registry = registry([standard()]);
    for name in ["MeanSquaredError", "mse", "MSE", "mean_squared_error", "standard>mse", "standard>MeanSquaredError"] {
        assert_eq!(found(&registry, Kind::Loss, name), "standard 0.1.0 MeanSquaredError", "{name}");
    }
    assert_eq!(found(&registry, Kind::Metric, "auc"), "standard 0.1.0 AUC");
    for name in ["adamw", "ADAMW", "AdamW"] {
        assert_eq!(found(&registry, Kind::Optimizer, name), "standard 0.1.0 AdamW");
    }
    assert!(registry.find(Kind::Optimizer, "adam_w").is_err(), "Keras has no snake-case names of optimizers");
    assert!(registry.find(Kind::Loss, "Mse").is_err(), "case matters");
    assert_eq!(registry.names(Kind::Optimizer), ["Adam", "AdamW"]);
}

#[test]
fn the_error_for_an_unknown_name_lists_near_names_and_what_was_searched() {
    let calibration = plugin("calibration 0.1.0", "a.so", &[("metric", "ExpectedCalibrationError", &[])]);
    let registry = registry([standard(), calibration]);
    assert_eq!(
        found(&registry, Kind::Metric, "ExpectedCalibrationEror"),
        "no metric is called \"ExpectedCalibrationEror\"\n  \
         near    ExpectedCalibrationError (calibration 0.1.0)\n  \
         looked  3 metrics of 2 plug-ins; `plugfit list metrics` shows them"
    );
    let error = found(&registry, Kind::Loss, "AUC");
    assert!(error.contains("but     there is a metric of that name"), "{error}");
    let error = found(&registry, Kind::Metric, "calibratio>Brier");
    assert!(
        error.starts_with("no plug-in is called \"calibratio\"") && error.contains("near    calibration"),
        "{error}"
    );
    let error = found(&registry, Kind::Metric, "calibration>Brier");
    assert!(error.starts_with("calibration has no metric called \"Brier\""), "{error}");
    let error = Registry::<Fake>::default().find(Kind::Loss, "mse").expect_err("nothing is there").to_string();
    assert!(error.contains("no plug-in is loaded"), "{error}");
}

#[test]
fn a_short_name_in_two_plugins_is_refused_and_the_standard_set_never_wins_silently() {
    let robust = plugin("robust 0.2.0", "plugins/librobust.so", &[("loss", "Tukey", &[]), ("loss", "Huber", &[])]);
    let outliers = plugin("outliers 1.1.0", "plugins/liboutliers.so", &[("loss", "Tukey", &[])]);
    let registry = registry([standard(), robust, outliers]);
    assert_eq!(
        found(&registry, Kind::Loss, "Tukey"),
        "\"Tukey\" is in two plug-ins\n  \
         robust 0.2.0   plugins/librobust.so\n  \
         outliers 1.1.0 plugins/liboutliers.so\n  \
         write \"robust>Tukey\" or \"outliers>Tukey\""
    );
    assert_eq!(found(&registry, Kind::Loss, "outliers>Tukey"), "outliers 1.1.0 Tukey");
    for name in ["Huber", "huber"] {
        let error = found(&registry, Kind::Loss, name);
        assert!(error.contains("write \"standard>Huber\" or \"robust>Huber\""), "{error}");
    }
    assert_eq!(found(&registry, Kind::Loss, "huber_loss"), "standard 0.1.0 Huber");
}

#[test]
fn of_equal_plugins_the_first_is_used_and_of_versions_the_newest() {
    let mut registry = Registry::default();
    let robust = |version: &str, from| plugin(&format!("robust {version}"), from, &[("loss", "Tukey", &[])]);
    assert_eq!(registry.add(robust("0.9.0", "a.so")), Added::New);
    assert_eq!(registry.add(robust("0.9.0", "b.so")), Added::Same { place: "a.so".into() });
    assert_eq!(
        registry.add(robust("0.10.0", "c.so")),
        Added::Replaced { version: "0.9.0".into(), place: "a.so".into() }
    );
    assert_eq!(registry.add(robust("0.9.5", "d.so")), Added::Older { version: "0.10.0".into(), place: "c.so".into() });
    assert_eq!(found(&registry, Kind::Loss, "Tukey"), "robust 0.10.0 Tukey");
    assert_eq!(registry.plugins().len(), 1);
}

#[test]
fn different_files_of_one_version_conflict_until_a_newer_one_is_added() {
    let mut registry = Registry::default();
    let robust = |version: &str, from, digest| Fake {
        digest,
        ..plugin(&format!("robust {version}"), from, &[("loss", "Tukey", &[])])
    };
    assert_eq!(registry.add(robust("0.9.0", "a.so", "1")), Added::New);
    assert_eq!(registry.add(robust("0.9.0", "b.so", "2")), Added::Conflict { place: "a.so".into() });
    assert_eq!(registry.add(robust("0.9.0", "c.so", "2")), Added::Same { place: "a.so".into() });
    for name in ["Tukey", "robust>Tukey"] {
        assert_eq!(
            found(&registry, Kind::Loss, name),
            "there are different files of robust 0.9.0\n  \
             file    a.so\n  \
             file    b.so\n  \
             remove all but one of them, or raise the version of the one that you want to use"
        );
    }
    assert_eq!(
        registry.add(robust("0.8.0", "d.so", "3")),
        Added::Older { version: "0.9.0".into(), place: "a.so".into() }
    );
    assert!(registry.find(Kind::Loss, "Tukey").is_err());
    let replaced = Added::Replaced { version: "0.9.0".into(), place: "a.so".into() };
    assert_eq!(registry.add(robust("0.9.1", "e.so", "4")), replaced);
    assert_eq!(found(&registry, Kind::Loss, "Tukey"), "robust 0.9.1 Tukey");
}

#[test]
fn build_metadata_does_not_distinguish_versions() {
    for versions in [["1.0.0", "1.0.0+x"], ["1.0.0+x", "1.0.0"], ["1.0.0+x", "1.0.0+y"]] {
        let [first, second] =
            versions.map(|version| plugin(&format!("robust {version}"), "a.so", &[("loss", "Tukey", &[])]));
        let mut registry = registry([first]);
        assert_eq!(
            registry.add(Fake { digest: "1", from: "b.so", ..second }),
            Added::Conflict { place: "a.so".into() }
        );
        assert!(registry.find(Kind::Loss, "Tukey").is_err(), "{versions:?}");
    }
}

#[test]
fn spellings_agree_with_find() {
    let robust =
        plugin("robust 0.2.0", "robust.so", &[("loss", "Tukey", &["MSE"]), ("optimizer", "ADAM", &["Prodigy"])]);
    let odd = plugin("odd 1.0.0", "odd.so", &[("loss", "First", &["Second"]), ("loss", "Second", &[])]);
    let broken = Fake { broken: Some(Kind::Metric), ..plugin("broken 1.0.0", "broken.so", &[("metric", "AUC", &[])]) };
    let mut registry = registry([standard(), robust, odd, broken]);
    registry.add(Fake { digest: "1", ..plugin("odd 1.0.0", "other.so", &[]) });
    for kind in [Kind::Loss, Kind::Metric, Kind::Optimizer] {
        let spellings = registry.spellings(kind);
        for name in ["huber_loss", "robust>MSE", "Second", "prodigy", "adam", "AUC", "auc", "standard>auc"] {
            assert_eq!(spellings.contains_key(name), registry.has(kind, name), "{kind} {name}");
        }
        for (spelling, found) in spellings {
            let found = found.map(|(plugin, component)| (plugin.label(), &component.name));
            let expected =
                registry.find(kind, &spelling).ok().map(|(plugin, component)| (plugin.label(), &component.name));
            assert_eq!(found, expected, "{kind} {spelling}");
        }
    }
}

#[test]
fn no_file_replaces_a_built_in_plugin() {
    let mut registry = registry([standard()]);
    let own = Fake { from: "libstandard.so", digest: "another", ..standard() };
    assert_eq!(registry.add(own), Added::Same { place: "built in".into() });
    let impostor = |version: &str| plugin(&format!("standard {version}"), "false.so", &[("loss", "Huber", &[])]);
    for version in ["0.1.0", "0.0.1", "99.0.0"] {
        assert_eq!(registry.add(impostor(version)), Added::Reserved, "{version}");
    }
    assert_eq!(found(&registry, Kind::Loss, "Huber"), "standard 0.1.0 Huber");
    assert_eq!(registry.plugins().len(), 1);
    // Without a built-in plug-in, its name isn't reserved.
    let mut empty = Registry::default();
    assert_eq!(empty.add(impostor("99.0.0")), Added::New);
}

#[test]
fn a_kind_whose_interface_does_not_fit_is_refused_with_the_reason() {
    let registry = registry([Fake { broken: Some(Kind::Loss), ..standard() }]);
    let error = found(&registry, Kind::Loss, "Huber");
    assert!(error.starts_with("Huber of standard 0.1.0 can't be used: its interface has another layout"), "{error}");
    assert_eq!(found(&registry, Kind::Metric, "AUC"), "standard 0.1.0 AUC");
    assert!(registry.names(Kind::Loss).is_empty());
}

#[test]
fn a_name_takes_precedence_over_an_alias_of_the_same_plugin() {
    let odd = plugin("odd 1.0.0", "odd.so", &[("loss", "First", &["Second"]), ("loss", "Second", &[])]);
    assert_eq!(found(&registry([odd]), Kind::Loss, "Second"), "odd 1.0.0 Second");
}
