//! `plugfit show --formula`: prints the formula of a component.

use serde_json::json;

use super::{Common, event, print};
use crate::formula::Formula;
use crate::identifier::ParsedIdentifier;
use crate::plugin::Kind;
use crate::{Error, Host, Identifier, Result};

/// Returns the name of the class that an identifier such as "Huber(delta=2)" names.
pub fn class_name(identifier: &str) -> Result<String> {
    match Identifier::from(identifier).parse()? {
        ParsedIdentifier::Name(class_name) => Ok(class_name),
        ParsedIdentifier::Config(spec) => Ok(spec.class_name),
        _ => Err(Error::usage(format!("\"{identifier}\" isn't the name of a component"))),
    }
}

/// Prints the formulas of the components of these kinds that an identifier names.
///
/// # Errors
/// Returns an error if a component can't be created, or none has a formula.
pub fn show(host: &Host, kinds: &[Kind], name: &str, latex: bool, common: &Common) -> Result<()> {
    let mut reasons = Vec::new();
    let mut shown = 0;
    for &kind in kinds {
        match formula(host, kind, name)? {
            Ok(formula) => {
                let text = formula.explain(latex);
                if common.json {
                    let document = formula.to_json();
                    event(
                        "formula",
                        json!({"kind": kind.to_string(), "name": name, "text": text, "formula": document}),
                    );
                } else {
                    print(&page(kind, name, &text, latex, shown > 0));
                }
                shown += 1;
            }
            Err(reason) => reasons.push((kind, reason)),
        }
    }
    if shown > 0 {
        return Ok(());
    }
    let mut error = Error::failure(format!("{name} has no formula"));
    for (kind, reason) in reasons {
        error = error.hint(format!("the {kind}: {reason}"));
    }
    Err(error)
}

/// Returns the formula of a new component: that of a loss with its derivatives.
fn formula(host: &Host, kind: Kind, identifier: &str) -> Result<std::result::Result<Formula, String>> {
    Ok(match kind {
        Kind::Loss => match host.loss(identifier)?.formula()? {
            Ok(formula) => Ok(formula.with_derivatives()?),
            none => none,
        },
        Kind::Metric => host.metric(identifier)?.formula()?.map(|formula| formula.simplify()),
        Kind::Optimizer => host.optimizer(identifier)?.formula()?.map(|formula| formula.simplify()),
        Kind::Schedule => host.schedule(identifier)?.formula()?.map(|formula| formula.simplify()),
    })
}

/// Returns the formula below a line that names the component; in LaTeX that line is a comment.
fn page(kind: Kind, name: &str, text: &str, latex: bool, follows: bool) -> String {
    let between = if follows { "\n" } else { "" };
    if latex {
        return format!("{between}% {name}  {kind}\n{text}\n");
    }
    let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
    format!("{between}{name}  {kind}\n{indented}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_follows_the_name_of_its_component() {
        let page = |latex, follows| page(Kind::Loss, "Mine(a=1)", "a = y\nvalue = a", latex, follows);
        assert_eq!(page(false, false), "Mine(a=1)  loss\n  a = y\n  value = a\n");
        assert_eq!(page(true, true), "\n% Mine(a=1)  loss\na = y\nvalue = a\n");
    }
}
