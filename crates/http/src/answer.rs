//! Answers as JSON, from the rows of a scan.

use axum::body::Bytes;
use dayfold::scan::{Batch, ValueRef};
use dayfold::schema::ViewSchema;
use dayfold::serve::Certificate;
use dayfold::time::Grain;

use crate::ask::{Ask, key_values};
use crate::json::Text;
use crate::parameters::Days;

/// The parts of an answer, by layer.
const LAYERS: [&str; 3] = ["batch", "speed", "amendments"];

/// The names of all columns from which an answer is written: those that identify rows, then those of the parts.
pub(crate) fn columns<'a>(
    leading: Vec<&'a str>,
    measures: &'a [String],
) -> impl Iterator<Item = String> + 'a {
    let layers = LAYERS.into_iter().flat_map(move |layer| {
        let of_layer = measures.iter().map(move |measure| format!("{layer}.{measure}"));
        std::iter::once(layer.to_owned()).chain(of_layer)
    });
    let leading = leading.into_iter().map(str::to_owned);
    leading.chain(measures.iter().cloned()).chain(["revision".to_owned()]).chain(layers)
}

/// A complete answer.
pub(crate) struct Answer<'a> {
    pub(crate) schema: &'a ViewSchema,
    /// The measures that are shown.
    pub(crate) measures: &'a [String],
    /// How many columns identify a row.
    pub(crate) leading: usize,
    pub(crate) certificate: Certificate,
    pub(crate) batches: Vec<Batch>,
    /// Whether there are more rows than the limit.
    pub(crate) has_more: bool,
}

/// A row of it.
#[derive(Clone, Copy)]
struct AnswerRow<'a> {
    answer: &'a Answer<'a>,
    batch: &'a Batch,
    at: usize,
}

impl<'a> AnswerRow<'a> {
    fn value(&self, column: usize) -> ValueRef<'a> {
        self.batch.value_ref(self.at, column)
    }

    /// The first columns, as a list.
    fn key(&self, text: &mut Text) {
        text.list(0..self.answer.leading, |text, column| {
            text.text_of(self.value(column));
        });
    }

    fn revision(&self) -> ValueRef<'a> {
        self.value(self.answer.leading + self.answer.measures.len())
    }

    /// Where a layer's columns begin: one that says whether there is such a part, and then its measures.
    fn layer(&self, layer: usize) -> usize {
        self.answer.leading
            + self.answer.measures.len()
            + 1
            + layer * (1 + self.answer.measures.len())
    }

    fn has(&self, layer: usize) -> bool {
        self.value(self.layer(layer)) == ValueRef::Boolean(true)
    }

    fn values(&self, text: &mut Text, first: usize) {
        text.raw("{");
        for (place, name) in self.answer.measures.iter().enumerate() {
            if place > 0 {
                text.raw(",");
            }
            text.string(name).raw(":").value(self.value(first + place));
        }
        text.raw("}");
    }
}

