//! Helpers that the tests of this module share, and tests of the module as a whole.

use proptest::prelude::*;

use super::filling::Filling;
use super::*;
use crate::aggregate::laws::check_laws_of;
use crate::aggregate::{Decimal, Semigroup};
use crate::codec;
use crate::key::check_key_ref;
use crate::schema::{Kind, Row, RowReader, Value};
use crate::store::ViewRecord;
use crate::time::Day;
use crate::view::View;

/// Any value.
pub(crate) fn values() -> impl Strategy<Value = RowValue<'static>> {
    prop_oneof![
        Just(RowValue::Null),
        any::<bool>().prop_map(RowValue::from),
        (any::<i128>(), 0u32..128).prop_map(|(n, shift)| RowValue::Integer(n >> shift)),
        (any::<i64>(), 0u8..=9)
            .prop_map(|(units, scale)| Decimal::from_scaled(units, scale).into()),
        any::<i32>().prop_map(|day| Day(day).into()),
        any::<i64>().prop_map(RowValue::Timestamp),
        "[ab\0é]{0,4}".prop_map(RowValue::from),
        prop::collection::vec(0u8..3, 0..4).prop_map(|b| RowValue::Bytes(b.into())),
    ]
}

/// One column of each kind.
const KINDS: [(&str, Kind); 7] = [
    ("text", Kind::Text),
    ("integer", Kind::Integer),
    ("decimal", Kind::Decimal),
    ("boolean", Kind::Boolean),
    ("date", Kind::Date),
    ("timestamp", Kind::Timestamp),
    ("bytes", Kind::Bytes),
];

/// A view with every measure of every column that allows it.
fn all_measures() -> ViewDef {
    let columns = Columns::new(KINDS).unwrap();
    let view = ViewDef::new(View::new("all").unwrap(), columns).key(["text", "integer"]).unwrap();
    let view = view.measure("events", Reduce::Count).unwrap();
    let of: [fn(String) -> Reduce; 11] = [
        Reduce::CountOf,
        Reduce::CountIf,
        Reduce::Sum,
        Reduce::Min,
        Reduce::Max,
        Reduce::Mean,
        Reduce::Distinct,
        Reduce::DistinctSketch,
        Reduce::QuantileSketch,
        Reduce::First,
        Reduce::Last,
    ];
    let half: fn(String) -> Reduce = |column| Reduce::Quantile(column, "0.5".parse().unwrap());
    let top: fn(String) -> Reduce = |column| Reduce::Top(column, 2);
    let all = of.into_iter().chain([half, top]).enumerate();
    all.flat_map(|(at, of)| KINDS.map(|(name, _)| (format!("{at}_{name}"), of(name.to_owned()))))
        .fold(view, |view, (name, reduce)| match view.clone().measure(&name, reduce) {
            Ok(more) => more,
            Err(DefinitionError::Kind { .. }) => view,
            Err(error) => panic!("{error}"),
        })
}

/// Values of the columns, some of them null.
fn row() -> impl Strategy<Value = Vec<RowValue<'static>>> {
    let some = (
        "[ab]{0,2}",
        -3..3i64,
        prop_oneof![Just("1.5"), Just("1.50"), Just("-2"), Just("1e17")],
        any::<bool>(),
        -2..2i32,
        -2..2i64,
        prop::collection::vec(0u8..2, 0..2),
    );
    let values = some.prop_map(|(text, integer, decimal, is_so, day, time, bytes)| {
        let decimal: Decimal = decimal.parse().unwrap();
        let (date, time) = (Day(day).into(), RowValue::Timestamp(time));
        let bytes = RowValue::Bytes(bytes.into());
        vec![text.into(), integer.into(), decimal.into(), is_so.into(), date, time, bytes]
    });
    (values, any::<[bool; 7]>()).prop_map(|(mut values, nulls)| {
        let nulls = values.iter_mut().zip(nulls).filter(|(_, is_null)| *is_null);
        nulls.for_each(|(value, _)| *value = RowValue::Null);
        values
    })
}

fn filling(definition: &ViewDef) -> Filling<Event> {
    Filling::new(definition.plan(), Box::new(Event::fill))
}

fn state_of(filling: &Filling<Event>, events: &[Event]) -> State {
    let mut states = events.iter().map(|event| filling.whole(event).unwrap().2);
    let first = states.next().unwrap();
    states.fold(first, |mut sum, state| {
        sum.plus_equals(&state);
        sum
    })
}

