//! Distinct counts: Apache DataSketches' HyperLogLog, in a form that does not depend on the order of events.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use datasketches::hash::value::raw_bytes;
use datasketches::hll::{Coupon, HllSketch};
use differential_dataflow::difference::{IsZero, Semigroup};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::sketch_format::{MOST_COUPONS, REGISTERS};
use super::sorted::{self, Sorted};
use super::{Aggregate, sketch_format};
use crate::codec;
use crate::schema::{AggregateShape, Kind, Measure, Presented, Value};

/// If there is room for fewer coupons than this, a new coupon is looked up among the waiting ones.
const FEW: usize = 32;

/// About how many distinct values there are.
///
/// Guarantee: up to 768 values the count is exact unless two of them share a *coupon*, the 32 bits that Apache's hash
/// function makes of a value. Two given values share one with a probability of 2⁻²⁶/3; so a count of 150 values is too
/// low with a probability of 6·10⁻⁵, and a count of 768 with 1.5·10⁻³. Beyond 768 the standard error is 1.15 %, so
/// about one count in five million is off by more than 6 %.
///
/// The state is a function of the *set* of values, to the bit. It consists of the set of coupons only (up to 768 of
/// them), or of what HyperLogLog keeps of that set: the greatest rank among the coupons of each of 8,192 registers.
/// `HllSketch` itself also keeps a history for its HIP estimate, and rounding errors; we use it for hashing and
/// estimating, and its format for storage.
///
/// A state takes no heap for one value, four bytes for each of the next ones, and 8 KiB beyond 768.
///
/// ```
/// use dayfold::aggregate::{Distinct, Semigroup};
///
/// let mut users = Distinct::of(b"ada");
/// users.plus_equals(&Distinct::of(b"grace"));
/// users.plus_equals(&Distinct::of(b"ada"));
/// assert_eq!(users.rounded(), 2);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distinct(Form);

/// The form depends on the number of coupons alone, so equal sets have equal forms.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    One(u32),
    /// 2 to [`MOST_COUPONS`] coupons; each one that waits to be sorted counts.
    Coupons(Sorted<u32>),
    /// The greatest rank of each register, once more than [`MOST_COUPONS`] coupons were seen.
    Registers(Box<[u8]>),
}

impl Distinct {
    /// The count of one value. Its bytes are hashed without their length, as Druid and others do.
    #[inline]
    pub fn of(value: &[u8]) -> Distinct {
        Distinct(Form::One(coupon(value)))
    }

    /// Adds one value: ⊕ of [`Distinct::of`] it.
    #[inline]
    pub fn add(&mut self, value: &[u8]) {
        self.add_coupon(coupon(value));
    }

    /// About how many distinct values there are; not rounded.
    ///
    /// This is Apache's estimate for sketches whose order of merging is not known. It is a function of the state,
    /// because its sums are exact in an `f64`. Not guaranteed: the last bit on another platform, whose logarithm may
    /// round differently.
    pub fn estimate(&self) -> f64 {
        let coupons = match &self.0 {
            Form::One(_) => 1,
            Form::Coupons(coupons) => coupons.in_order().len(),
            Form::Registers(_) => return self.composite_estimate(),
        };
        // As long as values are kept one by one, the estimate is a function of their number.
        static OF_COUPONS: [AtomicU64; MOST_COUPONS + 1] =
            [const { AtomicU64::new(0) }; MOST_COUPONS + 1];
        let Some(known) = OF_COUPONS.get(coupons) else { return self.composite_estimate() };
        match known.load(Ordering::Relaxed) {
            0 => {
                let estimate = self.composite_estimate();
                known.store(estimate.to_bits(), Ordering::Relaxed);
                estimate
            }
            bits => f64::from_bits(bits),
        }
    }

    /// The estimate of Apache's implementation.
    fn composite_estimate(&self) -> f64 {
        HllSketch::deserialize(&self.to_sketch_bytes())
            .expect("a state has the form of a sketch")
            .composite_estimate()
    }

    /// The estimate, rounded to an integer.
    pub fn rounded(&self) -> u64 {
        self.estimate().round() as u64
    }

