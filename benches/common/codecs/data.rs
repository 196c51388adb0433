//! The encoded data: events as in a log, rows as in batch views.
//!
//! Only serde is implemented for Dayfold's own types. So all codecs are measured with tuples of the same numbers and
//! strings, which bincode encodes to the same bytes as the types themselves. abomonation gets tuples without padding,
//! whose heap data need no alignment: encoding others is undefined behaviour.

use std::collections::HashMap;

use ::bincode::Options;
use dayfold::aggregate::{Aggregate, Count, Decimal, Max, Mean, Quantiles, Semigroup, Sum};
use dayfold::key::{Key, encoded, sort_position};
use dayfold::time::EventTime;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{BatchFile, Bincode, Columns, Contender, Fold, Plain, abomonation_of, contender};
use crate::workload::{self, Event, SplitMix};

/// Items in a block.
const BLOCK: usize = 100_000;

/// The same items, for each of the codecs.
pub(crate) struct Set {
    pub(crate) title: &'static str,
    pub(crate) contenders: Vec<Box<dyn Contender>>,
}

impl Set {
    /// `plain` converts an item to the form for abomonation.
    fn new<T, P>(title: &'static str, items: &[T], plain: impl Fn(&T) -> P) -> Set
    where
        T: Serialize + DeserializeOwned + columnar::Columnar + Clone + PartialEq + Fold,
        for<'a> columnar::Ref<'a, T>: Fold,
        P: Plain + Clone + PartialEq + Fold + 'static,
    {
        let fixint = Bincode::new(fixint(), items);
        let varint = Bincode::new(varint(), items);
        let contenders = vec![
            contender("bincode, fixint", items.to_vec(), fixint),
            contender("bincode, varint", items.to_vec(), varint),
            contender("columnar", items.to_vec(), Columns::new()),
            abomonation_of(items.iter().map(plain).collect()),
        ];
        Set { title, contenders }
    }

    /// Adds batch views of the same rows.
    fn with_rows<K: Key, A: Aggregate>(mut self, rows: Vec<(K, A)>) -> Set
    where
        (K, A): Fold,
    {
        let codec = BatchFile::new(&rows);
        self.contenders.push(contender("a batch view, by key", rows, codec));
        self
    }
}

/// The default of bincode, which timely uses between processes.
pub(crate) fn fixint() -> impl Options + Copy {
    ::bincode::DefaultOptions::new().with_fixint_encoding()
}

/// The rows that Dayfold writes to disk.
pub(crate) fn varint() -> impl Options + Copy {
    ::bincode::DefaultOptions::new()
}

pub(crate) fn sets() -> Vec<Set> {
    let events = workload::events();
    let block = &events[..BLOCK];
    let plain_flight = |(time, carrier, origin, dest, delay, miles): &FlightTuple| {
        let (units, scale) = delay.unwrap_or((0, u8::MAX));
        let delay = (halves(units), u64::from(scale));
        (*time, carrier.clone(), origin.clone(), dest.clone(), delay, *miles)
    };
    let numbers = number_rows(&events);
    let sensors = sensor_rows();
    vec![
        Set::new("events (time, key, value), three numbers of 8 bytes", block, Event::clone),
        Set::new("flights (time, 3 strings, optional decimal, miles)", &flights(), plain_flight),
        number_set(numbers),
        sensor_set(sensors),
    ]
}

/// An `i128` must be aligned to 16 bytes; its halves need not.
fn halves(number: i128) -> (u64, i64) {
    (number as u64, (number >> 64) as i64)
}

/// Event time, carrier, origin, destination, delay in units and its scale, miles.
pub(crate) type FlightTuple = (EventTime, String, String, String, Option<(i128, u8)>, i64);

/// Like those of `examples/flights.rs`: one in forty has no delay.
pub(crate) fn flights() -> Vec<FlightTuple> {
    let mut random = SplitMix(0xF11_6475);
    let mut below = move |bound: u64| random.next() % bound;
    let flight = |number: usize| {
        let mut code = |letters: usize, names: u64| {
            let mut name = below(names);
            let mut letter = || {
                let letter = b'A' + (name % 26) as u8;
                name /= 26;
                char::from(letter)
            };
            (0..letters).map(|_| letter()).collect::<String>()
        };
        let (carrier, origin, dest) = (code(2, 40), code(3, 3), code(3, 2_000));
        let minutes = below(400) as i128 - 60;
        let delay = (below(40) > 0).then_some((minutes * 1_000_000_000, 0));
        let time = workload::START + number as i64 * 96_000 + below(60_000) as i64;
        (time, carrier, origin, dest, delay, 80 + below(5_000) as i64)
    };
    let flights: Vec<FlightTuple> = (0..BLOCK).map(flight).collect();
    for (.., delay, _) in &flights {
        let own = delay.map(|(units, scale)| Decimal::from_billionths(units, scale));
        assert_eq!(varint().serialize(delay).unwrap(), varint().serialize(&own).unwrap());
    }
    flights
}

type Numbers = (Count, Sum, Max<u64>);

/// The totals of all keys of the workload.
fn number_rows(events: &[Event]) -> Vec<(u64, Numbers)> {
    let mut rows: HashMap<u64, Numbers> = HashMap::new();
    for &(_, key, value) in events {
        let one = (Count::one(), Sum::from(value), Max(value));
        rows.entry(key).and_modify(|row| row.plus_equals(&one)).or_insert(one);
    }
    in_order(rows.into_iter().collect())
}

fn number_set(rows: Vec<(u64, Numbers)>) -> Set {
    let tuple = |&(key, (count, sum, most)): &(u64, Numbers)| (key, (count.0, sum.value(), most.0));
    let tuples: Vec<_> = rows.iter().map(tuple).collect();
    assert_eq!(varint().serialize(&rows).unwrap(), varint().serialize(&tuples).unwrap());
    let plain =
        |&(key, (count, sum, most)): &(u64, (i64, i128, u64))| (key, (count, halves(sum), most));
    Set::new("rows (key, (Count, Sum, Max))", &tuples, plain).with_rows(rows)
}

type Measured = (Count, Mean, Quantiles);
/// Three words of a value, two of how often it occurs.
type Run = (u32, u32, u32, u32, u32);
type MeasuredTuple = (String, (i64, (i128, u8, u64), (u64, u8, Vec<Run>)));

/// Two to thirteen readings of each sensor, in tenths.
fn sensor_rows() -> Vec<(String, Measured)> {
    let mut random = SplitMix(0x5E_4504);
    let row = |number: usize| {
        let mut one = || {
            let tenths = (random.next() % 500) as i128 - 100;
            let reading = Decimal::from_billionths(tenths * 100_000_000, 1);
            (Count::one(), Mean::of(reading), Quantiles::of(reading))
        };
        let mut row = one();
        for _ in 0..=number % 12 {
            row.plus_equals(&one());
        }
        (format!("sensor-{number:05}"), row)
    };
    in_order((0..BLOCK).map(row).collect())
}

fn sensor_set(rows: Vec<(String, Measured)>) -> Set {
    let tuples: Vec<MeasuredTuple> = rows.iter().map(sensor_tuple).collect();
    let plain = |(key, (count, (sum, scale, of), (values, digits, runs))): &MeasuredTuple| {
        let bytes = |&(a, b, c, d, e): &Run| {
            let mut bytes = [0; 20];
            for (place, word) in bytes.chunks_exact_mut(4).zip([a, b, c, d, e]) {
                place.copy_from_slice(&word.to_le_bytes());
            }
            bytes
        };
        let runs: Vec<[u8; 20]> = runs.iter().map(bytes).collect();
        let mean = (halves(*sum), u64::from(*scale), *of);
        (key.clone(), (*count, mean, (*values, u64::from(*digits), runs)))
    };
    Set::new("rows (name, (Count, Mean, Quantiles of 2 to 13 values))", &tuples, plain)
        .with_rows(rows)
}

/// The fields of quantiles are private, but their bytes contain them, after a byte for the form.
fn sensor_tuple((key, (count, mean, quantiles)): &(String, Measured)) -> MeasuredTuple {
    let (values, digits, form, runs): (u64, u8, u32, Vec<Run>) =
        varint().deserialize(&varint().serialize(quantiles).unwrap()).unwrap();
    assert_eq!(form, 1, "more than one value, and no more than are kept exactly");
    let mean_tuple = (mean.sum().billionths(), mean.sum().scale(), mean.count() as u64);
    assert_eq!(varint().serialize(mean).unwrap(), varint().serialize(&mean_tuple).unwrap());
    (key.clone(), (count.0, mean_tuple, (values, digits, runs)))
}

/// The order of rows in a batch view.
fn in_order<K: Key, A>(mut rows: Vec<(K, A)>) -> Vec<(K, A)> {
    rows.sort_by_cached_key(|(key, _)| (sort_position(key.hash64()), encoded(key)));
    rows
}
