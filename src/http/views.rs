//! The views that are served: their key and aggregate are forgotten.

use std::ops::Range;
use std::time::Duration;

use super::error::ApiError;
use super::json::Text;
use super::keys::{KeyTextError, TextKey};
use super::parameters::Days;
use crate::aggregate::{Aggregate, Decimal};
use crate::engine::{AskError, ViewHandle};
use crate::key::KeyRange;
use crate::serve::{Answer, Keys, MeasureFn, Parts, Query, Shape};
use crate::time::{Day, DayRange};

/// What is asked of a view.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// One key, or all of them.
    Value { key: Option<Vec<String>>, days: Days },
    /// The same, day by day.
    Series { key: Option<Vec<String>>, days: Days },
    /// The `n` keys with the greatest value of the measure of this name.
    Top { by: String, n: u32, days: Days },
    /// Keys that begin with `prefix`, at most `limit`.
    Keys { prefix: Vec<String>, limit: u32 },
}

/// An answer as JSON.
pub(super) struct Reply {
    pub(super) json: Vec<u8>,
    /// What of it may change without its values doing so.
    changing: Range<usize>,
}

impl Reply {
    /// Whether two answers differ in more than the moment that they are exact as of.
    pub(super) fn differs(&self, other: &Reply) -> bool {
        let parts = |reply: &Reply| {
            let Range { start, end } = reply.changing;
            (reply.json[..start].to_vec(), reply.json[end..].to_vec())
        };
        parts(self) != parts(other)
    }
}

/// A view whose key and aggregate have been forgotten.
pub(super) trait Served: Send + Sync {
    fn name(&self) -> &str;
    fn zone(&self) -> &str;
    fn key_columns(&self) -> &[String];
    fn measures(&self) -> Vec<&str>;

    /// Asks, and waits for the answer at most so long.
    ///
    /// # Errors
    /// 400 for a key or measure that is none of the view; 503 if there is no answer.
    fn ask(&self, ask: &Ask, limit: Duration) -> Result<Reply, ApiError>;

    /// The first and the last day with events.
    ///
    /// # Errors
    /// 503 if there is no answer.
    fn span(&self, limit: Duration) -> Result<Option<(Day, Day)>, ApiError>;
}

/// A view and the names of its key's columns.
pub(super) struct TypedView<K: TextKey, A: Aggregate> {
    pub(super) handle: ViewHandle<K, A>,
    pub(super) columns: Vec<String>,
}

impl<K: TextKey, A: Aggregate> TypedView<K, A> {
    fn answer(&self, query: Query<K>, limit: Duration) -> Result<Answer<K, A>, ApiError> {
        self.handle.ask_timeout(query, limit).map_err(|error| match error {
            AskError::Stopped => ApiError::unavailable("stopped", error.to_string()),
            AskError::Full { .. } => ApiError::unavailable("busy", error.to_string()),
            _ => ApiError::unavailable("no_answer", error.to_string()),
        })
    }

    /// The keys that a request is about.
    fn keys(&self, texts: Option<&[String]>) -> Result<Keys<K>, ApiError> {
        let Some(texts) = texts else { return Ok(Keys::Range(KeyRange::all())) };
        if texts.len() != K::COLUMNS {
            let columns = self.columns.join(", ");
            let message = format!(
                "a key of view '{}' is {columns}: expected the parameter key {} times, found {}",
                self.name(),
                K::COLUMNS,
                texts.len()
            );
            return Err(ApiError::parameter("key", message));
        }
        K::of_texts(texts).map(Keys::One).map_err(|error| self.wrong("key", error))
    }

    fn wrong(&self, parameter: &str, (place, error): (usize, KeyTextError)) -> ApiError {
        let column = self.columns.get(place).map_or("", String::as_str);
        ApiError::parameter(parameter, format!("{parameter} ({column}): {error}"))
    }

    /// Opens an answer: what was asked, and what it is exact as of.
    fn begin(&self, answer: &Answer<K, A>, asked: impl Fn(&mut Text)) -> (Text, Range<usize>) {
        let mut text = Text::default();
        text.raw("{\"view\":").string(self.name()).raw(",");
        asked(&mut text);
        let changing = text.certificate(&answer.certificate);
        (text, changing)
    }

    fn value(
        &self,
        key: Option<&[String]>,
        days: Days,
        limit: Duration,
    ) -> Result<Reply, ApiError> {
        let query = Query::new(self.keys(key)?, days.range(), Shape::Total);
        let answer = self.answer(query, limit)?;
        let (mut text, changing) = self.begin(&answer, |text| {
            if let Some(key) = key {
                text.raw("\"key\":").strings(key).raw(",");
            }
            write_days(text, days);
        });
        text.parts(answer.items.first().map(|item| &item.parts), || self.handle.measures());
        Ok(end(text, changing))
    }