    /// The state as an HLL_8 sketch with `lg_k` = 13 in Apache's format, which is also the stored format.
    ///
    /// Any implementation of DataSketches can read it, and merge it with sketches of raw bytes.
    pub fn to_sketch_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Form::One(coupon) => sketch_format::of_coupons(&[*coupon]),
            Form::Coupons(coupons) => sketch_format::of_coupons(&coupons.in_order()),
            Form::Registers(registers) => sketch_format::of_registers(registers),
        }
    }

    /// The state of such a sketch, if it is valid.
    pub fn from_sketch_bytes(bytes: &[u8]) -> Option<Distinct> {
        if let Some(registers) = sketch_format::registers(bytes) {
            return Some(Distinct(Form::Registers(registers.into())));
        }
        let coupons = sketch_format::coupons(bytes)?;
        let genuine = coupons.iter().all(|coupon| rank(*coupon) > 0);
        if !genuine || !sorted::is_sorted(&coupons) {
            return None;
        }
        match coupons.as_slice() {
            [] => None,
            [coupon] => Some(Distinct(Form::One(*coupon))),
            _ => Some(Distinct(Form::Coupons(Sorted::of(coupons)))),
        }
    }

    /// Changes to registers once there are too many coupons.
    #[inline]
    fn settle(&mut self) {
        if let Form::Coupons(coupons) = &mut self.0
            && coupons.as_added().len() > MOST_COUPONS
        {
            coupons.settle();
            if coupons.as_added().len() > MOST_COUPONS {
                let mut registers = vec![0; REGISTERS].into_boxed_slice();
                coupons.as_added().iter().for_each(|coupon| raise(&mut registers, *coupon));
                self.0 = Form::Registers(registers);
            }
        }
    }

    #[inline]
    fn add_coupon(&mut self, other: u32) {
        match &mut self.0 {
            Form::One(coupon) if *coupon == other => {}
            Form::One(coupon) => self.0 = Form::Coupons(Sorted::pair(*coupon, other)),
            Form::Coupons(coupons) => {
                // If almost none may wait any more, all would be sorted again and again.
                let is_nearly_full = coupons.as_added().len() > MOST_COUPONS - FEW;
                if !is_nearly_full || !coupons.as_added().contains(&other) {
                    coupons.add(other);
                    self.settle();
                }
            }
            Form::Registers(registers) => raise(registers, other),
        }
    }

    /// Adds the coupons of another state, no more than a state may have.
    fn add_coupons(&mut self, others: &Sorted<u32>) {
        match &mut self.0 {
            Form::One(coupon) => {
                let mut coupons = others.clone();
                coupons.add(*coupon);
                self.0 = Form::Coupons(coupons);
            }
            Form::Coupons(coupons) => coupons.add_all(others),
            Form::Registers(registers) => {
                others.as_added().iter().for_each(|coupon| raise(registers, *coupon));
            }
        }
        self.settle();
    }

    fn add_registers(&mut self, others: &[u8]) {
        if let Form::Registers(registers) = &mut self.0 {
            for (register, other) in registers.iter_mut().zip(others) {
                *register = (*register).max(*other);
            }
            return;
        }
        // If the other state has registers, the few coupons of this one only raise some of them.
        let few = std::mem::replace(&mut self.0, Form::Registers(others.into()));
        match &few {
            Form::One(coupon) => self.add_coupon(*coupon),
            Form::Coupons(coupons) => self.add_coupons(coupons),
            Form::Registers(_) => {}
        }
    }
}

/// Apache's hash of a value: its rank (1 to 63) in the six upper bits, 26 bits of address below.
#[inline]
fn coupon(value: &[u8]) -> u32 {
    /// Takes the number out of a `Coupon`, which shows it to a hasher but has no accessor.
    struct Reader(u32);
    impl Hasher for Reader {
        #[inline]
        fn write_u32(&mut self, number: u32) {
            self.0 = number;
        }
        fn write(&mut self, bytes: &[u8]) {
            unreachable!("a coupon is one u32, not {bytes:?}");
        }
        fn finish(&self) -> u64 {
            u64::from(self.0)
        }
    }
    let mut reader = Reader(0);
    Coupon::from_value(raw_bytes::from_slice(value)).hash(&mut reader);
    reader.0
}

#[inline]
fn rank(coupon: u32) -> u8 {
    (coupon >> 26) as u8
}

#[inline]
fn raise(registers: &mut [u8], coupon: u32) {
    let register = &mut registers[coupon as usize % REGISTERS];
    *register = (*register).max(rank(coupon));
}

impl IsZero for Distinct {
    #[inline]
    fn is_zero(&self) -> bool {
        false
    }
}

