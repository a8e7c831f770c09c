//! Tests of learning encodings from rows, and of encoding rows.

use super::learn::Learnt;
use super::*;
use crate::data::InputKind;

/// Builds raw rows from columns.
fn raw(columns: &[&[f64]]) -> RawRows {
    let mut rows = RawBuilder::new(columns.len(), usize::MAX);
    for row in 0..columns[0].len() {
        let values: Vec<f64> = columns.iter().map(|column| column[row]).collect();
        rows.push(&values).expect("there is memory");
    }
    rows.finish().expect("it is in memory")
}

fn column(name: &str, usage: Use) -> RawColumn {
    let kind = if matches!(usage, Use::Category { .. }) { InputKind::Word } else { InputKind::Number };
    RawColumn { name: name.into(), kind, usage, missing: Missing::Fill, words: None, more: false }
}

fn words(name: &str, how: Categories, words: &[&str]) -> RawColumn {
    let names: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    RawColumn { words: Some(Words::known(&names)), ..column(name, Use::Category { how, dim: None, is_named: false }) }
}

fn learnt(rows: &RawRows, columns: &[RawColumn], targets: &[TargetValues]) -> Learnt {
    let all: Vec<usize> = (0..rows.len()).collect();
    learn(rows, &all, columns, 0.5, targets).expect("it is in memory")
}

fn encoded(learnt: &Learnt, rows: &RawRows) -> (Vec<f32>, Vec<String>) {
    let all: Vec<usize> = (0..rows.len()).collect();
    let (inputs, notes) = learnt.encode(rows, &all, usize::MAX).expect("they can be encoded");
    (inputs.in_memory().expect("small").values().to_vec(), notes)
}

const NAN: f64 = f64::NAN;

#[test]
fn each_scaling_is_that_of_its_name() {
    let rows = raw(&[&[1.0, 3.0], &[1.0, 3.0], &[1.0, 3.0], &[1.0, 3.0]]);
    let scalings = [Some(Numbers::Standard), Some(Numbers::Minmax), Some(Numbers::None), None];
    let columns = scalings.map(|scaling| column("a", Use::Number(scaling)));
    let (features, notes) = encoded(&learnt(&rows, &columns, &[]), &rows);
    assert_eq!(features, [-1.0, 0.0, 1.0, 0.5, 1.0, 1.0, 3.0, 1.5]);
    assert!(notes.is_empty());
}

#[test]
fn a_constant_column_becomes_0_and_an_empty_one_is_left_out() {
    let rows = raw(&[&[7.0, 7.0], &[7.0, 7.0], &[NAN, NAN], &[NAN, NAN]]);
    let standard = Use::Number(Some(Numbers::Standard));
    let columns = [
        column("same", standard),
        column("range", Use::Number(Some(Numbers::Minmax))),
        column("empty", standard),
        words("none", Categories::Auto, &["unused"]),
    ];
    let learnt = learnt(&rows, &columns, &[]);
    assert_eq!(encoded(&learnt, &rows).0, [0.0; 4]);
    let left_out: Vec<(&str, &str)> =
        learnt.left_out.iter().map(|column| (column.name.as_str(), column.why.as_str())).collect();
    assert_eq!(left_out, [("empty", "no values"), ("none", "no values")]);
    let notes =
        ["columns left out, no values: empty, none", "columns with the same value in each training row: same, range"];
    assert_eq!(learnt.notes, notes);
}

#[test]
fn missing_numbers_become_the_median_and_missing_words_a_category() {
    let train = raw(&[&[1.0, NAN, 2.0, 9.0], &[1.0, 0.0, NAN, 0.0], &[5.0, 5.0, 6.0, 6.0]]);
    let columns = [
        column("a", Use::Number(Some(Numbers::None))),
        words("b", Categories::Auto, &["y", "x"]),
        column("c", Use::Number(Some(Numbers::None))),
    ];
    let learnt = learnt(&train, &columns, &[]);
    let (features, _) = encoded(&learnt, &train);
    // a, whether it is missing, b = x, b = y, whether it is missing, c.
    assert_eq!(features[..12], [1.0, 0.0, 1.0, 0.0, 0.0, 5.0, 2.0, 1.0, 0.0, 1.0, 0.0, 5.0]);
    assert_eq!(features[12..18], [2.0, 0.0, 0.0, 0.0, 1.0, 6.0]);
    let later = raw(&[&[NAN], &[NAN], &[NAN]]);
    let (features, notes) = encoded(&learnt, &later);
    assert_eq!(features, [2.0, 1.0, 0.0, 0.0, 1.0, 5.5]);
    assert_eq!(notes, ["in 1 row, \"c\" is missing, as in no training row; the first is row 0 (from 0)"]);
}

#[test]
fn an_embedding_takes_rare_categories_for_unknown_ones() {
    let rows = raw(&[&[0.0, 1.0, 1.0, 2.0, 2.0, NAN]]);
    let embedded = words("b", Categories::Embed, &["rare", "x", "w", "unseen"]);
    let learnt = learnt(&rows, &[embedded], &[]);
    assert_eq!(learnt.columns[0].categories(), Some(&["w".to_owned(), "x".to_owned()][..]));
    assert_eq!(encoded(&learnt, &rows).0, [0.0, 2.0, 2.0, 1.0, 1.0, 0.0]);
    let (features, notes) = encoded(&learnt, &raw(&[&[3.0, 1.0, 0.0]]));
    assert_eq!(features, [0.0, 2.0, 0.0]);
    let note = "in 2 rows, \"b\" has a category that the run doesn't know; the first is \"unseen\", in row 0 (from 0)";
    assert_eq!(notes, [note]);
}

#[test]
fn a_column_that_determines_the_target_is_named() {
    let y: Vec<f64> = (0..30).map(|row| f64::from(row % 3)).collect();
    let other: Vec<f64> = (0..30).map(|row| f64::from(row % 4)).collect();
    let rows = raw(&[&other, &y]);
    let columns =
        [words("city", Categories::Auto, &["a", "b", "c", "d"]), words("code", Categories::Auto, &["p", "q", "r"])];
    let target = TargetValues { name: "kind".into(), values: y, are_names: true };
    let notes = learnt(&rows, &columns, &[target]).notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("the target \"kind\" can be read off code: "), "{notes:?}");
}

#[test]
fn a_number_beyond_float32_is_an_error_with_its_row() {
    let learnt = learnt(&raw(&[&[0.0, 1e-30]]), &[column("a", Use::Number(Some(Numbers::Standard)))], &[]);
    let error = learnt.encode(&raw(&[&[0.0, 1e30]]), &[0, 1], usize::MAX).expect_err("1e60 is too large").to_string();
    assert!(error.contains("too large for float32") && error.contains("row 1 (from 0), column \"a\""), "{error}");
}
