//! `#[derive(dayfold::Key)]`: structs as keys of a view. Use it through the crate `dayfold`.

use proc_macro::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Index, Member, parse_macro_input};

/// Derives `dayfold::Key` for a struct whose fields are keys: its encoding is that of the fields, one after
/// the other.
///
/// The encoding keeps the order of a derived `Ord`, which is that of the fields as they are written. To
/// reorder, add or remove a field makes another key, which a data folder refuses.
#[proc_macro_derive(Key)]
pub fn derive_key(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: &DeriveInput) -> Result<proc_macro2::TokenStream, Error> {
    let Data::Struct(data) = &input.data else {
        let message = "only a struct can derive Key: implement dayfold::Key by hand";
        return Err(Error::new_spanned(&input.ident, message));
    };
    let types: Vec<_> = data.fields.iter().map(|field| &field.ty).collect();
    // Both kinds of struct can be written as `Name { member: value }`, tuples with `0`, `1`, …
    let members: Vec<Member> = match &data.fields {
        Fields::Named(fields) => {
            fields.named.iter().filter_map(|f| f.ident.clone()).map(Member::Named).collect()
        }
        Fields::Unnamed(_) | Fields::Unit => {
            (0..types.len()).map(|at| Member::Unnamed(Index::from(at))).collect()
        }
    };
    let name = &input.ident;
    let mut generics = input.generics.clone();
    for parameter in input.generics.type_params() {
        let parameter = &parameter.ident;
        generics.make_where_clause().predicates.push(syn::parse_quote!(#parameter: ::dayfold::Key));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics ::dayfold::Key for #name #type_generics #where_clause {
            fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
                #( ::dayfold::Key::encode(&self.#members, out); )*
            }
            fn decode(bytes: &mut &[u8]) -> ::std::result::Result<Self, ::dayfold::key::KeyError> {
                ::std::result::Result::Ok(#name {
                    #( #members: <#types as ::dayfold::Key>::decode(bytes)?, )*
                })
            }
            fn heap_bytes(&self) -> usize {
                0 #( + ::dayfold::Key::heap_bytes(&self.#members) )*
            }
        }
    })
}
