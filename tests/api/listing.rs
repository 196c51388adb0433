//! The items of a crate that are reachable from outside, one per line.

use std::collections::{BTreeMap, BTreeSet};

use syn::spanned::Spanned;
use syn::{Attribute, Fields, ImplItem, Item, TraitItem, Type};

use crate::crate_tree::{Crate, Meaning, Names, feature, ident, is_public};

/// The public items of a crate, not sorted.
pub(crate) fn of(of: &Crate) -> Vec<String> {
    let mut listing = Listing { of, lines: Vec::new(), places: BTreeMap::new(), again: Vec::new() };
    listing.module(&[], &of.name, None);
    listing.methods();
    listing.again();
    listing.lines
}

struct Listing<'a> {
    of: &'a Crate,
    lines: Vec<String>,
    /// Where an item is listed, by module and name.
    places: BTreeMap<(Names, String), Place>,
    /// Other paths to items: path, item, feature.
    again: Vec<(String, (Names, String))>,
}

#[derive(Clone)]
struct Place {
    path: String,
    feature: Option<String>,
}

impl Listing<'_> {
    fn line(&mut self, text: &str, feature: Option<&str>) {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let line =
            line.replace("( ", "(").replace(", )", ")").replace(",)", ")").replace(", >", ">");
        self.lines.push(match feature {
            Some(feature) => format!("{line} [{feature}]"),
            None => line,
        });
    }

    /// Lists the public items of the module `at`, which is reachable as `path`.
    fn module(&mut self, at: &[String], path: &str, within: Option<&str>) {
        let module = self.of.module(at);
        for item in &module.items {
            let Some((attributes, visible)) = attributes(item) else { continue };
            if !visible || is_hidden(attributes) {
                continue;
            }
            let feature = feature(attributes).or(within.map(str::to_owned));
            if let Item::Mod(item) = item {
                let name = item.ident.to_string();
                let inner = format!("{path}::{name}");
                self.line(&format!("mod {inner}"), feature.as_deref());
                self.module(&[at.to_vec(), vec![name]].concat(), &inner, feature.as_deref());
                continue;
            }
            self.item(at, item, path, feature);
        }
        for (name, used) in &module.uses {
            if !used.is_public {
                continue;
            }
            let feature = used.feature.clone().or(within.map(str::to_owned));
            match self.of.resolve(at, &used.path) {
                Meaning::Item(inner, original) => {
                    let items = &self.of.module(&inner).items;
                    let is_it = |item: &&Item| ident(item).is_some_and(|ident| ident == original);
                    let item = items.iter().find(is_it).expect("it was found there");
                    if attributes(item).is_none_or(|(attributes, _)| is_hidden(attributes)) {
                        continue;
                    }
                    let is_listed = self.places.contains_key(&(inner.clone(), original.clone()));
                    if is_listed || *name != original {
                        self.again.push((format!("{path}::{name}"), (inner, original)));
                    } else {
                        self.item(&inner, item, path, feature);
                    }
                }
                Meaning::Module(inner) => {
                    self.line(&format!("mod {path}::{name}"), feature.as_deref());
                    self.module(&inner, &format!("{path}::{name}"), feature.as_deref());
                }
                Meaning::Elsewhere(of) if of.len() > 1 => {
                    self.line(
                        &format!("use {path}::{name} = {}", of.join("::")),
                        feature.as_deref(),
                    );
                }
                Meaning::Elsewhere(_) => {
                    self.line(&format!("use {path}::{name}"), feature.as_deref());
                }
            }
        }
    }

    /// Lists an item of the module `at`, under `path`.
    fn item(&mut self, at: &[String], item: &Item, path: &str, feature: Option<String>) {
        let Some(name) = ident(item) else { return };
        let full = format!("{path}::{name}");
        let place = Place { path: full.clone(), feature: feature.clone() };
        self.places.insert((at.to_vec(), name), place);
        let feature = feature.as_deref();
        match item {
            Item::Struct(item) => {
                self.line(&format!("struct {full}{}", text(&item.generics)), feature);
                for (n, field) in item.fields.iter().enumerate() {
                    if is_public(&field.vis) {
                        let name = field.ident.as_ref().map_or(n.to_string(), ToString::to_string);
                        self.line(&format!("struct {full}::{name}: {}", text(&field.ty)), feature);
                    }
                }
            }
            Item::Enum(item) => {
                self.line(&format!("enum {full}{}", text(&item.generics)), feature);
                for variant in &item.variants {
                    let fields = fields(&variant.fields);
                    let own = crate::crate_tree::feature(&variant.attrs);
                    let line = format!("enum {full}::{}{fields}", variant.ident);
                    self.line(&line, own.as_deref().or(feature));
                }
            }
            Item::Trait(item) => {
                let bounds = text(&item.supertraits);
                let colon = if bounds.is_empty() { "" } else { ": " };
                self.line(&format!("trait {full}{}{colon}{bounds}", text(&item.generics)), feature);
                for item in &item.items {
                    let text = match item {
                        TraitItem::Fn(item) if item.default.is_some() => {
                            format!("{} (provided)", text(&item.sig))
                        }
                        TraitItem::Fn(item) => text(&item.sig),
                        TraitItem::Const(item) => {
                            format!("const {}: {}", item.ident, text(&item.ty))
                        }
                        TraitItem::Type(item) => format!("type {}", item.ident),
                        _ => continue,
                    };
                    self.line(&format!("trait {full}::{text}"), feature);
                }
            }
            Item::Fn(item) => self.line(&function(&text(&item.sig), path), feature),
            Item::Const(item) => self.line(&format!("const {full}: {}", text(&item.ty)), feature),
            Item::Static(item) => self.line(&format!("static {full}: {}", text(&item.ty)), feature),
            Item::Type(item) => {
                let generics = text(&item.generics);
                self.line(&format!("type {full}{generics} = {}", text(&item.ty)), feature);
            }
            _ => {}
        }
    }

    /// Lists the public methods and constants of all listed types.
    fn methods(&mut self) {
        let of = self.of;
        for (at, module) in of.modules() {
            for item in &module.items {
                let Item::Impl(item) = item else { continue };
                let Type::Path(of_type) = &*item.self_ty else { continue };
                if item.trait_.is_some() {
                    continue;
                }
                let path: Names =
                    of_type.path.segments.iter().map(|part| part.ident.to_string()).collect();
                let Meaning::Item(inner, name) = of.resolve(at, &path) else { continue };
                let Some(Place { path, feature: of_type }) =
                    self.places.get(&(inner, name)).cloned()
                else {
                    continue;
                };
                for member in &item.items {
                    let (attributes, line) = match member {
                        ImplItem::Fn(item) if is_public(&item.vis) => {
                            (&item.attrs, function(&text(&item.sig), &path))
                        }
                        ImplItem::Const(item) if is_public(&item.vis) => (
                            &item.attrs,
                            format!("const {path}::{}: {}", item.ident, text(&item.ty)),
                        ),
                        _ => continue,
                    };
                    if !is_hidden(attributes) {
                        let own = feature(attributes).or(of_type.clone());
                        self.line(&line, own.as_deref());
                    }
                }
            }
        }
    }

    /// Lists other paths to items. An item that is listed nowhere else is listed there.
    fn again(&mut self) {
        let mut told = BTreeSet::new();
        for (path, item) in std::mem::take(&mut self.again) {
            let place = self.places.get(&item).cloned();
            let (what, feature) = match place {
                Some(Place { path, feature }) => (path, feature),
                None => ([item.0, vec![item.1]].concat().join("::"), None),
            };
            if told.insert(path.clone()) {
                self.line(&format!("use {path} = {what}"), feature.as_deref());
            }
        }
    }
}

