//! The `#[derive(Config)]` macro: parses `#[config(...)]` attributes and generates a `ComponentSpec` with its reader
//! and writer.

use proc_macro2::TokenStream;
use quote::{quote, ToTokens};
use syn::{
    punctuated::Punctuated, spanned::Spanned, Attribute, Data, DeriveInput, Error, Expr, ExprLit, ExprPath, ExprRange,
    Fields, Lit, Meta, MetaList, RangeLimits, Result, Token, Type, UnOp,
};

/// The `#[config(...)]` options of a field. Values are JSON texts.
#[derive(Default)]
struct FieldOptions {
    name: Option<String>,
    default: Option<String>,
    minimum: Option<String>,
    maximum: Option<String>,
    above: Option<String>,
    below: Option<String>,
    infinite: bool,
}

/// The `#[config(...)]` options of a struct. Values are JSON texts.
#[derive(Default)]
struct StructOptions {
    name: Option<String>,
    aliases: Vec<String>,
    version: Option<u32>,
    base: Vec<(String, String)>,
    check: Option<ExprPath>,
    examples: Vec<String>,
    columns: Option<String>,
    classes: Option<String>,
    except: Vec<(String, String)>,
}

/// Expands the derive for a struct with named fields or without fields.
pub fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.span(), "Config is for structs"));
    };
    let options = struct_options(&input.attrs)?;
    let ident = &input.ident;
    let name = options.name.unwrap_or_else(|| ident.to_string());
    let mut aliases = options.aliases;
    let snake = snake_case(&name);
    if snake != name && !aliases.contains(&snake) {
        aliases.insert(0, snake);
    }
    let doc = doc(&input.attrs);
    let version = options.version.unwrap_or(1);
    let examples = options.examples;
    let [columns, classes] = [options.columns, options.classes].map(|number| match number {
        Some(number) => {
            let number: proc_macro2::Literal = number.parse().expect("whole numbers are literals");
            quote!(::std::option::Option::Some(#number))
        }
        None => quote!(::std::option::Option::None),
    });
    let (laws, reasons): (Vec<_>, Vec<_>) = options.except.into_iter().unzip();
    let (base_keys, base_values): (Vec<_>, Vec<_>) = options.base.into_iter().unzip();

    let fields = match &data.fields {
        Fields::Named(fields) => fields.named.iter().collect(),
        Fields::Unit => Vec::new(),
        Fields::Unnamed(fields) => return Err(Error::new(fields.span(), "name the fields: their names are the keys")),
    };
    let (mut specs, mut members, mut keys, mut types) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut skipped = Vec::new();
    for field in fields {
        let member = field.ident.as_ref().expect("a named field");
        if is_skipped(&field.attrs) {
            skipped.push(member);
            continue;
        }
        let options = field_options(&field.attrs, &field.ty)?;
        let key = options.name.unwrap_or_else(|| member.to_string().trim_start_matches("r#").to_string());
        let doc = self::doc(&field.attrs);
        let (ty, infinite) = (&field.ty, options.infinite);
        let [default, minimum, maximum, above, below] =
            [options.default, options.minimum, options.maximum, options.above, options.below].map(quote_option);
        specs.push(quote! {
            ::plugfit_api::config::FieldSpec {
                name: #key,
                doc: #doc,
                value: <#ty as ::plugfit_api::config::ConfigValue>::SPEC,
                default: #default,
                minimum: #minimum,
                maximum: #maximum,
                above: #above,
                below: #below,
                infinite: #infinite,
            }
        });
        members.push(member);
        keys.push(key);
        types.push(ty);
    }
    let indices = 0..members.len();
    let check = options.check.map(|path| quote!(#path(&this)?;));
    Ok(quote! {
        impl ::plugfit_api::Config for #ident {
            const SPEC: ::plugfit_api::config::ComponentSpec = ::plugfit_api::config::ComponentSpec {
                name: #name,
                aliases: &[#(#aliases),*],
                doc: #doc,
                version: #version,
                base: &[#((#base_keys, #base_values)),*],
                fields: &[#(#specs),*],
                examples: &[#(#examples),*],
                trial: ::plugfit_api::config::TrialSpec {
                    columns: #columns,
                    classes: #classes,
                    except: &[#((#laws, #reasons)),*],
                },
            };

            fn from_json(
                config: &::plugfit_api::serde_json::Map<
                    ::std::string::String,
                    ::plugfit_api::serde_json::Value,
                >,
            ) -> ::plugfit_api::Result<Self> {
                ::plugfit_api::config::refuse_unknown(config, &Self::SPEC)?;
                let this = Self {
                    #(#members: ::plugfit_api::config::read_field::<#types>(config, &Self::SPEC.fields[#indices])?,)*
                    #(#skipped: ::std::default::Default::default(),)*
                };
                #check
                ::std::result::Result::Ok(this)
            }

            fn to_json(
                &self,
            ) -> ::plugfit_api::serde_json::Map<::std::string::String, ::plugfit_api::serde_json::Value> {
                #[allow(unused_mut)]
                let mut config = ::plugfit_api::serde_json::Map::new();
                #(config.insert(#keys.into(), ::plugfit_api::config::ConfigValue::write(&self.#members));)*
                config
            }
        }
    })
}

/// Quotes an optional text as an `Option` expression.
fn quote_option(text: Option<String>) -> TokenStream {
    match text {
        Some(text) => quote!(::std::option::Option::Some(#text)),
        None => quote!(::std::option::Option::None),
    }
}

/// Returns the doc comment as one text. Lines of a paragraph are joined by spaces; blank lines still separate
/// paragraphs.
fn doc(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let Meta::NameValue(pair) = &attribute.meta {
            if let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &pair.value {
                let line = line.value();
                let line = line.trim();
                if line.is_empty() {
                    text.push_str("\n\n");
                } else {
                    if !text.is_empty() && !text.ends_with('\n') {
                        text.push(' ');
                    }
                    text.push_str(line);
                }
            }
        }
    }
    text.trim().to_string()
}

/// Returns the items of all `#[config(...)]` attributes.
fn metas(attributes: &[Attribute]) -> Result<Vec<Meta>> {
    let mut all = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("config")) {
        all.extend(attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?);
    }
    Ok(all)
}

fn is_skipped(attributes: &[Attribute]) -> bool {
    metas(attributes).is_ok_and(|metas| metas.iter().any(|meta| meta.path().is_ident("skip")))
}

fn struct_options(attributes: &[Attribute]) -> Result<StructOptions> {
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
                let expected = "expected name, aliases(…), version, base(…), check, example or trial(…)";
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

fn field_options(attributes: &[Attribute], ty: &Type) -> Result<FieldOptions> {
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

/// Converts a name to snake case as Keras does: `MeanIoU` becomes `mean_io_u`, `AUC` becomes `auc`.
pub fn snake_case(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (i, &character) in characters.iter().enumerate() {
        if character.is_uppercase() && i > 0 {
            let after_lower = characters[i - 1].is_lowercase() || characters[i - 1].is_ascii_digit();
            let before_lower = characters.get(i + 1).is_some_and(|next| next.is_lowercase());
            if after_lower || before_lower {
                snake.push('_');
            }
        }
        snake.extend(character.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn a_reason_must_be_a_single_line_of_text() {
        let accepts = |reason: &str| {
            expand(&parse_quote!(
                #[config(trial(except(truth = #reason)))]
                struct A;
            ))
            .is_ok()
        };
        assert!(accepts("it is a bound"));
        assert!(!accepts("two\nlines") && !accepts("\u{1b}[2J") && !accepts(" "));
    }
}
