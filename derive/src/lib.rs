//! `#[derive(dayfold::Key)]`: structs as keys of a view. Use it through the crate `dayfold`.

use proc_macro::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Fields, Index, LitStr, Member, parse_macro_input};

/// Derives `dayfold::Key` for a struct whose fields are keys. Its encoding is the encodings of the fields, one after
/// the other.
///
/// The encoding keeps the order of a derived `Ord`, which follows the order of the fields. Reordering, adding or
/// removing a field makes another key, which a data folder refuses. Renaming a field does not.
///
/// The columns of the key have the names of the fields.
///
/// The id of the key is the struct's name with the ids of its fields: `Sensor(text,u32)`. Modules do not matter. With
/// the attribute `#[key(id = "Sensor")]`, a renamed struct keeps its id and its data folders. `#[key(id = "tuple")]` is
/// for a struct that replaces a tuple.
#[proc_macro_derive(Key, attributes(key))]
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
    let id = id_name(input)?;
    let columns = match &data.fields {
        Fields::Named(fields) => {
            let names = fields.named.iter().filter_map(|f| f.ident.as_ref());
            let names: Vec<String> = names.map(|name| name.unraw().to_string()).collect();
            quote!([ #( ::dayfold::key::field_columns::<#types>(#names) ),* ].concat())
        }
        Fields::Unnamed(_) | Fields::Unit => quote! {
            ::dayfold::key::numbered_columns(::std::vec![ #( <#types as ::dayfold::Key>::columns() ),* ])
        },
    };
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
            fn id() -> ::std::string::String {
                ::dayfold::key::composed_id(#id, &[ #( <#types as ::dayfold::Key>::id() ),* ])
            }
            fn columns() -> ::std::vec::Vec<::dayfold::schema::Column> {
                #columns
            }
            fn heap_bytes(&self) -> usize {
                0 #( + ::dayfold::Key::heap_bytes(&self.#members) )*
            }
        }
    })
}

/// Names of ids with another encoding than that of a struct.
const TAKEN: [&str; 2] = ["list", "option"];

/// The name at the beginning of the key's id: that of `#[key(id = "…")]`, or else the struct's.
fn id_name(input: &DeriveInput) -> Result<String, Error> {
    let mut chosen = LitStr::new(&input.ident.unraw().to_string(), input.ident.span());
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("key")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("id") {
                return Err(meta.error("expected #[key(id = \"…\")]"));
            }
            chosen = meta.value()?.parse()?;
            Ok(())
        })?;
    }
    let name = chosen.value();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || !name.chars().all(is_allowed) || TAKEN.contains(&name.as_str()) {
        let message = format!(
            "'{name}' cannot be the id of a key: expected letters, digits, '_', '-' and '.', and none of {}; \
             choose one with #[key(id = \"…\")]",
            TAKEN.join(", ")
        );
        return Err(Error::new_spanned(chosen, message));
    }
    Ok(name)
}
