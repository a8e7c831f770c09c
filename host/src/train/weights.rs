//! A network's parameters as a safetensors file.

use std::borrow::Cow;
use std::path::Path;

use ndarray::{ArrayView, IxDyn};
use safetensors::tensor::{Dtype, SafeTensors, View};

use super::checksum::{self, Verdict};
use crate::data::write_atomically;
use crate::network::Network;
use crate::{Error, Result};

struct Weight<'a> {
    shape: &'a [usize],
    values: &'a [f32],
}

impl View for Weight<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }
    fn data_len(&self) -> usize {
        std::mem::size_of_val(self.values)
    }
}

/// Writes every parameter by its path, float32, with a checksum in the file's metadata.
///
/// # Errors
/// The file can't be written; what was there before stays.
pub fn save_weights(network: &dyn Network, path: &Path) -> Result<()> {
    let weights = network.parameters().iter().enumerate().map(|(index, parameter)| {
        (parameter.path.clone(), Weight { shape: &parameter.shape, values: network.parameter(index) })
    });
    let bytes = checksum::serialize(weights, None)
        .map_err(|error| Error::failure(format!("the weights can't be written: {error}")))?;
    write_atomically(path, |writer| writer.write_all(&bytes))
}

/// Reads every parameter of the network from a file. One without a checksum is taken as it is: older versions of plugfit wrote none, and
/// other programs don't.
///
/// # Errors
/// The file can't be read, is damaged, or is of another network; the network may be partly changed then.
pub fn load_weights(network: &mut dyn Network, path: &Path) -> Result<()> {
    let bad = |why: String| Error::failure(format!("cannot read the weights in {}: {why}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    if checksum::check(&bytes) == Verdict::Damaged {
        return Err(bad("it is damaged: its checksum is another one".into())
            .hint("copy it again from where it is whole, or write it again with `plugfit fit --resume` of its run"));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|error| bad(error.to_string()))?;
    let paths: Vec<String> = network.parameters().iter().map(|parameter| parameter.path.clone()).collect();
    if let Some(stranger) = file.names().iter().find(|name| !paths.iter().any(|path| path == **name)) {
        return Err(bad(format!("the network has no parameter \"{stranger}\"")));
    }
    for name in &paths {
        let tensor = file.tensor(name).map_err(|_| bad(format!("it has no \"{name}\"")))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(bad(format!("\"{name}\" is of {:?}, not F32", tensor.dtype())));
        }
        let values: Vec<f32> =
            tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let view = ArrayView::from_shape(IxDyn(tensor.shape()), &values).map_err(|error| bad(error.to_string()))?;
        network.set_weight(name, &view)?;
    }
    Ok(())
}