/// Reads rows with nothing but what a folder keeps.
fn read_by_ids(definition: &ViewDef, key: &Key, state: &State) -> Vec<Value> {
    let schema = definition.schema().unwrap();
    let record = ViewRecord::of::<Key, State>(&definition.described());
    let reader = RowReader::new(schema, (&record.key, &record.aggregate), |_| true);
    let mut bytes = Vec::new();
    codec::encode(state, &mut bytes).unwrap();
    let mut row = Row::default();
    reader.read(key.as_bytes(), &bytes, &mut row).unwrap();
    row.values().to_vec()
}

proptest! {
    #[test]
    fn laws_of_states(events in prop::collection::vec((0..3i64, row()), 1..4)) {
        let definition = all_measures();
        let events: Vec<Event> =
            events.into_iter().map(|(time, values)| Event::new(time, values)).collect();
        let filling = filling(&definition);
        let mut sample: Vec<State> =
            events.iter().map(|event| filling.whole(event).unwrap().2).collect();
        sample.push(state_of(&filling, &events));
        check_laws_of(&definition.described().row_types::<Key, State>().shape, &sample);
    }

    #[test]
    fn to_add_an_event_is_plus(events in prop::collection::vec((0..3i64, row()), 1..30)) {
        let definition = all_measures();
        let events: Vec<Event> =
            events.into_iter().map(|(time, values)| Event::new(time, values)).collect();
        let filling = filling(&definition);
        let mut added = filling.whole(&events[0]).unwrap().2;
        for event in &events[1..] {
            filling.add(event, &mut added);
        }
        prop_assert_eq!(added, state_of(&filling, &events));
    }

    #[test]
    fn rows_are_read_without_the_definition(
        events in prop::collection::vec((0..3i64, row()), 1..6),
    ) {
        let definition = all_measures();
        let events: Vec<Event> =
            events.into_iter().map(|(time, values)| Event::new(time, values)).collect();
        let filling = filling(&definition);
        let key = filling.whole(&events[0]).unwrap().1;
        let state = state_of(&filling, &events);
        let mut expect = key.values();
        expect.extend(definition.schema().unwrap().present(&state).unwrap());
        prop_assert_eq!(read_by_ids(&definition, &key, &state), expect);
        for (value, measure) in definition.schema().unwrap().present(&state).unwrap().iter()
            .zip(&definition.schema().unwrap().measures)
        {
            let is_kind = value.kind().map_or(measure.nullable, |kind| kind == measure.kind);
            prop_assert!(is_kind, "{:?} is no value of {:?}", value, measure);
        }
    }
}

