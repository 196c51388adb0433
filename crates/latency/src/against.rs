//! Two runs side by side.

use super::file::{File, file_name};
use super::pictures;
use super::report::{Report, SHARES};
use super::text::{align, count, duration, sentence};

/// Two runs: this one, and one to compare it with.
///
/// ```
/// use dayfold_latency::{Against, File, Report, ReportError};
///
/// /// Pictures and a table of a run beside an earlier one.
/// fn compare(now: &Report, earlier: &[u8]) -> Result<Vec<File>, ReportError> {
///     let earlier = Report::from_bytes(earlier)?;
///     let beside = Against::new(now, "now", &earlier, "before");
///     println!("{}", beside.table());
///     Ok(beside.files())
/// }
///
/// let error = Report::from_bytes(b"no report").unwrap_err();
/// assert!(matches!(error, ReportError::Foreign));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    report: &'a Report,
    name: &'a str,
    other: &'a Report,
    other_name: &'a str,
}

impl<'a> Against<'a> {
    /// Shows `report` beside `other`, under these names.
    pub fn new(report: &'a Report, name: &'a str, other: &'a Report, other_name: &'a str) -> Self {
        Against { report, name, other, other_name }
    }

    /// A table with both figures and their ratio for each quantity and condition that both runs have. Differences in
    /// the descriptions of the runs are above it.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{}: {}\n{}: {}\n",
            self.name,
            self.report.pace(),
            self.other_name,
            self.other.pace()
        );
        for (name, value) in self.report.about_run() {
            let same = self.other.about_run().iter().find(|(other, _)| other == name);
            let other = same.map_or("not given", |(_, value)| value);
            if other != value {
                text.push_str(&format!("{name}: {value} against {other}\n"));
            }
        }
        let mut rows = vec![vec![String::new(), "run".to_owned(), "count".to_owned()]];
        rows[0].extend(SHARES.iter().map(|(name, _)| (*name).to_owned()));
        rows[0].push("max".to_owned());
        let others = self.other.rows();
        for row in self.report.rows() {
            let same = |other: &&super::report::LatencyRow<'_>| {
                other.quantity == row.quantity && other.condition == row.condition
            };
            let Some(other) = others.iter().find(same) else { continue };
            let name = match row.condition {
                None => row.quantity.to_owned(),
                Some(condition) => format!("  {condition}"),
            };
            let figures = |latencies: &super::Latencies| {
                let shares = SHARES.map(|(_, share)| latencies.figure(share));
                shares.into_iter().chain([Some(latencies.max())]).collect::<Vec<_>>()
            };
            let (these, those) = (figures(row.latencies), figures(other.latencies));
            let line = |name: &str, run: &str, counted: u64, figures: &[Option<u64>]| {
                let cells = [name.to_owned(), run.to_owned(), count(counted)].into_iter();
                cells
                    .chain(figures.iter().map(|figure| figure.map_or("–".to_owned(), duration)))
                    .collect::<Vec<_>>()
            };
            rows.push(line(&name, self.name, row.latencies.count(), &these));
            rows.push(line("", self.other_name, other.latencies.count(), &those));
            let times = these.iter().zip(&those).map(|(this, that)| match (this, that) {
                (Some(this), Some(that)) if *that > 0 => {
                    format!("× {:.2}", *this as f64 / *that as f64)
                }
                _ => String::new(),
            });
            rows.push(
                [String::new(), String::new(), String::new()].into_iter().chain(times).collect(),
            );
        }
        text.push_str(&align(&rows));
        text
    }

    /// The table, and a picture of both distributions for each quantity.
    pub fn files(&self) -> Vec<File> {
        let mut files = vec![File::new("against.txt", self.table())];
        for recording in self.report.recordings() {
            let Some(other) = self.other.recording(recording.name()) else { continue };
            let title = format!(
                "{}: {} against {}",
                sentence(recording.name()),
                self.name,
                self.other_name
            );
            let lines = [
                (self.name.to_owned(), recording.all()),
                (self.other_name.to_owned(), other.all()),
            ];
            if lines.iter().all(|(_, latencies)| latencies.count() > 0) {
                let name = format!("{}-against.svg", file_name(recording.name()));
                files.push(File::new(&name, pictures::distribution(&title, "", &lines)));
            }
        }
        files
    }
}
