//! Saves and loads the parameters of a network as a safetensors file.

use std::borrow::Cow;
use std::path::Path;

use ndarray::{ArrayView, IxDyn};
use safetensors::tensor::{Dtype, SafeTensors, View};

use super::checksum::{self, Verdict};
use crate::files::write_atomically;
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

/// Writes every parameter as float32 under its path, with a checksum in the metadata.
///
/// # Errors
/// Returns an error if the file can't be written; an existing file is unchanged then.
pub fn save_weights(network: &dyn Network, path: &Path) -> Result<()> {
    let weights = network.parameters().iter().enumerate().map(|(index, parameter)| {
        (parameter.path.clone(), Weight { shape: &parameter.shape, values: network.parameter(index) })
    });
    let bytes = checksum::serialize(weights, None)
        .map_err(|error| Error::failure(format!("the weights can't be written: {error}")))?;
    write_atomically(path, |writer| writer.write_all(&bytes))
}

/// Loads every parameter of the network from a file. A file without a checksum is accepted: older versions of plugfit
/// and other programs write none.
///
/// # Errors
/// Returns an error if the file can't be read, is damaged, or belongs to a different network. Some parameters may have
/// been changed then.
pub fn load_weights(network: &mut dyn Network, path: &Path) -> Result<()> {
    let bad = |why: String| Error::failure(format!("cannot read the weights in {}: {why}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    if checksum::check(&bytes) == Verdict::Damaged {
        return Err(bad("it is damaged: its checksum doesn't match".into())
            .hint("copy it again from an intact copy, or write it again with `plugfit fit --resume` of its run"));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|error| bad(error.to_string()))?;
    let paths: Vec<String> = network.parameters().iter().map(|parameter| parameter.path.clone()).collect();
    if let Some(unknown) = file.names().iter().find(|name| !paths.iter().any(|path| path == **name)) {
        return Err(bad(format!("the network has no parameter \"{unknown}\"")));
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
