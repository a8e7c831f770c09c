//! Regular expressions for identifiers in text form: `Huber(delta=2.0)`.
//!
//! They accept what [`Call`](crate::identifier::Call) parses. A regular expression can't count parentheses, so values
//! can only be nested a few levels deep. Alternatives differ in their first character, so that no engine has to
//! backtrack.

const QUOTED: &str = r#"(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"#;
const WORD: &str = r#"[^\s()\[\]{},='"]+"#;
const INFINITE: &str = "[+-]?inf|-?Infinity";

/// The maximum depth of nested brackets in a value.
const DEEPEST: usize = 3;

/// Returns the pattern of a list, an object, or the values of a call, with their brackets.
pub fn brackets() -> String {
    let inside = format!(r#"[^()\[\]{{}}'"]|{QUOTED}"#);
    (0..DEEPEST).fold(String::new(), |inner, _| {
        let inner = if inner.is_empty() { String::new() } else { format!("|{inner}") };
        format!(r"[(\[{{](?:{inside}{inner})*[)\]}}]")
    })
}

/// Returns the pattern of any value: a quoted text, a word, brackets, or a word and brackets.
pub fn value() -> String {
    format!(r#"(?:{QUOTED}|(?=[^\s)\]}},='"])(?:{WORD})?(?:{})?)"#, brackets())
}

/// The pattern of a finite number.
pub const FINITE: &str = r"(?:[+-]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)";

/// Returns the pattern of a number, or of infinity, which is a word.
pub fn number() -> String {
    format!(r"(?:{FINITE}|{INFINITE}|[\x22'](?:{INFINITE})[\x22'])")
}

pub const BOOLEAN: &str = "(?:[Tt]rue|[Ff]alse)";
pub const NOTHING: &str = "(?:None|null)";

/// Returns the pattern of one of these words, quoted or not; case-insensitive if `any_case`.
pub fn words<'a>(names: impl IntoIterator<Item = &'a str>, any_case: bool) -> String {
    let names = alternatives(names, any_case);
    format!(r"(?:{names}|[\x22']{names}[\x22'])")
}

/// Returns the pattern of one of these texts; case-insensitive if `any_case`.
pub fn alternatives<'a>(texts: impl IntoIterator<Item = &'a str>, any_case: bool) -> String {
    let texts: Vec<String> =
        texts.into_iter().map(|text| if any_case { in_any_case(text) } else { literal(text) }).collect();
    format!("(?:{})", texts.join("|"))
}

/// Escapes a text for use in a pattern.
fn literal(text: &str) -> String {
    text.chars()
        .map(
            |letter| {
                if letter.is_alphanumeric() || "_-> ".contains(letter) { letter.into() } else { format!("\\{letter}") }
            },
        )
        .collect()
}

/// Returns a case-insensitive pattern of a text: JSON Schema has no flag for that.
fn in_any_case(text: &str) -> String {
    let letter = |letter: char| match letter.is_ascii_alphabetic() {
        true => format!("[{}{}]", letter.to_ascii_uppercase(), letter.to_ascii_lowercase()),
        false => literal(&letter.to_string()),
    };
    text.chars().map(letter).collect()
}

/// Keys whose values have the same pattern.
pub struct Keys {
    pub names: Vec<String>,
    pub value: String,
}

/// Returns the pattern of a name, or of a call: first positional values, each with its pattern, then values with keys.
pub fn call(name: &str, positional: &[String], keys: &[Keys]) -> String {
    // A comma, or a lookahead to the closing parenthesis.
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

/// Returns a pattern that matches a whole text, except for spaces around it.
pub fn whole(pattern: &str) -> String {
    format!(r"^\s*{pattern}\s*$")
}
