//! Calls every function of every interface repeatedly, to detect leaks and invalid memory accesses.

use std::path::Path;

use plugfit::network::Parameter;
use plugfit::plugin::Kind;
use plugfit::{Host, Identifier};
use plugfit_api::schedule::When;
use plugfit_api::{Tensor, TensorMut};
use serde_json::{Value, json};

/// More elements than one task takes, so that the host's threads are used.
const MANY: usize = 40_000;

/// Plug-ins that are loaded once, and the names of library functions.
pub struct Boundary {
    host: Host,
    functions: Vec<String>,
    large: (Vec<f32>, Vec<f32>),
}

impl Boundary {
    /// Loads the libraries of plug-ins. A name such as `lib.so#function` is a function of a library.
    ///
    /// # Panics
    /// Panics if a plug-in can't be loaded.
    pub fn new(libraries: &[String]) -> Self {
        let host = Host::empty();
        let (functions, plugins): (Vec<&String>, Vec<&String>) = libraries.iter().partition(|name| name.contains('#'));
        for library in plugins {
            host.add_file(Path::new(library)).unwrap_or_else(|error| panic!("{error}"));
        }
        let numbers = |step: f32| (0..MANY).map(|i| (i as f32 * step).fract()).collect();
        Boundary { host, functions: functions.into_iter().cloned().collect(), large: (numbers(0.37), numbers(0.61)) }
    }

    /// Calls every function once. Returns how many components were created.
    pub fn round(&self) -> usize {
        let mut created = 0;
        for kind in Kind::ALL {
            for (_, component) in self.host.components(kind) {
                let name = &component.name;
                let required = component.fields.iter().filter(|field| field.default.is_none());
                let config: serde_json::Map<String, Value> =
                    required.map(|field| (field.name.clone(), value_for(&field.name))).collect();
                let identifier = json!({ "class_name": name, "config": config });
                created += usize::from(self.component(kind, identifier));
                for wrong in ["no_such_key", "name", component.fields.first().map_or("name", |field| &field.name)] {
                    let identifier = json!({ "class_name": name, "config": { wrong: [{}] } });
                    self.component(kind, identifier);
                }
            }
        }
        let places =
            ["info", "prepare", "init", "output_shape", "call", "update", "merge", "result", "slots", "fill_slot"];
        for at in places.iter().chain(&["finalize", "learning_rate", "drop", "error", "huge shape", "negative slot"]) {
            for (kind, name) in Kind::ALL.into_iter().zip(["BadLoss", "BadMetric", "BadOptimizer", "BadSchedule"]) {
                self.component(kind, json!({ "class_name": name, "config": { "at": at } }));
            }
        }
        let closure = |y_true: &[f32], y_pred: &[f32]| y_true[0] - y_pred[0];
        created += usize::from(self.loss(Identifier::callable("difference", closure)).is_ok());
        created + self.functions.iter().filter(|function| self.component(Kind::Loss, json!(function))).count()
    }

    /// Creates a component, calls the functions of its kind and drops it. Returns whether it could be created.
    fn component(&self, kind: Kind, identifier: Value) -> bool {
        let identifier = Identifier::from(identifier);
        let created = match kind {
            Kind::Loss => self.loss(identifier),
            Kind::Metric => self.metric(identifier),
            Kind::Optimizer => self.optimizer(identifier),
            Kind::Schedule => self.schedule(identifier),
        };
        created.map_err(|error| error.to_string()).is_ok()
    }

    fn loss(&self, identifier: Identifier) -> plugfit::Result<()> {
        let mut loss = self.host.loss(identifier)?;
        let _ = loss.get_config();
        let _ = loss.value(y_true(), y_pred(), None, None).map(|_| ());
        let weight = [0.5_f32, 0.0];
        let mask = [1_u8, 0];
        for (weight, mask) in [(Some(Tensor::new(&weight, &[2])), None), (None, Some(Tensor::new(&mask, &[2])))] {
            let mut gradient = [0.0_f32; 6];
            let mut gradient = TensorMut::new(&mut gradient, &[2, 3]);
            let _ = loss.value_and_gradient(y_true(), y_pred(), weight, mask, 1.0, &mut gradient).map(|_| ());
        }
        // Shapes that don't match.
        let _ = loss.value(Tensor::new(&TRUE[..4], &[2, 2]), y_pred(), None, None).map(|_| ());
        let (large_true, large_pred) = &self.large;
        let shape = [MANY as i64 / 4, 4];
        let mut gradient = vec![0.0; MANY];
        let mut gradient = TensorMut::new(&mut gradient, &shape);
        let (large_true, large_pred) = (Tensor::new(large_true, &shape), Tensor::new(large_pred, &shape));
        // Losses over pairs of rows would take too long.
        if matches!(loss.class_name(), "MeanSquaredError" | "Huber" | "CategoricalCrossentropy") {
            let _ = loss.value_and_gradient(large_true, large_pred, None, None, 1.0, &mut gradient).map(|_| ());
        }
        Ok(())
    }

