//! A report as files, for other programs and for people.

use std::fmt::Write;

use super::file::File;
use super::histogram::Latencies;
use super::pictures;
use super::report::{Report, SHARES};

impl Report {
    /// The name of the file that holds the whole report: [`Report::from_bytes`] reads it.
    pub const FILE: &'static str = "report.bin";

    /// All files of the report:
    ///
    /// - `report.txt`: the table; `report.json`: the same for programs; `report.bin`: everything
    /// - `<quantity>[-<condition>].hgrm`: percentiles in milliseconds, as the plotters of HdrHistogram read
    /// - `distribution.csv`: the complementary distribution, bucket by bucket
    /// - `<quantity>-over-time.svg`, `<quantity>-distribution.svg`, `distribution.svg`: pictures
    pub fn files(&self) -> Vec<File> {
        let mut files = vec![
            File::new("report.txt", self.table()),
            File::new("report.json", self.json()),
            File::new(Report::FILE, self.to_bytes()),
            File::new("distribution.csv", self.csv()),
        ];
        for row in self.rows() {
            files.push(File::new(&format!("{}.hgrm", row.name()), hgrm(row.latencies)));
        }
        files.extend(pictures::of(self));
        files
    }

    /// The complementary distribution as CSV, one line for each recorded latency: quantity, condition (`all`: the whole
    /// run), latency in nanoseconds, how many were greater, and their share.
    pub fn csv(&self) -> String {
        let mut text = "quantity,condition,latency_ns,greater,greater_share\n".to_owned();
        for row in self.rows() {
            let (quantity, condition) = (row.quantity, row.condition.unwrap_or("all"));
            let all = row.latencies.count() as f64;
            for (latency, greater) in row.latencies.exceeding() {
                let share = greater as f64 / all;
                // Writing to a `String` cannot fail.
                let _ = writeln!(text, "{quantity},{condition},{latency},{greater},{share:.9}");
            }
        }
        text
    }

    /// The figures of the table as JSON, in nanoseconds, with the pace, the spans and the remarks. A percentile that
    /// needs more latencies is `null`.
    pub fn json(&self) -> String {
        let pace = self.pace();
        let quantities = self.rows().into_iter().map(|row| {
            let latencies = row.latencies;
            let shares = SHARES.map(|(name, share)| {
                let figure = latencies.figure(share).map(|figure| figure.to_string());
                format!("\"{name}\": {}", figure.unwrap_or("null".to_owned()))
            });
            format!(
                "{{\"quantity\": {}, \"condition\": {}, \"count\": {}, {}, \"max\": {}, \"mean\": {:.0}}}",
                string(row.quantity),
                string(row.condition.unwrap_or("all")),
                latencies.count(),
                shares.join(", "),
                latencies.max(),
                latencies.mean(),
            )
        });
        let spans = self.spans().iter().map(|span| {
            let to = span.to.map_or("null".to_owned(), |to| to.to_string());
            let (condition, label) = (string(&span.condition), string(&span.label));
            format!(
                "{{\"condition\": {condition}, \"label\": {label}, \"from\": {}, \"to\": {to}}}",
                span.from
            )
        });
        let about = self
            .about_run()
            .iter()
            .map(|(name, value)| format!("{}: {}", string(name), string(value)));
        let pace = format!(
            "{{\"kept\": {}, \"scheduled\": {}, \"end\": {}, \"behind\": {}, \"waiting\": {}, \"since\": {}, \
             \"drained\": {}, \"unseen\": {}, \"events_per_s\": {:.1}}}",
            !pace.is_behind(),
            pace.scheduled,
            pace.end,
            pace.behind,
            pace.waiting,
            pace.since,
            pace.drained,
            pace.unseen,
            pace.rate(),
        );
        format!(
            "{{\n  \"unit\": \"ns\",\n  \"about\": {{{}}},\n  \"pace\": {pace},\n  \"latencies\": {},\n  \
             \"spans\": {},\n  \"notes\": {}\n}}\n",
            about.collect::<Vec<_>>().join(", "),
            list(quantities),
            list(spans),
            list(self.notes().iter().map(|note| string(note))),
        )
    }
}

/// Percentiles as text, as HdrHistogram's own `outputPercentileDistribution` prints them: in milliseconds,
/// five lines for each halving of the distance to 100 %.
pub(super) fn hgrm(latencies: &Latencies) -> String {
    let histogram = latencies.histogram();
    let milliseconds = |nanoseconds: f64| nanoseconds / 1e6;
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for step in histogram.iter_quantiles(5) {
        total += step.count_since_last_iteration();
        let (value, quantile) =
            (milliseconds(step.value_iterated_to() as f64), step.quantile_iterated_to());
        let _ = write!(text, "{value:12.6} {quantile:2.12} {total:10}");
        let _ = match 1.0 - quantile {
            0.0 => writeln!(text),
            left => writeln!(text, " {:14.2}", 1.0 / left),
        };
    }
    let (mean, deviation) = (milliseconds(histogram.mean()), milliseconds(histogram.stdev()));
    let (max, count) = (milliseconds(histogram.max() as f64), histogram.len());
    let (buckets, sub_buckets) = (histogram.buckets(), 2_048);
    let _ = writeln!(text, "#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]");
    let _ = writeln!(text, "#[Max     = {max:12.6}, Total count    = {count:12}]");
    let _ = writeln!(text, "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]");
    text
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items = items.map(|item| format!("\n    {item}")).collect::<Vec<_>>();
    if items.is_empty() { "[]".to_owned() } else { format!("[{}\n  ]", items.join(",")) }
}

/// Text as a JSON string.
fn string(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