#[test]
fn what_cannot_be_defined_is_named() {
    let definition = || {
        let columns = Columns::new([("site", Kind::Text), ("celsius", Kind::Decimal)]).unwrap();
        ViewDef::new(View::new("v").unwrap(), columns).key(["site"]).unwrap()
    };
    let says =
        |name: &str, reduce: Reduce| definition().measure(name, reduce).unwrap_err().to_string();
    let of = |name: &str| name.to_owned();
    assert_eq!(
        says("n", Reduce::Sum(of("site"))),
        "measure 'n' is of integers or decimals, and column 'site' is text"
    );
    assert_eq!(
        says("n", Reduce::CountIf(of("celsius"))),
        "measure 'n' is of booleans, and column 'celsius' is decimal"
    );
    assert_eq!(says("n", Reduce::Min(of("x"))), "there is no column 'x' in the events of the view");
    assert_eq!(
        says("site", Reduce::Count),
        "two columns are called 'site': choose another name for one of them"
    );
    let top = says("n", Reduce::Top(of("site"), 0));
    assert_eq!(top, "the 0 most frequent values: expected 1 to 1,000");
    let quantile = Reduce::Quantile(of("celsius"), "1.1".parse().unwrap());
    assert_eq!(says("n", quantile), "a quantile of 1.1: expected 0 to 1");
    assert!(matches!(definition().measure("day", Reduce::Count), Err(DefinitionError::View(_))));
    assert!(Columns::new([("a", Kind::Text), ("a", Kind::Date)]).is_err());
    let error = definition().key_of(&[Value::Integer(1)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the values of a key are of the kinds integer: expected site text"
    );
}

#[test]
fn measures_share_cells_and_names_are_free() {
    let of = || "x".to_owned();
    let quantile = |at: &str| Reduce::Quantile(of(), at.parse().unwrap());
    let columns = Columns::new([("x", Kind::Decimal)]).unwrap();
    let define = |measures: Vec<(&str, Reduce)>| {
        let view = ViewDef::new(View::new("v").unwrap(), columns.clone());
        let mut measures = measures.into_iter();
        measures.try_fold(view, |view, (name, of)| view.measure(name, of)).unwrap()
    };
    let few = define(vec![("p50", quantile("0.5")), ("mean", Reduce::Mean(of()))]);
    let more = define(vec![
        ("median", quantile("0.5")),
        ("p90", quantile("0.9")),
        ("sum", Reduce::Sum(of())),
        ("n", Reduce::CountOf(of())),
        ("average", Reduce::Mean(of())),
    ]);
    let record = |view: &ViewDef| ViewRecord::of::<Key, State>(&view.described());
    assert_eq!(record(&few).aggregate, "dynamic(quantiles,mean)");
    assert_eq!(record(&few), record(&more));
    assert_eq!(record(&few).definition, "key ; quantiles(\"x\"), mean(\"x\")");
    let filling = filling(&more);
    let events = ["1", "2.5"].map(|x| Event::new(0, [x.parse::<Decimal>().unwrap().into()]));
    let shown = more.schema().unwrap().present(&state_of(&filling, &events)).unwrap();
    let shown: Vec<String> = shown.iter().map(Value::to_string).collect();
    assert_eq!(shown, ["1.0", "2.5", "3.5", "2", "1.7500000"]);
}

#[test]
fn the_most_frequent_values_are_shown_with_their_types() {
    let shown = |kind: Kind, values: Vec<RowValue<'static>>| {
        let columns = Columns::new([("x", kind)]).unwrap();
        let view = ViewDef::new(View::new("v").unwrap(), columns);
        let view = view.measure("top", Reduce::Top("x".to_owned(), 2)).unwrap();
        let filling = filling(&view);
        let events = values.into_iter().zip(0..).map(|(value, time)| Event::new(time, [value]));
        let events: Vec<Event> = events.collect();
        view.schema().unwrap().present(&state_of(&filling, &events)).unwrap()[0].to_string()
    };
    let text = |text: &str| RowValue::from(text.to_owned());
    let texts = vec![text("b"), text("\"a\""), text("\"a\""), RowValue::Null, text("c")];
    let expect = r#"[{"value":"\"a\"","count":2},{"value":"b","count":1}]"#;
    assert_eq!(shown(Kind::Text, texts), expect);
    let decimals = ["1.50", "1.5", "-2"].map(|x| x.parse::<Decimal>().unwrap().into());
    let expect = r#"[{"value":1.5,"count":2},{"value":-2,"count":1}]"#;
    assert_eq!(shown(Kind::Decimal, decimals.to_vec()), expect);
    let days = vec![Day(0).into(), Day(0).into()];
    assert_eq!(shown(Kind::Date, days), r#"[{"value":"1970-01-01","count":2}]"#);
    assert_eq!(shown(Kind::Text, vec![RowValue::Null]), "");
    // Only the first bytes of long texts count, without half characters.
    let long = ["é".repeat(100), format!("{}x", "é".repeat(60))].map(RowValue::from).to_vec();
    let expect = format!(r#"[{{"value":"{}","count":2}}]"#, "é".repeat(60));
    assert_eq!(shown(Kind::Text, long), expect);
    let many = (0..3_000i64).map(|n| RowValue::from(if n % 2 == 0 { 7 } else { n })).collect();
    let found = shown(Kind::Integer, many);
    assert!(found.starts_with(r#"[{"value":7,"count":150"#), "{found}");
    assert!(found.contains(r#","error_max":8}"#), "{found}");
}

#[test]
fn wrong_values_make_a_row_wrong() {
    let columns = Columns::new(KINDS).unwrap();
    let says = |at: usize, value: RowValue<'static>| {
        let mut row = RowBuilder::new(&columns);
        row.set(at, value);
        row.error().map(RowError::to_string)
    };
    assert_eq!(says(0, "x".into()), None);
    assert_eq!(says(2, 7i64.into()), None);
    assert_eq!(says(1, u64::MAX.into()), None);
    assert_eq!(says(0, RowValue::Null), None);
    assert_eq!(says(0, 7i64.into()).unwrap(), "column 'text' is text, and the value is integer");
    for too_large in [1i128 << 64, i128::MIN] {
        assert!(says(1, too_large.into()).unwrap().contains("too large"));
        assert!(says(2, too_large.into()).unwrap().contains("too large"));
    }
    assert_eq!(says(7, true.into()).unwrap(), "a value for column 7 of a view that has 7");
}

#[test]
fn keys_of_scratch_stand_for_keys() {
    let encoded = [vec![RowValue::Null, "a".into()], vec![1i64.into(), "".into()]];
    let keys = encoded.map(Key::new);
    check_key_ref(&keys.each_ref().map(|key| filling::Encoded(key.as_bytes())));
}

#[test]
fn values_and_cells_are_small() {
    assert_eq!((size_of::<RowValue<'_>>(), size_of::<Value>()), (32, 32));
    assert!(size_of::<MeasureState>() <= 64, "{}", size_of::<MeasureState>());
}
