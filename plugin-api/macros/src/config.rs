//! The `#[derive(Config)]` macro: generates a `ComponentSpec` with its reader and writer.

use crate::options::{field_options, is_skipped, struct_options, StructOptions};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    spanned::Spanned, Attribute, Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Ident, Lit, Meta, Result, Type,
};

/// Expands the derive for a struct with named fields or without fields.
pub fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.span(), "Config is for structs"));
    };
    let mut options = struct_options(&input.attrs)?;
    let check = options.check.take().map(|path| quote!(#path(&this)?;));
    let (ident, spec) = (&input.ident, component_spec(input, options)?);
    let (fields, skipped) = read_fields(&data.fields)?;
    let fields_spec = fields.iter().map(|field| &field.spec);
    let (members, types): (Vec<_>, Vec<_>) = fields.iter().map(|field| (field.member, field.ty)).unzip();
    let keys = fields.iter().map(|field| &field.key);
    let indices = 0..fields.len();
    Ok(quote! {
        impl ::plugfit_api::Config for #ident {
            const SPEC: ::plugfit_api::config::ComponentSpec = ::plugfit_api::config::ComponentSpec {
                fields: &[#(#fields_spec),*],
                #spec
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

/// Returns the entries of the `ComponentSpec` besides its fields.
fn component_spec(input: &DeriveInput, options: StructOptions) -> Result<TokenStream> {
    let name = options.name.unwrap_or_else(|| input.ident.to_string());
    let mut aliases = options.aliases;
    let snake = snake_case(&name);
    if snake != name && !aliases.contains(&snake) {
        aliases.insert(0, snake);
    }
    let doc = doc(&input.attrs);
    let version = options.version.unwrap_or(1);
    let examples = match (&options.examples[..], options.examples_path) {
        (examples, None) => quote!(&[#(#examples),*]),
        ([], Some(path)) => quote!(#path),
        (_, Some(path)) => return Err(Error::new(path.span(), "give either example or examples")),
    };
    let [columns, classes] = [options.columns, options.classes].map(|number| match number {
        Some(number) => {
            let number: proc_macro2::Literal = number.parse().expect("whole numbers are literals");
            quote!(::std::option::Option::Some(#number))
        }
        None => quote!(::std::option::Option::None),
    });
    let (laws, reasons): (Vec<_>, Vec<_>) = options.except.into_iter().unzip();
    let (base_keys, base_values): (Vec<_>, Vec<_>) = options.base.into_iter().unzip();
    Ok(quote! {
        name: #name,
        aliases: &[#(#aliases),*],
        doc: #doc,
        version: #version,
        base: &[#((#base_keys, #base_values)),*],
        examples: #examples,
        trial: ::plugfit_api::config::TrialSpec {
            columns: #columns,
            classes: #classes,
            except: &[#((#laws, #reasons)),*],
        },
    })
}

/// A field that is a setting.
struct Setting<'a> {
    member: &'a Ident,
    key: String,
    ty: &'a Type,
    /// Its `FieldSpec`.
    spec: TokenStream,
}

/// Returns the settings, and the names of the skipped fields.
fn read_fields(fields: &Fields) -> Result<(Vec<Setting<'_>>, Vec<&Ident>)> {
    if let Fields::Unnamed(fields) = fields {
        return Err(Error::new(fields.span(), "name the fields: their names are the keys"));
    }
    let (mut settings, mut skipped) = (Vec::new(), Vec::new());
    for field in fields {
        let member = field.ident.as_ref().expect("a named field");
        if is_skipped(&field.attrs)? {
            skipped.push(member);
        } else {
            settings.push(setting(member, field)?);
        }
    }
    Ok((settings, skipped))
}

fn setting<'a>(member: &'a Ident, field: &'a Field) -> Result<Setting<'a>> {
    let (options, doc) = (field_options(&field.attrs, &field.ty)?, doc(&field.attrs));
    let key = options.name.unwrap_or_else(|| member.to_string().trim_start_matches("r#").to_string());
    let (ty, infinite) = (&field.ty, options.infinite);
    let [default, minimum, maximum, above, below] =
        [options.default, options.minimum, options.maximum, options.above, options.below].map(quote_option);
    let spec = quote! {
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
    };
    Ok(Setting { member, key, ty, spec })
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
    #[test]
    fn a_skipped_field_has_no_other_options() {
        let accepts = |input| expand(&input).is_ok();
        assert!(accepts(parse_quote!(
            struct A {
                #[config(skip)]
                cache: Vec<f64>,
            }
        )));
        assert!(!accepts(parse_quote!(
            struct A {
                #[config(skip, default = 1.0)]
                rate: f64,
            }
        )));
        assert!(!accepts(parse_quote!(
            struct A {
                #[config(skip = true)]
                rate: f64,
            }
        )));
    }
}
