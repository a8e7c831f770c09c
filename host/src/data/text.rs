//! Small helpers for messages.

use std::borrow::Cow;
use std::path::Path;

pub(crate) use plugfit_api::manifest::is_instruction;

/// The names most like `name`, best first, at most three; none if nothing is near.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const NEAR_ENOUGH: f64 = 0.75;
    let wanted = name.to_lowercase();
    let mut scored: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|candidate| (likeness(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= NEAR_ENOUGH)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.truncate(3);
    scored.into_iter().map(|(_, candidate)| candidate).collect()
}

/// From 0 to 1. Of short names one slip of the fingers is much, and still a slip.
fn likeness(wanted: &str, candidate: &str) -> f64 {
    let slip = wanted.len() > 2 && strsim::osa_distance(wanted, candidate) == 1;
    strsim::jaro_winkler(wanted, candidate).max(if slip { 0.9 } else { 0.0 })
}

/// The text with U+FFFD in place of what `is_replaced`.
fn replaced(text: &str, is_replaced: impl Fn(char) -> bool) -> Cow<'_, str> {
    match text.contains(&is_replaced) {
        true => text.replace(is_replaced, "\u{fffd}").into(),
        false => text.into(),
    }
}

/// A path on one line of a terminal, whatever is in its name.
pub(crate) fn of_path(path: &Path) -> String {
    one_line(&path.display().to_string()).into_owned()
}

/// A text that a terminal shows on one line and doesn't obey.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    replaced(text, is_instruction)
}

/// A text of several lines that a terminal shows and doesn't obey: ends of lines and tabs stay.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    replaced(text, |character| is_instruction(character) && !"\n\t".contains(character))
}

/// A text as a shell takes it for one word.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@,%".contains(&byte);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The text up to so many bytes; where something is left out, it ends with an ellipsis.
pub(crate) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let end = (0..=most).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{}…", &text[..end]).into()
}

/// A count with its thousands apart: 9,610.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_and_strangers_not_at_all() {
        assert_eq!(nearest("lable", ["pixel_0", "label", "labels"])[0], "label");
        assert!(nearest("price", ["pixel_0", "Xqz"]).is_empty());
    }

    #[test]
    fn a_terminal_obeys_no_text() {
        assert_eq!(of_path(Path::new("a\n\u{1b}[2J.so")), "a\u{fffd}\u{fffd}[2J.so");
        assert_eq!(shown("a\tb\n\u{1b}]0;x\u{7}\u{9b}1mü"), "a\tb\n\u{fffd}]0;x\u{fffd}\u{fffd}1mü");
        assert!(matches!(shown("a\tb\n"), Cow::Borrowed(_)));
        assert_eq!(one_line("a\tb\nc\rd"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn no_text_changes_the_direction_of_what_stands_beside_it() {
        for character in "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".chars() {
            assert_eq!(shown(&format!("a{character}b")), "a\u{fffd}b", "{character:?}");
            assert_eq!(of_path(Path::new(&format!("a{character}b"))), "a\u{fffd}b", "{character:?}");
        }
        assert_eq!(one_line("שלום, größe, 数"), "שלום, größe, 数");
    }

    #[test]
    fn a_shell_takes_a_word_for_what_it_is() {
        assert_eq!(shell_word("/a/b-1.so"), "/a/b-1.so");
        assert_eq!(shell_word("/a b/$(x)'`y`"), r"'/a b/$(x)'\''`y`'");
        assert_eq!(shell_word("it's a.so"), r"'it'\''s a.so'");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!((cut("größe", 3), cut("größe", 7), cut("größe", 0)), ("gr…".into(), "größe".into(), "…".into()));
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
