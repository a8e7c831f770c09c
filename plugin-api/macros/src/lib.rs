//! The macros of `plugfit-api`, which documents and re-exports them.

use proc_macro::TokenStream;

mod choice;
mod config;
mod formula;
mod options;

/// Derives `plugfit_api::Config` for a struct of settings; see there.
#[proc_macro_derive(Config, attributes(config))]
pub fn config(input: TokenStream) -> TokenStream {
    expand(syn::parse(input).and_then(|input| config::expand(&input)))
}

/// Derives `plugfit_api::config::Choice` for an enum without fields, whose variants are strings in a configuration.
#[proc_macro_derive(Choice, attributes(choice))]
pub fn choice(input: TokenStream) -> TokenStream {
    expand(syn::parse(input).and_then(|input| choice::expand(&input)))
}

/// Marks every function of a formula's `impl` as `#[inline(always)]`, so that the loop around it vectorises.
#[proc_macro_attribute]
pub fn formula(_: TokenStream, item: TokenStream) -> TokenStream {
    expand(syn::parse(item).map(formula::expand))
}

/// Derives `Clone`, `Serialize` and `Deserialize` for the state of a metric, so that it is saved and loaded bit for
/// bit.
#[proc_macro_attribute]
pub fn state(_: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    quote::quote! {
        #[derive(Clone, ::plugfit_api::serde::Serialize, ::plugfit_api::serde::Deserialize)]
        #[serde(crate = "::plugfit_api::serde")]
        #item
    }
    .into()
}

fn expand(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(|error| error.to_compile_error()).into()
}
