//! Components that violate their contract in the way that their setting `at` names.
use plugfit_api::{prelude::*, serde_json::json};

/// Control characters for a terminal, and a line that looks like an error of the program.
const FORGED: &str = "all is well\nerror: forged\u{1b}[2J\u{202e}";

/// Returns a string that isn't UTF-8.
fn not_utf8() -> String {
    // SAFETY: none. The host must not rely on strings from a plug-in being UTF-8.
    unsafe { String::from_utf8_unchecked(b"n\xff".to_vec()) }
}

/// Panics if `at` is `here`.
fn panic_at(at: &str, here: &str) {
    assert!(at != here, "told to panic in {here}");
}

macro_rules! at {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Config)]
        pub struct $name {
            /// The function or the way that fails.
            #[config(default = "nowhere")]
            at: String,
        }

        impl Drop for $name {
            fn drop(&mut self) {
                panic_at(&self.at, "drop");
            }
        }
    };
}

at! {
    /// A loss that panics or reports a wrong shape.
    BadLoss
}

impl Loss for BadLoss {
    fn info(&self) -> LossInfo {
        panic_at(&self.at, "info");
        LossInfo::default()
    }
    fn prepare(&mut self, host: &Host<'_>) -> Result<()> {
        panic_at(&self.at, "prepare");
        let nested = |at: &str| Identifier(json!({"class_name": "BadLoss", "config": {"at": at}}));
        match self.at.as_str() {
            "nest without end" => drop(host.loss(&nested("nest without end"))?),
            "nest many" => {
                for _ in 0..5000 {
                    drop(host.loss(&nested("nowhere"))?);
                }
            }
            "forged error" => return Err(Error::config("at", FORGED)),
            "log" => (0..5000).for_each(|_| host.warn(FORGED)),
            _ => {}
        }
        Ok(())
    }
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        panic_at(&self.at, "output_shape");
        let rows = inputs.y_pred()?.shape()[0];
        Ok(match self.at.as_str() {
            "negative shape" => vec![-1],
            "huge shape" => vec![i64::MAX, i64::MAX],
            "many axes" => vec![1; 1 << 20],
            "shape of other rows" => vec![rows + 1],
            "shape of more rows" => vec![2 * rows, rows],
            "shape of a terabyte" => vec![1 << 44, rows],
            _ => vec![rows],
        })
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        panic_at(&self.at, "call");
        match self.at.as_str() {
            "forged failure" => return Err(Error::other(FORGED)),
            "forged input" => return Err(Error::input(FORGED)),
            "long failure" => return Err(Error::other("x".repeat(1 << 22))),
            "failure that isn't UTF-8" => return Err(Error::other(not_utf8())),
            "forged panic" => panic!("{FORGED}"),
            _ => {}
        }
        let rows = inputs.y_pred()?.shape()[0] as f64;
        if let Some(values) = output.values.as_deref_mut() {
            values.fill(1.0);
        }
        if let Some(gradient) = output.gradient(1)? {
            gradient.fill(0.1);
        }
        let value = if self.at == "nan" { f64::NAN } else { rows };
        Ok(LossTotals { value, weight: rows, count: rows })
    }
}

at! {
    /// A metric that panics.
    BadMetric
}

/// The number of updates.
#[state]
pub struct Updates(u64);

impl Metric for BadMetric {
    type State = Updates;
    fn info(&self) -> MetricInfo {
        panic_at(&self.at, "info");
        MetricInfo::new(Direction::Maximize)
    }
    fn prepare(&mut self, _: &Host<'_>) -> Result<()> {
        panic_at(&self.at, "prepare");
        Ok(())
    }
    fn init(&self) -> Updates {
        panic_at(&self.at, "init");
        Updates(0)
    }
    fn update(&self, updates: &mut Updates, _: &Inputs<'_>) -> Result<()> {
        panic_at(&self.at, "update");
        updates.0 += 1;
        if updates.0 > 20 {
            panic_at(&self.at, "later update");
        }
        Ok(())
    }
    fn merge(&self, updates: &mut Updates, other: &Updates) -> Result<()> {
        panic_at(&self.at, "merge");
        updates.0 += other.0;
        Ok(())
    }
    fn result(&self, updates: &Updates) -> Result<Outcome> {
        panic_at(&self.at, "result");
        let named = |names: Vec<String>| Outcome::Named(names.into_iter().map(|name| (name, 0.5)).collect());
        let numbered = |count: usize| named((0..count).map(|number| format!("n{number}")).collect());
        Ok(match self.at.as_str() {
            "many names" => numbered(1024),
            "too many names" => numbered(1025),
            "a million names" => numbered(1_000_000),
            "too many numbers" => Outcome::Array { shape: vec![(1 << 22) + 1], values: vec![0.5; (1 << 22) + 1] },
            "too many axes" => Outcome::Array { shape: vec![1; 33], values: vec![0.5] },
            "long name" => named(vec!["n".repeat(257)]),
            "forged name" => named(vec![FORGED.to_owned()]),
            "name that isn't UTF-8" => named(vec![not_utf8()]),
            "shape" => Outcome::Array { shape: vec![7], values: vec![1.0] },
            "error" => return Err(Error::state("told to fail")),
            _ => Outcome::Scalar(updates.0 as f64),
        })
    }
}

at! {
    /// An optimizer that panics or requests invalid slots.
    BadOptimizer
}

impl Optimizer for BadOptimizer {
    fn prepare(&mut self, _: &Host<'_>) -> Result<()> {
        panic_at(&self.at, "prepare");
        Ok(())
    }
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        panic_at(&self.at, "slots");
        let mut slot = Slot::like(0, &parameters[0], "slot");
        match self.at.as_str() {
            "slot of no parameter" => slot.parameter = Some(999),
            "negative slot" => slot.shape = vec![-3],
            "huge slot" => slot.shape = vec![i64::MAX, 8],
            "fill_slot" => slot.start = Start::Filled,
            "slot of two million" => slot.shape = vec![1 << 21],
            "slot of a terabyte" => slot.shape = vec![1 << 38],
            "slot of many axes" => slot.shape = vec![1; 33],
            "forged slot" => slot.name = FORGED.to_owned(),
            "slot that isn't UTF-8" => slot.name = not_utf8(),
            "too many slots" => {
                let numbered = |number: usize| {
                    let mut slot = Slot::like(0, &parameters[0], "slot");
                    slot.name = format!("s{number}");
                    slot
                };
                return Ok((0..200_000).map(numbered).collect());
            }
            _ => {}
        }
        Ok(vec![slot])
    }
    fn fill_slot(
        &self,
        _: &[Parameter<'_>],
        _: usize,
        _: Option<Tensor<'_>>,
        _: u64,
        _: &mut TensorMut<'_>,
        _: &Host<'_>,
    ) -> Result<()> {
        panic_at(&self.at, "fill_slot");
        Ok(())
    }
    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        panic_at(&self.at, "update");
        if update.step.iteration > 20 {
            panic_at(&self.at, "later update");
        }
        Ok(())
    }
    fn finalize(&self, _: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        panic_at(&self.at, "finalize");
        Ok(())
    }
}

at! {
    /// A schedule that panics or returns NaN.
    BadSchedule
}

impl Schedule for BadSchedule {
    fn learning_rate(&self, when: &When) -> f64 {
        panic_at(&self.at, "learning_rate");
        if when.step > 20 {
            panic_at(&self.at, "later learning_rate");
        }
        if self.at == "nan" { f64::NAN } else { 0.01 }
    }
}

export_plugin! { losses: [BadLoss], metrics: [BadMetric], optimizers: [BadOptimizer], schedules: [BadSchedule] }
