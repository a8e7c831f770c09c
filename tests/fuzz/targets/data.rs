//! Reads any bytes as a data file, in the format that their first bytes indicate. The bytes must be accepted, or
//! rejected with an error message. If they are accepted, batches are gathered from the rows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plugfit::data::{Categories, DataConfig, Dataset, Dates, Numbers, OneOrMany};
use plugfit_fuzz::written;

fuzz_target!(|bytes: &[u8]| {
    let name = match bytes {
        [0x93, b'N', b'U', ..] => "rows.npy",
        [b'P', b'K', ..] => "rows.npz",
        [b'P', b'A', b'R', ..] => "rows.parquet",
        _ => "rows.csv",
    };
    let path = written(name, bytes);
    let target = match name {
        // The target of an array is the array itself, that of a table its last column.
        "rows.npy" => Some(name.to_owned()),
        "rows.npz" => None,
        "rows.parquet" => Some("y".to_owned()),
        _ => {
            let header = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let last = header.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            Some(String::from_utf8_lossy(last).trim().to_owned())
        }
    };
    let config = DataConfig {
        file: Some(OneOrMany::One(name.to_owned())),
        target: target.map(|target| target.as_str().into()),
        in_memory: (bytes.len() % 2 == 0).then_some(false),
        scale: (bytes.len() % 3 == 0).then_some(0.5),
        validation_split: (bytes.len() % 5 == 0).then_some(0.5),
        numbers: (bytes.len() % 7 == 1 && bytes.len() % 3 != 0).then_some(Numbers::Minmax),
        categories: (bytes.len() % 7 == 2).then_some(Categories::Embed),
        dates: (bytes.len() % 2 == 1).then_some(Dates::Cyclic),
        ..DataConfig::default()
    };
    match config.load(path.parent().expect("its folder")) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(data) => {
            gather_rows(&data.train);
            data.validation.iter().for_each(gather_rows);
            // The schema derived from the file reads it again.
            if let Ok(again) = data.schema.read(&[path], &mut Vec::new()) {
                assert_eq!(again.inputs().row_shape(), data.train.inputs().row_shape());
            }
        }
    }
    // The columns are described, or the file is rejected with an error message.
    if let Err(error) = config.profile(written(name, bytes).parent().expect("its folder")) {
        assert!(!error.to_string().is_empty());
    }
});

fn gather_rows(data: &Dataset) {
    let mut batch = data.new_batch();
    let last = data.len().saturating_sub(1);
    let rows: Vec<usize> = (0..data.len().min(3)).chain([last]).filter(|row| *row < data.len()).collect();
    if data.gather_into(&rows, &mut batch).is_ok() {
        assert_eq!(batch.len(), rows.len());
    }
}
