//! The `#[derive(Choice)]` macro.

use crate::config::snake_case;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{spanned::Spanned, Data, DeriveInput, Error, Fields, LitStr, Result};

/// Expands the derive for an enum whose variants have no fields.
pub fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(input.span(), "Choice is for enums"));
    };
    let (mut names, mut variants) = (Vec::new(), Vec::new());
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new(variant.span(), "a choice has no fields"));
        }
        let mut name = snake_case(&variant.ident.to_string());
        for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("choice")) {
            name = attribute.parse_args::<LitStr>()?.value();
        }
        names.push(name);
        variants.push(&variant.ident);
    }
    let ident = &input.ident;
    Ok(quote! {
        impl ::plugfit_api::config::Choice for #ident {
            const NAMES: &'static [&'static str] = &[#(#names),*];
            const ALL: &'static [Self] = &[#(#ident::#variants),*];
            fn index(self) -> usize {
                self as usize
            }
        }
        impl ::plugfit_api::config::ConfigValue for #ident {
            const SPEC: ::plugfit_api::config::ValueSpec =
                ::plugfit_api::config::choice_spec(<Self as ::plugfit_api::config::Choice>::NAMES);
            fn read(value: &::plugfit_api::serde_json::Value) -> ::plugfit_api::Result<Self> {
                ::plugfit_api::config::read_choice(value)
            }
            fn write(&self) -> ::plugfit_api::serde_json::Value {
                use ::plugfit_api::config::Choice;
                Self::NAMES[self.index()].into()
            }
        }
    })
}
