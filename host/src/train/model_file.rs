//! A model in one file: the network with its weights, the compile configuration, and the state of the optimizer.
//!
//! The file is a safetensors file with a checksum. Its metadata contain the configurations as JSON under the key
//! `model`. Its tensors are `weight:PATH` and `slot:PATH:NAME`.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checksum::{self, Verdict};
use super::tensors::{self, SLOT, Stored, WEIGHT};
use crate::compile::{Compile, Compiled};
use crate::component::OptimizerState;
use crate::files::{write_atomically, write_new};
use crate::identifier::ParsedIdentifier;
use crate::network::{Network, NetworkConfig, Sequential};
use crate::plugin::{Kind, Origin, SlotValues};
use crate::registry::HOW_TO_GIVE;
use crate::{Error, Host, Identifier, Result};

/// The key in the metadata.
const KEY: &str = "model";
const VERSION: u64 = 1;
const KINDS: [Kind; 4] = [Kind::Loss, Kind::Metric, Kind::Optimizer, Kind::Schedule];

/// What a model consists of.
pub struct Parts<'m> {
    /// The configuration of the network.
    pub config: &'m NetworkConfig,
    /// The seed of the weights and of training.
    pub seed: u64,
    /// The network, if the shape of its inputs is known.
    pub network: Option<&'m Sequential>,
    /// Optimizer, losses and metrics, if it is compiled.
    pub compiled: Option<&'m Compiled>,
}

/// The JSON in the metadata.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    version: u64,
    network: Value,
    seed: u64,
    /// The shape of a sample, if the network is built.
    input_shape: Option<Vec<usize>>,
    compile: Option<Value>,
    /// The plug-ins that the configuration needs, in addition to the standard set: name and version.
    plugins: Vec<(String, String)>,
    /// The state of the optimizer, without its tensors.
    optimizer: Option<OptimizerAbout>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OptimizerAbout {
    is_built: bool,
    steps: u64,
    learning_rate: Option<f64>,
}

impl Parts<'_> {
    /// Returns the bytes of the model's file.
    ///
    /// # Errors
    /// Returns an error if a loss, a metric or the optimizer is a function or an instance of the program, which no file
    /// can contain, or if the optimizer fails to report its configuration.
    pub fn to_bytes(&self, host: &Host) -> Result<Vec<u8>> {
        let compile = self.compiled.map(saved_config).transpose()?;
        let optimizer = self.compiled.and_then(Compiled::optimizer).map(|optimizer| (optimizer, optimizer.state()));
        let about = About {
            version: VERSION,
            network: self.config.to_json(),
            seed: self.seed,
            input_shape: self.network.map(|network| network.input_shape().to_vec()),
            plugins: compile.as_ref().map(|compile| needed_plugins(compile, host)).unwrap_or_default(),
            compile,
            optimizer: optimizer.as_ref().map(|(optimizer, state)| OptimizerAbout {
                is_built: optimizer.is_built(),
                steps: state.steps,
                learning_rate: state.learning_rate,
            }),
        };
        let mut tensors: Vec<(String, Stored)> = Vec::new();
        if let Some(network) = self.network {
            for (index, parameter) in network.parameters().iter().enumerate() {
                let values = SlotValues::Single(network.parameter(index).to_vec());
                tensors
                    .push((format!("{WEIGHT}{}", parameter.path), Stored { values, shape: parameter.shape.clone() }));
            }
        }
        for (name, values) in optimizer.into_iter().flat_map(|(_, state)| state.tensors) {
            tensors.push((format!("{SLOT}{name}"), Stored::vector(values)));
        }
        let wrong = |error: String| Error::failure(format!("the model can't be written: {error}"));
        let about = serde_json::to_string(&about).map_err(|error| wrong(error.to_string()))?;
        checksum::serialize(tensors, Some((KEY, about))).map_err(wrong)
    }
}

/// Writes the bytes of a model atomically. An existing file is an error unless `overwrite` is true.
///
/// # Errors
/// Returns an error if the file can't be written, or exists; it is unchanged then.
pub fn write(bytes: &[u8], path: &Path, overwrite: bool) -> Result<()> {
    if overwrite {
        write_atomically(path, |writer| writer.write_all(bytes))
    } else {
        write_new(path, |writer| writer.write_all(bytes))
    }
}

