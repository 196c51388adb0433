//! Derived keys of structs, and the laws of keys for them.

use dayfold::key::{Key, check_key_laws, encoded};
use serde::{Deserialize, Serialize};

#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, dayfold::Key,
)]
struct Route {
    origin: String,
    destination: String,
    stops: i8,
}

#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, dayfold::Key,
)]
struct Meters(u32);

#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, dayfold::Key,
)]
#[serde(bound = "")]
struct Tagged<K: Key>(Vec<u8>, K);

#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, dayfold::Key,
)]
struct Everything;

fn routes() -> Vec<Route> {
    let names = ["", "\0", "EWR", "EW", "é"];
    let pairs = names.iter().flat_map(|a| names.iter().map(move |b| (a, b)));
    let stops = |(a, b): (&&str, &&str)| {
        let (origin, destination) = ((*a).to_owned(), (*b).to_owned());
        [-1, 0, 3].map(|stops| Route {
            origin: origin.clone(),
            destination: destination.clone(),
            stops,
        })
    };
    pairs.flat_map(stops).collect()
}

#[test]
fn laws_of_derived_keys() {
    check_key_laws(&routes());
    check_key_laws(&[Meters(0), Meters(255), Meters(256), Meters(u32::MAX)]);
    let tags = [vec![], vec![0], vec![0, 0xFF], vec![7]];
    let tagged: Vec<Tagged<Meters>> =
        tags.iter().flat_map(|tag| [0, 9].map(|n| Tagged(tag.clone(), Meters(n)))).collect();
    check_key_laws(&tagged);
    check_key_laws(&[Everything]);
}

#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, dayfold::Key,
)]
#[key(id = "Meters")]
struct Metres(u32);

#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, dayfold::Key,
)]
#[key(id = "tuple")]
struct Pair {
    left: String,
    right: u8,
}

mod elsewhere {
    use super::*;

    #[derive(
        Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, dayfold::Key,
    )]
    pub(super) struct Meters(u32);
}

#[test]
fn ids_of_derived_keys() {
    assert_eq!(Route::id(), "Route(text,text,i8)");
    assert_eq!(Everything::id(), "Everything()");
    assert_eq!(Tagged::<Option<Meters>>::id(), "Tagged(bytes,option(Meters(u32)))");
    // Neither a module nor a new name makes it another key.
    assert_eq!(elsewhere::Meters::id(), Meters::id());
    assert_eq!(Metres::id(), Meters::id());
    assert_eq!(Pair::id(), <(String, u8)>::id());
}

#[test]
fn columns_of_derived_keys() {
    let names = |columns: Vec<dayfold::schema::Column>| {
        columns.into_iter().map(|column| column.name).collect::<Vec<_>>()
    };
    assert_eq!(names(Route::columns()), ["origin", "destination", "stops"]);
    assert_eq!(names(Meters::columns()), [""], "of a tuple of one there is no name");
    assert_eq!(names(Tagged::<Pair>::columns()), ["1", "2_left", "2_right"]);
    assert!(Everything::columns().is_empty());
}

#[test]
fn laws_of_options() {
    check_key_laws(&[None, Some(0u8), Some(255)]);
    let texts = ["", "\0", "a"].map(|text| Some(text.to_owned()));
    let pairs: Vec<(Option<String>, bool)> = texts
        .into_iter()
        .chain([None])
        .flat_map(|t| [false, true].map(|b| (t.clone(), b)))
        .collect();
    check_key_laws(&pairs);
    check_key_laws(&[None, Some(None), Some(Some(1u64))]);
    assert!(Option::<u8>::decode(&mut &[2u8, 0][..]).is_err());
}

#[test]
fn a_struct_has_the_encoding_of_the_tuple_of_its_fields() {
    for route in routes() {
        let tuple = (route.origin.clone(), route.destination.clone(), route.stops);
        assert_eq!(encoded(&route), encoded(&tuple));
        assert_eq!(route.heap_bytes(), tuple.heap_bytes());
    }
    assert!(Route::decode(&mut &b"EWR\0\0SFO"[..]).is_err());
}
