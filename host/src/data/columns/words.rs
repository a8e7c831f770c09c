//! The ids of words.

use std::collections::HashMap;

/// The distinct words of a column; the id of a word is its index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    names: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Words {
    /// Creates the words with these names, in this order.
    pub fn known(names: &[String]) -> Self {
        Words { names: names.to_vec(), ids: names.iter().cloned().zip(0..).collect() }
    }

    /// Returns the id of a word.
    pub fn id(&self, word: &str) -> Option<u32> {
        self.ids.get(word).copied()
    }

    /// Returns the id of a word, which is added if it is new. Returns `None` if it is new and there are `most` words.
    pub fn id_or_add(&mut self, word: &str, most: usize) -> Option<u32> {
        if let Some(id) = self.id(word) {
            return Some(id);
        }
        if self.names.len() >= most {
            return None;
        }
        let id = self.names.len() as u32;
        self.names.push(word.to_owned());
        self.ids.insert(word.to_owned(), id);
        Some(id)
    }

    /// Returns the words in the order of their ids.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}
