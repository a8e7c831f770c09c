//! Optimizers.

mod formula;
mod native;

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};
use candle_nn::VarMap;
use plugfit::component::{self, Parameter};

use crate::arrays::{compute_dtype, error};
use formula::Formula;

/// An optimizer of a plug-in for variables of candle.
///
/// If the plug-in gives a formula, candle computes it, on any device. Slots have the dtype of their variable, and those
/// of variables of a lower precision than float32 are float32. Otherwise, or with `use_ema` or `gradient_accumulation_steps`, the
/// plug-in computes the update in memory and in float32, to which variables of other devices and dtypes are copied.
/// Variables of a lower precision have a copy in float32, which is updated and rounded.
///
/// Clipping, weight decay and the schedule of the learning rate are those of the plug-in's configuration.
///
/// ```
/// use candle_core::{Device, Var};
/// use candle_nn::Optimizer as _;
/// use plugfit_candle::Optimizer;
///
/// let host = plugfit::Host::new();
/// let x = Var::new(&[1.0_f32, -2.0], &Device::Cpu)?;
/// let mut optimizer = Optimizer::new(vec![x.clone()], host.optimizer("SGD(learning_rate=0.25)")?)?;
/// optimizer.backward_step(&x.sqr()?.sum_all()?)?;
/// assert_eq!(x.to_vec1::<f32>()?, [0.5, -1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Optimizer {
    optimizer: component::Optimizer,
    variables: Vec<Variable>,
    /// `None`: the plug-in computes the update.
    formula: Option<Formula>,
    steps: u64,
    /// The error of [`set_learning_rate`](candle_nn::Optimizer::set_learning_rate), which the next step returns.
    wrong_rate: Option<plugfit::Error>,
}

/// A variable and its description.
#[derive(Debug)]
struct Variable {
    var: Var,
    parameter: Parameter,
    /// The value in float32 of a variable of a lower precision after a step.
    master: Option<Tensor>,
}

impl Optimizer {
    /// Creates an optimizer for the variables of a map, with their names. Settings such as the exclusions from weight
    /// decay and groups refer to them: the variable `conv.weight` has the name `weight` and the path `conv/weight`.
    ///
    /// # Errors
    /// Returns an error if the formula is invalid, or candle's.
    pub fn of_map(map: &VarMap, optimizer: component::Optimizer) -> Result<Self> {
        let variables = map.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut variables: Vec<(String, Var)> =
            variables.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
        // A hash map has no order of its own.
        variables.sort_by(|(name, _), (other, _)| name.cmp(other));
        Optimizer::named(variables, optimizer)
    }

    /// Creates an optimizer for variables with names, like those of [`of_map`](Self::of_map). Variables that don't have
    /// a floating-point dtype are ignored.
    ///
    /// # Errors
    /// Returns an error if the formula is invalid, or candle's.
    pub fn named(variables: Vec<(String, Var)>, optimizer: component::Optimizer) -> Result<Self> {
        Self::with(variables, optimizer, true)
    }

    /// Creates an optimizer that the plug-in computes, even if there is a formula.
    ///
    /// # Errors
    /// Returns candle's error.
    pub fn native(variables: Vec<(String, Var)>, optimizer: component::Optimizer) -> Result<Self> {
        Self::with(variables, optimizer, false)
    }

    fn with(variables: Vec<(String, Var)>, optimizer: component::Optimizer, by_formula: bool) -> Result<Self> {
        let variables = variables.into_iter().filter(|(_, var)| var.dtype().is_float());
        let variables: Vec<Variable> = variables.map(|(name, var)| Variable::new(&name, var)).collect();
        let settings = optimizer.settings();
        let is_plain = !settings.has_averages && settings.accumulation_steps == 1;
        // The formula is computed element by element, whatever the shape of a variable.
        let by_element = |formula: &plugfit::formula::Formula| {
            formula.nodes().iter().all(|node| node.level != plugfit::formula::Level::Row)
        };
        let formula = match optimizer.formula().map_err(error)? {
            Ok(formula) if by_formula && is_plain && by_element(&formula) => {
                Some(Formula::new(formula, &optimizer, &variables)?)
            }
            _ => None,
        };
        Ok(Optimizer { optimizer, variables, formula, steps: 0, wrong_rate: None })
    }

    /// Returns whether candle computes the update by the formula.
    pub fn has_formula(&self) -> bool {
        self.formula.is_some()
    }

    /// Returns the number of steps.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves the variables to the values at which they are evaluated, such as their averages with `use_ema`. Call it
    /// once, after training.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails, or candle's.
    pub fn finalize(&mut self) -> Result<()> {
        match self.formula {
            None if self.steps > 0 => native::finalize(&mut self.optimizer, &mut self.variables),
            _ => Ok(()),
        }
    }
}

impl Variable {
    fn new(name: &str, var: Var) -> Self {
        let path = name.replace('.', "/");
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let parameter = Parameter { name, path, shape: var.dims().to_vec(), trainable: true };
        Variable { var, parameter, master: None }
    }

    /// Returns the value in the dtype in which it is updated. A copy in float32 follows the variable where that was changed.
    fn value(&self) -> Result<Tensor> {
        let value = self.var.as_tensor().detach();
        let converted = value.to_dtype(compute_dtype(&value))?;
        match &self.master {
            None => Ok(converted),
            Some(master) => {
                let rounded = master.to_dtype(value.dtype())?.to_dtype(DType::F32)?;
                rounded.eq(&converted)?.where_cond(master, &converted)
            }
        }
    }

    /// Sets the variable to a value that was updated.
    fn set(&mut self, value: Tensor) -> Result<()> {
        self.var.set(&value.to_dtype(self.var.dtype())?)?;
        if !matches!(self.var.dtype(), DType::F32 | DType::F64) {
            self.master = Some(value);
        }
        Ok(())
    }
}

impl candle_nn::Optimizer for Optimizer {
    type Config = component::Optimizer;

    /// Creates an optimizer for variables, whose names are their numbers. Use [`of_map`](Optimizer::of_map) if settings
    /// refer to names.
    fn new(vars: Vec<Var>, config: component::Optimizer) -> Result<Self> {
        let named = vars.into_iter().enumerate().map(|(number, var)| (number.to_string(), var)).collect();
        Optimizer::named(named, config)
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        if let Some(wrong) = self.wrong_rate.take() {
            return Err(error(wrong));
        }
        match &mut self.formula {
            Some(formula) => formula.step(&self.optimizer, &mut self.variables, gradients, self.steps)?,
            None => native::step(&mut self.optimizer, &mut self.variables, gradients)?,
        }
        self.steps += 1;
        Ok(())
    }

    /// Returns the learning rate of the next step; NaN if its schedule fails, in which case the step returns the error.
    fn learning_rate(&self) -> f64 {
        self.optimizer.learning_rate_at(self.steps).unwrap_or(f64::NAN)
    }

    /// Sets the learning rate, which replaces a schedule. The next step returns the error of a rate that is negative or
    /// not finite.
    fn set_learning_rate(&mut self, lr: f64) {
        self.wrong_rate = self.optimizer.set_learning_rate(lr).err();
    }
}
