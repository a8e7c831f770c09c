//! Reads target columns: numbers, booleans, or words as class names.

use std::collections::HashMap;

use super::{BYTES, Cell, Table, parse_bool};
use crate::data::{Array, Rows, Target};
use crate::{Error, Result};

/// A target to read: its columns and how to read their cells.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTarget {
    pub name: String,
    pub columns: Vec<String>,
    pub classes: Classes,
}

/// How to read the cells of a target.
#[derive(Clone, Debug, PartialEq)]
pub enum Classes {
    /// As numbers.
    None,
    /// As words; the sorted order of the words determines the class ids.
    Learn,
    /// As words with known class ids.
    Known(Vec<String>),
}

/// Reads a target row by row.
pub struct TargetReader<'a> {
    plan: &'a PlannedTarget,
    numbers: Numbers,
    ids: Vec<i32>,
    id_of: HashMap<String, i32>,
    /// The kinds of the cells seen so far, per column.
    seen: Vec<SeenKinds>,
}

/// The kinds of the cells seen so far in a target column.
#[derive(Default)]
struct SeenKinds {
    booleans: bool,
    numbers: bool,
    words: bool,
    /// The error for the first cell that mixes booleans and numbers. It is dropped if the column also contains words.
    mixed: Option<Error>,
}

impl SeenKinds {
    /// Records a cell. Returns false if booleans and numbers are mixed, because the result would depend on which comes
    /// first.
    fn record(&mut self, cell: &Cell<'_>) -> bool {
        match cell {
            Cell::Boolean(_) => self.booleans = true,
            Cell::Number(_) | Cell::Integer(_) | Cell::Huge(_) => self.numbers = true,
            Cell::Word(_) | Cell::Bytes(_) | Cell::Date(_) | Cell::Missing => self.words = true,
        }
        !(self.booleans && self.numbers)
    }
}

impl<'a> TargetReader<'a> {
    pub fn new(plan: &'a PlannedTarget) -> Self {
        let id_of = match &plan.classes {
            Classes::Known(names) => names.iter().cloned().zip(0..).collect(),
            Classes::None | Classes::Learn => HashMap::new(),
        };
        let seen = plan.columns.iter().map(|_| SeenKinds::default()).collect();
        TargetReader { plan, numbers: Numbers::Whole(Vec::new()), ids: Vec::new(), id_of, seen }
    }

    /// Reads the cells of this target in the current row.
    pub fn read(&mut self, file: &dyn Table, columns: &[usize]) -> Result<()> {
        (0..).zip(columns).try_for_each(|(index, &column)| match self.plan.classes {
            Classes::None => self.read_number(file, column, index),
            Classes::Learn | Classes::Known(_) => self.read_class(file, column, index),
        })
    }

    fn read_number(&mut self, file: &dyn Table, column: usize, index: usize) -> Result<()> {
        let cell = file.cell(column);
        if !self.seen[index].record(&cell) {
            return Err(mixed_error(file, column));
        }
        let is_taken = match cell {
            Cell::Integer(integer) => self.numbers.push_integer(integer),
            Cell::Huge(_) if self.numbers.are_whole() => false,
            _ => {
                let number = file.number(&cell, column)?;
                file.float32(number, column)?;
                self.numbers.push(number);
                true
            }
        };
        if is_taken {
            return Ok(());
        }
        Err(file
            .bad_cell("an integer is too large for int64", column)
            .hint("store a quantity as floating point; number classes from 0"))
    }

    fn read_class(&mut self, file: &dyn Table, column: usize, index: usize) -> Result<()> {
        if self.plan.classes == Classes::Learn {
            let seen = &mut self.seen[index];
            match file.cell(column) {
                Cell::Bytes(_) => {
                    return Err(file
                        .bad_cell(&format!("a class name contains {BYTES}"), column)
                        .hint("write it as text in UTF-8"));
                }
                cell if !seen.record(&cell) && !seen.words => {
                    seen.mixed.get_or_insert_with(|| mixed_error(file, column));
                }
                _ => {}
            }
        }
        let word = &*file.text(column);
        if word.is_empty() {
            return Err(file.bad_cell("a class name is missing", column).hint("fill it in, or leave the row out"));
        }
        let id = match (self.id_of.get(word), &self.plan.classes) {
            (Some(id), _) => *id,
            (None, Classes::Known(names)) => {
                let error = file.bad_cell("a class isn't among those that were trained", column);
                return Err(error.with("has", names.join(", ")));
            }
            (None, _) => {
                let id = self.id_of.len() as i32;
                self.id_of.insert(word.to_owned(), id);
                id
            }
        };
        self.ids.push(id);
        Ok(())
    }