    fn metric(&self, identifier: Identifier) -> plugfit::Result<()> {
        let mut metric = self.host.metric(identifier.clone())?;
        let mut other = self.host.metric(identifier)?;
        let _ = metric.get_config();
        for metric in [&mut metric, &mut other] {
            let weight = [0.5_f32, 1.0];
            let _ = metric.update_state(y_true(), y_pred(), Some(Tensor::new(&weight, &[2])), None);
            let _ = metric.update_values(y_pred(), None, None);
            let _ = metric.update_state(Tensor::new(&TRUE[..4], &[2, 2]), y_pred(), None, None);
        }
        let _ = metric.merge_state(&other);
        let _ = metric.result();
        if let Ok(saved) = metric.get_state() {
            let _ = other.set_state(&saved);
            // Damaged states: one truncated, one of another version.
            let _ = other.set_state(&saved[..saved.len() - 1]);
            let _ = other.set_state(&[&[9, 0, 0, 0], &saved[4..]].concat());
        }
        let _ = metric.reset_state();
        Ok(())
    }

    fn optimizer(&self, identifier: Identifier) -> plugfit::Result<()> {
        let mut optimizer = self.host.optimizer(identifier)?;
        let _ = optimizer.serialize();
        let parameter = |name: &str, shape: &[usize]| Parameter {
            name: name.into(),
            path: format!("dense/{name}"),
            shape: shape.to_vec(),
            trainable: true,
        };
        let mut kernel = PRED;
        let mut bias = [0.0_f32, 0.1, 0.2];
        let _ = optimizer.build(&[parameter("kernel", &[2, 3]), parameter("bias", &[3])], &[&kernel, &bias]);
        for _ in 0..3 {
            let _ = optimizer.apply(&[Some(&TRUE), None], &mut [&mut kernel, &mut bias]);
            let _ = optimizer.apply(&[Some(&[f32::NAN; 6]), Some(&[0.0; 3])], &mut [&mut kernel, &mut bias]);
        }
        let _ = optimizer.apply(&[Some(&TRUE[..2]), None], &mut [&mut kernel, &mut bias]);
        let _ = optimizer.finalize(&mut [&mut kernel, &mut bias]);
        Ok(())
    }

    fn schedule(&self, identifier: Identifier) -> plugfit::Result<()> {
        let schedule = self.host.schedule(identifier)?;
        let _ = schedule.serialize();
        for step in [0, 1, 1000, 1 << 53] {
            let _ = schedule.learning_rate(&When { step, epoch: step / 10, steps_per_epoch: Some(10) });
        }
        Ok(())
    }
}

const TRUE: [f32; 6] = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
const PRED: [f32; 6] = [0.2, 0.5, 0.3, 0.6, 0.3, 0.1];

fn y_true() -> Tensor<'static> {
    Tensor::new(&TRUE, &[2, 3])
}

fn y_pred() -> Tensor<'static> {
    Tensor::new(&PRED, &[2, 3])
}

/// Returns a value for a setting without a default.
fn value_for(setting: &str) -> Value {
    match setting {
        "boundaries" => json!([10, 20]),
        "values" => json!([1.0, 0.5, 0.1]),
        "optimizer" | "inner_optimizer" => json!("SGD"),
        "optimizer_map" => json!({ "default_optimizer": "SGD", "optimizer_map": { ".*bias": "Adam" } }),
        "recall" | "precision" | "specificity" | "sensitivity" => json!(0.5),
        "target_class_ids" | "class_ids" => json!([0, 1]),
        _ => json!(2),
    }
}
