//! Writes a formula as a document.

use serde_json::{Value, json};

use super::read::VERSION;
use super::{Formula, Operation};

impl Formula {
    /// Returns the document of the formula, which [`read`](Formula::read) reads.
    pub fn to_json(&self) -> Value {
        let inputs: Vec<Value> = self.inputs.iter().map(|input| json!([input.name, input.level.name()])).collect();
        let nodes: Vec<Value> = self.nodes[self.inputs.len()..].iter().map(|node| entry(node.operation)).collect();
        let outputs: Vec<Value> = self.outputs.iter().map(|output| json!([output.name, output.node])).collect();
        let mut document = json!({
            "version": VERSION, "inputs": inputs, "nodes": nodes, "outputs": outputs, "axis": self.axis,
        });
        if let Some(each) = self.each {
            document["each"] = each.name().into();
        }
        if !self.slots.is_empty() {
            let slots: Vec<Value> =
                self.slots.iter().map(|slot| json!([slot.name, slot.initial.to_digits()])).collect();
            document["slots"] = slots.into();
        }
        if let Some(sums) = &self.sums {
            document["sums"] = json!({
                "bins": sums.bins, "by_column": sums.by_column, "result": sums.result.to_json(),
            });
            if let Some(length) = sums.result_length {
                document["sums"]["result_length"] = length.into();
            }
        }
        document
    }
}

fn entry(operation: Operation) -> Value {
    let mut entry = vec![json!(operation.name())];
    entry.extend(operation.arguments().map(|argument| json!(argument)));
    if let Operation::Constant(constant) | Operation::Power(_, _, constant) = operation {
        entry.push(json!(constant.to_digits()));
    }
    Value::Array(entry)
}
