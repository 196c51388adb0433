//! One histogram of latencies.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// A histogram of latencies in nanoseconds, of any size, to three significant digits. It adds up, and
/// can be sent and stored.
///
/// ```
/// use dayfold_latency::{Latencies, Recording};
///
/// let mut latencies = Latencies::new();
/// (1..=1_000).for_each(|micros| latencies.record(micros * 1_000));
/// assert_eq!(latencies.count(), 1_000);
/// assert!(latencies.max() >= 1_000_000 && latencies.max() < 1_001_000); // Three digits.
/// let recording = Recording::of("recovery", latencies);
/// assert_eq!(recording.all().count(), 1_000);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Counts", into = "Counts")]
pub struct Latencies(Histogram<u64>);

/// The serialized form: the non-empty buckets, each as the difference from the one before it.
#[derive(Serialize, Deserialize)]
struct Counts {
    digits: u8,
    counts: Vec<(u64, u64)>,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies::with_digits(3)
    }
}

impl Latencies {
    /// An empty histogram.
    pub fn new() -> Latencies {
        Latencies::default()
    }

    /// A histogram with fewer digits, which takes less memory, for use in large numbers.
    pub(super) fn with_digits(digits: u8) -> Latencies {
        Latencies(Histogram::new(digits).expect("0 to 5 digits are accepted"))
    }

    /// Counts one latency.
    pub fn record(&mut self, latency: u64) {
        self.record_n(latency, 1);
    }

    /// Counts `count` equal latencies.
    pub fn record_n(&mut self, latency: u64, count: u64) {
        self.0.record_n(latency, count).expect("the histogram grows as needed");
    }

    /// Adds everything that `other` has counted.
    pub fn merge(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("the histogram grows as needed");
    }

    /// How many latencies were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The least latency that at least this share (0 to 1) of all latencies does not exceed, rounded up to three
    /// digits; 0 if there is none.
    pub fn quantile(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// As [`Latencies::quantile`], but only if at least one latency is expected beyond it. The 99.9th percentile of 100
    /// latencies would only be their maximum.
    pub fn figure(&self, share: f64) -> Option<u64> {
        // A little less than one: shares are not exact.
        (self.count() as f64 * (1.0 - share) >= 0.999).then(|| self.quantile(share))
    }

    /// The greatest latency, rounded up to three digits; 0 if there is none.
    pub fn max(&self) -> u64 {
        self.0.max()
    }

    /// The mean in nanoseconds; 0 if there is none.
    pub fn mean(&self) -> f64 {
        self.0.mean()
    }

    /// The complementary distribution: latencies in ascending order, and how many are greater than each; for the last
    /// one, none.
    pub fn exceeding(&self) -> Vec<(u64, u64)> {
        let mut left = self.count();
        let buckets = self.0.iter_recorded().map(|bucket| {
            left -= bucket.count_at_value();
            (bucket.value_iterated_to(), left)
        });
        buckets.collect()
    }

    /// The greatest latency that is counted together with this one.
    pub(super) fn highest_equivalent(&self, latency: u64) -> u64 {
        self.0.highest_equivalent(latency)
    }

    pub(super) fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl From<Latencies> for Counts {
    fn from(Latencies(histogram): Latencies) -> Counts {
        let mut last = 0;
        let counts = histogram.iter_recorded().map(|bucket| {
            let latency = bucket.value_iterated_to();
            (latency - std::mem::replace(&mut last, latency), bucket.count_at_value())
        });
        let counts = counts.collect();
        Counts { digits: histogram.sigfig(), counts }
    }
}

impl TryFrom<Counts> for Latencies {
    type Error = String;

    fn try_from(Counts { digits, counts }: Counts) -> Result<Latencies, String> {
        let mut histogram = Histogram::new(digits).map_err(|error| error.to_string())?;
        let mut latency = 0u64;
        for (more, count) in counts {
            latency = latency.checked_add(more).ok_or("a latency beyond all measure")?;
            histogram.record_n(latency, count).map_err(|error| error.to_string())?;
        }
        Ok(Latencies(histogram))
    }
}
