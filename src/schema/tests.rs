//! Ids tell types apart, and stored rows are read back by them.

use proptest::prelude::*;

use super::*;
use crate::aggregate::{
    Aggregate, Count, Decimal, DecimalSum, Distinct, Max, Maybe, Mean, Min, Quantiles, Semigroup,
    Sum,
};
use crate::codec;
use crate::key::{Key, encoded};
use crate::time::{Day, Grain};
use crate::view::View;

fn view() -> View {
    View::new("v").unwrap()
}

/// A row, read without knowing the types.
fn row<K: Key, A: Aggregate>(view: &View, key: &K, state: &A) -> Result<Vec<Value>, Unread> {
    let schema = ViewSchema::of::<K, A>(view).unwrap();
    let reader = RowReader::new(schema, (&K::id(), &A::id()), |_| true);
    let (mut bytes, mut row) = (Vec::new(), Row::default());
    codec::encode(state, &mut bytes).unwrap();
    reader.read(&encoded(key), &bytes, &mut row).map(|()| row.values().to_vec())
}

/// Reading by the id gives what the type itself presents.
#[track_caller]
fn check_state<A: Aggregate>(state: &A) {
    let schema = ViewSchema::of::<bool, A>(&view()).unwrap();
    let expected = schema.present(state).unwrap();
    assert_eq!(row(&view(), &true, state).unwrap()[1..], expected, "{state:?}");
    let unnamed = ViewSchema::unnamed("v", "UTC", Grain::Day, ("bool", &A::id()));
    assert_eq!(unnamed, schema, "the id says what the type says");
}

#[track_caller]
fn check_key<K: Key>(key: &K, expected: &[Value]) {
    assert_eq!(row(&view(), key, &Count(1)).unwrap()[..expected.len()], *expected, "{key:?}");
    let columns = K::columns();
    assert_eq!(columns.len(), expected.len());
    for (value, column) in expected.iter().zip(columns) {
        assert!(value.kind().map_or(column.nullable, |kind| kind == column.kind), "{column:?}");
    }
}

#[test]
fn ids_of_the_library_are_different() {
    fn id<T: crate::aggregate::Scalar>() -> String {
        T::id()
    }
    let integers = [id::<u8>(), id::<u16>(), id::<u32>(), id::<u64>(), id::<u128>()];
    let signed = [id::<i8>(), id::<i16>(), id::<i32>(), id::<i64>(), id::<i128>()];
    let others = [id::<bool>(), id::<String>(), id::<Vec<u8>>(), id::<Decimal>(), id::<Day>()];
    let mut scalars = [integers, signed, others].concat();
    let mut aggregates = vec![
        Count::id(),
        Sum::id(),
        DecimalSum::id(),
        Mean::id(),
        Distinct::id(),
        Quantiles::id(),
        Maybe::<Count>::id(),
        Vec::<Count>::id(),
        <(Count,)>::id(),
        <(Count, Count)>::id(),
        <((Count,), Count)>::id(),
        <(Count, Sum, Sum)>::id(),
        <((Count, Sum), Sum)>::id(),
        Min::<Decimal>::id(),
        Max::<Decimal>::id(),
    ];
    type Texts = Vec<String>;
    let mut keys = vec![
        <u8 as Key>::id(),
        <u64 as Key>::id(),
        <i64 as Key>::id(),
        <bool as Key>::id(),
        <String as Key>::id(),
        <Vec<u8> as Key>::id(),
        <Texts as Key>::id(),
        <Vec<Vec<u8>> as Key>::id(),
        Option::<String>::id(),
        Option::<Option<String>>::id(),
        <(String,) as Key>::id(),
        <(String, String) as Key>::id(),
        <((String, String), String) as Key>::id(),
        <(String, (String, String)) as Key>::id(),
        <(String, String, String) as Key>::id(),
    ];
    for ids in [&mut scalars, &mut aggregates, &mut keys] {
        let count = ids.len();
        ids.iter().for_each(|id| assert!(id::TypeId::parse(id).is_some(), "{id}"));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "{ids:?}");
    }
}

