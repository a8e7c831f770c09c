//! The `TensorBoard` callback.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Callback, Run, file_of};
use crate::{Error, Result};

/// Writes event files for TensorBoard in Keras's layout: `train` and `validation`, with values such as `epoch_loss` for
/// each epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TensorBoard {
    /// The folder, relative to the run folder unless it is an absolute path.
    pub log_dir: String,
}

impl Default for TensorBoard {
    fn default() -> Self {
        TensorBoard { log_dir: "logs".into() }
    }
}

impl Callback for TensorBoard {
    fn name(&self) -> &str {
        "TensorBoard"
    }

    fn train_begin(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        self.file(run, "train")?;
        if run.validates { self.file(run, "validation").map(drop) } else { Ok(()) }
    }

    fn epoch_end(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let Some(epoch) = run.history.epochs.last() else { return Ok(()) };
        let numbers = || epoch.logs.entries().iter().filter_map(|(name, value)| Some((name, value.number()?)));
        let validation: Vec<(String, f64)> =
            numbers().filter_map(|(name, value)| Some((tag(name.strip_prefix("val_")?), value))).collect();
        let mut training: Vec<(String, f64)> =
            numbers().filter(|(name, _)| !name.starts_with("val_")).map(|(name, value)| (tag(name), value)).collect();
        training.push((tag("learning_rate"), epoch.learning_rate));
        // Keras counts epochs from 0.
        let step = epoch.epoch - 1;
        write(&self.file(run, "train")?, step, &training)?;
        if validation.is_empty() { Ok(()) } else { write(&self.file(run, "validation")?, step, &validation) }
    }
}

impl TensorBoard {
    /// Returns the path of the event file of `train` or `validation`.
    fn file(&self, run: &Run<'_, '_>, part: &str) -> Result<PathBuf> {
        let folder = if self.log_dir.is_empty() { "." } else { self.log_dir.trim_end_matches('/') };
        file_of(run, &format!("{folder}/{part}/{NAME}"))
    }
}

const NAME: &str = "events.out.tfevents.1.plugfit.v2";

fn tag(name: &str) -> String {
    format!("epoch_{name}")
}

/// Appends an event to a file.
fn write(path: &Path, step: u64, values: &[(String, f64)]) -> Result<()> {
    let failed =
        |error: std::io::Error| Error::failure(format!("TensorBoard: cannot write {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    if file.metadata().map_err(failed)?.len() == 0 {
        let mut event = wall_time();
        field(&mut event, 3, b"brain.Event:2");
        record(&mut bytes, &event);
    }
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut entry = Vec::new();
        field(&mut entry, 1, tag.as_bytes());
        entry.push(2 << 3 | 5);
        entry.extend((*value as f32).to_le_bytes());
        field(&mut summary, 1, &entry);
    }
    let mut event = wall_time();
    event.push(2 << 3);
    varint(&mut event, step);
    field(&mut event, 5, &summary);
    record(&mut bytes, &event);
    file.write_all(&bytes).map_err(failed)
}

/// Returns the first field of an event: the time in seconds since 1970.
fn wall_time() -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let mut event = vec![1 << 3 | 1];
    event.extend(now.to_le_bytes());
    event
}

/// Appends a length-delimited protocol buffers field.
fn field(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    message.push(number << 3 | 2);
    varint(message, bytes.len() as u64);
    message.extend(bytes);
}

/// Appends a protocol buffers varint.
fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// Appends a TFRecord record: length, checksum of the length, event, checksum of the event.
fn record(bytes: &mut Vec<u8>, event: &[u8]) {
    let length = (event.len() as u64).to_le_bytes();
    bytes.extend(length);
    bytes.extend(checksum(&length));
    bytes.extend(event);
    bytes.extend(checksum(event));
}

/// Returns the CRC-32C of the bytes, masked as TFRecord specifies.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_appended_as_records_with_checksums() {
        let folder = tempfile::tempdir().expect("a folder");
        for step in [0, 300] {
            write(&folder.path().join("train").join(NAME), step, &[("epoch_loss".into(), 0.5)]).expect("it is written");
        }
        let file = std::fs::read(folder.path().join("train").join(NAME)).expect("a file");
        let (mut rest, mut events) = (&file[..], Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().expect("8")) as usize;
            assert_eq!(rest[8..12], checksum(&rest[..8]));
            events.push(&rest[12..12 + length]);
            assert_eq!(rest[12 + length..16 + length], checksum(&rest[12..12 + length]));
            rest = &rest[16 + length..];
        }
        assert_eq!(events.len(), 3, "one says the version");
        assert!(events[0].ends_with(b"brain.Event:2"));
        assert_eq!(events[2][9..12], [2 << 3, 0xac, 2], "step 300");
        let value = [&b"\x0a\x0aepoch_loss\x15"[..], &0.5_f32.to_le_bytes()].concat();
        assert!(events[1].ends_with(&value) && events[2].ends_with(&value));
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283, "the checksum is CRC-32C");
    }
}