impl Semigroup for Distinct {
    fn plus_equals(&mut self, rhs: &Distinct) {
        match &rhs.0 {
            Form::One(coupon) => self.add_coupon(*coupon),
            Form::Coupons(coupons) => self.add_coupons(coupons),
            Form::Registers(registers) => self.add_registers(registers),
        }
    }
}

impl Aggregate for Distinct {
    fn id() -> String {
        "distinct".to_owned()
    }

    fn shape() -> AggregateShape {
        let (count, sketch) =
            (Measure::new("", Kind::Integer), Measure::new("sketch", Kind::Bytes));
        AggregateShape::of("distinct", [count, sketch])
    }

    fn present(state: Option<&Distinct>, out: &mut Presented<'_>) {
        out.put(|| Value::or_null(state.map(|distinct| Value::Integer(distinct.rounded().into()))));
        out.put_stored(codec::bytes_of, || state.map(Distinct::to_sketch_bytes));
    }

    fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::One(_) => 0,
            Form::Coupons(coupons) => coupons.heap_bytes(),
            Form::Registers(registers) => registers.len(),
        }
    }
}

impl fmt::Debug for Distinct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::One(coupon) => write!(f, "Distinct([{coupon}])"),
            Form::Coupons(coupons) => write!(f, "Distinct({coupons:?})"),
            Form::Registers(_) => write!(f, "Distinct(about {})", self.rounded()),
        }
    }
}

