//! Ids of types: the texts by which a data folder identifies its keys and aggregates.
//!
//! ```text
//! id    name | name(id,id,…)
//! name  letters, digits, '_', '-' and '.'
//! ```
//!
//! An id is chosen once and kept, even if the Rust type is renamed or moved. It names an *encoding*: if you change the
//! encoding, choose another id.
//!
//! A type with another name than this crate's types, and ids in parentheses, is encoded as these ids, one after the
//! other: `Sensor(text,u32)` as `tuple(text,u32)`. So its values can be read without its type.

use std::fmt;

/// The beginning of the ids of keys and aggregates of dynamic views. The kinds of the columns, or the cells, are in
/// parentheses.
pub(crate) const DYNAMIC: &str = "dynamic";

/// An id as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeId {
    pub(crate) name: String,
    /// `None` without parentheses.
    pub(crate) parts: Option<Vec<TypeId>>,
}

/// Deeper than any real type, so that damaged manifests do not exhaust the stack.
pub(super) const DEEPEST: usize = 64;

impl TypeId {
    /// Reads an id; `None` if the text is not valid.
    pub(crate) fn parse(text: &str) -> Option<TypeId> {
        let mut rest = text;
        let id = take(&mut rest, DEEPEST)?;
        rest.is_empty().then_some(id)
    }
}

fn take(rest: &mut &str, depth: usize) -> Option<TypeId> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    if end == 0 || depth == 0 {
        return None;
    }
    let (name, behind) = rest.split_at(end);
    *rest = behind;
    let Some(behind) = rest.strip_prefix('(') else {
        return Some(TypeId { name: name.to_owned(), parts: None });
    };
    *rest = behind;
    let mut parts = Vec::new();
    if let Some(behind) = rest.strip_prefix(')') {
        *rest = behind;
        return Some(TypeId { name: name.to_owned(), parts: Some(parts) });
    }
    loop {
        parts.push(take(rest, depth - 1)?);
        let next = rest.chars().next()?;
        *rest = &rest[next.len_utf8()..];
        match next {
            ',' => {}
            ')' => return Some(TypeId { name: name.to_owned(), parts: Some(parts) }),
            _ => return None,
        }
    }
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let Some(parts) = &self.parts else { return Ok(()) };
        f.write_str("(")?;
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            part.fmt(f)?;
        }
        f.write_str(")")
    }
}

/// The id of a type that consists of others: its name, and theirs in parentheses.
pub(crate) fn compose(name: &str, parts: &[String]) -> String {
    format!("{name}({})", parts.join(","))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_id() {
        for bad in
            ["", "(", "a(", "a(b", "a(b,", "a(b,)", "a(,b)", "a)", "a()b", "a b", "a::b", "é"]
        {
            assert_eq!(TypeId::parse(bad), None, "{bad}");
        }
        assert!(TypeId::parse(&"a(".repeat(10_000)).is_none());
    }

    #[test]
    fn ids_are_composed_and_taken_apart() {
        let text = compose("tuple", &["count".to_owned(), compose("Unit", &[])]);
        assert_eq!(text, "tuple(count,Unit())");
        let id = TypeId::parse(&text).unwrap();
        let parts = id.parts.unwrap();
        assert_eq!((id.name.as_str(), parts.len(), &parts[0].parts), ("tuple", 2, &None));
        assert_eq!(parts[1].parts, Some(vec![]));
    }

    fn ids() -> impl Strategy<Value = TypeId> {
        let name = "[a-zA-Z0-9_.-]{1,8}";
        let leaf = name.prop_map(|name| TypeId { name, parts: None });
        leaf.prop_recursive(4, 24, 4, move |inner| {
            (name, proptest::collection::vec(inner, 0..4))
                .prop_map(|(name, parts)| TypeId { name, parts: Some(parts) })
        })
    }

    proptest! {
        #[test]
        fn an_id_comes_back_from_its_text(id in ids()) {
            prop_assert_eq!(TypeId::parse(&id.to_string()), Some(id));
        }

        #[test]
        fn any_text_is_an_id_or_none(text in "[a-c(),: ]{0,24}") {
            if let Some(id) = TypeId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
