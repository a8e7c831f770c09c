//! Patterns that select tests by their paths.

use std::fmt;

/// A test's path or a part of it: `loss/Huber/gradient`, `Huber`, `Huber/gradient`, `gradient`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Returns whether the path contains the parts of this pattern, one after another.
    pub fn matches(&self, path: &str) -> bool {
        format!("/{path}/").contains(&format!("/{}/", self.0.trim_matches('/')))
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Pattern(text.to_owned())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_parts_match_anywhere_in_a_path() {
        let path = "loss/Huber/gradient";
        for pattern in ["loss/Huber/gradient", "Huber", "Huber/gradient", "gradient", "loss"] {
            assert!(Pattern::from(pattern).matches(path), "{pattern}");
        }
        for pattern in ["Hub", "loss/gradient", "gradient/loss", "er/grad"] {
            assert!(!Pattern::from(pattern).matches(path), "{pattern}");
        }
    }
}
