//! Tests of messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::*;
use crate::plugin::bounds;
use crate::plugin::isolate::memory::{BODY, Memory};
use crate::plugin::isolate::system::Mapping;

fn memory() -> Memory {
    Memory::of_host(Arc::new(Mapping::create(1 << 12).expect("shared memory")), 1 << 12, 1 << 20)
}

#[test]
fn messages_round_trip_and_arrays_are_copied_back() {
    let mut memory = memory();
    let mut returns = Vec::new();
    let mut values: Vec<f32> = (0..50_000).map(|i| i as f32).collect();
    let shape = [values.len() as i64];
    let mut writer = Writer::new(&mut memory, &mut returns, BODY);
    writer.number(7);
    writer.text("a name");
    let tensor = plugfit_api::TensorMut::new(&mut values, &shape).raw();
    // SAFETY: the array is borrowed until the end of this test.
    unsafe { writer.tensor(&tensor, Direction::Both) };
    writer.float(-0.0);
    writer.finish().expect("there is room");

    let mut reader = Reader::new(&mut memory, BODY);
    assert_eq!((reader.number(), reader.text()), (7, "a name"));
    let found = reader.tensor();
    // SAFETY: the array was just read.
    let found = unsafe { plugfit_api::Tensor::from_raw(found) }.expect("it is whole");
    assert_eq!(found.shape(), shape);
    assert_eq!(found.f32s("it").expect("floats")[49_999], 49_999.0);
    assert_eq!(reader.float().to_bits(), (-0.0_f64).to_bits());
    assert!(reader.is_whole());
    values.fill(1.0);
    // SAFETY: the same as above.
    unsafe { copy_back(&memory, &returns) };
    assert_eq!(values[49_999], 49_999.0);
}

#[test]
fn an_incomplete_message_is_detected_whatever_its_content() {
    let mut memory = memory();
    for word in [3, 4096, u64::MAX, u64::MAX / 8] {
        let mut returns = Vec::new();
        let mut writer = Writer::new(&mut memory, &mut returns, BODY);
        writer.number(word);
        writer.finish().expect("there is room");
        type Read = fn(&mut Reader<'_>) -> usize;
        let reads: [Read; 5] = [
            |r| r.bytes().len(),
            |r| r.lengths().len(),
            |r| r.list(|r| r.number()).len(),
            |r| usize::from(r.result(|r| r.number()).is_ok()),
            |r| usize::from(r.option().is_some()),
        ];
        for read in reads {
            let mut reader = Reader::new(&mut memory, BODY);
            read(&mut reader);
            assert!(!reader.is_whole(), "{word}");
        }
    }
    for end in [u64::MAX, 1 << 13, 1] {
        memory.header().end.store(end, Ordering::Relaxed);
        assert!(end == 1 || !Reader::new(&mut memory, BODY).is_whole());
        assert!(!Reader::of_copy(&mut memory, BODY, 1 << 20, &mut Vec::new()).is_whole());
    }
}

/// Writes an answer, and returns what the host reads of it.
fn read<T>(write: impl Fn(&mut Writer<'_>), read: impl Fn(&mut Reader<'_>) -> T) -> (T, Option<String>, bool) {
    let (mut memory, mut returns, mut copy) = (memory(), Vec::new(), Vec::new());
    let mut writer = Writer::new(&mut memory, &mut returns, BODY);
    write(&mut writer);
    writer.finish().expect("there is room");
    let mut reader = Reader::of_copy(&mut memory, BODY, 1 << 16, &mut copy);
    // The worker's plug-in overwrites the message meanwhile.
    memory.header().end.store(u64::MAX, Ordering::Relaxed);
    // SAFETY: the memory is longer than that, and nobody else uses it.
    unsafe { std::ptr::write_bytes(memory.at(BODY), 0xff, 64) };
    let read = read(&mut reader);
    (read, reader.problem(), reader.is_whole())
}

#[test]
fn an_answer_is_copied_before_it_is_read() {
    let found = read(|w| w.text("a text"), |r| r.text().to_owned());
    assert_eq!(found, ("a text".into(), None, true));
    let found = read(|w| w.lengths(&[3, 4]), |r| r.shape().to_vec());
    assert_eq!(found, (vec![3, 4], None, true));
}

#[test]
fn too_many_items_and_invalid_utf8_are_reported_and_the_message_stays_whole() {
    let problem = |found: (usize, Option<String>, bool)| (found.1.expect("a problem"), found.2);
    let names = |w: &mut Writer<'_>| w.list(&[0; 1000], |w, _| w.text("a"));
    let found = problem(read(names, |r| r.at_most(999, "names", |r| r.name().len()).len()));
    assert_eq!(found, ("returned 1000 names; at most 999 are allowed".into(), true));
    let found = problem(read(|w| w.lengths(&[1; 33]), |r| r.shape().len()));
    assert_eq!(found, ("returned 33 axes; at most 32 are allowed".into(), true));
    let found = problem(read(|w| w.bytes(b"a\xff"), |r| r.name().len()));
    assert_eq!(found, ("returned a name that isn't UTF-8".into(), true));
    assert_eq!(read(|w| w.bytes(b"a\xff"), |r| r.shown()), ("a\u{fffd}".into(), None, true));
}

#[test]
fn texts_and_answers_that_are_too_long_are_dropped() {
    let text = "a".repeat(1 << 14);
    let found = read(|w| w.text(&text), |r| r.bounded_text(1 << 13, "configuration").len());
    let said = "returned a configuration of 16384 bytes; at most 8192 are allowed";
    assert_eq!(found, (0, Some(said.to_owned()), true));
    assert_eq!(read(|w| w.text(&text), |r| r.shown().len()), (bounds::MAX_TEXT_LENGTH + 4, None, true));
    let (_, said, _) = read(|w| w.text(&"a".repeat(1 << 16)), |r| r.shown().len());
    assert_eq!(said.as_deref(), Some("returned 65544 bytes of an answer; at most 65536 are allowed"));
}

#[test]
fn the_memory_grows_to_its_limit_and_no_further() {
    let mut memory = memory();
    memory.reserve(1 << 19).expect("there is room");
    assert!(memory.has(1 << 19));
    memory.reserve(1 << 20).expect("there is just as much room");
    let error = memory.reserve((1 << 20) + 1).expect_err("it is the limit").to_string();
    assert_eq!(error, "a call takes 1048577 bytes, and its process may use 1048576");
}
