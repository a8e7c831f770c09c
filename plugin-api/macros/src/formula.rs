//! The `#[formula]` attribute.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{parse_quote, ImplItem, ItemImpl};

/// Adds `#[inline(always)]` to every function of the `impl` that has no `#[inline]` attribute.
pub fn expand(mut item: ItemImpl) -> TokenStream {
    for member in &mut item.items {
        if let ImplItem::Fn(function) = member {
            if !function.attrs.iter().any(|attribute| attribute.path().is_ident("inline")) {
                function.attrs.push(parse_quote!(#[inline(always)]));
            }
        }
    }
    quote!(#item)
}
