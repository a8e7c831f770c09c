//! `--require`: bounds that the results must meet.

use plugfit::{Error, Result};

use super::results::Table;
use super::table::shown_number;

/// A bound of a metric: `auc>=0.92`.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// The name in the result, or an identifier.
    pub name: String,
    relation: Relation,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    AtLeast,
    AtMost,
    Above,
    Below,
}

impl Requirement {
    /// Reads a requirement. An identifier may contain `>` and `=`; the last relation is that of the requirement.
    ///
    /// # Errors
    /// Returns an error if it isn't a name, a relation and a number.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!("\"{text}\" isn't a requirement"))
                .hint("it is a metric, one of >=, <=, > and <, and a number: 'auc>=0.92'")
        };
        let is_relation = |character: char| "<>=".contains(character);
        let (head, bound) = text.rsplit_once(is_relation).ok_or_else(wrong)?;
        let before = text.get(..text.len() - bound.len()).unwrap_or_default();
        let bound: f64 = bound.trim().parse().map_err(|_| wrong())?;
        let (name, relation) = match before {
            _ if bound.is_nan() => return Err(wrong()),
            before if before.ends_with(">=") => (before.strip_suffix(">="), Relation::AtLeast),
            before if before.ends_with("<=") => (before.strip_suffix("<="), Relation::AtMost),
            before if before.ends_with('>') => (Some(head), Relation::Above),
            before if before.ends_with('<') => (Some(head), Relation::Below),
            _ => return Err(wrong()),
        };
        match name.map(str::trim) {
            Some(name) if !name.is_empty() => Ok(Requirement { name: name.to_owned(), relation, bound }),
            _ => Err(wrong()),
        }
    }

    /// Returns what falls short, a line for each group.
    ///
    /// # Errors
    /// Returns an error if there is no number of this name.
    pub fn unmet(&self, table: &Table) -> Result<Vec<String>> {
        let Some(place) = table.names.iter().position(|name| *name == self.name) else {
            return Err(Error::usage(format!("--require {}: there is no such result", self.name))
                .with("has", table.names.join(", ")));
        };
        let symbol = match self.relation {
            Relation::AtLeast => ">=",
            Relation::AtMost => "<=",
            Relation::Above => ">",
            Relation::Below => "<",
        };
        let mut unmet = Vec::new();
        for row in &table.rows {
            let value = row.cells.get(place).and_then(|cell| cell.value);
            let (found, short) = match value {
                None => ("undefined".to_owned(), String::new()),
                Some(value) => {
                    let is_met = match self.relation {
                        Relation::AtLeast => value >= self.bound,
                        Relation::AtMost => value <= self.bound,
                        Relation::Above => value > self.bound,
                        Relation::Below => value < self.bound,
                    };
                    if is_met {
                        continue;
                    }
                    let by = (value - self.bound).abs();
                    let short = if by.is_nan() { String::new() } else { format!(", short by {}", shown_number(by)) };
                    (shown_number(value), short)
                }
            };
            let group = table.group_text(row);
            let place = if group.is_empty() { String::new() } else { format!(" where {group}") };
            let bound = shown_number(self.bound);
            unmet.push(format!("{} is {found}{place}; {symbol} {bound} is required{short}", self.name));
        }
        Ok(unmet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_relation_is_that_of_the_requirement() {
        let parsed = |text: &str| Requirement::parse(text).map(|found| (found.name, found.relation, found.bound));
        for (text, name, relation, bound) in [
            ("auc>=0.92", "auc", Relation::AtLeast, 0.92),
            ("calibration>ECE <= 5e-2", "calibration>ECE", Relation::AtMost, 0.05),
            ("calibration>ECE>0.1", "calibration>ECE", Relation::Above, 0.1),
            ("Precision(thresholds=0.8)<1", "Precision(thresholds=0.8)", Relation::Below, 1.0),
        ] {
            assert_eq!(parsed(text).expect(text), (name.to_owned(), relation, bound));
        }
        for text in ["auc", "auc=0.9", "auc>=", ">=0.9", "auc>=x", "auc>=NaN", "Precision(thresholds=0.8)", ""] {
            Requirement::parse(text).expect_err(text);
        }
    }
}
