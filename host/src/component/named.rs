//! Inputs of losses and metrics by name. Targets, predictions and values are passed by every trainer; a component may
//! declare further inputs, such as the group of each row.

use plugfit_api::Tensor;

use crate::plugin::MAX_INPUTS;
use crate::{Error, Result};

/// The inputs that aren't passed by their names.
const USUAL: [&str; 3] = ["y_true", "y_pred", "values"];

/// Returns the names of the inputs of a component that have to be passed by name, given all its inputs.
pub fn further_inputs(declared: &[String]) -> impl Iterator<Item = &str> {
    declared.iter().map(String::as_str).filter(|name| !USUAL.contains(name))
}

/// Named tensors, the last of which are repetitions, and the number of those that aren't.
pub(super) type TensorArray<'l> = ([(&'l str, Tensor<'l>); MAX_INPUTS], usize);

/// Tensors with names, without memory on the heap.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NamedTensors<'l> {
    list: [Option<(&'l str, Tensor<'l>)>; MAX_INPUTS],
}

impl<'l> NamedTensors<'l> {
    /// Creates the list of these tensors.
    pub fn of(tensors: &[(&'l str, Tensor<'l>)]) -> Result<Self> {
        let mut all = NamedTensors::default();
        tensors.iter().try_for_each(|(name, tensor)| all.push(name, *tensor))?;
        Ok(all)
    }

    /// Appends a tensor.
    pub fn push(&mut self, name: &'l str, tensor: Tensor<'l>) -> Result<()> {
        let free = self.list.iter_mut().find(|entry| entry.is_none());
        *free.ok_or_else(|| Error::usage(format!("a component takes at most {MAX_INPUTS} inputs")))? =
            Some((name, tensor));
        Ok(())
    }

    fn iter(&self) -> impl Iterator<Item = (&'l str, Tensor<'l>)> {
        self.list.iter().flatten().copied()
    }

    /// Returns a tensor.
    ///
    /// # Errors
    /// Returns an error if it is missing.
    pub fn get(&self, component: &str, name: &str) -> Result<Tensor<'l>> {
        let found = self.iter().find(|(other, _)| *other == name);
        found.map(|(_, tensor)| tensor).ok_or_else(|| missing(component, name))
    }

    /// Returns the tensors that a component declares, in its order.
    ///
    /// # Errors
    /// Returns an error if one is missing.
    pub fn in_order(&self, component: &str, declared: &'l [String]) -> Result<Self> {
        let mut ordered = NamedTensors::default();
        for name in declared {
            match self.iter().find(|(other, _)| other == name) {
                Some((_, tensor)) => ordered.push(name, tensor)?,
                None => return Err(missing(component, name)),
            }
        }
        Ok(ordered)
    }

    /// Returns the tensors, or `None` if there are none.
    pub fn array(&self) -> Option<TensorArray<'l>> {
        let first = self.list[0]?;
        Some((self.list.map(|entry| entry.unwrap_or(first)), self.iter().count()))
    }
}

/// Checks that a component declares inputs of these names.
///
/// # Errors
/// Returns an error that names the first other one.
pub(super) fn check_known<'n>(
    component: &str,
    declared: &[String],
    names: impl IntoIterator<Item = &'n str>,
) -> Result<()> {
    match names.into_iter().find(|name| !declared.iter().any(|other| other == name)) {
        None => Ok(()),
        Some(name) => Err(Error::usage(format!("{component} has no input \"{name}\""))
            .near_or_all(name, declared.iter().map(String::as_str))),
    }
}

/// Checks that further inputs of these names are those that a component declares.
///
/// # Errors
/// Returns an error that names the first unknown or missing one.
pub(super) fn check_further(component: &str, declared: &[String], names: &[&str]) -> Result<()> {
    if let Some(name) = names.iter().find(|name| !further_inputs(declared).any(|other| other == **name)) {
        let error = Error::usage(format!("{component} has no input \"{name}\" beside its usual ones"));
        return Err(error.near_or_all(name, declared.iter().map(String::as_str)));
    }
    let absent = further_inputs(declared).find(|name| !names.contains(name));
    absent.map_or(Ok(()), |name| Err(missing(component, name)))
}

/// Returns the error for an input that isn't given.
pub(crate) fn missing(component: &str, name: &str) -> Error {
    let error = Error::usage(format!("{component} needs the input \"{name}\""));
    if USUAL.contains(&name) {
        return error;
    }
    error.hint(format!(
        "give it by its name: {name}=… in a call, inputs={{\"{name}\": …}} in fit and evaluate, or {name} = \"COLUMN\" in \
         [data.inputs] of a run file"
    ))
}

/// Returns the error for a component that has no inputs.
pub(super) fn no_inputs(component: &str) -> Error {
    Error::usage(format!("{component} declares no inputs"))
}

#[cfg(test)]
mod tests {
    use plugfit_api::loss::{LossInfo, LossOutput, LossTotals};
    use plugfit_api::{Config, Host, Inputs, TensorMut};

    use super::*;
    use crate::Identifier;
    use crate::compile::{Compile, Output, Values};
    use crate::component::{Loss, Metric};

    /// The squared error times a factor of each row. The predictions aren't its second input.
    #[derive(Config)]
    struct Scaled;

