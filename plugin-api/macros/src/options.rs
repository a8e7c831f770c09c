//! Parses `#[config(...)]` attributes.

use quote::ToTokens;
use syn::{
    punctuated::Punctuated, spanned::Spanned, Attribute, Error, Expr, ExprLit, ExprPath, ExprRange, Lit, Meta,
    MetaList, RangeLimits, Result, Token, Type, UnOp,
};

/// The `#[config(...)]` options of a field. Values are JSON texts.
#[derive(Default)]
pub struct FieldOptions {
    pub name: Option<String>,
    pub default: Option<String>,
    pub minimum: Option<String>,
    pub maximum: Option<String>,
    pub above: Option<String>,
    pub below: Option<String>,
    pub infinite: bool,
}

/// The `#[config(...)]` options of a struct. Values are JSON texts.
#[derive(Default)]
pub struct StructOptions {
    pub name: Option<String>,
    pub aliases: Vec<String>,
    pub version: Option<u32>,
    pub base: Vec<(String, String)>,
    pub check: Option<ExprPath>,
    pub examples: Vec<String>,
    /// The path of a constant with all examples.
    pub examples_path: Option<ExprPath>,
    pub columns: Option<String>,
    pub classes: Option<String>,
    pub except: Vec<(String, String)>,
}

/// Returns the items of all `#[config(...)]` attributes.
fn metas(attributes: &[Attribute]) -> Result<Vec<Meta>> {
    let mut all = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("config")) {
        all.extend(attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?);
    }
    Ok(all)
}

/// Returns whether the field isn't a setting.
pub fn is_skipped(attributes: &[Attribute]) -> Result<bool> {
    let metas = metas(attributes)?;
    match metas.iter().find(|meta| meta.path().is_ident("skip")) {
        Some(skip) if metas.len() > 1 => Err(Error::new(skip.span(), "a skipped field has no other options")),
        Some(skip) => skip.require_path_only().map(|_| true),
        None => Ok(false),
    }
}

pub fn struct_options(attributes: &[Attribute]) -> Result<StructOptions> {
    let mut options = StructOptions::default();
    for meta in metas(attributes)? {
        let key = meta.path().require_ident()?.to_string();
        match (key.as_str(), &meta) {
            ("name", Meta::NameValue(pair)) => options.name = Some(text(&pair.value)?),
            ("version", Meta::NameValue(pair)) => {
                options.version =
                    Some(json(&pair.value)?.parse().map_err(|_| Error::new(pair.span(), "a whole number"))?);
            }
            ("check", Meta::NameValue(pair)) => match &pair.value {
                Expr::Path(path) => options.check = Some(path.clone()),
                other => return Err(Error::new(other.span(), "the path of a function, such as Self::check")),
            },
            ("example", Meta::NameValue(pair)) => options.examples.push(text(&pair.value)?),
            ("examples", Meta::NameValue(pair)) => match &pair.value {
                Expr::Path(path) => options.examples_path = Some(path.clone()),
                other => return Err(Error::new(other.span(), "the path of a constant &[&str]")),
            },
            ("aliases", Meta::List(list)) => {
                let names = list.parse_args_with(Punctuated::<Expr, Token![,]>::parse_terminated)?;
                options.aliases = names.iter().map(text).collect::<Result<_>>()?;
            }
            ("base", Meta::List(list)) => {
                for pair in list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
                    let pair = pair.require_name_value()?;
                    options.base.push((pair.path.require_ident()?.to_string(), json(&pair.value)?));
                }
            }
            ("trial", Meta::List(list)) => trial(list, &mut options)?,
            _ => {
                let expected = "expected name, aliases(…), version, base(…), check, example, examples or trial(…)";
                return Err(Error::new(meta.span(), expected));
            }
        }
    }
    Ok(options)
}

