//! The modules of a crate, read from its sources, and the meaning of names in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::{Attribute, Item, ItemMod, UseTree, Visibility};

/// A path from the root of the crate, without its name.
pub(crate) type Names = Vec<String>;

/// A crate: its modules by path.
pub(crate) struct Crate {
    pub(crate) name: String,
    modules: BTreeMap<Names, Module>,
}

#[derive(Default)]
pub(crate) struct Module {
    pub(crate) items: Vec<Item>,
    /// Imports of `use`, by their local names.
    pub(crate) uses: BTreeMap<String, Use>,
}

#[derive(Clone)]
pub(crate) struct Use {
    pub(crate) path: Names,
    pub(crate) is_public: bool,
    pub(crate) feature: Option<String>,
}

/// What a name means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The item with this name, in this module.
    Item(Names, String),
    Module(Names),
    /// An item of another crate, or one made by a macro.
    Elsewhere(Names),
}

impl Crate {
    pub(crate) fn read(folder: &Path, name: &str) -> Crate {
        let mut of = Crate { name: name.to_owned(), modules: BTreeMap::new() };
        of.read_file(&folder.join("lib.rs"), folder, Vec::new());
        of
    }

    /// Reads a file, whose submodules are in `folder`.
    fn read_file(&mut self, file: &Path, folder: &Path, path: Names) {
        let text = std::fs::read_to_string(file);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text);
        let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.add(parsed.items, folder, path);
    }

    fn add(&mut self, items: Vec<Item>, folder: &Path, path: Names) {
        let mut module = Module::default();
        for item in items {
            match item {
                Item::Mod(item) if is_for_tests(&item.attrs) => drop(item),
                Item::Mod(mut item) => {
                    let content = item.content.take();
                    let name = item.ident.to_string();
                    let inner = folder.join(&name);
                    let path = [path.clone(), vec![name.clone()]].concat();
                    match content {
                        Some((_, items)) => self.add(items, &inner, path),
                        None => self.read_file(&source_of(folder, &item), &inner, path),
                    }
                    module.items.push(Item::Mod(item));
                }
                Item::Use(item) => {
                    let (is_public, feature) = (is_public(&item.vis), feature(&item.attrs));
                    names(&item.tree, &mut Vec::new(), &mut |name, path| {
                        let feature = feature.clone();
                        module.uses.insert(name, Use { path, is_public, feature });
                    });
                }
                item => module.items.push(item),
            }
        }
        self.modules.insert(path, module);
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = (&Names, &Module)> {
        self.modules.iter()
    }

    pub(crate) fn module(&self, path: &[String]) -> &Module {
        &self.modules[path]
    }

    /// The meaning of `path` in the module `at`.
    pub(crate) fn resolve(&self, at: &[String], path: &[String]) -> Meaning {
        let (mut at, mut path) = (at.to_vec(), path.to_vec());
        while let Some(first) = path.first() {
            match first.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                _ => break,
            }
            path.remove(0);
        }
        let Some(first) = path.first().cloned() else { return Meaning::Module(at) };
        let rest = &path[1..];
        let inner = [at.clone(), vec![first.clone()]].concat();
        if self.modules.contains_key(&inner) {
            return self.resolve(&inner, rest);
        }
        let Some(module) = self.modules.get(&at) else { return Meaning::Elsewhere(path) };
        if module.items.iter().any(|item| ident(item).is_some_and(|name| name == first)) {
            return Meaning::Item(at, first);
        }
        match module.uses.get(&first) {
            Some(used) if used.path != path => {
                self.resolve(&at, &[used.path.clone(), rest.to_vec()].concat())
            }
            _ => Meaning::Elsewhere(path),
        }
    }
}

/// The name of an item that has one.
pub(crate) fn ident(item: &Item) -> Option<String> {
    Some(match item {
        Item::Struct(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Const(item) => item.ident.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}

pub(crate) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// The feature that an item needs (outside tests, if tests have it as well); other conditions are ignored.
pub(crate) fn feature(attributes: &[Attribute]) -> Option<String> {
    let conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    let text = |attribute: &Attribute| attribute.meta.require_list().unwrap().tokens.to_string();
    let features = conditions.filter_map(|attribute| {
        let text = text(attribute).replace("any (test , ", "").replace(')', "");
        text.strip_prefix("feature = ").map(|name| name.trim_matches('"').to_owned())
    });
    features.reduce(|_, last| last)
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().unwrap().tokens.to_string() == "test"
    })
}

fn source_of(folder: &Path, item: &ItemMod) -> PathBuf {
    let flat = folder.join(format!("{}.rs", item.ident));
    if flat.is_file() { flat } else { folder.join(item.ident.to_string()).join("mod.rs") }
}

/// The names of a `use`, and their meanings.
fn names(tree: &UseTree, before: &mut Names, each: &mut impl FnMut(String, Names)) {
    let with = |name: &syn::Ident, before: &Names| -> Names {
        if name == "self" {
            before.clone()
        } else {
            [before.clone(), vec![name.to_string()]].concat()
        }
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            names(&path.tree, before, each);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| names(tree, before, each)),
        UseTree::Name(name) => {
            let path = with(&name.ident, before);
            each(path.last().unwrap().clone(), path);
        }
        UseTree::Rename(name) => each(name.rename.to_string(), with(&name.ident, before)),
        UseTree::Glob(_) => {
            let is_own = before.first().is_some_and(|first| first == "super");
            assert!(is_own || before.last().is_some_and(|last| last == "prelude"), "{before:?}::*");
        }
    }
}
