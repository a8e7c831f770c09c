//! Patterns for identifiers that are texts: `Huber(delta=2.0)`.
//!
//! They accept what [`Call`](crate::identifier::Call) reads. A pattern can't count parentheses, so that values are nested a few levels
//! deep at most. Every part is told by its first character, so that no engine has to go back.

const QUOTED: &str = r#"(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"#;
const WORD: &str = r#"[^\s()\[\]{},='"]+"#;
const INFINITE: &str = "[+-]?inf|-?Infinity";

/// How deep brackets may be nested in a value.
const DEEPEST: usize = 3;

/// A list, an object, or the values of a call, with its brackets.
pub fn brackets() -> String {
    let inside = format!(r#"[^()\[\]{{}}'"]|{QUOTED}"#);
    (0..DEEPEST).fold(String::new(), |inner, _| {
        let inner = if inner.is_empty() { String::new() } else { format!("|{inner}") };
        format!(r"[(\[{{](?:{inside}{inner})*[)\]}}]")
    })
}

/// Any value: a quoted text, or a word, brackets, or a word and brackets.
pub fn value() -> String {
    format!(r#"(?:{QUOTED}|(?=[^\s)\]}},='"])(?:{WORD})?(?:{})?)"#, brackets())
}

/// A number.
pub const FINITE: &str = r"(?:[+-]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)";

/// A number, or infinity, which is a word.
pub fn number() -> String {
    format!(r"(?:{FINITE}|{INFINITE}|[\x22'](?:{INFINITE})[\x22'])")
}

pub const BOOLEAN: &str = "(?:[Tt]rue|[Ff]alse)";
pub const NOTHING: &str = "(?:None|null)";

/// One of these words, quoted or not; as letters of any case where `any_case`.
pub fn words<'a>(names: impl IntoIterator<Item = &'a str>, any_case: bool) -> String {
    let names = alternatives(names, any_case);
    format!(r"(?:{names}|[\x22']{names}[\x22'])")
}

/// One of these texts.
pub fn alternatives<'a>(texts: impl IntoIterator<Item = &'a str>, any_case: bool) -> String {
    let texts: Vec<String> =
        texts.into_iter().map(|text| if any_case { in_any_case(text) } else { literal(text) }).collect();
    format!("(?:{})", texts.join("|"))
}

/// A text, letter by letter.
fn literal(text: &str) -> String {
    text.chars()
        .map(
            |letter| {
                if letter.is_alphanumeric() || "_-> ".contains(letter) { letter.into() } else { format!("\\{letter}") }
            },
        )
        .collect()
}

/// A text in letters of any case: schemas have no flag for it.
fn in_any_case(text: &str) -> String {
    let letter = |letter: char| match letter.is_ascii_alphabetic() {
        true => format!("[{}{}]", letter.to_ascii_uppercase(), letter.to_ascii_lowercase()),
        false => literal(&letter.to_string()),
    };
    text.chars().map(letter).collect()
}

/// The keys that take a value of the same form, and its pattern.
pub struct Keys {
    pub names: Vec<String>,
    pub value: String,
}

/// A name, or a call of it: first values without names, each with its pattern, then those with one of these keys.
pub fn call(name: &str, positional: &[String], keys: &[Keys]) -> String {
    // A comma, or the parenthesis to come.
    let separator = r"\s*(?:,\s*|(?=\)))";
    let positional =
        positional.iter().rev().fold(String::new(), |rest, value| format!("(?:{value}{separator}{rest})?"));
    let keyed: Vec<String> = keys
        .iter()
        .filter(|keys| !keys.names.is_empty())
        .map(|keys| format!(r"{}\s*=\s*{}", alternatives(keys.names.iter().map(String::as_str), false), keys.value))
        .collect();
    let keyed = if keyed.is_empty() { String::new() } else { format!("(?:(?:{}){separator})*", keyed.join("|")) };
    format!(r"{name}(?:\s*\(\s*{positional}{keyed}\))?")
}

/// The whole of a text, spaces around it passed over.
pub fn whole(pattern: &str) -> String {
    format!(r"^\s*{pattern}\s*$")
}
