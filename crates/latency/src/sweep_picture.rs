//! The picture of a sweep: latency against rate.

use super::chart::{Axis, COLOURS, Chart, RED};
use super::step::Step;
use super::text::{count, duration, round_count, round_duration, sentence};

/// Latency against rate.
pub(super) fn sweep(quantity: &str, bound: u64, steps: &[Step], highest: Option<u64>) -> String {
    let figures = || steps.iter().flat_map(|step| step.latencies).filter(|l| *l < u64::MAX);
    let rates = || steps.iter().map(|step| step.rate as f64);
    let low = figures().min().unwrap_or(1).min(bound).max(1) as f64;
    let high = figures().max().unwrap_or(1).max(bound) as f64;
    let x = Axis::log(rates().fold(f64::MAX, f64::min), rates().fold(1.0, f64::max));
    let title = format!("{} against rate", sentence(quantity));
    let subtitle = match highest {
        Some(rate) => {
            format!("p99 stays under {} up to {} events a second", duration(bound), count(rate))
        }
        None => format!("p99 stays under {} at no rate that was tried", duration(bound)),
    };
    let mut chart = Chart::new(&title, &subtitle, x, Axis::log(low, high));
    chart.axes(
        ("events a second (hollow: the rate was not kept)", &round_count),
        ("latency", &round_duration),
    );
    chart.bound(bound as f64, &format!("bound {}", round_duration(bound as f64)));
    let shares = [("p99.9", COLOURS[1]), ("p99", COLOURS[5]), ("p50", COLOURS[0])];
    for (number, (name, colour)) in shares.into_iter().enumerate() {
        let place = shares.len() - 1 - number;
        let point = |step: &Step| (step.rate as f64, step.latencies[place] as f64);
        chart.line(name, colour, "", &steps.iter().map(point).collect::<Vec<_>>());
        for step in steps {
            chart.dot(if step.kept { colour } else { RED }, step.kept, point(step));
        }
    }
    chart.finish()
}