/// A model's file that was read and checked.
pub struct ModelFile {
    about: About,
    config: NetworkConfig,
    tensors: HashMap<String, Stored>,
}

impl ModelFile {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// Returns an error if they are damaged, or something else than a model.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        match checksum::check(bytes) {
            Verdict::Damaged => return Err(bad("it is damaged: its checksum doesn't match")),
            Verdict::None => return Err(bad("it isn't a model, or it is damaged: it has no checksum")),
            Verdict::Whole => {}
        }
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| bad(&error.to_string()))?;
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let text = text.ok_or_else(|| {
            bad("it isn't a model")
                .hint("`Model.load` reads what `Model.save` wrote; a run folder has weights.safetensors")
        })?;
        let about: Value = serde_json::from_str(text).map_err(|error| bad(&error.to_string()))?;
        if about["version"] != VERSION {
            return Err(bad(&format!("it is of version {}; this program reads {VERSION}", about["version"])));
        }
        let about: About = serde_json::from_value(about).map_err(|error| bad(&error.to_string()))?;
        let config = NetworkConfig::from_json(&about.network).map_err(|error| error.with("in", "the saved model"))?;
        Ok(ModelFile { about, config, tensors: tensors::read(bytes).map_err(|error| bad(&error))? })
    }

    /// Returns the configuration of the network.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Returns the seed of the weights and of training.
    pub fn seed(&self) -> u64 {
        self.about.seed
    }

    /// Restores the network, and the compiled configuration with the state of the optimizer.
    ///
    /// # Errors
    /// Returns an error if a plug-in is missing, if the host refuses a configuration, or if the parts of the file don't
    /// fit each other.
    pub fn restore(mut self, host: &Host) -> Result<(Option<Sequential>, Option<Compiled>)> {
        self.check_plugins(host)?;
        let network = self.network()?;
        let compiled = match &self.about.compile {
            None => None,
            Some(config) => {
                check_config(config).map_err(|error| error.with("in", "the saved model"))?;
                let outputs = self.config.outputs.iter().map(|(name, _)| name.clone()).collect();
                let mut compiled = host.compile(Compile { outputs, ..Compile::from_json(config, None)? })?;
                self.restore_optimizer(&mut compiled, network.as_ref())?;
                Some(compiled)
            }
        };
        match self.tensors.keys().min() {
            Some(name) => Err(bad(&format!("it has a tensor \"{name}\" that belongs to no part of the model"))),
            None => Ok((network, compiled)),
        }
    }

    fn check_plugins(&self, host: &Host) -> Result<()> {
        let plugins = host.plugins();
        let missing =
            |(name, _): &&(String, String)| !plugins.iter().any(|plugin| plugin.manifest().name == name.as_str());
        match self.about.plugins.iter().find(missing) {
            None => Ok(()),
            Some((name, version)) => Err(Error::usage(format!("no plug-in is called \"{name}\""))
                .with("in", "the saved model")
                .with("saved with", format!("{name} {version}"))
                .hint(HOW_TO_GIVE)),
        }
    }

    /// Creates the network and sets its weights.
    fn network(&mut self) -> Result<Option<Sequential>> {
        let Some(shape) = &self.about.input_shape else { return Ok(None) };
        // A network is at most as large as the file, whatever its configuration claims.
        let weights = self.tensors.iter().filter(|(name, _)| name.starts_with(WEIGHT));
        let count: usize = weights.map(|(_, stored)| stored.values.len()).sum();
        if self.config.count_parameters(shape) != Some(count) {
            return Err(bad("its weights don't fit its network"));
        }
        let mut network = Sequential::new(&self.config, shape, self.about.seed)?;
        let parameters: Vec<(String, Vec<usize>)> =
            network.parameters().iter().map(|parameter| (parameter.path.clone(), parameter.shape.clone())).collect();
        for (index, (path, shape)) in parameters.into_iter().enumerate() {
            match self.tensors.remove(&format!("{WEIGHT}{path}")) {
                Some(Stored { values: SlotValues::Single(values), shape: found }) if found == shape => {
                    network.parameter_mut(index).copy_from_slice(&values);
                }
                Some(_) => return Err(bad(&format!("\"{path}\" isn't a float32 tensor of the shape {shape:?}"))),
                None => return Err(bad(&format!("it has no \"{path}\""))),
            }
        }
        Ok(Some(network))
    }

    fn restore_optimizer(&mut self, compiled: &mut Compiled, network: Option<&Sequential>) -> Result<()> {
        let Some(about) = &self.about.optimizer else {
            return match compiled.optimizer() {
                None => Ok(()),
                Some(_) => Err(bad("it has an optimizer without its state")),
            };
        };
        let optimizer = compiled.optimizer_mut()?;
        if about.is_built {
            let network = network.ok_or_else(|| bad("its optimizer has a state, and its network none"))?;
            let values: Vec<&[f32]> = (0..network.parameters().len()).map(|index| network.parameter(index)).collect();
            optimizer.build(network.parameters(), &values)?;
        }
        let mut state = OptimizerState { steps: about.steps, learning_rate: about.learning_rate, tensors: Vec::new() };
        for (name, stored) in std::mem::take(&mut self.tensors) {
            match name.strip_prefix(SLOT) {
                Some(slot) => state.tensors.push((slot.to_owned(), stored.values)),
                None => drop(self.tensors.insert(name, stored)),
            }
        }
        if !about.is_built && !state.tensors.is_empty() {
            return Err(bad("its optimizer has slots, and was never built"));
        }
        optimizer.restore(&state)
    }
}