impl Serialize for Distinct {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.to_sketch_bytes())
    }
}

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Distinct, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Distinct;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a distinct count")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Distinct, E> {
                Distinct::from_sketch_bytes(bytes)
                    .ok_or_else(|| E::custom("these bytes are not those of a distinct count"))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Distinct, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = list.next_element()? {
                    bytes.push(byte);
                }
                self.visit_bytes(&bytes)
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use datasketches::hll::HllType;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::laws::{check_add, check_laws};

    fn value(seed: u64, number: u64) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    fn distinct(seed: u64, numbers: impl IntoIterator<Item = u64>) -> Distinct {
        let mut numbers = numbers.into_iter();
        let mut sum = Distinct::of(&value(seed, numbers.next().unwrap()));
        numbers.for_each(|number| sum.plus_equals(&Distinct::of(&value(seed, number))));
        sum
    }

    #[test]
    fn laws_of_distinct() {
        let ranges = [0..1, 0..2, 5..12, 5..13, 0..400, 300..700, 0..768, 0..769, 500..3_000];
        let sample = ranges.map(|range| distinct(0, range));
        check_laws(&sample);
        let values: Vec<_> = (0..14).map(|number| value(0, number * 155 % 800)).collect();
        check_add(&sample, &values, |value, state| state.add(value), |value| Distinct::of(value));
    }

    #[test]
    fn differential_known_estimates_are_those_of_apache() {
        for seed in 0..3 {
            let mut sum = distinct(seed, [0]);
            for number in 1..1_000 {
                assert_eq!(
                    sum.estimate(),
                    sum.composite_estimate(),
                    "seed {seed}: {number} values"
                );
                sum.add(&value(seed, number));
            }
        }
    }

    #[test]
    fn a_state_is_small() {
        assert_eq!(size_of::<Distinct>(), 24);
        assert_eq!(distinct(0, [1]).heap_bytes(), 0);
        assert_eq!(bincode::serialized_size(&distinct(0, [1])).unwrap(), 20);
        assert!(distinct(0, 0..8).heap_bytes() <= 8 * 8);
        assert_eq!(distinct(0, 0..10_000).heap_bytes(), REGISTERS);
    }

    /// Exact to 768 values in these samples, and within 6 % at 400 sizes up to a million.
    #[test]
    fn oracle_counts_are_within_bounds() {
        let mut worst: f64 = 0.0;
        for seed in 0..3 {
            let mut sum = distinct(seed, [0]);
            let mut next = 1;
            for size in 1..=1_000_000u64 {
                if size > 1 {
                    sum.plus_equals(&Distinct::of(&value(seed, size - 1)));
                }
                if size < next {
                    continue;
                }
                next = if size < 800 { size + 7 } else { size * 51 / 50 };
                if size <= MOST_COUPONS as u64 {
                    assert_eq!(sum.rounded(), size, "seed {seed}");
                }
                let error = (sum.rounded() as f64 / size as f64 - 1.0).abs();
                assert!(error <= 0.06, "seed {seed}: {} for {size}", sum.rounded());
                worst = worst.max(error);
            }
        }
        println!("greatest relative error {worst:.4}");
    }

    #[test]
    fn differential_estimates_and_bytes_are_those_of_apache() {
        for size in [1, 2, 7, 8, 9, 24, 25, 150, 383, 385, 768, 769, 1_000, 5_000, 30_000, 200_000]
        {
            let mut apache = HllSketch::new(sketch_format::LG_K, HllType::Hll8).unwrap();
            (0..size).for_each(|n| apache.update(raw_bytes::from_slice(&value(9, n))));
            let ours = distinct(9, 0..size);
            assert_eq!(ours.estimate(), apache.composite_estimate(), "{size}");

            let bytes = ours.to_sketch_bytes();
            let read = HllSketch::deserialize(&bytes).unwrap();
            assert_eq!(read.estimate(), ours.estimate(), "{size}");
            // The forms change where Apache's do; only the order and the history differ.
            let theirs = apache.serialize();
            assert_eq!((bytes.len(), &bytes[..5]), (theirs.len(), &theirs[..5]), "{size}");
            assert_eq!((bytes[6], bytes[7]), (theirs[6], theirs[7]), "{size}");
            if size > 768 {
                assert_eq!(bytes[40..], theirs[40..], "registers of {size}");
            } else if size == 1 {
                assert_eq!(bytes, theirs);
            }
        }
    }

    /// The hash is part of the format on disk.
    #[test]
    fn the_hash_stays() {
        assert_eq!(coupon(b""), 172_563_385);
        assert_eq!(coupon(b"N14228"), 105_370_766);
    }

    #[test]
    fn bad_bytes_are_errors() {
        for size in [1, 5, 20, 2_000] {
            let good = distinct(0, 0..size).to_sketch_bytes();
            assert_eq!(Distinct::from_sketch_bytes(&good), Some(distinct(0, 0..size)));
            for length in 0..good.len().min(100) {
                assert_eq!(Distinct::from_sketch_bytes(&good[..length]), None);
            }
            let mut long = good.clone();
            long.push(0);
            assert_eq!(Distinct::from_sketch_bytes(&long), None);
            for byte in 0..8 {
                let mut bad = good.clone();
                bad[byte] ^= 0x40;
                assert_eq!(Distinct::from_sketch_bytes(&bad), None, "byte {byte} of {size}");
            }
        }
        let twice = sketch_format::of_coupons(&[1 << 26, 1 << 26]);
        assert_eq!(Distinct::from_sketch_bytes(&twice), None);
        let mut high = distinct(0, 0..2_000).to_sketch_bytes();
        high[100] = 64;
        assert_eq!(Distinct::from_sketch_bytes(&high), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the order, the grouping and the repetitions: the same state, bytes and estimate.
        #[test]
        fn oracle_state_depends_on_the_set_only(
            size in prop_oneof![1..20u64, 700..840u64, 1_000..5_000u64],
            // For each group: its beginning, its length, and which pair is merged next.
            groups in vec((any::<u64>(), any::<u64>()), 0..8),
            picks in vec(any::<u64>(), 20),
        ) {
            let expect = distinct(1, 0..size);
            // Every value once, in descending parts, and some parts again.
            let mut states: Vec<Distinct> =
                (0..size).rev().step_by(size.div_ceil(5) as usize).map(|last| {
                    let first = (last + 1).saturating_sub(size.div_ceil(5));
                    distinct(1, (first..=last).rev())
                }).collect();
            states.extend(groups.iter().map(|(start, length)| {
                let start = start % size;
                distinct(1, start..start + 1 + length % (size - start))
            }));
            let mut picks = picks.iter();
            while states.len() > 1 {
                let pick = *picks.next().unwrap() as usize;
                let right = states.swap_remove(pick % states.len());
                let left = (pick >> 32) % states.len();
                states[left].plus_equals(&right);
            }
            prop_assert!(states[0] == expect, "{:?} != {:?}", states[0], expect);
            prop_assert_eq!(
                bincode::serialize(&states[0]).unwrap(), bincode::serialize(&expect).unwrap()
            );
            prop_assert_eq!(states[0].estimate().to_bits(), expect.estimate().to_bits());
        }
    }
}
