//! A list that grows without moving its elements.

use plugfit_api::prelude::*;

/// The elements of a full chunk. A vector would have up to a half of its memory unused, and copies when it grows.
const LENGTH: usize = 8192;

/// A list of elements in chunks. All but the last are full.
#[state]
#[derive(Debug, PartialEq)]
pub struct Chunks<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Chunks { chunks: Vec::new() }
    }
}

impl<T: Copy> Chunks<T> {
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    pub fn push(&mut self, element: T) {
        self.with_room().push(element);
    }

    pub fn extend_from_slice(&mut self, mut elements: &[T]) {
        while !elements.is_empty() {
            let last = self.with_room();
            let (now, later) = elements.split_at(elements.len().min(LENGTH - last.len()));
            last.extend_from_slice(now);
            elements = later;
        }
    }

    /// Returns the last chunk, which isn't full.
    fn with_room(&mut self) -> &mut Vec<T> {
        if self.chunks.last().is_none_or(|last| last.len() >= LENGTH) {
            // The first chunk grows, because there may be many short lists.
            let capacity = if self.chunks.is_empty() { 0 } else { LENGTH };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        self.chunks.last_mut().expect("one was added")
    }

    pub fn extend(&mut self, other: &Chunks<T>) {
        other.chunks.iter().for_each(|chunk| self.extend_from_slice(chunk));
    }

    pub fn truncate(&mut self, length: usize) {
        let mut left = length;
        for chunk in &mut self.chunks {
            chunk.truncate(left);
            left -= chunk.len();
        }
        self.chunks.retain(|chunk| !chunk.is_empty());
    }

    pub fn iter(&self) -> impl Iterator<Item = T> {
        self.chunks.iter().flatten().copied()
    }

    pub fn to_vec(&self) -> Vec<T> {
        self.chunks.concat()
    }
}

impl<T: Copy> From<Vec<T>> for Chunks<T> {
    fn from(elements: Vec<T>) -> Self {
        let mut chunks = Chunks::default();
        chunks.extend_from_slice(&elements);
        chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_order_over_chunks() {
        let all: Vec<u32> = (0..3 * LENGTH as u32 + 5).collect();
        let mut chunks = Chunks::from(all[..LENGTH - 1].to_vec());
        all[LENGTH - 1..LENGTH + 2].iter().for_each(|element| chunks.push(*element));
        let mut other = Chunks::default();
        other.extend_from_slice(&all[LENGTH + 2..]);
        chunks.extend(&other);
        assert_eq!((chunks.len(), chunks.to_vec()), (all.len(), all.clone()));
        assert!(chunks.iter().eq(all.iter().copied()));
        assert!(chunks.chunks[..3].iter().all(|chunk| chunk.len() == LENGTH));
        for length in [2 * LENGTH + 1, 2 * LENGTH, 3, 0] {
            chunks.truncate(length);
            assert_eq!(chunks.to_vec(), all[..length]);
            assert_eq!(chunks.chunks.len(), length.div_ceil(LENGTH));
        }
        chunks.push(7);
        assert_eq!(chunks, Chunks::from(vec![7]));
    }
}
