//! Resolves identifiers to components of the loaded plug-ins.

use serde_json::{Map, Value, json};

use super::{Inner, read};
use crate::identifier::{Callable, Component, Identifier, Instance, ParsedIdentifier, Spec, Symbol};
use crate::plugin::{self, Kind, Nested, Resolve, Resolved};
use crate::text::{printable_line, printable_path};
use crate::{Error, Result, component};

/// A component, and the host's keys of its configuration.
pub struct Resolution {
    pub component: Resolved,
    pub base: Map<String, Value>,
}

impl Inner {
    /// Resolves an identifier. A loss can stand for a metric: the mean of its values.
    pub fn resolution(&self, kind: Kind, identifier: &Identifier) -> Result<Resolution> {
        match identifier.parse()? {
            ParsedIdentifier::Nothing => Err(Error::usage(format!(
                "{} {kind} was expected, none is given",
                if kind == Kind::Optimizer { "an" } else { "a" }
            ))),
            ParsedIdentifier::Name(class_name) => self.named(kind, Spec { class_name, config: Map::new() }),
            ParsedIdentifier::Config(spec) => self.named(kind, spec),
            ParsedIdentifier::Symbol(symbol) => self.symbol(kind, symbol),
            ParsedIdentifier::Instance(Instance { component, config }) => {
                let component = match component {
                    Component::Loss(loss) => Resolved::Loss(loss),
                    Component::Metric(metric) => Resolved::Metric(metric),
                    Component::Optimizer(optimizer) => Resolved::Optimizer(optimizer),
                    Component::Schedule(schedule) => Resolved::Schedule(schedule),
                    Component::Callable(callable) => return Ok(from_callable(&callable, config)),
                };
                Ok(Resolution { component, base: config })
            }
        }
    }

    fn named(&self, kind: Kind, spec: Spec) -> Result<Resolution> {
        let Spec { class_name, config } = spec;
        let (plugin, component, kind) = {
            let registry = read(&self.registry);
            // If no metric has this name, a loss with the name serves as a metric.
            let as_loss = kind == Kind::Metric
                && !registry.has(Kind::Metric, &class_name)
                && registry.has(Kind::Loss, &class_name);
            let kind = if as_loss { Kind::Loss } else { kind };
            let (plugin, component) = registry.find(kind, &class_name)?;
            (plugin.clone(), component.clone(), kind)
        };
        let (base, own) = component::split(kind, &component, config)?;
        let component = plugin.create(kind, &component, &own, &self.callbacks)?;
        Ok(Resolution { component, base })
    }

    fn symbol(&self, kind: Kind, symbol: Symbol) -> Result<Resolution> {
        let Symbol { library, symbol, mut config } = symbol;
        if !matches!(kind, Kind::Loss | Kind::Metric) {
            return Err(Error::usage(format!(
                "{}#{} is a function, and no {kind} is one",
                printable_path(&library),
                printable_line(&symbol)
            )));
        }
        let loss = plugin::symbol(&library, &symbol, &self.options)?;
        config.entry("name").or_insert_with(|| json!(symbol));
        Ok(Resolution { component: Resolved::Loss(loss), base: config })
    }
}

impl Resolve for Inner {
    /// Nested components have none of the host's keys: the component around them handles reduction, names and rates.
    fn resolve(&self, kind: Kind, identifier: &Value) -> Result<Resolved> {
        let identifier = Identifier::from(identifier.clone());
        if let ParsedIdentifier::Symbol(symbol) = identifier.parse()?
            && !symbol.library.is_absolute()
        {
            // The folder that the path is relative to isn't available here, and the working directory is arbitrary.
            return Err(Error::usage(format!("{identifier} is given to another component by a relative path"))
                .hint("write the library's path in full"));
        }
        let Resolution { component, .. } = self.resolution(kind, &identifier)?;
        match (&component, kind) {
            (Resolved::Loss(_), Kind::Loss)
            | (Resolved::Metric(_), Kind::Metric)
            | (Resolved::Optimizer(_), Kind::Optimizer)
            | (Resolved::Schedule(_), Kind::Schedule) => Ok(component),
            _ => Err(wrong_kind(&component, kind)),
        }
    }

    fn nested(&self, identifier: &Value) -> Result<Nested> {
        let identifier = Identifier::from(identifier.clone());
        let sets_rate = match identifier.parse()? {
            ParsedIdentifier::Config(spec) => ["learning_rate", "lr"].iter().any(|key| spec.config.contains_key(*key)),
            _ => false,
        };
        let Resolution { component, base } = self.resolution(Kind::Optimizer, &identifier)?;
        match component {
            Resolved::Optimizer(optimizer) => component::nested(optimizer, base, sets_rate, self),
            other => Err(wrong_kind(&other, Kind::Optimizer)),
        }
    }
}

fn from_callable(callable: &Callable, mut base: Map<String, Value>) -> Resolution {
    base.entry("name").or_insert_with(|| json!(callable.name()));
    Resolution { component: Resolved::Loss(callable.to_loss()), base }
}

/// Returns the error for a component of the wrong kind.
pub fn wrong_kind(found: &Resolved, wanted: Kind) -> Error {
    let (name, kind) = match found {
        Resolved::Loss(loss) => (loss.name(), Kind::Loss),
        Resolved::Metric(metric) => (metric.name(), Kind::Metric),
        Resolved::Optimizer(optimizer) => (optimizer.name(), Kind::Optimizer),
        Resolved::Schedule(schedule) => (schedule.name(), Kind::Schedule),
    };
    Error::usage(format!("\"{name}\" is one of the {}, but one of the {} was expected", kind.plural(), wanted.plural()))
}
