//! `docs/api.txt` lists the public items, one per line. This test finds them in the sources, and compares.
//!
//! ```sh
//! DAYFOLD_BLESS=1 cargo test --test api   # writes the list anew
//! ```
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod crate_tree;
mod listing;

use std::collections::BTreeSet;
use std::path::Path;

use crate_tree::Crate;

const LISTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.txt");

/// The libraries of the workspace: their sources, and their names.
const CRATES: &[(&str, &str)] = &[
    ("src", "dayfold"),
    ("crates/http/src", "dayfold_http"),
    ("crates/kafka/src", "dayfold_kafka"),
    ("crates/lake/src", "dayfold_lake"),
    ("crates/latency/src", "dayfold_latency"),
];

#[test]
fn the_public_api_is_what_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = CRATES.iter().map(|(folder, name)| Crate::read(&root.join(folder), name));
    let found: BTreeSet<String> = crates.flat_map(|found| listing::of(&found)).collect();
    let mut lines: Vec<&String> = found.iter().collect();
    lines.sort_by_key(|line| line.split_once(' ').map(|(what, path)| (path, what)));
    let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
    if std::env::var_os("DAYFOLD_BLESS").is_some() {
        std::fs::write(LISTED, &text).unwrap();
    }
    let listed = std::fs::read_to_string(LISTED).unwrap_or_default();
    let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    let only = |these: &BTreeSet<String>, those: &BTreeSet<String>, sign: &str| {
        these.difference(those).map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    let changed = only(&listed, &found, "-") + &only(&found, &listed, "+");
    assert!(
        changed.is_empty(),
        "the public API is not what docs/api.txt lists; if it is meant to be so, say so in CHANGELOG.md and \
         run `DAYFOLD_BLESS=1 cargo test --test api`:\n{changed}"
    );
}

/// The listing of a crate of one file.
#[track_caller]
fn check(source: &str, expect: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lib.rs"), source).unwrap();
    let mut found = listing::of(&Crate::read(folder.path(), "c"));
    found.sort();
    assert_eq!(found, expect);
}

#[test]
fn what_can_be_reached_is_listed_where_it_can() {
    check(
        "mod a { pub struct S<T> { pub x: u32, y: u32 }  pub(crate) struct P; pub struct Unreached;
            impl<T> S<T> { pub fn f(&self,
                n: u8) -> u8 { n } fn g() {} pub(crate) fn h() {} } }
         pub use a::S; pub mod b { pub use super::S as Again; pub fn free() {} mod c { pub fn not() {} } }",
        &[
            "fn c::S::f(&self, n: u8) -> u8",
            "fn c::b::free()",
            "mod c::b",
            "struct c::S::x: u32",
            "struct c::S<T>",
            "use c::b::Again = c::S",
        ],
    );
}

#[test]
fn enums_traits_and_features() {
    check(
        "pub enum E { A, #[cfg(feature = \"x\")] B { x: u8 }, C(u8, u8) }
         #[cfg(feature = \"x\")] pub mod m { pub trait T: Send { type P; const N: u8 = 1; fn f(&self); fn g() {} } }
         #[cfg(test)] pub mod tests { pub fn f() {} } #[cfg(any(test, feature = \"y\"))] pub struct S; #[doc(hidden)] pub fn hidden() {}
         pub const X: u8 = 1; pub type Y = u8; pub use serde::Serialize; pub use made::Made;
         mod made { macro_rules! make { () => { pub struct Made; } } make!(); }",
        &[
            "const c::X: u8",
            "enum c::E",
            "enum c::E::A",
            "enum c::E::B { x: u8 } [x]",
            "enum c::E::C(u8, u8)",
            "mod c::m [x]",
            "struct c::S [y]",
            "trait c::m::T: Send [x]",
            "trait c::m::T::const N: u8 [x]",
            "trait c::m::T::fn f(&self) [x]",
            "trait c::m::T::fn g() (provided) [x]",
            "trait c::m::T::type P [x]",
            "type c::Y = u8",
            "use c::Made",
            "use c::Serialize = serde::Serialize",
        ],
    );
}