/// Parses `trial(columns = …, classes = …, except(law = "reason", …))`.
fn trial(list: &MetaList, options: &mut StructOptions) -> Result<()> {
    for meta in list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
        let key = meta.path().require_ident()?.to_string();
        match (key.as_str(), &meta) {
            ("columns", Meta::NameValue(pair)) => options.columns = Some(count(&pair.value)?),
            ("classes", Meta::NameValue(pair)) => options.classes = Some(count(&pair.value)?),
            ("except", Meta::List(list)) => {
                for pair in list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
                    let pair = pair.require_name_value()?;
                    let reason = text(&pair.value)?;
                    if reason.trim().is_empty() {
                        return Err(Error::new(pair.value.span(), "the reason why this law doesn't apply"));
                    }
                    if reason.contains(char::is_control) {
                        return Err(Error::new(pair.value.span(), "a reason of one line, without control characters"));
                    }
                    options.except.push((pair.path.require_ident()?.to_string(), reason));
                }
            }
            _ => return Err(Error::new(meta.span(), "expected columns, classes or except(law = \"reason\")")),
        }
    }
    Ok(())
}

/// Parses a number of columns or classes.
fn count(expression: &Expr) -> Result<String> {
    let number = json(expression)?;
    match number.parse::<u32>() {
        Ok(1..=4096) => Ok(number),
        _ => Err(Error::new(expression.span(), "a whole number from 1 to 4096")),
    }
}

pub fn field_options(attributes: &[Attribute], ty: &Type) -> Result<FieldOptions> {
    let mut options = FieldOptions::default();
    if is_option(ty) {
        options.default = Some("null".into());
    }
    for meta in metas(attributes)? {
        if meta.path().is_ident("infinite") {
            meta.require_path_only()?;
            options.infinite = true;
            continue;
        }
        let pair = meta.require_name_value()?;
        let key = pair.path.require_ident()?.to_string();
        match key.as_str() {
            "name" => options.name = Some(text(&pair.value)?),
            "default" => options.default = Some(json(&pair.value)?),
            "above" => options.above = Some(json(&pair.value)?),
            "below" => options.below = Some(json(&pair.value)?),
            "range" => {
                let Expr::Range(ExprRange { start, end, limits, .. }) = &pair.value else {
                    return Err(Error::new(pair.value.span(), "a range, such as 0.0.. or 0.0..=1.0"));
                };
                options.minimum = start.as_deref().map(json).transpose()?;
                let end = end.as_deref().map(json).transpose()?;
                match limits {
                    RangeLimits::Closed(_) => options.maximum = end,
                    RangeLimits::HalfOpen(_) => options.below = end,
                }
            }
            _ => return Err(Error::new(pair.span(), "expected name, default, range, above, below, infinite or skip")),
        }
    }
    Ok(options)
}

fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|segment| segment.ident == "Option"))
}

/// Returns the value of a string literal.
fn text(expression: &Expr) -> Result<String> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.value()),
        other => Err(Error::new(other.span(), "a string in quotes")),
    }
}

/// Converts a literal to JSON. Other expressions are rejected: the manifest is built at compile time from data alone.
fn json(expression: &Expr) -> Result<String> {
    match expression {
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Str(text) => Ok(quoted(&text.value())),
            Lit::Bool(value) => Ok(value.value.to_string()),
            Lit::Int(number) => Ok(number.base10_digits().to_string()),
            Lit::Float(number) => {
                let digits = number.base10_digits();
                // JSON requires a digit after the decimal point.
                Ok(if digits.ends_with('.') { format!("{digits}0") } else { digits.to_string() })
            }
            other => Err(Error::new(other.span(), "a number, a string or a boolean")),
        },
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => Ok(format!("-{}", json(&unary.expr)?)),
        Expr::Array(array) => {
            let items = array.elems.iter().map(json).collect::<Result<Vec<_>>>()?;
            Ok(format!("[{}]", items.join(",")))
        }
        Expr::Path(path) if path.path.is_ident("None") => Ok("null".into()),
        other => Err(Error::new(other.span(), format!("a literal, not `{}`", other.to_token_stream()))),
    }
}

/// Quotes a text as a JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\n' => json.push_str("\\n"),
            control if u32::from(control) < 0x20 => json.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => json.push(other),
        }
    }
    json + "\""
}