fn bad(why: &str) -> Error {
    Error::failure(format!("cannot read the model: {why}"))
}

/// Returns the compile configuration for a file.
fn saved_config(compiled: &Compiled) -> Result<Value> {
    check_components(compiled.config())?;
    let config = compiled.get_compile_config()?;
    check_config(&config)?;
    Ok(config)
}

/// Checks that every component can be created again from its identifier.
fn check_components(compile: &Compile) -> Result<()> {
    for (place, identifier) in compile.identifiers() {
        if let ParsedIdentifier::Instance(instance) = identifier.parse()? {
            let name = instance.config.get("name").and_then(Value::as_str);
            return Err(Error::usage(format!(
                "the model can't be saved: \"{}\" is a {} of the program itself, such as a function, which no file can \
                 contain",
                name.unwrap_or(instance.component.name()),
                instance.component.what()
            ))
            .with("in", place)
            .hint("compile with a component of a plug-in, or save the weights alone: get_weights()"));
        }
    }
    Ok(())
}

/// Checks that a configuration is one that this module writes: without paths of archives and of C functions. Loading a
/// C function runs code of the library that the file names.
fn check_config(config: &Value) -> Result<()> {
    if config.get("keras").is_some() {
        return Err(Error::usage("the compile configuration of a saved model has no \"keras\""));
    }
    fn symbol(value: &Value) -> Option<&str> {
        match value {
            Value::String(text) if text.contains('#') => {
                matches!(Identifier::from(text.as_str()).parse(), Ok(ParsedIdentifier::Symbol(_)) | Err(_))
                    .then_some(text)
            }
            Value::Array(items) => items.iter().find_map(symbol),
            Value::Object(object) => {
                object.iter().filter(|(key, _)| *key != "name").find_map(|(key, value)| match value {
                    Value::String(name) if key == "class_name" && name.contains('#') => Some(name.as_str()),
                    other => symbol(other),
                })
            }
            _ => None,
        }
    }
    match symbol(config) {
        None => Ok(()),
        Some(text) => Err(Error::usage(format!("a saved model can't have the C function \"{text}\"")).hint(
            "loading it would run code of the library; write a plug-in, or compile the model after it was loaded",
        )),
    }
}

/// Returns the plug-ins of the components in a compile configuration, except for the standard set.
fn needed_plugins(compile: &Value, host: &Host) -> Vec<(String, String)> {
    let mut names = BTreeSet::new();
    component_names(compile, &mut names);
    let mut plugins = BTreeSet::new();
    for (name, kind) in names.iter().flat_map(|name| KINDS.map(|kind| (name, kind))) {
        if let Ok((plugin, _)) = host.find(kind, name)
            && !matches!(plugin.origin(), Origin::BuiltIn)
        {
            plugins.insert((plugin.name().to_owned(), plugin.version().to_owned()));
        }
    }
    plugins.into_iter().collect()
}

