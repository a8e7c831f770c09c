//! Reads the document of a formula, which may be hostile.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::node::{Kind, Level, Node};
use super::operation::{Binary, Comparison, Constant, Logic, Operation, PartialSum, Power, Reduction, Unary};
use super::{Each, Formula, Input, MAX_BINS, MAX_LENGTH, MAX_NAME_LENGTH, MAX_NAMES, MAX_NODES, Output, Slot, Sums};

/// The version of documents that this module reads and writes.
pub(super) const VERSION: u64 = 1;

/// The reason why a document can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// It has an operation or a version that this program doesn't know. A newer program may know it.
    Unknown(String),
    /// It isn't a formula.
    Invalid(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Unknown(message) | ReadError::Invalid(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ReadError {}

fn invalid<T>(message: impl Into<String>) -> Result<T, ReadError> {
    Err(ReadError::Invalid(message.into()))
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

impl Version {
    fn check(&self) -> Result<(), ReadError> {
        match self.version {
            VERSION => Ok(()),
            0 => invalid("the formula has the version 0"),
            version => {
                let message = format!("the formula has the version {version}, and this program reads {VERSION}");
                Err(ReadError::Unknown(message))
            }
        }
    }
}

#[derive(Deserialize)]
struct Document {
    inputs: Vec<(String, String)>,
    nodes: Vec<Vec<Value>>,
    outputs: Vec<(String, usize)>,
    #[serde(default)]
    axis: Option<i64>,
    #[serde(default)]
    each: Option<String>,
    #[serde(default)]
    slots: Vec<(String, String)>,
    #[serde(default)]
    sums: Option<SumsDocument>,
}

#[derive(Deserialize)]
struct SumsDocument {
    #[serde(default = "one")]
    bins: usize,
    #[serde(default)]
    by_column: bool,
    #[serde(default)]
    result_length: Option<usize>,
    result: Value,
}

fn one() -> usize {
    1
}

impl Formula {
    /// Reads and checks a document. An absent `axis` means that the whole batch is one row, as null does.
    ///
    /// # Errors
    /// Returns [`ReadError::Unknown`] for an operation or a version that this program doesn't know, and
    /// [`ReadError::Invalid`] for a document that is no formula.
    pub fn read(text: &str) -> Result<Formula, ReadError> {
        if text.len() > MAX_LENGTH {
            return invalid(format!("the formula has {} bytes, of which at most {MAX_LENGTH} are read", text.len()));
        }
        parse::<Version>(text)?.check()?;
        Formula::of_document(parse(text)?)
    }

    fn of_document(document: Document) -> Result<Formula, ReadError> {
        check_count(document.inputs.len(), MAX_NAMES, "inputs")?;
        check_count(document.outputs.len(), MAX_NAMES, "outputs")?;
        check_count(document.slots.len(), MAX_NAMES, "slots")?;
        check_count(document.inputs.len() + document.nodes.len(), MAX_NODES, "nodes")?;

        let inputs = document.inputs.into_iter().map(|(name, level)| match Level::from_name(&level) {
            Some(level) => Ok(Input { name, level }),
            None => invalid(format!("the input {name:?} has the level {}, which doesn't exist", quoted(&level))),
        });
        let inputs: Vec<Input> = inputs.collect::<Result<_, _>>()?;
        check_names(inputs.iter().map(|input| &input.name), "input")?;
        let levels: Vec<Level> = inputs.iter().map(|input| input.level).collect();

        let mut nodes: Vec<Node> = Vec::with_capacity(inputs.len() + document.nodes.len());
        let operations = (0..inputs.len()).map(|input| Ok(Operation::Input(input)));
        for operation in operations.chain(document.nodes.iter().map(|entry| operation(entry))) {
            let at = nodes.len();
            let node =
                operation.and_then(|operation| Node::new(operation, &nodes, &levels).map_err(ReadError::Invalid));
            nodes.push(node.map_err(|error| match error {
                ReadError::Unknown(message) => ReadError::Unknown(format!("node {at}: {message}")),
                ReadError::Invalid(message) => ReadError::Invalid(format!("node {at}: {message}")),
            })?);
        }

        let outputs: Vec<Output> = document.outputs.into_iter().map(|(name, node)| Output { name, node }).collect();
        check_names(outputs.iter().map(|output| &output.name), "output")?;
        for Output { name, node } in &outputs {
            match nodes.get(*node).map(|node| node.kind) {
                Some(Kind::Number) => {}
                Some(Kind::Mask) => return invalid(format!("the output {name:?} is a mask, not a number")),
                None => return invalid(format!("the output {name:?} is node {node}, which doesn't exist")),
            }
        }

        let slots = document.slots.into_iter().map(|(name, digits)| match Constant::from_digits(&digits) {
            Some(initial) => Ok(Slot { name, initial }),
            None => {
                invalid(format!("the slot {name:?} starts at {}, which isn't 16 hexadecimal digits", quoted(&digits)))
            }
        });
        let slots: Vec<Slot> = slots.collect::<Result<_, _>>()?;
        check_names(slots.iter().map(|slot| &slot.name), "slot")?;
        let each = match document.each.as_deref() {
            None => None,
            Some(name) => match Each::from_name(name) {
                None => return Err(ReadError::Unknown(format!("the unit {} isn't known", quoted(name)))),
                known => known,
            },
        };
        let sums = document.sums.map(sums).transpose()?.map(Box::new);
        Ok(Formula { inputs, nodes, outputs, axis: document.axis, each, slots, sums })
    }
}

fn sums(document: SumsDocument) -> Result<Sums, ReadError> {
    let SumsDocument { bins, by_column, result_length, result } = document;
    if !(1..=MAX_BINS).contains(&bins) {
        return invalid(format!("the sums have {bins} bins, not 1 to {MAX_BINS}"));
    }
    deserialize::<Version>(result.clone())?.check()?;
    let result: Document = deserialize(result)?;
    if result.sums.is_some() {
        return invalid("the result of sums has sums itself");
    }
    Ok(Sums { bins, by_column, result_length, result: Formula::of_document(result)? })
}

fn deserialize<T: DeserializeOwned>(value: Value) -> Result<T, ReadError> {
    serde_json::from_value(value)
        .or_else(|error| invalid(format!("the result of the sums can't be read: {}", shown(&error.to_string()))))
}

fn parse<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, ReadError> {
    serde_json::from_str(text)
        .or_else(|error| invalid(format!("the formula can't be read: {}", shown(&error.to_string()))))
}

fn is_printable(c: char) -> bool {
    c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric()
}

/// Returns as much of a text from the document as is shown.
fn shown(text: &str) -> String {
    let printable = |c: char| if is_printable(c) { c } else { '\u{fffd}' };
    let shown: String = text.chars().take(256).map(printable).collect();
    if shown.len() < text.len() { shown + "…" } else { shown }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

fn check_count(found: usize, most: usize, what: &str) -> Result<(), ReadError> {
    match found > most {
        true => invalid(format!("the formula has {found} {what}, of which at most {most} are read")),
        false => Ok(()),
    }
}

fn check_names<'n>(names: impl Iterator<Item = &'n String>, what: &str) -> Result<(), ReadError> {
    let mut known = HashSet::new();
    for name in names {
        if name.is_empty() || name.len() > MAX_NAME_LENGTH {
            return invalid(format!("the name of the {what} has {} bytes, not 1 to {MAX_NAME_LENGTH}", name.len()));
        }
        // Neither control characters nor those that change the direction of text are printable in a message.
        if !name.chars().all(is_printable) {
            return invalid(format!("the name of the {what} has characters that can't be printed: {name:?}"));
        }
        if !known.insert(name) {
            return invalid(format!("two of its {what}s are called {name:?}"));
        }
    }
    Ok(())
}

/// Reads an entry of `nodes`.
fn operation(entry: &[Value]) -> Result<Operation, ReadError> {
    let Some((Value::String(name), arguments)) = entry.split_first() else {
        return invalid("it doesn't begin with the name of an operation");
    };
    let mut arguments = Arguments { name, found: arguments, read: 0 };
    let operation = arguments.operation()?;
    match arguments.read == arguments.found.len() {
        true => Ok(operation),
        false => arguments.wrong_number(arguments.read),
    }
}

/// The arguments of an operation, which are read in order.
struct Arguments<'d> {
    name: &'d str,
    found: &'d [Value],
    read: usize,
}

impl Arguments<'_> {
    fn operation(&mut self) -> Result<Operation, ReadError> {
        let name = self.name;
        if let Some(unary) = Unary::from_name(name) {
            return Ok(Operation::Unary(unary, self.node()?));
        }
        if let Some(binary) = Binary::from_name(name) {
            return Ok(Operation::Binary(binary, self.node()?, self.node()?));
        }
        if let Some(comparison) = Comparison::from_name(name) {
            return Ok(Operation::Compare(comparison, self.node()?, self.node()?));
        }
        if let Some(logic) = Logic::from_name(name) {
            return Ok(Operation::Logic(logic, self.node()?, self.node()?));
        }
        if let Some(reduction) = Reduction::from_name(name) {
            return Ok(Operation::Reduce(reduction, self.node()?));
        }
        if let Some(sum) = PartialSum::from_name(name) {
            return Ok(Operation::PartialSum(sum, self.node()?));
        }
        if let Some(power) = Power::from_name(name) {
            let (x, exponent) = (self.node()?, self.constant()?);
            return match power == Power::Whole && !is_whole(exponent.value()) {
                true => invalid(format!("{name} has the exponent {exponent:?}, not a whole number of 32 bits")),
                false => Ok(Operation::Power(power, x, exponent)),
            };
        }
        Ok(match name {
            "const" => Operation::Constant(self.constant()?),
            "not" => Operation::Not(self.node()?),
            "batch_all" => Operation::BatchAll(self.node()?),
            "batch_sum" => Operation::BatchSum(self.node()?),
            "select" => Operation::Select(self.node()?, self.node()?, self.node()?),
            "row_len" => Operation::RowLength,
            "index" => Operation::Index,
            "at" => Operation::At(self.node()?, self.node()?),
            _ => return Err(ReadError::Unknown(format!("this program doesn't know the operation {}", quoted(name)))),
        })
    }

    fn next(&mut self) -> Result<&Value, ReadError> {
        self.read += 1;
        match self.found.get(self.read - 1) {
            Some(argument) => Ok(argument),
            None => self.wrong_number(self.read),
        }
    }

    fn node(&mut self) -> Result<usize, ReadError> {
        let (name, argument) = (self.name, self.next()?);
        match argument.as_u64().and_then(|number| usize::try_from(number).ok()) {
            Some(number) => Ok(number),
            None => invalid(format!("{name} takes the number of a node, not {}", shown(&argument.to_string()))),
        }
    }

    fn constant(&mut self) -> Result<Constant, ReadError> {
        let (name, argument) = (self.name, self.next()?);
        match argument.as_str().and_then(Constant::from_digits) {
            Some(constant) => Ok(constant),
            None => invalid(format!("{name} takes 16 hexadecimal digits, not {}", shown(&argument.to_string()))),
        }
    }

    fn wrong_number<T>(&self, taken: usize) -> Result<T, ReadError> {
        let arguments = self.found.len();
        match arguments > taken {
            true => invalid(format!("{} has {arguments} arguments, but takes {taken}", self.name)),
            false => invalid(format!("{} has too few arguments: {arguments}", self.name)),
        }
    }
}

fn is_whole(exponent: f64) -> bool {
    exponent.trunc() == exponent && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: &str = r#"{
        "version": 1,
        "inputs": [["y_true", "element"], ["y_pred", "element"]],
        "nodes": [["sub", 1, 0], ["mul", 2, 2], ["add", 2, 2]],
        "outputs": [["value", 3], ["derivative", 4]],
        "axis": -1,
        "added_later": {"a": [1]}
    }"#;

    /// Returns the error for a document with these nodes after a scalar, a row and an element.
    fn error(nodes: &str) -> ReadError {
        let text = format!(
            r#"{{"version": 1, "inputs": [["s", "scalar"], ["r", "row"], ["e", "element"]], "nodes": [{nodes}], "outputs": []}}"#
        );
        Formula::read(&text).unwrap_err()
    }

    fn message(nodes: &str) -> String {
        match error(nodes) {
            ReadError::Invalid(message) => message,
            unknown => panic!("{unknown:?}"),
        }
    }

    #[test]
    fn a_document_is_read_with_levels_and_kinds() {
        let formula = Formula::read(SQUARE).unwrap();
        assert_eq!((formula.nodes().len(), formula.axis(), formula.output("value")), (5, Some(-1), Some(3)));
        assert!(formula.nodes().iter().all(|node| (node.kind, node.level) == (Kind::Number, Level::Element)));
        let text = r#"{"version": 1, "inputs": [["i", "row"], ["x", "element"]], "outputs": [["a", 7]], "slots": [["m", "3ff0000000000000"]],
            "nodes": [["row_sum", 1], ["at", 1, 0], ["row_len"], ["lt", 2, 4], ["const", "7ff8000000000000"], ["select", 5, 6, 3], ["index"]]}"#;
        let formula = Formula::read(text).unwrap();
        let levels = formula.nodes().iter().map(|node| node.level);
        use Level::{Element, Row, Scalar};
        assert!(levels.eq([Row, Element, Row, Row, Scalar, Row, Scalar, Row, Element]));
        assert_eq!(formula.nodes()[5].kind, Kind::Mask);
        assert_eq!((formula.axis(), formula.slots()[0].initial.value()), (None, 1.0));
    }

    #[test]
    fn what_a_newer_plugfit_wrote_is_unknown_rather_than_invalid() {
        let newer = Formula::read(r#"{"version": 2, "nodes": "other"}"#).unwrap_err();
        assert_eq!(newer, ReadError::Unknown("the formula has the version 2, and this program reads 1".into()));
        let unknown = error(r#"["neg", 0], ["erf\u001b[2J", 3]"#);
        let message = "node 4: this program doesn't know the operation \"erf\u{fffd}[2J\"";
        assert_eq!(unknown, ReadError::Unknown(message.into()));
        assert!(matches!(Formula::read(r#"{"version": 0}"#), Err(ReadError::Invalid(_))));
    }

    #[test]
    fn an_invalid_node_is_reported_with_its_number() {
        for (nodes, expected) in [
            (r#"["neg", 3]"#, "node 3: the argument 3 of neg isn't an earlier node"),
            (r#"["add", 0]"#, "node 3: add has too few arguments: 1"),
            (r#"["add", 0, 0, 0]"#, "node 3: add has 3 arguments, but takes 2"),
            (r#"["add", 0, -1]"#, "node 3: add takes the number of a node, not -1"),
            (r#"["add", 0, 1.0]"#, "node 3: add takes the number of a node, not 1.0"),
            (r#"["const", 1]"#, "node 3: const takes 16 hexadecimal digits, not 1"),
            (r#"["const", "+ff0000000000000"]"#, "node 3: const takes 16 hexadecimal digits, not \"+ff0000000000000\""),
            (r#"["powi", 0, "3fe0000000000000"]"#, "node 3: powi has the exponent 0.5, not a whole number of 32 bits"),
            (r#"["powi", 0, "7ff8000000000000"]"#, "node 3: powi has the exponent NaN, not a whole number of 32 bits"),
            (r#"["lt", 0, 0], ["neg", 3]"#, "node 4: the argument 3 of neg is a mask, not a number"),
            (r#"["select", 0, 0, 0]"#, "node 3: the argument 0 of select is a number, not a mask"),
            (r#"["not", 0]"#, "node 3: the argument 0 of not is a number, not a mask"),
            (r#"["row_sum", 1]"#, "node 3: the argument 1 of row_sum is of the level row, not element"),
            (r#"["row_max", 0]"#, "node 3: the argument 0 of row_max is of the level scalar, not element"),
            (r#"["at", 2, 2]"#, "node 3: the argument 2 of at is of the level element, not row"),
            (r#"[]"#, "node 3: it doesn't begin with the name of an operation"),
            (r#"[3]"#, "node 3: it doesn't begin with the name of an operation"),
        ] {
            assert_eq!(message(nodes), expected);
        }
    }

    #[test]
    fn names_and_outputs_are_checked() {
        let read = |inputs: &str, outputs: &str| {
            Formula::read(&format!(
                r#"{{"version": 1, "inputs": [{inputs}], "nodes": [["lt", 0, 0]], "outputs": [{outputs}]}}"#
            ))
        };
        let long = format!(r#"["{}", "row"]"#, "x".repeat(129));
        for (inputs, outputs) in [
            (r#"["a", "row"], ["a", "row"]"#, ""),
            (r#"["a", "rows"]"#, ""),
            (r#"["", "row"]"#, ""),
            (r#"["a\u001b", "row"]"#, ""),
            (r#"["a\u202e", "row"]"#, ""),
            (&long, ""),
            (r#"["a", "row"]"#, r#"["v", 1]"#),
            (r#"["a", "row"]"#, r#"["v", 2]"#),
            (r#"["a", "row"]"#, r#"["v", 0], ["v", 0]"#),
        ] {
            assert!(matches!(read(inputs, outputs), Err(ReadError::Invalid(_))), "{inputs} {outputs}");
        }
        assert!(read(r#"["a", "row"]"#, r#"["v", 0]"#).is_ok());
    }

    #[test]
    fn amounts_are_bounded() {
        let document = |inputs: usize, nodes: usize| {
            let inputs: Vec<_> = (0..inputs).map(|i| format!(r#"["i{i}", "row"]"#)).collect();
            let nodes = vec![r#"["row_len"]"#; nodes].join(",");
            format!(r#"{{"version": 1, "inputs": [{}], "nodes": [{nodes}], "outputs": []}}"#, inputs.join(","))
        };
        assert!(Formula::read(&document(64, 4032)).is_ok());
        for (inputs, nodes) in [(65, 0), (64, 4033)] {
            assert!(matches!(Formula::read(&document(inputs, nodes)), Err(ReadError::Invalid(_))));
        }
        let long = document(1, 1) + &" ".repeat(MAX_LENGTH);
        assert!(Formula::read(&long).unwrap_err().to_string().contains("of which at most 1048576 are read"));
        let deep = format!(r#"{{"version": 1, "other": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(Formula::read(&deep), Err(ReadError::Invalid(_))));
        assert!(matches!(Formula::read(r#"{"version": 1, "nodes": [], "nodes": []}"#), Err(ReadError::Invalid(_))));
    }
}
