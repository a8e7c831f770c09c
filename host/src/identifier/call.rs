//! Parses identifiers in call form, as on a command line or in a run file: `Huber(delta=2.0)`.

use serde_json::{Map, Number, Value};

use crate::{Error, Result};

/// A name with values in parentheses.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The name before the parenthesis.
    pub name: String,
    /// The values without a name, in order.
    pub positional: Vec<Value>,
    /// The values with a name.
    pub named: Map<String, Value>,
}

impl Call {
    /// Parses `Name(value, key=value, ...)`; a name alone is a call without values.
    ///
    /// A value is a number, a constant (`True`, `true`, `False`, `false`, `None`, `null`), a string with or without
    /// quotes, a list `[1, 2]` or `(1, 2)`, an object `{key: value}`, or a call.
    ///
    /// # Errors
    /// Returns a usage error that shows where parsing stopped.
    pub fn parse(text: &str) -> Result<Call> {
        let mut reader = Reader { text, at: 0, depth: 0 };
        let call = reader.whole_call()?;
        reader.skip_space();
        if reader.at < text.len() {
            return Err(reader.error("nothing was expected after the last parenthesis"));
        }
        Ok(call)
    }

    /// Converts the call to a serialized object: `{"class_name": ..., "config": {...}}`, with `"args"` if there are
    /// values without a name.
    pub fn into_value(self) -> Value {
        let mut object = Map::new();
        object.insert("class_name".into(), self.name.into());
        if !self.positional.is_empty() {
            object.insert("args".into(), self.positional.into());
        }
        object.insert("config".into(), self.named.into());
        object.into()
    }
}

