//! The names of Rust types that folders of version 0.1 have instead of ids.
//!
//! `std::any::type_name` guarantees nothing, and contains private module paths. The names that this crate's types had
//! in that version are listed here; an embedder's types are recognized by their present name, if it is still the same.

use super::id::{DEEPEST, compose};

/// What a folder may have instead of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Former {
    /// The name in version 0.1 of the type with this id.
    Of {
        id: String,
        /// The present [`std::any::type_name`].
        name: String,
    },
    /// Matches any name that version 0.1 may have written, for readers that do not know the type.
    Any,
}

impl Former {
    /// A type with this id.
    pub(crate) fn of<T: ?Sized>(id: String) -> Former {
        Former::Of { id, name: std::any::type_name::<T>().to_owned() }
    }

    /// Whether the text in a folder is the former name of this type.
    pub(crate) fn is(&self, said: &str) -> bool {
        match self {
            _ if !is_former(said) => false,
            Former::Of { id, name } => {
                let said = translated(said);
                said == *id || said == translated(name)
            }
            Former::Any => true,
        }
    }
}

/// Whether a text is a Rust type name: ids have no colons, and tuples begin with a name.
pub(crate) fn is_former(said: &str) -> bool {
    said.contains("::") || said.starts_with('(')
}

/// The id, if a folder has a former name instead.
pub(crate) fn id_of(said: &str) -> String {
    if is_former(said) { translated(said) } else { said.to_owned() }
}

/// The id for a former name. Types of an embedder, whose ids are not known here, keep their names in it.
fn translated(said: &str) -> String {
    let mut rest = said;
    match take(&mut rest, DEEPEST) {
        Some(id) if rest.is_empty() => id,
        _ => said.to_owned(),
    }
}

/// Reads one type.
fn take(rest: &mut &str, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    if let Some(behind) = rest.strip_prefix('(') {
        *rest = behind;
        return Some(compose("tuple", &list(rest, ')', depth)?));
    }
    let end = rest.find(['<', '>', '(', ')', ',', ' ']).unwrap_or(rest.len());
    let (path, behind) = rest.split_at(end);
    *rest = behind;
    let parts = match rest.strip_prefix('<') {
        Some(behind) => {
            *rest = behind;
            list(rest, '>', depth)?
        }
        None => Vec::new(),
    };
    (!path.is_empty()).then(|| named(path, parts))
}

