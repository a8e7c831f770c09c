//! Notes on columns for the user. A note names a few columns, so that it stays short for tables of thousands.

use super::encoding::LearntColumn;
use crate::text::grouped;

/// What was found about a column while its encoding was learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The target of this name can be read off the column.
    Copy(String),
    /// All values are equal.
    Constant,
    /// The numbers are probably ids.
    Ids,
    /// Values are missing.
    Filled,
    /// The column is left out for this reason.
    LeftOut(String),
}

/// What was found in a column of rows that weren't trained on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Later {
    /// The number of rows of unseen categories, and the first category and its place.
    unseen: Option<(usize, (String, String))>,
    /// The number of rows of missing values, and the place of the first.
    missing: Option<(usize, String)>,
}

impl Later {
    /// Records a row whose category isn't among those of the training rows.
    pub fn record_unseen(&mut self, first: impl FnOnce() -> (String, String)) {
        self.unseen.get_or_insert_with(|| (0, first())).0 += 1;
    }

    /// Records a row whose value is missing, although none was missing in the training rows.
    pub fn record_missing(&mut self, place: impl FnOnce() -> String) {
        self.missing.get_or_insert_with(|| (0, place())).0 += 1;
    }

    /// Returns whether a missing value was recorded.
    pub fn has_missing(&self) -> bool {
        self.missing.is_some()
    }
}

/// More names than these aren't listed.
const LISTED: usize = 8;

/// Lists names: "a, b, c", or "a, b, … (1,000 in all)" if there are more than a few.
pub fn listed_names(names: &[&str]) -> String {
    match names.len() {
        0..=LISTED => names.join(", "),
        all => format!("{}, … ({} in all)", names[..LISTED].join(", "), grouped(all)),
    }
}

/// Returns the notes on what was found, by column name.
pub fn notes_of_learning(findings: &[(String, Finding)]) -> Vec<String> {
    let mut notes = Vec::new();
    let columns = |wanted: &dyn Fn(&Finding) -> bool| -> Vec<&str> {
        findings.iter().filter(|(_, finding)| wanted(finding)).map(|(name, _)| name.as_str()).collect()
    };
    let mut targets: Vec<&String> = Vec::new();
    let mut reasons: Vec<&String> = Vec::new();
    for (_, finding) in findings {
        match finding {
            Finding::Copy(target) if !targets.contains(&target) => targets.push(target),
            Finding::LeftOut(why) if !reasons.contains(&why) => reasons.push(why),
            _ => {}
        }
    }
    for target in targets {
        let names = columns(&|finding| *finding == Finding::Copy(target.clone()));
        let first = names.first().copied().unwrap_or_default();
        notes.push(format!(
            "the target \"{target}\" can be read off {}: if it isn't known when predicting, leave it out with \
             `{first} = \"drop\"` in [data.columns]",
            listed_names(&names)
        ));
    }
    for why in reasons {
        let names = columns(&|finding| *finding == Finding::LeftOut(why.clone()));
        notes.push(format!("columns left out, {why}: {}", listed_names(&names)));
    }
    let constant = columns(&|finding| *finding == Finding::Constant);
    if !constant.is_empty() {
        notes.push(format!("columns with the same value in each training row: {}", listed_names(&constant)));
    }
    let filled = columns(&|finding| *finding == Finding::Filled);
    if !filled.is_empty() {
        notes.push(format!("columns with missing values, which are filled: {}", listed_names(&filled)));
    }
    let ids = columns(&|finding| *finding == Finding::Ids);
    if let [first, ..] = &ids[..] {
        notes.push(format!(
            "columns that are probably ids: {}; leave one out with `{first} = \"drop\"` in [data.columns]",
            listed_names(&ids)
        ));
    }
    notes
}

/// Returns the notes on what was found in rows that weren't trained on.
pub fn notes_of_later<'a>(columns: impl Iterator<Item = (&'a LearntColumn, &'a Later)>) -> Vec<String> {
    let (mut notes, mut more) = (Vec::new(), 0);
    let mut add = |note: String| if notes.len() < LISTED { notes.push(note) } else { more += 1 };
    let rows = |rows: usize| if rows == 1 { "1 row".to_owned() } else { format!("{} rows", grouped(rows)) };
    for (column, later) in columns {
        let had_missing = column.summary.as_ref().is_none_or(|summary| summary.missing > 0);
        if let Some((count, (word, place))) = &later.unseen {
            let (name, rows) = (&column.name, rows(*count));
            add(format!(
                "in {rows}, \"{name}\" has a category that the run doesn't know; the first is \"{word}\", in {place}"
            ));
        }
        if let (Some((count, place)), false) = (&later.missing, had_missing) {
            let (name, rows) = (&column.name, rows(*count));
            add(format!("in {rows}, \"{name}\" is missing, as in no training row; the first is {place}"));
        }
    }
    if more > 0 {
        notes.push(format!("{} more such notes on columns", grouped(more)));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::InputKind;

    #[test]
    fn a_note_names_a_few_of_many_columns() {
        let finding = |index: usize| (format!("c{index}"), Finding::Constant);
        let notes = notes_of_learning(&(0..10_000).map(finding).collect::<Vec<_>>());
        assert_eq!(
            notes,
            ["columns with the same value in each training row: c0, c1, c2, c3, c4, c5, c6, c7, … (10,000 in all)"]
        );
        let mut later = Later::default();
        later.record_missing(|| "a.csv:2".into());
        let columns: Vec<_> =
            (0..30).map(|i| LearntColumn::scaled(format!("c{i}"), InputKind::Number, 1.0, None)).collect();
        let summary = Some(super::super::ColumnSummary::of_numbers(vec![1.0]));
        let columns: Vec<_> =
            columns.into_iter().map(|column| LearntColumn { summary: summary.clone(), ..column }).collect();
        let notes = notes_of_later(columns.iter().map(|column| (column, &later)));
        assert_eq!((notes.len(), notes[8].as_str()), (9, "22 more such notes on columns"));
        assert_eq!(notes[0], "in 1 row, \"c0\" is missing, as in no training row; the first is a.csv:2");
    }
}