fn attributes(item: &Item) -> Option<(&[Attribute], bool)> {
    Some(match item {
        Item::Mod(item) => (&item.attrs[..], is_public(&item.vis)),
        Item::Struct(item) => (&item.attrs[..], is_public(&item.vis)),
        Item::Enum(item) => (&item.attrs[..], is_public(&item.vis)),
        Item::Trait(item) => (&item.attrs[..], is_public(&item.vis)),
        Item::Fn(item) => (&item.attrs[..], is_public(&item.vis)),
        Item::Const(item) => (&item.attrs[..], is_public(&item.vis)),
        Item::Static(item) => (&item.attrs[..], is_public(&item.vis)),
        Item::Type(item) => (&item.attrs[..], is_public(&item.vis)),
        _ => return None,
    })
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("doc")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "hidden")
    })
}

/// A signature with the path of its owner before the name.
fn function(signature: &str, owner: &str) -> String {
    let (before, rest) = signature.split_once("fn ").expect("a function");
    let before = if before.is_empty() { String::new() } else { format!(" ({})", before.trim()) };
    format!("fn {owner}::{rest}{before}")
}

fn fields(fields: &Fields) -> String {
    let named = |field: &syn::Field| match &field.ident {
        Some(name) => format!("{name}: {}", text(&field.ty)),
        None => text(&field.ty),
    };
    let list = fields.iter().map(named).collect::<Vec<_>>().join(", ");
    match fields {
        Fields::Unit => String::new(),
        Fields::Named(_) => format!(" {{ {list} }}"),
        Fields::Unnamed(_) => format!("({list})"),
    }
}

/// As it is written.
fn text(of: &impl Spanned) -> String {
    of.span().source_text().unwrap_or_default()
}