/// The maximum depth of nested values. The parser is recursive, so deeper nesting could overflow the stack.
const DEEPEST: usize = 64;

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Skips space, then consumes `wanted` if it is next. Returns whether it was.
    fn take(&mut self, wanted: char) -> bool {
        self.skip_space();
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.at += wanted.len_utf8();
        }
        is_next
    }

    fn error(&self, what: &str) -> Error {
        let before = &self.text[..self.at];
        let place = if self.at >= self.text.len() { "at the end".into() } else { format!("after {before:?}") };
        Error::usage(format!("can't read {:?}: {what}", self.text))
            .with("at", place)
            .hint("write it like Huber(delta=2.0)")
    }

    /// Consumes a word, which ends at a space or a special character.
    fn word(&mut self) -> &'t str {
        self.skip_space();
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || "()[]{},='\"".contains(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn whole_call(&mut self) -> Result<Call> {
        let name = self.word();
        if name.is_empty() {
            return Err(self.error("a name was expected"));
        }
        if self.take('(') {
            self.arguments(name)
        } else {
            Ok(Call { name: name.into(), positional: vec![], named: Map::new() })
        }
    }

    /// Parses the values of a call and the closing parenthesis.
    fn arguments(&mut self, name: &str) -> Result<Call> {
        let mut call = Call { name: name.into(), positional: Vec::new(), named: Map::new() };
        while !self.take(')') {
            let start = self.at;
            let key = self.word();
            if !key.is_empty() && self.take('=') {
                let value = self.value()?;
                if call.named.insert(key.into(), value).is_some() {
                    return Err(self.error(&format!("\"{key}\" is given twice")));
                }
            } else {
                self.at = start;
                let value = self.value()?;
                if !call.named.is_empty() {
                    return Err(self.error("a value without a name stands after one with a name"));
                }
                call.positional.push(value);
            }
            self.separator(')')?;
        }
        Ok(call)
    }

    /// Consumes a comma, unless the closing bracket is next.
    fn separator(&mut self, close: char) -> Result<()> {
        if self.take(',') || self.peek() == Some(close) {
            return Ok(());
        }
        Err(self.error(&format!("\",\" or \"{close}\" was expected")))
    }

    fn value(&mut self) -> Result<Value> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error("it is nested too deeply"));
        }
        self.skip_space();
        let value = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote).map(Value::String),
            Some('[') => self.list('[', ']'),
            Some('(') => self.list('(', ')'),
            Some('{') => self.object(),
            _ => self.bare(),
        };
        self.depth -= 1;
        value
    }

    fn list(&mut self, open: char, close: char) -> Result<Value> {
        let mut items = Vec::new();
        self.take(open);
        while !self.take(close) {
            items.push(self.value()?);
            self.separator(close)?;
        }
        Ok(items.into())
    }

    fn object(&mut self) -> Result<Value> {
        let mut object = Map::new();
        self.take('{');
        while !self.take('}') {
            let key = self.key()?;
            let value = self.value()?;
            object.insert(key, value);
            self.separator('}')?;
        }
        Ok(object.into())
    }

    /// Parses `key:`, `"key":` or `key=`.
    fn key(&mut self) -> Result<String> {
        if let Some(quote @ ('"' | '\'')) = self.peek() {
            let key = self.quoted(quote)?;
            return if self.take(':') || self.take('=') { Ok(key) } else { Err(self.error("\":\" was expected")) };
        }
        let start = self.at;
        let word = self.word();
        if let Some(end) = word.find(':') {
            self.at = self.text.len() - self.text[start..].trim_start().len() + end + 1;
            return Ok(word[..end].into());
        }
        match !word.is_empty() && self.take('=') || self.take(':') {
            true => Ok(word.into()),
            false => Err(self.error("a key and \":\" were expected")),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String> {
        let mut text = String::new();
        let mut escaped = false;
        for (i, c) in self.rest().char_indices().skip(1) {
            match c {
                _ if escaped => {
                    text.push(match c {
                        'n' => '\n',
                        't' => '\t',
                        other => other,
                    });
                    escaped = false;
                }
                '\\' => escaped = true,
                _ if c == quote => {
                    self.at += i + c.len_utf8();
                    return Ok(text);
                }
                _ => text.push(c),
            }
        }
        Err(self.error("the quote isn't closed"))
    }

    /// Parses a number, a constant, a call, or a string without quotes.
    fn bare(&mut self) -> Result<Value> {
        let word = self.word();
        if word.is_empty() {
            return Err(self.error("a value was expected"));
        }
        if self.peek() == Some('(') {
            self.at += 1;
            return Ok(self.arguments(word)?.into_value());
        }
        Ok(match word {
            "True" | "true" => Value::Bool(true),
            "False" | "false" => Value::Bool(false),
            "None" | "null" => Value::Null,
            _ => number(word).map_or_else(|| word.into(), Value::Number),
        })
    }
}

/// Parses a number in the syntax of Python or JSON; returns `None` if it is a word. `inf` and `nan` remain words,
/// because JSON doesn't have these numbers.
fn number(word: &str) -> Option<Number> {
    if !word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        || !word.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let digits = word.strip_prefix('+').unwrap_or(word).replace('_', "");
    digits
        .parse::<i64>()
        .map(Number::from)
        .or_else(|_| digits.parse::<u64>().map(Number::from))
        .ok()
        .or_else(|| digits.parse::<f64>().ok().and_then(Number::from_f64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Value {
        Call::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).into_value()
    }

    #[test]
    fn values_of_every_kind_are_read() {
        for (written, read) in [
            ("1", json!(1)),
            ("-2.5", json!(-2.5)),
            ("+3", json!(3)),
            ("1e-3", json!(1e-3)),
            (".5", json!(0.5)),
            ("1_000", json!(1000)),
            ("18446744073709551615", json!(u64::MAX)),
            ("True", json!(true)),
            ("false", json!(false)),
            ("None", json!(null)),
            ("null", json!(null)),
            ("relu", json!("relu")),
            ("float32", json!("float32")),
            ("inf", json!("inf")),
            ("-inf", json!("-inf")),
            ("2fast", json!("2fast")),
            ("a-b_c.d/e>f#g:h", json!("a-b_c.d/e>f#g:h")),
            ("\"a, (b)\"", json!("a, (b)")),
            ("'it\\'s'", json!("it's")),
            ("[]", json!([])),
            ("[1, [2, x], ]", json!([1, [2, "x"]])),
            ("(1, 2)", json!([1, 2])),
            ("{a: 1, \"b c\": [2], d=3, e : 4}", json!({"a": 1, "b c": [2], "d": 3, "e": 4})),
            ("{a:b}", json!({"a": "b"})),
            ("Inner(x=1)", json!({"class_name": "Inner", "config": {"x": 1}})),
            ("Inner()", json!({"class_name": "Inner", "config": {}})),
        ] {
            let want = json!({"class_name": "Outer", "config": {"key": read}});
            assert_eq!(value(&format!("Outer(key={written})")), want, "{written}");
            assert_eq!(value(&format!(" Outer ( key = {written} , ) ")), want, "{written}");
        }
    }

    #[test]
    fn calls_nest() {
        assert_eq!(
            value("AdamW(learning_rate=CosineDecay(initial_learning_rate=1e-3, decay_steps=1000), weight_decay=None)"),
            json!({"class_name": "AdamW", "config": {
                "learning_rate": {
                    "class_name": "CosineDecay",
                    "config": {"initial_learning_rate": 1e-3, "decay_steps": 1000},
                },
                "weight_decay": null,
            }})
        );
        assert_eq!(
            value("Dense(10, activation=relu)"),
            json!({
                "class_name": "Dense", "args": [10], "config": {"activation": "relu"},
            })
        );
        assert_eq!(value("mse"), json!({"class_name": "mse", "config": {}}));
    }

    #[test]
    fn an_error_says_where_parsing_stopped() {
        for (text, says) in [
            ("Huber(delta=", "a value was expected"),
            ("Huber(delta=2", "\",\" or \")\" was expected"),
            ("Huber(delta=2) x", "nothing was expected"),
            ("Huber(delta=2, delta=3)", "given twice"),
            ("Huber(a=1, 2)", "after one with a name"),
            ("Huber(a='x", "quote isn't closed"),
            ("Huber(a=[1 2])", "\",\" or \"]\" was expected"),
            ("Huber(a={1})", "a key and \":\""),
            ("(1)", "a name was expected"),
            ("Huber(=1)", "a value was expected"),
        ] {
            let error = Call::parse(text).expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
        }
        let deep = format!("A(b={}1{})", "[".repeat(10_000), "]".repeat(10_000));
        assert!(Call::parse(&deep).expect_err("too deep").to_string().contains("nested too deeply"));
        let deep = format!("A({}", "b=C(".repeat(10_000));
        assert!(Call::parse(&deep).is_err());
    }
}
