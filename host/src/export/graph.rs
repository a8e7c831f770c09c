//! Builds an ONNX graph node by node.

use std::collections::HashSet;

use super::proto::{
    AttributeProto, DimensionProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use crate::{Error, Result};

/// The types of elements, with their numbers in ONNX.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Element {
    Float = 1,
    Int64 = 7,
    String = 8,
    Double = 11,
}

/// A value of the graph, by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(String);

/// A setting of an operator.
pub enum Attribute {
    Float(f32),
    Int(i64),
    Floats(Vec<f32>),
    Strings(Vec<String>),
}

/// A graph under construction. Every value has another name.
#[derive(Default)]
pub struct Graph {
    proto: GraphProto,
    names: HashSet<String>,
}

impl Graph {
    /// Reserves the names of inputs and outputs, so that no other value gets one of them.
    ///
    /// # Errors
    /// Returns a usage error if a name is empty or given twice.
    pub fn new(name: &str, reserved: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut graph = Graph::default();
        graph.proto.name = name.to_owned();
        for name in reserved {
            if name.is_empty() {
                return Err(Error::usage("a column without a name can't be an input of an ONNX model"));
            }
            if graph.names.contains(&name) {
                return Err(Error::usage(format!("two inputs or outputs of the ONNX model are called \"{name}\""))
                    .hint("rename the column, or the layer or output of the network, and train again"));
            }
            graph.names.insert(name);
        }
        Ok(graph)
    }

    fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        for number in 1.. {
            if self.names.insert(name.clone()) {
                break;
            }
            name = format!("{base}_{number}");
        }
        name
    }

    /// Adds an input `[N, ...shape]`, whose name is reserved.
    pub fn input(&mut self, name: &str, element: Element, shape: &[usize], about: &str) -> Value {
        self.proto.input.push(value_info(name, element, shape, about));
        Value(name.to_owned())
    }

    /// Adds an output `[N, ...shape]` of float32, whose name is reserved.
    pub fn output(&mut self, name: &str, value: &Value, shape: &[usize]) {
        self.proto.output.push(value_info(name, Element::Float, shape, ""));
        self.push("Identity", &[value], &[], name.to_owned());
    }

    fn push(&mut self, operator: &str, inputs: &[&Value], attributes: &[(&str, Attribute)], output: String) {
        // LabelEncoder is the only operator of traditional machine learning here.
        let domain = if operator == "LabelEncoder" { "ai.onnx.ml" } else { "" };
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            name: output.clone(),
            output: vec![output],
            op_type: operator.to_owned(),
            attribute: attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
            domain: domain.to_owned(),
        });
    }

    /// Applies an operator with settings.
    pub fn apply_with(&mut self, operator: &str, inputs: &[&Value], attributes: &[(&str, Attribute)]) -> Value {
        let output = self.fresh(&operator.to_lowercase());
        self.push(operator, inputs, attributes, output.clone());
        Value(output)
    }

    /// Applies an operator.
    pub fn apply(&mut self, operator: &str, inputs: &[&Value]) -> Value {
        self.apply_with(operator, inputs, &[])
    }

    /// Converts a value to another type of elements.
    pub fn cast(&mut self, value: &Value, element: Element) -> Value {
        self.apply_with("Cast", &[value], &[("to", Attribute::Int(element as i64))])
    }

    /// Adds a constant, given as bytes in little endian.
    fn constant(&mut self, name: &str, element: Element, shape: &[usize], raw_data: Vec<u8>) -> Value {
        let name = self.fresh(name);
        let dims = shape.iter().map(|&axis| axis as i64).collect();
        self.proto.initializer.push(TensorProto { dims, data_type: element as i32, name: name.clone(), raw_data });
        Value(name)
    }

    /// Adds a constant of float32.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Value {
        self.constant(name, Element::Float, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Adds a number of float32.
    pub fn float(&mut self, value: f32) -> Value {
        self.floats("number", &[], &[value])
    }

    /// Adds a number of float64.
    pub fn double(&mut self, value: f64) -> Value {
        self.constant("number", Element::Double, &[], value.to_le_bytes().to_vec())
    }

    /// Adds a vector of integers.
    pub fn integers(&mut self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant("numbers", Element::Int64, &[values.len()], bytes)
    }

    /// Joins values `[N, ...]` along the last axis.
    pub fn concat(&mut self, values: &[Value]) -> Value {
        match values {
            [value] => value.clone(),
            _ => self.apply_with("Concat", &values.iter().collect::<Vec<_>>(), &[("axis", Attribute::Int(-1))]),
        }
    }

    /// Returns the graph.
    pub fn finish(self) -> GraphProto {
        self.proto
    }
}

fn attribute(name: &str, value: &Attribute) -> AttributeProto {
    let mut proto = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
    match value {
        Attribute::Float(value) => (proto.f, proto.r#type) = (Some(*value), 1),
        Attribute::Int(value) => (proto.i, proto.r#type) = (Some(*value), 2),
        Attribute::Floats(values) => (proto.floats, proto.r#type) = (values.clone(), 6),
        Attribute::Strings(values) => {
            proto.strings = values.iter().map(|value| value.clone().into_bytes()).collect();
            proto.r#type = 8;
        }
    }
    proto
}

fn value_info(name: &str, element: Element, shape: &[usize], about: &str) -> ValueInfoProto {
    let any = DimensionProto { dim_value: None, dim_param: Some("N".to_owned()) };
    let fixed = |&axis: &usize| DimensionProto { dim_value: Some(axis as i64), dim_param: None };
    let shape = TensorShapeProto { dim: std::iter::once(any).chain(shape.iter().map(fixed)).collect() };
    let tensor = TensorTypeProto { elem_type: element as i32, shape: Some(shape) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { tensor_type: Some(tensor) }),
        doc_string: about.to_owned(),
    }
}
