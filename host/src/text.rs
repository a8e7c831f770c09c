//! Text functions for messages: escaping, quoting and truncating, and the nearest names for "did you mean".

use std::borrow::Cow;
use std::path::Path;

pub(crate) use plugfit_api::manifest::is_control_or_bidi;

/// Returns up to three candidates similar to `name`, most similar first.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const MIN_SIMILARITY: f64 = 0.75;
    let wanted = name.to_lowercase();
    let mut scored: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|candidate| (similarity(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= MIN_SIMILARITY)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.truncate(3);
    scored.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Returns the similarity, from 0 to 1. In short names a single typo lowers the Jaro-Winkler similarity a lot, so a
/// distance of one edit counts at least 0.9.
fn similarity(wanted: &str, candidate: &str) -> f64 {
    let one_edit = wanted.len() > 2 && strsim::osa_distance(wanted, candidate) == 1;
    strsim::jaro_winkler(wanted, candidate).max(if one_edit { 0.9 } else { 0.0 })
}

/// Replaces each matching character by U+FFFD.
fn replaced(text: &str, is_replaced: impl Fn(char) -> bool) -> Cow<'_, str> {
    match text.contains(&is_replaced) {
        true => text.replace(is_replaced, "\u{fffd}").into(),
        false => text.into(),
    }
}

/// Returns a path as one line without control characters, safe to print on a terminal.
pub(crate) fn printable_path(path: &Path) -> String {
    printable_line(&path.display().to_string()).into_owned()
}

/// Returns a text as one line that is safe to print on a terminal: control characters are replaced.
pub(crate) fn printable_line(text: &str) -> Cow<'_, str> {
    replaced(text, is_control_or_bidi)
}

/// Returns a text that is safe to print on a terminal: control characters other than line breaks and tabs are replaced.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    replaced(text, |character| is_control_or_bidi(character) && !"\n\t".contains(character))
}

/// Quotes a text as one word for a POSIX shell.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@,%".contains(&byte);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Truncates a text to at most `most` bytes; a truncated text ends with an ellipsis.
pub(crate) fn truncate(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let end = (0..=most).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{}…", &text[..end]).into()
}

/// Formats a count with thousands separators: 9,610.
pub(crate) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Converts a class name to snake case as Keras does: `MeanIoU` becomes "mean_io_u", `AUC` "auc", `R2Score` "r2_score".
pub(crate) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut snake = String::with_capacity(letters.len() + 4);
    for (i, &letter) in letters.iter().enumerate() {
        if i > 0 && letter.is_ascii_uppercase() {
            let before = letters[i - 1];
            let begins_a_word = letters.get(i + 1).is_some_and(char::is_ascii_lowercase);
            if before.is_ascii_lowercase() || begins_a_word {
                snake.push('_');
            }
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_snake_case_are_those_of_keras() {
        for (name, snake) in [
            ("MeanSquaredError", "mean_squared_error"),
            ("AUC", "auc"),
            ("CTC", "ctc"),
            ("IoU", "io_u"),
            ("MeanIoU", "mean_io_u"),
            ("OneHotMeanIoU", "one_hot_mean_io_u"),
            ("R2Score", "r2_score"),
            ("F1Score", "f1_score"),
            ("FBetaScore", "f_beta_score"),
            ("KLDivergence", "kl_divergence"),
            ("RMSprop", "rm_sprop"),
            ("AdamW", "adam_w"),
            ("ScheduleFreeAdamW", "schedule_free_adam_w"),
            ("TopKCategoricalAccuracy", "top_k_categorical_accuracy"),
            ("mse", "mse"),
        ] {
            assert_eq!(snake_case(name), snake);
        }
    }

    #[test]
    fn nearest_returns_only_similar_names_best_first() {
        assert_eq!(nearest("lable", ["pixel_0", "label", "labels"])[0], "label");
        assert!(nearest("price", ["pixel_0", "Xqz"]).is_empty());
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(printable_path(Path::new("a\n\u{1b}[2J.so")), "a\u{fffd}\u{fffd}[2J.so");
        assert_eq!(printable("a\tb\n\u{1b}]0;x\u{7}\u{9b}1mü"), "a\tb\n\u{fffd}]0;x\u{fffd}\u{fffd}1mü");
        assert!(matches!(printable("a\tb\n"), Cow::Borrowed(_)));
        assert_eq!(printable_line("a\tb\nc\rd"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn bidirectional_controls_are_replaced() {
        for character in "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".chars() {
            assert_eq!(printable(&format!("a{character}b")), "a\u{fffd}b", "{character:?}");
            assert_eq!(printable_path(Path::new(&format!("a{character}b"))), "a\u{fffd}b", "{character:?}");
        }
        assert_eq!(printable_line("שלום, größe, 数"), "שלום, größe, 数");
    }

    #[test]
    fn shell_words_are_quoted() {
        assert_eq!(shell_word("/a/b-1.so"), "/a/b-1.so");
        assert_eq!(shell_word("/a b/$(x)'`y`"), r"'/a b/$(x)'\''`y`'");
        assert_eq!(shell_word("it's a.so"), r"'it'\''s a.so'");
    }

    #[test]
    fn truncate_respects_character_boundaries() {
        assert_eq!(
            (truncate("größe", 3), truncate("größe", 7), truncate("größe", 0)),
            ("gr…".into(), "größe".into(), "…".into())
        );
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