/// Types up to a closing bracket; a tuple of one ends with a comma.
fn list(rest: &mut &str, end: char, depth: usize) -> Option<Vec<String>> {
    let mut found = Vec::new();
    loop {
        if let Some(behind) = rest.strip_prefix(end) {
            *rest = behind;
            return Some(found);
        }
        found.push(take(rest, depth)?);
        *rest = rest.strip_prefix(',').unwrap_or(rest);
        *rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
}

fn named(path: &str, parts: Vec<String>) -> String {
    // The modules of the aggregates were private and may have moved since.
    let aggregate = path.strip_prefix("dayfold::aggregate::");
    let last = aggregate.map(|path| path.rsplit("::").next().unwrap_or(path));
    let id = match (path, last) {
        ("alloc::string::String", _) => "text",
        ("alloc::vec::Vec", _) if parts == ["u8"] => return "bytes".to_owned(),
        ("alloc::vec::Vec", _) => "list",
        ("core::option::Option", _) => "option",
        ("dayfold::time::Day", _) => "date",
        (_, Some("Count")) => "count",
        (_, Some("Sum")) => "sum",
        (_, Some("DecimalSum")) => "decimal-sum",
        (_, Some("Decimal")) => "decimal",
        (_, Some("Mean")) => "mean",
        (_, Some("Distinct")) => "distinct",
        (_, Some("Quantiles")) => "quantiles",
        (_, Some("Min")) => "min",
        (_, Some("Max")) => "max",
        (_, Some("Maybe")) => "maybe",
        _ => path,
    };
    if parts.is_empty() { id.to_owned() } else { compose(id, &parts) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{Aggregate, Count, Decimal, DecimalSum, Distinct, Max, Maybe, Mean};
    use crate::aggregate::{Min, Quantiles, Sum};
    use crate::key::Key;

    /// As in folders of version 0.1.
    const NUMBERS: &str = "dayfold::aggregate::maybe::Maybe<(dayfold::aggregate::mean::Mean, \
         dayfold::aggregate::extremes::Min<dayfold::aggregate::decimal::Decimal>, \
         dayfold::aggregate::extremes::Max<dayfold::aggregate::decimal::Decimal>, \
         dayfold::aggregate::quantiles::Quantiles)>";

    #[track_caller]
    fn check_aggregate<A: Aggregate>(said: &str) {
        assert_eq!(translated(said), A::id());
        assert!(Former::of::<A>(A::id()).is(said), "{said}");
    }

    #[track_caller]
    fn check_key<K: Key>(said: &str) {
        assert_eq!(translated(said), K::id());
        assert!(said == K::id() || Former::of::<K>(K::id()).is(said), "{said}");
    }

    #[test]
    fn names_of_version_0_1_are_known() {
        check_key::<String>("alloc::string::String");
        check_key::<(String,)>("(alloc::string::String,)");
        check_key::<(String, u64, Option<Vec<u8>>)>(
            "(alloc::string::String, u64, core::option::Option<alloc::vec::Vec<u8>>)",
        );
        check_key::<Vec<Vec<u8>>>("alloc::vec::Vec<alloc::vec::Vec<u8>>");
        check_key::<Vec<String>>("alloc::vec::Vec<alloc::string::String>");
        check_key::<i64>("i64");
        check_key::<(i64, bool)>("(i64, bool)");
        check_aggregate::<Count>("dayfold::aggregate::count::Count");
        check_aggregate::<(Sum, DecimalSum)>(
            "(dayfold::aggregate::sum::Sum, dayfold::aggregate::sum::DecimalSum)",
        );
        type Numbers = Maybe<(Mean, Min<Decimal>, Max<Decimal>, Quantiles)>;
        check_aggregate::<Numbers>(NUMBERS);
        check_aggregate::<(Count, Vec<Numbers>, Vec<Maybe<Distinct>>)>(&format!(
            "(dayfold::aggregate::count::Count, alloc::vec::Vec<{NUMBERS}>, alloc::vec::Vec<\
             dayfold::aggregate::maybe::Maybe<dayfold::aggregate::distinct::Distinct>>)"
        ));
        check_aggregate::<Max<i64>>("dayfold::aggregate::extremes::Max<i64>");
    }

    #[test]
    fn another_type_is_no_former_name() {
        let text = Former::of::<String>(String::id());
        for other in
            ["text", "i64", "alloc::vec::Vec<u8>", "(alloc::string::String,)", "a::String", "("]
        {
            assert!(!text.is(other), "{other}");
        }
        assert!(!Former::of::<Sum>(Sum::id()).is("dayfold::aggregate::sum::DecimalSum"));
    }

    /// An embedder's type that has not moved.
    struct Load;

    #[test]
    fn types_of_ones_own_are_known_by_their_names() {
        let load = std::any::type_name::<Load>();
        assert!(Former::of::<Load>("load".to_owned()).is(load));
        assert!(!Former::of::<Load>("load".to_owned()).is("elsewhere::Load"));
        let both = Former::of::<(Load, Count)>("tuple(load,count)".to_owned());
        assert!(both.is(&format!("({load}, dayfold::aggregate::count::Count)")));
        assert!(!both.is(&format!("({load}, dayfold::aggregate::sum::Sum)")));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_translated_or_left(text in "[a(),<>: ]{0,24}") {
            let _ = translated(&text);
        }
    }
}
