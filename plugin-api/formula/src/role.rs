//! The inputs and outputs that the formula of each kind of components has.

use super::node::{Level, Node};
use super::{Formula, Operation, ReadError};

/// The kind of component that a formula describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A loss.
    Loss,
    /// A metric that is the mean of a value.
    Metric,
    /// An optimizer that updates each parameter by itself.
    Optimizer,
    /// A learning-rate schedule.
    Schedule,
}

impl Formula {
    /// Checks that the formula has the inputs and outputs of a kind of components.
    ///
    /// # Errors
    /// Returns [`ReadError::Unknown`] for an input that this program doesn't know, and [`ReadError::Invalid`] if an
    /// input or output is missing or has the wrong level.
    pub fn check_role(&self, role: Role) -> Result<(), ReadError> {
        match role {
            Role::Loss => self.check_loss(false),
            Role::Metric => self.check_metric(),
            Role::Optimizer => self.check_optimizer(),
            Role::Schedule => self.check_schedule(),
        }?;
        match self.nodes.iter().find(|node| node.operation.is_of_sums()) {
            Some(node) => invalid(format!("{} is only for the result of sums", node.operation.name())),
            None => Ok(()),
        }
    }

    fn check_metric(&self) -> Result<(), ReadError> {
        match self.sums() {
            None => self.check_loss(true),
            Some(sums) => {
                self.check_batch_inputs(true)?;
                self.check_sums(sums)
            }
        }
    }

    fn check_loss(&self, is_metric: bool) -> Result<(), ReadError> {
        self.check_batch_inputs(is_metric)?;
        self.require_output("value")?;
        self.check_result()
    }

    fn check_batch_inputs(&self, is_metric: bool) -> Result<(), ReadError> {
        let is_of_values = is_metric && self.input("y_pred").or(self.input("y_true")).is_none();
        for input in &self.inputs {
            match (input.name.as_str(), input.level) {
                ("y_true", Level::Row | Level::Element) | ("y_pred", Level::Element) => {}
                ("mean", Level::Scalar) if is_metric => {}
                ("values", Level::Element) if is_of_values => {}
                ("y_true" | "y_pred" | "mean", level) if is_metric || input.name != "mean" => {
                    return Err(wrong_level("input", &input.name, level));
                }
                _ => return Err(unknown_input(&input.name)),
            }
        }
        Ok(())
    }

    fn check_optimizer(&self) -> Result<(), ReadError> {
        for input in &self.inputs {
            match (input.name.as_str(), input.level) {
                ("learning_rate" | "number", Level::Scalar) | ("parameter" | "gradient", Level::Element) => {}
                ("learning_rate" | "number" | "parameter" | "gradient", level) => {
                    return Err(wrong_level("input", &input.name, level));
                }
                (name, level) => match name.strip_prefix("slot.") {
                    Some(slot) if self.slots.iter().any(|found| found.name == slot) => {
                        if level == Level::Row {
                            return Err(wrong_level("input", name, level));
                        }
                    }
                    _ => return Err(unknown_input(name)),
                },
            }
        }
        self.require_output("parameter")?;
        for slot in &self.slots {
            let name = format!("slot.{}", slot.name);
            let Some(input) = self.input(&name) else {
                return Err(ReadError::Invalid(format!("the slot {:?} isn't an input", slot.name)));
            };
            self.require_output(&name)?;
            let level = self.output(&name).map(|node| self.nodes[node].level);
            if let Some(level) = level.filter(|&level| level > self.inputs[input].level) {
                return Err(wrong_level("output", &name, level));
            }
        }
        Ok(())
    }

    fn check_schedule(&self) -> Result<(), ReadError> {
        for input in &self.inputs {
            match (input.name.as_str(), input.level) {
                ("step", Level::Scalar) => {}
                ("step", level) => return Err(wrong_level("input", "step", level)),
                _ => return Err(unknown_input(&input.name)),
            }
        }
        self.require_output("learning_rate")?;
        let of_rows = |node: &Node| {
            node.level > Level::Scalar || matches!(node.operation, Operation::RowLength | Operation::BatchAll(_))
        };
        match self.nodes.iter().any(of_rows) {
            true => Err(ReadError::Invalid("the formula of a schedule has rows".into())),
            false => Ok(()),
        }
    }

    /// Checks that the result of a metric depends only on the mean.
    fn check_result(&self) -> Result<(), ReadError> {
        let Some(result) = self.output("result") else { return Ok(()) };
        let mut needed = vec![false; self.nodes.len()];
        needed[result] = true;
        for at in (0..=result).rev() {
            match self.nodes[at].operation {
                _ if !needed[at] => {}
                Operation::Input(input) if self.inputs[input].name != "mean" => {
                    return Err(ReadError::Invalid("the result depends on more than the mean".into()));
                }
                Operation::RowLength | Operation::Index => {
                    return Err(ReadError::Invalid("the result depends on rows".into()));
                }
                operation => operation.arguments().for_each(|argument| needed[argument] = true),
            }
        }
        Ok(())
    }

    fn require_output(&self, name: &str) -> Result<(), ReadError> {
        match self.output(name) {
            Some(_) => Ok(()),
            None => Err(ReadError::Invalid(format!("the formula has no output {name:?}"))),
        }
    }
}

fn invalid<T>(message: String) -> Result<T, ReadError> {
    Err(ReadError::Invalid(message))
}

fn unknown_input(name: &str) -> ReadError {
    ReadError::Unknown(format!("this program doesn't know the input {name:?}"))
}

fn wrong_level(what: &str, name: &str, level: Level) -> ReadError {
    ReadError::Invalid(format!("the {what} {name:?} has the level {}", level.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(role: Role, document: &str) -> Result<(), ReadError> {
        Formula::read(&format!(r#"{{"version": 1, {document}}}"#)).unwrap().check_role(role)
    }

    #[test]
    fn each_kind_has_its_inputs_and_outputs() {
        let loss = r#""inputs": [["y_true", "row"], ["y_pred", "element"]], "nodes": [["at", 1, 0]], "outputs": [["value", 2]]"#;
        let optimizer = r#""inputs": [["parameter", "element"], ["slot.m", "element"]], "nodes": [],
            "outputs": [["parameter", 0], ["slot.m", 1]], "slots": [["m", "0000000000000000"]]"#;
        let schedule = r#""inputs": [["step", "scalar"]], "nodes": [], "outputs": [["learning_rate", 0]]"#;
        check(Role::Loss, loss).unwrap();
        check(Role::Metric, loss).unwrap();
        check(Role::Optimizer, optimizer).unwrap();
        check(Role::Schedule, schedule).unwrap();
        for (role, document) in [(Role::Schedule, loss), (Role::Loss, optimizer), (Role::Optimizer, schedule)] {
            assert!(matches!(check(role, document), Err(ReadError::Unknown(_))));
        }
        for (role, document) in [
            (Role::Loss, loss.replace("value", "loss")),
            (Role::Loss, r#""inputs": [["y_true", "scalar"]], "nodes": [], "outputs": [["value", 0]]"#.to_owned()),
            (Role::Optimizer, optimizer.replace(r#", ["slot.m", 1]"#, "")),
            (
                Role::Optimizer,
                optimizer
                    .replace(r#"["slot.m", "element"]"#, r#"["slot.m", "scalar"]"#)
                    .replace(r#"["slot.m", 1]"#, r#"["slot.m", 0]"#),
            ),
            (Role::Schedule, schedule.replace("scalar", "row")),
        ] {
            assert!(matches!(check(role, &document), Err(ReadError::Invalid(_))), "{document}");
        }
    }
}
