//! The nodes of a formula: operations with their kinds and levels.

use super::operation::Operation;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Number,
    /// True or false.
    Mask,
}

/// How often a node has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Once for the whole call.
    Scalar,
    /// Once for each row.
    Row,
    /// Once for each element of a row.
    Element,
}

impl Level {
    /// Returns the name in a document.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Row => "row",
            Level::Element => "element",
        }
    }

    /// Returns the level of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Level::Scalar, Level::Row, Level::Element].into_iter().find(|level| level.name() == name)
    }
}

/// A node: an operation on earlier nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// The operation.
    pub operation: Operation,
    /// What the result is.
    pub kind: Kind,
    /// How often there is a result.
    pub level: Level,
}

impl Node {
    /// Infers kind and level from those of the arguments. `inputs` are the levels of the inputs.
    ///
    /// # Errors
    /// Returns a message if an argument doesn't exist yet or is of the wrong kind or level.
    pub fn new(operation: Operation, nodes: &[Node], inputs: &[Level]) -> Result<Self, String> {
        let name = operation.name();
        let mut level = Level::Scalar;
        for argument in operation.arguments() {
            let node = nodes
                .get(argument)
                .ok_or_else(|| format!("the argument {argument} of {name} isn't an earlier node"))?;
            level = level.max(node.level);
        }
        let require = |argument: usize, kind: Kind| match (nodes[argument].kind == kind, kind) {
            (true, _) => Ok(()),
            (false, Kind::Number) => Err(format!("the argument {argument} of {name} is a mask, not a number")),
            (false, Kind::Mask) => Err(format!("the argument {argument} of {name} is a number, not a mask")),
        };
        let require_level = |argument: usize, level: Level| match nodes[argument].level {
            found if found == level => Ok(()),
            found => {
                Err(format!("the argument {argument} of {name} is of the level {}, not {}", found.name(), level.name()))
            }
        };
        let (is_mask, takes_masks) = match operation {
            Operation::Compare(..) => (true, 0),
            Operation::Not(_) | Operation::BatchAll(_) => (true, 1),
            Operation::Logic(..) => (true, 2),
            Operation::Select(..) => (false, 1),
            _ => (false, 0),
        };
        for (at, argument) in operation.arguments().enumerate() {
            require(argument, if at < takes_masks { Kind::Mask } else { Kind::Number })?;
        }
        match operation {
            Operation::Input(number) => {
                level = *inputs.get(number).ok_or_else(|| format!("there is no input {number}"))?;
            }
            Operation::Reduce(_, x) => {
                require_level(x, Level::Element)?;
                level = Level::Row;
            }
            Operation::At(x, index) => {
                require_level(x, Level::Element)?;
                if nodes[index].level == Level::Element {
                    require_level(index, Level::Row)?;
                }
                level = Level::Row;
            }
            Operation::PartialSum(_, x) => require_level(x, Level::Element)?,
            Operation::BatchSum(x) => {
                require_level(x, Level::Row)?;
                level = Level::Scalar;
            }
            Operation::Index => level = Level::Element,
            Operation::BatchAll(_) => level = Level::Scalar,
            _ => {}
        }
        Ok(Node { operation, kind: if is_mask { Kind::Mask } else { Kind::Number }, level })
    }
}