    impl plugfit_api::loss::Loss for Scaled {
        fn info(&self) -> LossInfo {
            LossInfo { inputs: names(&["factor", "y_true", "y_pred"]), ..LossInfo::default() }
        }
        fn call(
            &self,
            inputs: &Inputs<'_>,
            output: &mut LossOutput<'_>,
            _: &Host<'_>,
        ) -> plugfit_api::Result<LossTotals> {
            assert!(inputs.tensors().iter().map(|(name, _)| *name).eq(["factor", "y_true", "y_pred"]));
            let (y_true, y_pred) = (inputs.y_true()?.f32s("y_true")?, inputs.y_pred()?.f32s("y_pred")?);
            let factor = inputs.get("factor")?.f32s("factor")?;
            let mut totals = LossTotals { count: y_pred.len() as f64, ..LossTotals::default() };
            for i in 0..y_pred.len() {
                let (error, upstream, scale) = (y_pred[i] - y_true[i], output.upstream(i), output.scale);
                totals.value += f64::from(upstream * factor[i] * error * error);
                totals.weight += f64::from(upstream);
                if let Some(gradient) = output.gradient(2)? {
                    gradient[i] = 2.0 * factor[i] * error * upstream * scale;
                }
            }
            Ok(totals)
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn identifier() -> Identifier {
        Identifier::from(plugfit_api::instance::loss(Scaled))
    }

    const Y_TRUE: [f32; 2] = [1.0, 2.0];
    const Y_PRED: [f32; 2] = [2.0, 5.0];
    const FACTOR: [f32; 2] = [10.0, 1.0];

    fn vector(values: &[f32; 2]) -> Tensor<'_> {
        Tensor::new(values, &[2, 1])
    }

    #[test]
    fn a_loss_gets_its_inputs_in_its_order() {
        let mut loss: Loss = crate::Host::empty().loss(identifier()).expect("it is made");
        let further = [("factor", vector(&FACTOR))];
        let mut gradient = [0.0_f32; 2];
        let mut target = TensorMut::new(&mut gradient, &[2, 1]);
        let pair = (vector(&Y_TRUE), vector(&Y_PRED));
        let value = loss.value_and_gradient_with(pair, &further, (None, None), 1.0, &mut target).expect("it fits");
        assert_eq!(value.scalar().expect("a number"), 9.5);
        assert_eq!(gradient, [10.0, 3.0]);
        let weight = Tensor::new(&[0.0_f32, 1.0], &[2]);
        let mut target = TensorMut::new(&mut gradient, &[2, 1]);
        let value = loss.value_and_gradient_with(pair, &further, (Some(weight), None), 1.0, &mut target);
        assert_eq!(value.expect("it fits").scalar().expect("a number"), 4.5);
        assert_eq!(gradient, [0.0, 3.0]);
        let error = loss.value(pair.0, pair.1, None, None).expect_err("no factor").to_string();
        assert!(error.contains("needs the input \"factor\"") && error.contains("[data.inputs]"), "{error}");
        let other = [("factor", vector(&FACTOR)), ("fctor", vector(&FACTOR))];
        let error = loss.value_with(pair.0, pair.1, &other, None, None).expect_err("no such input").to_string();
        assert!(error.contains("no input \"fctor\"") && error.contains("factor"), "{error}");
    }

    #[test]
    fn a_metric_gets_its_inputs_by_name_in_any_order() {
        let mut metric: Metric = crate::Host::empty().metric(identifier()).expect("it is made");
        let all = [("y_pred", vector(&Y_PRED)), ("factor", vector(&FACTOR)), ("y_true", vector(&Y_TRUE))];
        metric.update(&all, None, None).expect("it fits");
        assert_eq!(metric.result().expect("a result"), plugfit_api::metric::Outcome::Scalar(9.5));
        for missing in 0..3 {
            let others: Vec<_> = (0..3).filter(|index| *index != missing).map(|index| all[index]).collect();
            let error = metric.update(&others, None, None).expect_err("one is missing").to_string();
            assert!(error.contains(&format!("needs the input \"{}\"", all[missing].0)), "{error}");
        }
        assert!(metric.update_state(vector(&Y_TRUE), vector(&Y_PRED), None, None).is_err());
    }

    #[test]
    fn an_output_has_further_inputs_of_any_dtype() {
        let compile = Compile {
            optimizer: Identifier::none(),
            loss: identifier().into(),
            metrics: [identifier()].into(),
            ..Compile::default()
        };
        let mut compiled = crate::Host::empty().compile(compile).expect("it compiles");
        let factor = [10_i64, 1];
        let inputs = [("unused", Values::from(&factor[..])), ("factor", Values::from(&factor[..]))];
        let column = |values| Values::new::<f32>(values, &[2, 1]);
        let output = Output::new(column(&Y_TRUE), column(&Y_PRED)).with_inputs(&inputs);
        for _ in 0..2 {
            let (value, gradient) = compiled.value_and_gradient_of(&output).expect("it fits");
            assert_eq!((value, gradient.as_slice()), (9.5, Some(&[10.0, 3.0][..])));
            compiled.update_metrics_of(&[output]).expect("it fits");
        }
        assert!(compiled.value_and_gradient(column(&Y_TRUE), column(&Y_PRED)).is_err());
        compiled.check_inputs(&["factor"]).expect("these are all");
        assert!(compiled.check_inputs(&[]).is_err() && compiled.check_inputs(&["factor", "other"]).is_err());
    }
}
