//! Saves and loads the losses and metrics of an unfinished epoch, bit for bit.

use super::Compiled;
use super::mean::Mean;
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"PFMETR\x00\x01";

impl Compiled {
    /// Saves the state behind [`logs`](Self::logs), to resume later.
    ///
    /// # Errors
    /// Returns an error if a metric can't be saved.
    pub fn save_metrics(&self) -> Result<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        let mut put = |name: &str, state: &[u8]| {
            for part in [name.as_bytes(), state] {
                bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
                bytes.extend_from_slice(part);
            }
        };
        put("loss", &mean_bytes(&self.total));
        if let Some(plan) = &self.plan {
            for part in &plan.losses {
                put(&part.label, &mean_bytes(&part.mean));
            }
            for part in &plan.metrics {
                put(&part.column, &part.metric.get_state()?);
            }
        }
        Ok(bytes)
    }

    /// Restores the state from [`save_metrics`](Self::save_metrics). If the state was saved after
    /// [`build`](Self::build), call that first.
    ///
    /// # Errors
    /// Returns an error if the bytes belong to other losses or metrics, or are damaged. The state may be partly
    /// replaced then.
    pub fn load_metrics(&mut self, bytes: &[u8]) -> Result<()> {
        let mut reader = Reader { rest: bytes.strip_prefix(MAGIC).ok_or_else(damaged)? };
        self.total = reader.mean("loss")?;
        if let Some(plan) = &mut self.plan {
            for part in &mut plan.losses {
                part.mean = reader.mean(&part.label)?;
            }
            for part in &mut plan.metrics {
                part.metric.set_state(reader.state(&part.column)?)?;
            }
        }
        if reader.rest.is_empty() {
            return Ok(());
        }
        Err(Error::usage("there are more saved metrics than compiled ones")
            .hint("compile with the losses and metrics of the saved run"))
    }
}

fn mean_bytes(mean: &Mean) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mean.sum.to_le_bytes());
    bytes[8..].copy_from_slice(&mean.weight.to_le_bytes());
    bytes
}

fn damaged() -> Error {
    Error::failure("the saved metrics are damaged").hint("continue from an older checkpoint")
}

struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    fn part(&mut self) -> Result<&'b [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|length| *length <= rest.len());
        let (part, rest) = rest.split_at(length.ok_or_else(damaged)?);
        self.rest = rest;
        Ok(part)
    }

    /// Returns the state of the loss or metric with this name.
    fn state(&mut self, name: &str) -> Result<&'b [u8]> {
        let found = self.part()?;
        if found == name.as_bytes() {
            return self.part();
        }
        let found = String::from_utf8_lossy(found);
        Err(Error::usage(format!("the saved metrics have \"{found}\" where \"{name}\" is compiled"))
            .hint("compile with the losses and metrics of the saved run"))
    }

    fn mean(&mut self, name: &str) -> Result<Mean> {
        let state = self.state(name)?;
        let number = |bytes: &[u8]| bytes.try_into().map(f64::from_le_bytes).map_err(|_| damaged());
        match state.len() {
            16 => Ok(Mean { sum: number(&state[..8])?, weight: number(&state[8..])? }),
            _ => Err(damaged()),
        }
    }
}