    pub fn finish(mut self, len: usize) -> Result<Target> {
        let shape = match self.plan.columns.len() {
            1 => vec![len],
            columns => vec![len, columns],
        };
        let name = self.plan.name.clone();
        match &self.plan.classes {
            Classes::None => Ok(Target { name, values: self.numbers.finish(&shape)?, class_names: None }),
            Classes::Known(names) => {
                let values = Array::I32(Rows::new(self.ids, &shape)?);
                Ok(Target { name, values, class_names: Some(names.clone()) })
            }
            Classes::Learn => {
                if let Some(mixed) = self.seen.iter_mut().filter(|seen| !seen.words).find_map(|seen| seen.mixed.take())
                {
                    return Err(mixed);
                }
                // Booleans become 0 and 1. Text in a Parquet file is words, even if the words are "true" and "false".
                if self.seen.iter().all(|seen| seen.booleans && !seen.words) {
                    let mut boolean_of = vec![0; self.id_of.len()];
                    for (word, id) in &self.id_of {
                        boolean_of[*id as usize] = i32::from(parse_bool(word) == Some(true));
                    }
                    let booleans = self.ids.into_iter().map(|id| boolean_of[id as usize]).collect();
                    return Ok(Target { name, values: Array::I32(Rows::new(booleans, &shape)?), class_names: None });
                }
                let mut words: Vec<(String, i32)> = self.id_of.into_iter().collect();
                words.sort_unstable();
                let mut sorted_id = vec![0; words.len()];
                for (sorted, (_, id)) in (0..).zip(&words) {
                    sorted_id[*id as usize] = sorted;
                }
                let ids = self.ids.into_iter().map(|id| sorted_id[id as usize]).collect();
                let class_names = words.into_iter().map(|(word, _)| word).collect();
                Ok(Target { name, values: Array::I32(Rows::new(ids, &shape)?), class_names: Some(class_names) })
            }
        }
    }
}

fn mixed_error(file: &dyn Table, column: usize) -> Error {
    file.bad_cell("a target mixes booleans and numbers", column)
        .hint("write all of them as true and false, or all of them as 1 and 0")
}

/// The numbers of a target. Integers are exact until the first number with a fraction.
enum Numbers {
    Whole(Vec<i64>),
    Floats(Vec<f32>),
}

impl Numbers {
    fn are_whole(&self) -> bool {
        matches!(self, Numbers::Whole(_))
    }

    /// Appends an integer. Returns false if it exceeds int64 and all numbers so far are whole.
    fn push_integer(&mut self, integer: i128) -> bool {
        match self {
            Numbers::Whole(numbers) => match i64::try_from(integer) {
                Ok(integer) => numbers.push(integer),
                Err(_) => return false,
            },
            Numbers::Floats(numbers) => numbers.push(integer as f32),
        }
        true
    }

    /// Appends a number in the range of float32.
    fn push(&mut self, number: f64) {
        const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
        match self {
            Numbers::Whole(numbers) if number.fract() == 0.0 && number.abs() < TWO_TO_63 => numbers.push(number as i64),
            Numbers::Whole(numbers) => {
                let mut floats: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
                floats.push(number as f32);
                *self = Numbers::Floats(floats);
            }
            Numbers::Floats(numbers) => numbers.push(number as f32),
        }
    }

    /// Returns whole numbers as int32 or int64, others as float32.
    fn finish(self, shape: &[usize]) -> Result<Array> {
        Ok(match self {
            Numbers::Whole(numbers) if numbers.iter().all(|&number| i32::try_from(number).is_ok()) => {
                Array::I32(Rows::new(numbers.into_iter().map(|number| number as i32).collect(), shape)?)
            }
            Numbers::Whole(numbers) => Array::I64(Rows::new(numbers, shape)?),
            Numbers::Floats(numbers) => Array::F32(Rows::new(numbers, shape)?),
        })
    }
}