/// Collects the names of identifiers in a configuration.
fn component_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => match Identifier::from(text.as_str()).parse() {
            Ok(ParsedIdentifier::Name(name)) => drop(names.insert(name)),
            Ok(ParsedIdentifier::Config(spec)) => component_names(&spec.to_json(), names),
            _ => {}
        },
        Value::Array(items) => items.iter().for_each(|item| component_names(item, names)),
        Value::Object(object) => match object.get("class_name") {
            Some(Value::String(name)) => {
                if let Ok(ParsedIdentifier::Config(spec)) = Identifier::from(value.clone()).parse() {
                    names.insert(spec.class_name);
                }
                names.insert(name.clone());
                // Settings are numbers and words; only objects among them are components.
                for (_, setting) in object.get("config").and_then(Value::as_object).into_iter().flatten() {
                    if !setting.is_string() {
                        component_names(setting, names);
                    }
                }
            }
            _ => object.values().for_each(|entry| component_names(entry, names)),
        },
        _ => {}
    }
}

#[cfg(all(test, feature = "builtin"))]
mod tests {
    use serde_json::json;

    use super::*;

    fn saved(compile: Value) -> Result<Vec<u8>> {
        let config = NetworkConfig::from_json(&json!({"layers": ["Dense(2)"]})).expect("a network");
        let (host, network) = (Host::new(), Sequential::new(&config, &[3], 7)?);
        let compiled = host.compile_from_config(&compile)?;
        let parts = Parts { config: &config, seed: 7, network: Some(&network), compiled: Some(&compiled) };
        parts.to_bytes(&host)
    }

    #[test]
    fn a_model_is_read_as_it_was_written() {
        let bytes = saved(json!({"optimizer": "adam", "loss": "mse", "metrics": ["mae"]})).expect("it can be saved");
        let file = ModelFile::read(&bytes).expect("it is a model");
        assert_eq!((file.seed(), file.about.plugins.len()), (7, 0));
        let (network, compiled) = file.restore(&Host::new()).expect("it is whole");
        let (network, compiled) = (network.expect("it was built"), compiled.expect("it was compiled"));
        let config = NetworkConfig::from_json(&json!({"layers": ["Dense(2)"]})).expect("a network");
        let parts = Parts { config: &config, seed: 7, network: Some(&network), compiled: Some(&compiled) };
        let again = parts.to_bytes(&Host::new()).expect("it can be saved");
        // The order of the metadata isn't fixed.
        let contents = |bytes: &[u8]| {
            let file = ModelFile::read(bytes).expect("it is a model");
            (json!(file.about), file.tensors)
        };
        assert_eq!(contents(&again), contents(&bytes));
    }

    #[test]
    fn components_of_the_program_and_c_functions_are_not_saved() {
        let config = NetworkConfig::default();
        let host = Host::new();
        let own = Identifier::callable("own", |_, _| 0.0);
        let compiled = host.compile(Compile { loss: own.into(), ..Compile::default() }).expect("it compiles");
        let parts = Parts { config: &config, seed: 0, network: None, compiled: Some(&compiled) };
        let error = parts.to_bytes(&host).expect_err("a closure").to_string();
        assert!(error.contains("\"own\" is a closure of the program itself"), "{error}");
        for (config, is_refused) in [
            (json!({"loss": "a.so#f"}), true),
            (json!({"loss": {"class_name": "a.so#f"}}), true),
            (json!({"metrics": [{"class_name": "Mean", "config": {"fn": "a.so#f(x=1)"}}]}), true),
            (json!({"keras": "a.keras"}), true),
            (json!({"metrics": [{"class_name": "Mean", "config": {"name": "a#b"}}]}), false),
        ] {
            assert_eq!(check_config(&config).is_err(), is_refused, "{config}");
        }
    }

    #[test]
    fn the_names_of_components_are_found_in_any_form() {
        let config = json!({
            "optimizer": {"class_name": "a>Outer", "config": {"inner": {"class_name": "Inner", "config": {}}, "word": "no"}},
            "metrics": ["one", "Two(x=1)", {"out": ["three"]}],
        });
        let mut names = BTreeSet::new();
        component_names(&config, &mut names);
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["Inner", "Two", "a>Outer", "one", "three"]);
    }

    #[test]
    fn a_checkpoint_is_not_a_model() {
        let tensors: [(String, Stored); 0] = [];
        let bytes = checksum::serialize(tensors, Some(("plugfit", "{}".into()))).expect("it can be written");
        let error = ModelFile::read(&bytes).err().expect("it is something else").to_string();
        assert!(error.contains("it isn't a model"), "{error}");
    }
}
