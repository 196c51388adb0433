//! The pictures of a run.

use super::chart::{Axis, COLOURS, Chart};
use super::file::{File, file_name};
use super::histogram::Latencies;
use super::recorder::Recording;
use super::report::Report;
use super::text::{count, duration, round_duration, sentence};

/// Seconds in a nanosecond.
const SECOND: f64 = 1e9;

/// All pictures of a report.
pub(super) fn of(report: &Report) -> Vec<File> {
    let mut files = Vec::new();
    let recorded = report.recordings().iter().filter(|recording| recording.all().count() > 0);
    let in_time = recorded.filter(|recording| !recording.slices().1.is_empty());
    let mut lines = Vec::new();
    for recording in in_time {
        let name = file_name(recording.name());
        files.push(File::new(&format!("{name}-over-time.svg"), over_time(report, recording)));
        let mut each = Vec::new();
        if recording.conditions().next().is_some() {
            each.push(("calm".to_owned(), recording.calm()));
            // In the order of colours that their spans have in the pictures over time.
            each.extend(
                recording.conditions().map(|(name, latencies)| (name.to_owned(), latencies)),
            );
        }
        each.push(("whole run".to_owned(), recording.all()));
        each.retain(|(_, latencies)| latencies.count() > 0);
        let title = format!("{}, by what else went on", sentence(recording.name()));
        let picture = distribution(&title, warning(report), &each);
        files.push(File::new(&format!("{name}-distribution.svg"), picture));
        lines.push((recording.name().to_owned(), recording.all()));
    }
    if !lines.is_empty() {
        let picture = distribution("How much takes longer", warning(report), &lines);
        files.push(File::new("distribution.svg", picture));
    }
    files
}

fn warning(report: &Report) -> &'static str {
    if report.pace().is_behind() { "the rate was not kept" } else { "" }
}

/// Latency over time: median, 99th percentile and maximum of the events due in each slice, with the spans of each
/// condition.
fn over_time(report: &Report, recording: &Recording) -> String {
    let (slice, slices) = recording.slices();
    let seconds = slice as f64 / SECOND;
    let some = || slices.iter().enumerate().filter(|(_, latencies)| latencies.count() > 0);
    let low = some().map(|(_, latencies)| latencies.quantile(0.5)).min().unwrap_or(1);
    let high = recording.all().max();
    let end = (slices.len() as f64 * seconds).max(report.pace().end as f64 / SECOND);
    let title = format!("{} over time", sentence(recording.name()));
    let shown = duration(slice);
    let subtitle = format!(
        "{} measured, shown for each {shown}, by when they were due",
        count(recording.all().count())
    );
    let y = Axis::log(low.max(1) as f64, high.max(1) as f64);
    let mut chart = Chart::new(&title, &subtitle, Axis::linear(end), y);
    let mut conditions: Vec<&str> = Vec::new();
    for span in report.spans() {
        if !conditions.contains(&span.condition.as_str()) {
            conditions.push(&span.condition);
        }
    }
    let spans = |condition: &str| {
        let these = report.spans().iter().filter(|span| span.condition == condition);
        let within = these.filter(|span| (span.from as f64) < end * SECOND);
        let to = |to: Option<u64>| to.map_or(end, |to| (to as f64 / SECOND).min(end));
        within.map(|span| (span.from as f64 / SECOND, to(span.to))).collect::<Vec<_>>()
    };
    // The first condition is the most visible one.
    if let Some(first) = conditions.first() {
        chart.bands(COLOURS[1], &spans(first));
    }
    chart.axes(
        ("seconds", &|value| format!("{}", (value * 1e3).round() / 1e3)),
        ("latency", &round_duration),
    );
    let at = |number: usize| (number as f64 + 0.5) * seconds;
    let shares = [("max", 1.0, "#b3bcc6"), ("p99", 0.99, COLOURS[5]), ("p50", 0.5, COLOURS[0])];
    for (name, share, colour) in shares {
        let point = |(number, latencies): (usize, &Latencies)| {
            (at(number), latencies.quantile(share) as f64)
        };
        chart.line(name, colour, "", &some().map(point).collect::<Vec<_>>());
    }
    for (number, condition) in conditions.iter().enumerate() {
        let colour = COLOURS[1 + number % 4];
        chart.lane(condition, colour, &spans(condition));
    }
    if report.pace().is_behind() {
        chart.warn(warning(report));
        if report.pace().since > 0 {
            chart.mark(report.pace().since as f64 / SECOND, "falls behind");
        }
    }
    chart.finish()
}

/// The complementary distribution: the share of latencies beyond each value, on logarithmic axes.
pub(super) fn distribution(title: &str, warning: &str, lines: &[(String, &Latencies)]) -> String {
    let exceeding: Vec<_> = lines.iter().map(|(_, latencies)| latencies.exceeding()).collect();
    let least =
        exceeding.iter().filter_map(|points| points.first()).map(|(latency, _)| *latency).min();
    let greatest =
        exceeding.iter().filter_map(|points| points.last()).map(|(latency, _)| *latency).max();
    // The last point drawn is the one before the maximum, because nothing is above the maximum.
    let rarest = lines.iter().zip(&exceeding).map(|((_, latencies), points)| {
        let above = points.iter().rev().find(|(_, greater)| *greater > 0);
        above.map_or(1.0, |(_, greater)| *greater as f64 / latencies.count() as f64)
    });
    let rarest = rarest.fold(0.1, f64::min);
    let x = Axis::log(least.unwrap_or(1).max(1) as f64, greatest.unwrap_or(1).max(1) as f64);
    let y = Axis::log(rarest, 1.0);
    let mut chart =
        Chart::new(title, "each line: the share that takes longer; a dot: the longest", x, y);
    let share = |value: f64| format!("{} %", (value * 1e8).round() / 1e6);
    chart.axes(("latency", &round_duration), ("share", &share));
    for (number, ((name, latencies), points)) in lines.iter().zip(&exceeding).enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let all = latencies.count() as f64;
        let (mut line, mut above) = (Vec::new(), 1.0);
        for &(latency, greater) in points {
            line.push((latency.max(1) as f64, above));
            if greater > 0 {
                above = greater as f64 / all;
                line.push((latency.max(1) as f64, above));
            }
        }
        chart.line(name, colour, "", &line);
        if let Some(last) = line.last() {
            chart.dot(colour, true, *last);
        }
    }
    if !warning.is_empty() {
        chart.warn(warning);
    }
    chart.finish()
}
