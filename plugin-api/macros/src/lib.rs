//! The macros of `plugfit-api`; see there.

use proc_macro::TokenStream;

mod choice;
mod config;
mod formula;

/// Declares a configuration: see `plugfit_api::Config`.
#[proc_macro_derive(Config, attributes(config))]
pub fn config(input: TokenStream) -> TokenStream {
    expand(syn::parse(input).and_then(|input| config::expand(&input)))
}

/// Makes an enum without fields one of a few strings in a configuration: see `plugfit_api::config::Choice`.
#[proc_macro_derive(Choice, attributes(choice))]
pub fn choice(input: TokenStream) -> TokenStream {
    expand(syn::parse(input).and_then(|input| choice::expand(&input)))
}

/// Before an `impl` of a formula: forces every function to be inlined, without which the loop around it doesn't vectorise.
#[proc_macro_attribute]
pub fn formula(_: TokenStream, item: TokenStream) -> TokenStream {
    expand(syn::parse(item).map(formula::expand))
}

/// Before the struct of a metric's state: derives what saving and loading it bit for bit needs.
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
