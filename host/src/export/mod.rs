//! Writes a trained network as an ONNX model, with the encoding of its inputs.

mod columns;
mod graph;
mod network;
mod proto;

use prost::Message;
use serde_json::json;

use self::graph::{Element, Graph};
use self::proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};
use crate::data::LearntColumn;
use crate::network::{Network, NetworkConfig};
use crate::{Error, Result};

/// The version of the format that has the operator sets below.
const IR_VERSION: i64 = 8;
/// The operator set of ONNX; LayerNormalization is new in it.
const OPSET: i64 = 17;
/// The operator set of traditional machine learning, for categories.
const ML_OPSET: i64 = 3;

/// The inputs of an exported model.
#[derive(Clone, Copy, Debug)]
pub enum ExportInputs<'a> {
    /// One array `[N, ...]` of float32 with this name, which is multiplied by `scale`.
    Array {
        /// The name of the input.
        name: &'a str,
        /// The factor.
        scale: f64,
    },
    /// An input `[N, 1]` for each column of a table, with the raw values: strings for categories; float64 for numbers,
    /// for booleans as 0 and 1, and for dates as seconds since 1970 in UTC. A missing value is NaN, or an empty string.
    Columns(&'a [LearntColumn]),
}

/// Returns the bytes of an ONNX model (operator set 17) of a network. The outputs have the names of the network's, and
/// the axis of the samples has any length. The metadata have the names of the classes of each output as a JSON object
/// under `class_names`, if there are any.
///
/// What predictions refuse with an error is NaN here, or an error of the runtime: a missing value where none is
/// allowed, and an id that is no category of an embedding.
///
/// # Errors
/// Returns an error if a layer can't be exported, two inputs or outputs have the same name, or the model is larger
/// than 2 GB, the most that the format allows.
pub fn onnx(
    config: &NetworkConfig,
    network: &dyn Network,
    inputs: ExportInputs<'_>,
    class_names: &[(&str, &[String])],
) -> Result<Vec<u8>> {
    let input_names = match inputs {
        ExportInputs::Array { name, .. } => vec![name.to_owned()],
        ExportInputs::Columns(columns) => columns.iter().map(|column| column.name.clone()).collect(),
    };
    let mut graph = Graph::new("plugfit", input_names.into_iter().chain(network.output_names().iter().cloned()))?;
    let features = match inputs {
        ExportInputs::Array { name, scale } => {
            let input = graph.input(name, Element::Float, network.input_shape(), "");
            if scale == 1.0 {
                input
            } else {
                let scale = graph.float(scale as f32);
                graph.apply("Mul", &[&input, &scale])
            }
        }
        ExportInputs::Columns(columns) => columns::add_columns(&mut graph, columns),
    };
    let outputs = network::add_network(&mut graph, config, network, features)?;
    for (index, (name, value)) in network.output_names().iter().zip(&outputs).enumerate() {
        graph.output(name, value, network.output_shape(index));
    }
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
    let mut metadata_props = Vec::new();
    if !class_names.is_empty() {
        let names: serde_json::Map<_, _> =
            class_names.iter().map(|(output, names)| ((*output).to_owned(), json!(names))).collect();
        let value = serde_json::Value::from(names).to_string();
        metadata_props.push(StringStringEntryProto { key: "class_names".to_owned(), value });
    }
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "plugfit".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph.finish()),
        opset_import: vec![opset("", OPSET), opset("ai.onnx.ml", ML_OPSET)],
        metadata_props,
    };
    if model.encoded_len() > i32::MAX as usize {
        return Err(Error::failure("the network is too large: an ONNX model has at most 2 GB"));
    }
    Ok(model.encode_to_vec())
}
