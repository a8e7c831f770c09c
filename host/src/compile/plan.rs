//! Resolves identifiers to components, when the outputs and their shapes are known.

use std::collections::HashMap;

use plugfit_api::loss::LossInfo;

use super::Compile;
use super::accuracy_and_crossentropy::{Auto, OutputShapes, crossentropy};
use super::components::Components;
use super::names::{Unnamed, columns};
use super::outputs::{LossChoice, Outputs};
use super::parts::{CompiledLoss, CompiledMetric};
use super::place::at;
use super::tree::Placed;
use crate::component::DtypeCache;
use crate::identifier::ParsedIdentifier;
use crate::text::snake_case;
use crate::{Identifier, Result, component};

/// The losses and metrics of a model's outputs.
#[derive(Debug)]
pub(super) struct Plan {
    pub losses: Vec<CompiledLoss>,
    /// The metrics, then the weighted metrics, each in the order of the outputs.
    pub metrics: Vec<CompiledMetric>,
    /// The dtype cache of each output.
    pub caches: Vec<DtypeCache>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

impl Plan {
    /// Resolves every identifier.
    pub fn new(host: &dyn Components, compile: &Compile, shapes: &[OutputShapes<'_>]) -> Result<Self> {
        let outputs = Outputs { names: &compile.outputs, count: shapes.len() };
        let mut notes = Vec::new();
        let mut losses = Vec::new();
        for (output, choices) in outputs.losses(&compile.loss, &compile.loss_weights)?.into_iter().enumerate() {
            for choice in choices {
                losses.push(loss_part(host, &choice, output, outputs, shapes[output])?);
            }
        }
        if shapes.len() == 1 && losses.len() > 1 {
            // As in Keras, which lists the other losses in its log with the value 0.
            losses.iter_mut().skip(1).for_each(|loss| loss.counts = false);
            notes.push(format!(
                "compile.loss lists {} losses for one output: as in Keras, only the first is used",
                losses.len()
            ));
        }
        let mut numbers = HashMap::new();
        let mut metrics = Vec::new();
        for (argument, given, weighted) in
            [("metrics", &compile.metrics, false), ("weighted_metrics", &compile.weighted_metrics, true)]
        {
            for (output, placed) in outputs.metrics(given, argument)?.into_iter().enumerate() {
                let info = losses.iter().find(|loss| loss.output == output).map(|loss| loss.loss.info().clone());
                for placed in placed {
                    let metric = metric(host, &placed, info.as_ref(), shapes[output], &mut numbers)?;
                    metrics.push(CompiledMetric::new(metric, output, weighted, host.continue_on_crash()));
                }
            }
        }
        name_columns(&mut metrics, outputs);
        let caches = shapes.iter().map(|_| DtypeCache::default()).collect();
        Ok(Plan { losses, metrics, caches, notes })
    }

    /// Returns whether each loss has its own column: true if there are several.
    pub fn lists_losses(&self) -> bool {
        self.losses.len() > 1
    }
}

/// Checks what can be checked before the outputs are known, so that a misspelled name is reported early.
pub(super) fn check(host: &dyn Components, compile: &Compile) -> Result<()> {
    for placed in compile.loss.placed("compile.loss") {
        if !placed.identifier.is_none() && !is_auto(&placed.identifier, Some(Auto::Crossentropy)) {
            at(&placed.place, host.loss(placed.identifier))?;
        }
    }
    for (argument, metrics) in
        [("compile.metrics", &compile.metrics), ("compile.weighted_metrics", &compile.weighted_metrics)]
    {
        for placed in metrics.placed(argument) {
            if !placed.identifier.is_none() && !is_auto(&placed.identifier, None) {
                at(&placed.place, host.metric(placed.identifier))?;
            }
        }
    }
    if !compile.outputs.is_empty() {
        let outputs = Outputs { names: &compile.outputs, count: compile.outputs.len() };
        outputs.losses(&compile.loss, &compile.loss_weights)?;
        outputs.metrics(&compile.metrics, "metrics")?;
        outputs.metrics(&compile.weighted_metrics, "weighted_metrics")?;
    }
    Ok(())
}

fn is_auto(identifier: &Identifier, only: Option<Auto>) -> bool {
    match identifier.parse() {
        Ok(ParsedIdentifier::Name(name)) => {
            Auto::from_name(&name).is_some_and(|auto| only.is_none_or(|only| auto == only))
        }
        _ => false,
    }
}

fn loss_part(
    host: &dyn Components,
    choice: &LossChoice,
    output: usize,
    outputs: Outputs<'_>,
    shapes: OutputShapes<'_>,
) -> Result<CompiledLoss> {
    let Placed { place, identifier } = &choice.placed;
    let identifier = match at(place, identifier.parse())? {
        ParsedIdentifier::Name(name) if Auto::from_name(&name) == Some(Auto::Crossentropy) => {
            Identifier::from(at(place, crossentropy(shapes))?).with("name", name)
        }
        ParsedIdentifier::Name(name) => identifier.clone().with("name", short(&name)),
        _ => identifier.clone(),
    };
    let loss = at(place, host.loss(identifier))?;
    let label = match outputs.names.get(output) {
        Some(name) => name.clone(),
        None if outputs.count == 1 => loss.name().to_owned(),
        None => output_name(output),
    };
    Ok(CompiledLoss::new(loss, place.clone(), output, choice.weight, label))
}

fn metric(
    host: &dyn Components,
    placed: &Placed,
    loss: Option<&LossInfo>,
    shapes: OutputShapes<'_>,
    numbers: &mut HashMap<String, usize>,
) -> Result<component::Metric> {
    let Placed { place, identifier } = placed;
    let meaning = at(place, identifier.parse())?;
    let identifier = match &meaning {
        ParsedIdentifier::Name(name) => match Auto::from_name(name) {
            Some(auto) => Identifier::from(at(place, auto.metric(loss, shapes))?).with("name", name.clone()),
            None => identifier.clone().with("name", short(name)),
        },
        // Keras numbers the unnamed objects of some classes (auc, auc_1) across all outputs.
        ParsedIdentifier::Config(spec) if !spec.config.contains_key("name") && host.numbers_names(&spec.class_name) => {
            let name = snake_case(short(&spec.class_name));
            let number = numbers.entry(name.clone()).or_default();
            let numbered = if *number == 0 { name } else { format!("{name}_{number}") };
            *number += 1;
            identifier.clone().with("name", numbered)
        }
        _ => identifier.clone(),
    };
    at(place, host.metric(identifier))
}

/// Returns the name without its package.
fn short(name: &str) -> &str {
    name.rsplit_once('>').map_or(name, |(_, short)| short)
}

fn output_name(index: usize) -> String {
    format!("output_{}", index + 1)
}

fn name_columns(metrics: &mut [CompiledMetric], outputs: Outputs<'_>) {
    let prefixes: Vec<Option<String>> = (0..outputs.count)
        .map(|index| {
            let name = || outputs.names.get(index).cloned().unwrap_or_else(|| output_name(index));
            (outputs.count > 1).then(name)
        })
        .collect();
    let unnamed: Vec<Unnamed<'_>> = metrics
        .iter()
        .map(|part| Unnamed {
            output: prefixes[part.output].as_deref(),
            metric: part.metric.name(),
            weighted: part.weighted,
        })
        .collect();
    let columns = columns(&unnamed);
    for (part, column) in metrics.iter_mut().zip(columns) {
        part.column = column;
    }
}
