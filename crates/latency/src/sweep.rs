//! The highest rate at which latency stays under a bound.

use super::file::File;
use super::report::Report;
use super::step::Step;
use super::sweep_picture;
use super::text::{align, count, duration};

/// Two rates are close enough when the greater one is at most this much more than the other.
const NEAR: f64 = 1.05;

/// The most runs: halving 16 times finds any rate that a machine can have.
const STEPS_MAX: usize = 24;

/// Looks for the highest rate: doubles it while the bound holds, halves it while it does not, and then
/// closes in, until it is known to within 5 %.
///
/// ```
/// use dayfold_latency::{Pace, Report, Step, Sweep};
///
/// /// Finds the highest rate at which the 99th percentile is below 10 ms.
/// fn highest(mut run: impl FnMut(u64) -> Report) -> Option<u64> {
///     let mut sweep = Sweep::new("reply", 10_000_000, 1_000);
///     while let Some(rate) = sweep.next() {
///         let report = run(rate);
///         let pace: &Pace = report.pace();
///         println!("{rate} a second; behind: {}", pace.is_behind());
///         sweep.tried(&report);
///     }
///     for Step { rate, held, .. } in sweep.steps() {
///         println!("{rate}: held {held}");
///     }
///     sweep.highest()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Sweep {
    quantity: String,
    bound: u64,
    steps: Vec<Step>,
    next: u64,
}

impl Sweep {
    /// Begins at `rate`; the 99th percentile of this quantity should stay at or under `bound` nanoseconds.
    pub fn new(quantity: &str, bound: u64, rate: u64) -> Sweep {
        Sweep { quantity: quantity.to_owned(), bound, steps: Vec::new(), next: rate.max(1) }
    }

    /// The rate to try next, or `None` when enough is known.
    pub fn next(&self) -> Option<u64> {
        let near = match (self.highest(), self.lowest_missed()) {
            (Some(held), Some(missed)) => missed as f64 <= held as f64 * NEAR || missed <= held + 1,
            (None, Some(missed)) => missed <= 1,
            _ => false,
        };
        (!near && self.steps.len() < STEPS_MAX).then_some(self.next)
    }

    /// Takes the result of a run at the rate to be tried.
    pub fn tried(&mut self, report: &Report) {
        let latencies = report
            .recording(&self.quantity)
            .map(|recording| [0.5, 0.99, 0.999].map(|share| recording.all().quantile(share)));
        let latencies = latencies.unwrap_or([u64::MAX; 3]);
        let kept = !report.pace().is_behind();
        self.steps.push(Step {
            rate: self.next,
            latencies,
            held: kept && latencies[1] <= self.bound,
            kept,
        });
        self.next = match (self.highest(), self.lowest_missed()) {
            (Some(held), None) => held.saturating_mul(2),
            (None, Some(missed)) => missed / 2,
            // The middle of their logarithms, because the ratio counts.
            (Some(held), Some(missed)) => {
                let middle = (held as f64 * missed as f64).sqrt() as u64;
                middle.clamp(held + 1, missed.saturating_sub(1).max(held + 1))
            }
            (None, None) => self.next,
        };
    }

    /// The highest rate at which the bound held, and no lower rate missed it.
    pub fn highest(&self) -> Option<u64> {
        let missed = self.lowest_missed().unwrap_or(u64::MAX);
        let held = self.steps.iter().filter(|step| step.held && step.rate < missed);
        held.map(|step| step.rate).max()
    }

    fn lowest_missed(&self) -> Option<u64> {
        self.steps.iter().filter(|step| !step.held).map(|step| step.rate).min()
    }

    /// All runs, by rate.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = self.steps.clone();
        steps.sort_by_key(|step| step.rate);
        steps
    }

    /// A table of all runs, and the rate that was found.
    pub fn table(&self) -> String {
        let heading = ["events/s", "p50", "p99", "p99.9", ""].map(str::to_owned).to_vec();
        let mut rows = vec![heading];
        for step in self.steps() {
            let mut row = vec![count(step.rate)];
            row.extend(step.latencies.map(duration));
            row.push(verdict(&step).to_owned());
            rows.push(row);
        }
        let found = match self.highest() {
            Some(rate) => format!("up to {} events a second", count(rate)),
            None => "at no rate that was tried".to_owned(),
        };
        let (quantity, bound) = (&self.quantity, duration(self.bound));
        format!("{}p99 of {quantity} stays under {bound} {found}\n", align(&rows))
    }

    /// The table, the same as CSV, and a picture of latency against rate.
    pub fn files(&self) -> Vec<File> {
        let mut csv = "events_per_s,p50_ns,p99_ns,p99.9_ns,rate_kept,bound_held\n".to_owned();
        for step in self.steps() {
            let Step { rate, latencies: [p50, p99, p999], held, kept } = step;
            csv.push_str(&format!("{rate},{p50},{p99},{p999},{kept},{held}\n"));
        }
        let picture =
            sweep_picture::sweep(&self.quantity, self.bound, &self.steps(), self.highest());
        vec![
            File::new("sweep.txt", self.table()),
            File::new("sweep.csv", csv),
            File::new("sweep.svg", picture),
        ]
    }
}

fn verdict(step: &Step) -> &'static str {
    match (step.held, step.kept) {
        (true, _) => "under the bound",
        (false, true) => "over the bound",
        (false, false) => "rate not kept",
    }
}