/// Ids are on disk: none of them may change unless the encoding does.
#[test]
fn ids_stay() {
    type Key = (String, Option<u32>, Vec<Vec<u8>>);
    assert_eq!(<Key as crate::Key>::id(), "tuple(text,option(u32),list(bytes))");
    type State = (Count, Maybe<(Mean, Min<Decimal>, Max<i64>, Quantiles)>, Vec<Distinct>);
    assert_eq!(
        State::id(),
        "tuple(count,maybe(tuple(mean,min(decimal),max(i64),quantiles)),list(distinct))"
    );
    assert_eq!(<(Sum, DecimalSum)>::id(), "tuple(sum,decimal-sum)");
    assert_eq!(Max::<Day>::id(), "max(date)");
}

#[test]
fn keys_are_read_by_their_ids() {
    let text = |text: &str| Value::Text(text.to_owned());
    check_key(&"a\0é".to_owned(), &[text("a\0é")]);
    check_key(&-5i64, &[Value::Integer(-5)]);
    check_key(&u128::MAX, &[text(&u128::MAX.to_string())]);
    check_key(&(true, vec![0u8, 255]), &[Value::Boolean(true), Value::Bytes(vec![0, 255])]);
    check_key(&(None::<(u8, String)>, 7u16), &[Value::Null, Value::Null, Value::Integer(7)]);
    check_key(&Some((3u8, String::new())), &[Value::Integer(3), text("")]);
    check_key(&vec!["a".to_owned(), "\"".to_owned()], &[text("[\"a\",\"\\\"\"]")]);
    check_key(&(Vec::<Vec<u8>>::new(), 1u8), &[text("[]"), Value::Integer(1)]);
}

#[test]
fn a_list_has_as_many_columns_as_names() {
    let view = view().key_columns(["site", "plot"]).unwrap();
    let list = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    let read = |parts: &[&str]| row(&view, &list(parts), &Count(1)).map(|row| row[..2].to_vec());
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(read(&["a", "b"]), Ok(vec![text("a"), text("b")]));
    assert_eq!(read(&["a"]), Ok(vec![text("a"), Value::Null]));
    assert_eq!(read(&["a", "b", "c"]), Err(Unread::Key));
}

#[test]
fn names_of_the_types() {
    let schema = ViewSchema::of::<(String, u8), (Count, Sum, Sum)>(&view()).unwrap();
    assert_eq!(
        schema.to_string(),
        "key_1 text, key_2 integer; count integer +, sum integer +, sum_2 integer +"
    );
    let schema = ViewSchema::of::<u8, Maybe<(Mean, Quantiles)>>(&view()).unwrap();
    assert_eq!(
        schema.to_string(),
        "key integer; mean decimal?, mean_sum decimal? +, mean_count integer? +, p50 decimal?, p99 decimal?, \
         sketch bytes?"
    );
    let schema = ViewSchema::of::<Option<bool>, Vec<Count>>(&view()).unwrap();
    assert_eq!((schema.to_string().as_str(), &schema.lists[..]), ("key boolean?; ", &[0][..]));
}

