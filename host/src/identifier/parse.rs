//! Parses the written forms of identifiers.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Call, ParsedIdentifier, Spec, Symbol, serialized};
use crate::files::path_of;
use crate::{Error, Result};

/// Parses an identifier. Paths in it are relative to `folder`.
pub fn parse(value: &Value, folder: Option<&Path>) -> Result<ParsedIdentifier> {
    match value {
        Value::Null => Ok(ParsedIdentifier::Nothing),
        Value::String(text) => read_text(text.trim(), folder),
        Value::Object(object) => match serialized::read(object)? {
            serialized::Object::Function(name) => Ok(ParsedIdentifier::Name(name)),
            serialized::Object::Class(spec) => Ok(with_symbol(spec, folder)),
        },
        other => Err(Error::usage(format!("{} isn't an identifier", serialized::shortened(other)))
            .hint("write a name, a call such as Huber(delta=2.0), or {\"class_name\": ..., \"config\": {...}}")),
    }
}

fn read_text(text: &str, folder: Option<&Path>) -> Result<ParsedIdentifier> {
    if text.is_empty() {
        return Err(Error::usage("an identifier is empty").hint("leave it out, or write null, where none is meant"));
    }
    // A path may contain any character, so the text is split at the last `#` first.
    let (path, rest) = text.rsplit_once('#').map_or(("", text), |(path, rest)| (path, rest));
    if path.contains('(') || !rest.contains('(') && path.is_empty() && !text.ends_with(')') {
        return Ok(if path.is_empty() {
            ParsedIdentifier::Name(text.to_owned())
        } else {
            return read_call(text, folder);
        });
    }
    if path.is_empty() {
        return read_call(text, folder);
    }
    let call = Call::parse(rest)?;
    let spec = Spec { class_name: format!("{path}#{}", call.name), config: named(call)? };
    Ok(with_symbol(spec, folder))
}

fn read_call(text: &str, folder: Option<&Path>) -> Result<ParsedIdentifier> {
    let Value::Object(object) = Call::parse(text)?.into_value() else {
        return Ok(ParsedIdentifier::Name(text.to_owned()));
    };
    match serialized::read(&object)? {
        serialized::Object::Function(name) => Ok(ParsedIdentifier::Name(name)),
        serialized::Object::Class(spec) => Ok(with_symbol(spec, folder)),
    }
}

fn named(call: Call) -> Result<Map<String, Value>> {
    match call.positional.first() {
        None => Ok(call.named),
        Some(value) => {
            Err(Error::usage(format!("the values of {} need their names", call.name)).with("found", value.to_string()))
        }
    }
}

fn with_symbol(spec: Spec, folder: Option<&Path>) -> ParsedIdentifier {
    match spec.class_name.rsplit_once('#') {
        None => ParsedIdentifier::Config(spec),
        Some((path, symbol)) => {
            let library = folder.map_or_else(|| PathBuf::from(path), |folder| path_of(path, folder));
            ParsedIdentifier::Symbol(Symbol { library, symbol: symbol.to_owned(), config: spec.config })
        }
    }
}