    fn series(
        &self,
        key: Option<&[String]>,
        days: Days,
        limit: Duration,
    ) -> Result<Reply, ApiError> {
        let query = Query::new(self.keys(key)?, days.range(), Shape::ByDay);
        let answer = self.answer(query, limit)?;
        let (mut text, changing) = self.begin(&answer, |text| {
            text.raw("\"key\":");
            match key {
                Some(key) => text.strings(key),
                None => text.raw("null"),
            };
            write_days(text.raw(","), days);
        });
        let whole = whole(&answer);
        text.parts(Some(&whole), || self.handle.measures()).raw(",\"days\":");
        text.list(&answer.items, |text, item| {
            text.raw("{\"day\":").day(item.day).raw(",\"source\":\"");
            let source = match (&item.parts.batch, &item.parts.speed, &item.parts.amendments) {
                (Some(_), None, None) => "batch",
                (Some(_), _, _) => "both",
                (None, _, _) => "speed",
            };
            text.raw(source).raw("\",\"revision\":").day(item.revision).raw(",");
            text.parts(Some(&item.parts), || self.handle.measures()).raw("}");
        });
        Ok(end(text, changing))
    }

    fn top(&self, by: &str, n: u32, days: Days, limit: Duration) -> Result<Reply, ApiError> {
        let Some((_, measure)) = self.handle.measures().find(|(name, _)| *name == by) else {
            let message = format!(
                "view '{}' has no measure '{by}': expected one of {}",
                self.name(),
                self.measures().join(", ")
            );
            return Err(ApiError::parameter("by", message));
        };
        // All keys: what they are together is of the same moment as the greatest of them.
        let answer = self.answer(Query::keys(KeyRange::all(), days.range()), limit)?;
        let (mut text, changing) = self.begin(&answer, |text| {
            text.raw("\"by\":").string(by).raw(",\"n\":").integer(u64::from(n)).raw(",");
            write_days(text, days);
        });
        text.parts(Some(&whole(&answer)), || self.handle.measures()).raw(",\"rows\":");
        let value = |parts: &Parts<A>| parts.merged().and_then(|merged| measure(&merged));
        let mut ranked: Vec<(Option<Decimal>, usize)> =
            answer.items.iter().enumerate().map(|(at, item)| (value(&item.parts), at)).collect();
        // Stable: keys with equal values stay in order of key.
        ranked.sort_by_key(|(value, _)| std::cmp::Reverse(*value));
        ranked.truncate(n as usize);
        text.list(ranked, |text, (_, at)| {
            let item = &answer.items[at];
            let key = item.key.as_ref().map_or_else(Vec::new, TextKey::to_texts);
            text.raw("{\"key\":").strings(&key).raw(",");
            text.parts(Some(&item.parts), || self.handle.measures()).raw("}");
        });
        Ok(end(text, changing))
    }

    fn names(&self, prefix: &[String], limit: u32, wait: Duration) -> Result<Reply, ApiError> {
        if prefix.len() > K::COLUMNS {
            let columns = self.columns.join(", ");
            let message = format!(
                "a key of view '{}' is {columns}: expected the parameter prefix {} times at most",
                self.name(),
                K::COLUMNS
            );
            return Err(ApiError::parameter("prefix", message));
        }
        let range = K::range(prefix).map_err(|error| self.wrong("prefix", error))?;
        let answer = self.answer(Query::keys(range, DayRange::ALL), wait)?;
        let (mut text, changing) = self.begin(&answer, |text| {
            text.raw("\"prefix\":").strings(prefix).raw(",");
        });
        text.parts(Some(&whole(&answer)), || self.handle.measures()).raw(",\"keys\":");
        let keys = answer.items.iter().filter_map(|item| item.key.as_ref()).take(limit as usize);
        text.list(keys, |text, key| {
            text.strings(&key.to_texts());
        });
        let more = answer.items.len() > limit as usize;
        text.raw(",\"more\":").raw(if more { "true" } else { "false" });
        Ok(end(text, changing))
    }
}

impl<K: TextKey, A: Aggregate> Served for TypedView<K, A> {
    fn name(&self) -> &str {
        self.handle.view().name()
    }

    fn zone(&self) -> &str {
        self.handle.view().calendar().name()
    }

    fn key_columns(&self) -> &[String] {
        &self.columns
    }

    fn measures(&self) -> Vec<&str> {
        self.handle.measures().map(|(name, _): (&str, &MeasureFn<A>)| name).collect()
    }

    fn ask(&self, ask: &Ask, limit: Duration) -> Result<Reply, ApiError> {
        match ask {
            Ask::Value { key, days } => self.value(key.as_deref(), *days, limit),
            Ask::Series { key, days } => self.series(key.as_deref(), *days, limit),
            Ask::Top { by, n, days } => self.top(by, *n, *days, limit),
            Ask::Keys { prefix, limit: keys } => self.names(prefix, *keys, limit),
        }
    }

    fn span(&self, limit: Duration) -> Result<Option<(Day, Day)>, ApiError> {
        let all = Keys::Range(KeyRange::all());
        let answer = self.answer(Query::new(all, DayRange::ALL, Shape::ByDay), limit)?;
        let first = answer.items.first().and_then(|item| item.day);
        Ok(first.zip(answer.items.last().and_then(|item| item.day)))
    }
}

fn write_days(text: &mut Text, days: Days) {
    text.raw("\"from\":").day(days.from).raw(",\"to\":").day(days.to).raw(",");
}

fn end(mut text: Text, changing: Range<usize>) -> Reply {
    text.raw("}");
    Reply { json: text.into_bytes(), changing }
}

/// All items of an answer combined.
fn whole<K: TextKey, A: Aggregate>(answer: &Answer<K, A>) -> Parts<A> {
    let mut whole = Parts::empty();
    answer.items.iter().for_each(|item| whole.combine(&item.parts));
    whole
}
