//! A run, which can be merged, stored and shown.

use bincode::Options;
use serde::{Deserialize, Serialize};

use super::conditions::Span;
use super::file::file_name;
use super::histogram::Latencies;
use super::pace::Pace;
use super::recorder::Recording;
use super::text::{align, count, duration};

/// The first bytes of a stored report, and the version of its format.
const MAGIC: &[u8; 12] = b"DAYFOLDH\x01\0\0\0";

/// The shares of the table.
pub(super) const SHARES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// The measurements of a run. Reports of several workers and processes merge into one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    about: Vec<(String, String)>,
    pace: Pace,
    recordings: Vec<Recording>,
    spans: Vec<Span>,
    notes: Vec<String>,
}

/// Bytes that are not a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// They are something else, or of another version.
    #[error("not a report of this version: it does not begin with \"DAYFOLDH\" 1")]
    Foreign,
    /// They begin like a report.
    #[error("a damaged report: {message}")]
    Damaged {
        /// What is wrong.
        message: String,
    },
}

/// One line of the table.
pub(super) struct LatencyRow<'a> {
    pub(super) quantity: &'a str,
    /// `None`: the whole run.
    pub(super) condition: Option<&'a str>,
    pub(super) latencies: &'a Latencies,
}

impl LatencyRow<'_> {
    /// The name for files and lines of a picture.
    pub(super) fn name(&self) -> String {
        let name = match self.condition {
            None => self.quantity.to_owned(),
            Some(condition) => format!("{}-{condition}", self.quantity),
        };
        file_name(&name)
    }
}

impl Report {
    /// A report of a run that has only the pace so far.
    pub fn new(pace: Pace) -> Report {
        let (about, recordings) = (Vec::new(), Vec::new());
        Report { about, pace, recordings, spans: Vec::new(), notes: Vec::new() }
    }

    /// The same report with one more quantity.
    #[must_use]
    pub fn with(mut self, recording: Recording) -> Report {
        self.recordings.push(recording);
        self
    }

    /// The same report with spans to show in pictures.
    #[must_use]
    pub fn with_spans(mut self, spans: Vec<Span>) -> Report {
        self.spans = spans;
        self
    }

    /// The same report with one more detail about the run, for example an option and its value.
    #[must_use]
    pub fn about(mut self, name: &str, value: impl ToString) -> Report {
        self.about.push((name.to_owned(), value.to_string()));
        self
    }

    /// The same report with a remark for its reader, for example something that was not measured.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Report {
        self.notes.push(note.into());
        self
    }

    /// Whether the rate was kept.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The recordings, in the order in which they were added.
    pub fn recordings(&self) -> &[Recording] {
        &self.recordings
    }

    /// The recording of the quantity with this name.
    pub fn recording(&self, name: &str) -> Option<&Recording> {
        self.recordings.iter().find(|recording| recording.name() == name)
    }

    /// The spans of all conditions.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Adds the report of another worker or process of the same run. Its spans are not added, because each process sees
    /// the same ones, a little earlier or later.
    pub fn merge(&mut self, other: &Report) {
        self.pace.merge(&other.pace);
        for recording in &other.recordings {
            match self.recordings.iter_mut().find(|known| known.name() == recording.name()) {
                Some(known) => known.merge(recording),
                None => self.recordings.push(recording.clone()),
            }
        }
        for note in &other.notes {
            if !self.notes.contains(note) {
                self.notes.push(note.clone());
            }
        }
    }

    /// The report as bytes, to be sent or kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        // Most numbers in it are small.
        let varint = bincode::DefaultOptions::new();
        varint.serialize_into(&mut bytes, self).expect("writing to memory does not fail");
        bytes
    }

    /// A report from its bytes.
    ///
    /// # Errors
    /// [`ReportError`] if they are not those of a report of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Report, ReportError> {
        let bytes = bytes.strip_prefix(MAGIC).ok_or(ReportError::Foreign)?;
        bincode::DefaultOptions::new()
            .deserialize(bytes)
            .map_err(|error| ReportError::Damaged { message: error.to_string() })
    }

    /// The table for people, with the pace and the remarks.
    pub fn table(&self) -> String {
        let mut rows = vec![vec![String::new(), "count".to_owned()]];
        rows[0].extend(SHARES.iter().map(|(name, _)| (*name).to_owned()));
        rows[0].push("max".to_owned());
        for row in self.rows() {
            let name = match row.condition {
                None => row.quantity.to_owned(),
                Some("calm") => "  calm".to_owned(),
                Some(condition) => format!("  during {condition}"),
            };
            let mut cells = vec![name, count(row.latencies.count())];
            let figures = SHARES.iter().map(|(_, share)| row.latencies.figure(*share));
            cells.extend(figures.map(|figure| figure.map_or("–".to_owned(), duration)));
            cells.push(duration(row.latencies.max()));
            rows.push(cells);
        }
        let about = self.about.iter().map(|(name, value)| format!("{name} {value}"));
        let about = about.collect::<Vec<_>>().join(", ");
        let mut text = format!("{}\n{}\n", self.pace, align(&rows).trim_end());
        for line in
            std::iter::once(about).filter(|about| !about.is_empty()).chain(self.notes.clone())
        {
            text.push_str(&format!("{line}\n"));
        }
        text
    }

    /// All histograms, line by line: each quantity, followed by its conditions.
    pub(super) fn rows(&self) -> Vec<LatencyRow<'_>> {
        let mut rows = Vec::new();
        for recording in self.recordings.iter().filter(|recording| recording.all().count() > 0) {
            let row = |condition, latencies| LatencyRow {
                quantity: recording.name(),
                condition,
                latencies,
            };
            rows.push(row(None, recording.all()));
            if recording.conditions().next().is_some() {
                rows.extend(
                    (recording.calm().count() > 0).then(|| row(Some("calm"), recording.calm())),
                );
                rows.extend(
                    recording.conditions().map(|(name, latencies)| row(Some(name), latencies)),
                );
            }
        }
        rows
    }

    pub(super) fn about_run(&self) -> &[(String, String)] {
        &self.about
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }
}