#[test]
fn names_of_the_program() {
    type Stats = (Count, Maybe<(Mean, Max<i64>)>, Maybe<Distinct>);
    let of = |names: &[&[&str]]| {
        let names = names.iter().map(|part| part.iter().copied());
        ViewSchema::of::<u8, Stats>(&view().measure_names(names).unwrap())
    };
    let measures = |names: &[&[&str]]| {
        let measures = of(names).unwrap().measures.into_iter();
        measures.map(|measure| measure.name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        measures(&[&["n"], &["delay"], &["aircraft"]]),
        "n delay_mean delay_mean_sum delay_mean_count delay_max aircraft aircraft_sketch"
    );
    assert_eq!(
        measures(&[&["n"], &["delay", "worst"], &["aircraft"]]),
        "n delay delay_sum delay_count worst aircraft aircraft_sketch"
    );
    assert_eq!(of(&[&["n"]]), Err(SchemaError::Parts { found: 1, expected: 3 }));
    let three = of(&[&["n"], &["a", "b", "c"], &["d"]]);
    assert_eq!(three, Err(SchemaError::Names { part: 2, found: 3, expected: 2 }));
    let twice = of(&[&["n"], &["a", "b"], &["n"]]);
    assert_eq!(twice, Err(SchemaError::Twice { name: "n".to_owned() }));
    let key = view().measure_names([["key"]]).unwrap();
    let twice = ViewSchema::of::<u8, Count>(&key);
    assert_eq!(twice, Err(SchemaError::Twice { name: "key".to_owned() }));
    let key = ViewSchema::of::<(u8, u8), Count>(&view().key_columns(["a"]).unwrap());
    assert_eq!(key, Err(SchemaError::Key { found: 1, expected: 2 }));
    for bad in ["", "day", "sealed", "a\nb", &"x".repeat(129)] {
        assert!(view().key_columns([bad]).is_err(), "{bad}");
    }
    assert!(view().key_columns(["a", "a"]).is_err());
    // A derived name gives way to a given one.
    let both = view().key_columns(["a_sketch"]).unwrap().measure_names([["a"]]).unwrap();
    let schema = ViewSchema::of::<u8, Distinct>(&both).unwrap();
    assert_eq!(schema.to_string(), "a_sketch integer; a integer, a_sketch_2 bytes");
}

#[test]
fn a_vector_has_the_elements_that_are_named() {
    let view = view().measure_names([vec!["n"], vec!["a", "b"]]).unwrap();
    let read = |counts: &[i64]| {
        let counts: Vec<Maybe<Count>> = counts.iter().map(|&n| Maybe(Some(Count(n)))).collect();
        row(&view, &true, &(Count(9), counts)).map(|row| row[1..].to_vec())
    };
    let integers =
        |numbers: &[i128]| numbers.iter().map(|&n| Value::Integer(n)).collect::<Vec<_>>();
    assert_eq!(read(&[1, 2]), Ok(integers(&[9, 1, 2])));
    assert_eq!(read(&[1]), Ok([integers(&[9, 1]), vec![Value::Null]].concat()));
    assert_eq!(read(&[1, 2, 3]), Err(Unread::State), "what has no name is not left out");
}

#[test]
fn what_is_not_known_is_not_read() {
    let schema = ViewSchema::unnamed("v", "UTC", Grain::Day, ("severity", "tuple(count,load)"));
    let reader = RowReader::new(schema, ("severity", "tuple(count,load)"), |_| true);
    assert!(reader.measures().is_none());
    let mut row = Row::default();
    reader.read(&[7, 8], &[1, 2, 3], &mut row).unwrap();
    assert_eq!(row.values(), [Value::Bytes(vec![7, 8])]);
    // A hand-written key whose id lists the parts of its encoding.
    assert_eq!(key::columns_of("severity(u8)"), [Column::new("", Kind::Integer)]);
}

fn decimals() -> impl Strategy<Value = Decimal> {
    (any::<i64>(), 0u8..=9).prop_map(|(units, scale)| Decimal::from_scaled(units, scale))
}

proptest! {
    #[test]
    fn states_are_read_by_their_ids(
        numbers in proptest::collection::vec(decimals(), 1..40),
        integers in proptest::collection::vec(any::<i64>(), 1..5),
        text in ".{0,5}", some: bool,
    ) {
        let maybe = |value: Decimal| Maybe(some.then_some((Mean::of(value), Min(value), Max(value), Quantiles::of(value))));
        for &number in &numbers {
            check_state(&maybe(number));
        }
        let quantiles = numbers.iter().map(|&number| (Quantiles::of(number), DecimalSum::of(number)));
        check_state(&quantiles.reduce(|mut all, one| { all.plus_equals(&one); all }).unwrap());
        let distinct = integers.iter().map(|n| Distinct::of(&n.to_le_bytes()));
        check_state(&distinct.reduce(|mut all, one| { all.plus_equals(&one); all }).unwrap());
        check_state(&(Sum::of(integers[0]), Max(text.clone()), Min(text.into_bytes()), Max(Day(integers[0] as i32))));
        check_state(&integers.iter().map(|&n| Count(n)).collect::<Vec<_>>());
        check_state(&(Min(integers[0]), Max(integers[0] as u128), Maybe(some.then_some(Min(integers[0] as i8)))));
    }

    #[test]
    fn any_bytes_are_a_row_or_an_error(
        key in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..20),
        state in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..40),
    ) {
        type Key = (Option<String>, Vec<Vec<u8>>, i8);
        type State = (Count, Vec<Maybe<(Mean, Min<String>)>>, Maybe<Quantiles>, Distinct);
        let schema = ViewSchema::of::<Key, State>(&view()).unwrap();
        let reader = RowReader::new(schema.clone(), (&<Key as crate::Key>::id(), &State::id()), |_| true);
        let mut row = Row::default();
        if reader.read(&key, &state, &mut row).is_ok() {
            prop_assert_eq!(row.values().len(), schema.key.len() + schema.measures.len());
        }
    }
}