impl Answer<'_> {
    /// The JSON of the question.
    pub(crate) fn write(&self, ask: &Ask) -> Text {
        match ask {
            Ask::Value { key, days } => self.value(key.as_deref(), *days),
            Ask::Series { key, days, by } => self.series(key.as_deref(), *days, *by),
            Ask::Top { by, n, skip, days } => self.top(by, (*skip, *n), *days),
            Ask::Keys { prefix, .. } => self.keys(prefix),
        }
    }

    fn rows(&self) -> Vec<AnswerRow<'_>> {
        let rows =
            |batch| (0..Batch::rows(batch)).map(move |at| AnswerRow { answer: self, batch, at });
        self.batches.iter().flat_map(rows).collect()
    }

    /// The rows, and the total row, in which all are combined.
    fn rows_and_total(&self) -> (Vec<AnswerRow<'_>>, Option<AnswerRow<'_>>) {
        let mut rows = self.rows();
        let total = rows.pop();
        (rows, total)
    }

    /// Opens an answer: the question, and the moment as of which it is exact.
    fn begin(&self, asked: impl Fn(&mut Text)) -> Text {
        let mut text = Text::default();
        text.raw("{\"view\":").string(&self.schema.name).raw(",");
        asked(&mut text);
        text.certificate(&self.certificate);
        text
    }

    /// The requested key, in the form of answers.
    fn asked_key<'t>(&self, text: &'t mut Text, key: &[String]) -> &'t mut Text {
        text.list(key_values(self.schema, key), |text, value| {
            text.text_of(value.by_ref());
        })
    }

    /// The value and its parts, as fields.
    fn parts(&self, text: &mut Text, row: Option<AnswerRow<'_>>) {
        let row = row.filter(|row| (0..LAYERS.len()).any(|layer| row.has(layer)));
        text.raw("\"value\":");
        match row {
            Some(row) => row.values(text, self.leading),
            None => {
                text.raw("null");
            }
        }
        for (layer, name) in LAYERS.into_iter().enumerate() {
            text.raw(",\"").raw(name).raw("\":");
            match row.filter(|row| row.has(layer)) {
                Some(row) => row.values(text, row.layer(layer) + 1),
                None => {
                    text.raw("null");
                }
            }
        }
    }

    fn value(&self, key: Option<&[String]>, days: Days) -> Text {
        let mut text = self.begin(|text| {
            if let Some(key) = key {
                self.asked_key(text.raw("\"key\":"), key);
                text.raw(",");
            }
            write_days(text, days);
        });
        self.parts(&mut text, self.rows().first().copied());
        text.raw("}");
        text
    }

    fn series(&self, key: Option<&[String]>, days: Days, by: Option<Grain>) -> Text {
        let mut text = self.begin(|text| {
            text.raw("\"key\":");
            match key {
                Some(key) => self.asked_key(text, key),
                None => text.raw("null"),
            };
            text.raw(",");
            if let Some(by) = by {
                text.raw("\"by\":").string(by.name()).raw(",");
            }
            write_days(text, days);
        });
        let (rows, total) = self.rows_and_total();
        self.parts(&mut text, total);
        text.raw(",\"days\":").list(rows, |text, row| {
            text.raw("{\"day\":").text_of(row.value(0)).raw(",\"source\":\"");
            let source = match [0, 1, 2].map(|layer| row.has(layer)) {
                [true, false, false] => "batch",
                [true, ..] => "both",
                [false, ..] => "speed",
            };
            text.raw(source).raw("\",\"revision\":").text_of(row.revision()).raw(",");
            self.parts(text, Some(row));
            text.raw("}");
        });
        text.raw("}");
        text
    }

    fn top(&self, by: &str, (skip, n): (u32, u32), days: Days) -> Text {
        let mut text = self.begin(|text| {
            text.raw("\"by\":").string(by).raw(",\"n\":").integer(u64::from(n));
            text.raw(",\"skip\":").integer(u64::from(skip)).raw(",");
            write_days(text, days);
        });
        let (rows, total) = self.rows_and_total();
        self.parts(&mut text, total);
        let has_more = rows.len() > (skip + n) as usize;
        let rows = rows.into_iter().skip(skip as usize).take(n as usize);
        text.raw(",\"rows\":").list(rows, |text, row| {
            text.raw("{\"key\":");
            row.key(text);
            text.raw(",");
            self.parts(text, Some(row));
            text.raw("}");
        });
        text.raw(",\"more\":").raw(if has_more { "true" } else { "false" }).raw("}");
        text
    }

    fn keys(&self, prefix: &[String]) -> Text {
        let mut text = self.begin(|text| {
            text.raw("\"prefix\":").strings(prefix).raw(",");
        });
        let (rows, total) = self.rows_and_total();
        self.parts(&mut text, total);
        text.raw(",\"keys\":").list(rows, |text, row| row.key(text));
        text.raw(",\"more\":").raw(if self.has_more { "true" } else { "false" }).raw("}");
        text
    }
}

pub(crate) fn write_days(text: &mut Text, days: Days) {
    if let Some(last) = days.last {
        text.raw("\"last\":").string(&last.to_string()).raw(",");
    }
    text.raw("\"from\":").day(days.from).raw(",\"to\":").day(days.to).raw(",");
}

/// An event of `text/event-stream`. JSON as written here has no line ends.
pub(crate) fn event(name: &str, data: &[u8]) -> Bytes {
    [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"].concat().into()
}
