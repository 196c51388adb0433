//! The views that are served: their key and aggregate are forgotten.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};

use crate::error::ApiError;
use crate::json::Text;
use crate::keys::{KeyTextError, TextKey};
use crate::live;
use crate::parameters::Days;
use crate::places::Threads;
use crate::written::Texts;
use dayfold::aggregate::{Aggregate, Decimal};
use dayfold::engine::{AskError, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::serve::{Answer, Keys, MeasureFn, Parts, Query, Shape};
use dayfold::time::{Day, DayRange};

/// What is asked of a view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// One key, or all of them.
    Value { key: Option<Vec<String>>, days: Days },
    /// The same, day by day.
    Series { key: Option<Vec<String>>, days: Days },
    /// The `n` keys with the greatest value of the measure of this name.
    Top { by: String, n: u32, days: Days },
    /// Keys that begin with `prefix`, at most `limit`.
    Keys { prefix: Vec<String>, limit: u32 },
}

/// JSON on its way.
pub(crate) type Asking = BoxFuture<'static, Result<Vec<u8>, ApiError>>;

/// An event of a live answer whenever it has changed, until the engine stops. All who ask the same share its bytes.
pub(crate) type Changing = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// An answer with more items is written on a thread of its own: other requests do not wait for it.
const WRITTEN_AT_ONCE: usize = 1_000;

/// A view whose key and aggregate have been forgotten.
pub(crate) trait Served: Send + Sync {
    fn name(&self) -> &str;
    fn zone(&self) -> &str;
    fn key_columns(&self) -> &[String];
    fn measures(&self) -> Vec<&str>;

    /// Asks at once; the future waits for the answer.
    ///
    /// # Errors
    /// 400 for a key or measure that is none of the view; 503 if there is no answer.
    fn ask(self: Arc<Self>, ask: Ask) -> Asking;

    /// Asks again whenever the answer has changed, once in `every` at most. It is written as an event of
    /// `text/event-stream`.
    ///
    /// # Errors
    /// 400 for a key or measure that is none of the view; 503 if there will be no answer.
    fn subscribe(self: Arc<Self>, ask: Ask, every: Duration) -> Result<Changing, ApiError>;

    /// How many of these have been written.
    fn live_written(&self) -> u64;

    /// The first and the last day with events.
    ///
    /// # Errors
    /// 503 if there is no answer.
    fn span(&self) -> BoxFuture<'static, Result<Option<(Day, Day)>, ApiError>>;
}

/// A view and the names of its key's columns.
pub(crate) struct TypedView<K: TextKey, A: Aggregate> {
    handle: ViewHandle<K, A>,
    columns: Vec<String>,
    threads: Arc<Threads>,
    texts: Texts<Ask>,
    live_written: AtomicU64,
}

impl<K: TextKey, A: Aggregate> TypedView<K, A> {
    pub(crate) fn new(
        handle: ViewHandle<K, A>,
        columns: Vec<String>,
        threads: Arc<Threads>,
    ) -> TypedView<K, A> {
        TypedView {
            handle,
            columns,
            threads,
            texts: Texts::default(),
            live_written: AtomicU64::new(0),
        }
    }

    /// The query of a request.
    ///
    /// # Errors
    /// 400 for a key or measure that is none of the view.
    fn query(&self, ask: &Ask) -> Result<Query<K>, ApiError> {
        Ok(match ask {
            Ask::Value { key, days } => {
                Query::new(self.keys(key.as_deref())?, days.range(), Shape::Total)
            }
            Ask::Series { key, days } => {
                Query::new(self.keys(key.as_deref())?, days.range(), Shape::ByDay)
            }
            // All keys: what they are together is of the same moment as the greatest of them.
            Ask::Top { by, days, .. } => {
                self.measure(by)?;
                Query::keys(KeyRange::all(), days.range())
            }
            Ask::Keys { prefix, .. } => Query::keys(self.range(prefix)?, DayRange::ALL),
        })
    }

    fn measure(&self, by: &str) -> Result<&MeasureFn<A>, ApiError> {
        let found = self.handle.measures().find(|(name, _)| *name == by);
        found.map(|(_, measure)| measure).ok_or_else(|| {
            let message = format!(
                "view '{}' has no measure '{by}': expected one of {}",
                self.name(),
                self.measures().join(", ")
            );
            ApiError::parameter("by", message)
        })
    }

    /// Keys that begin so.
    fn range(&self, prefix: &[String]) -> Result<KeyRange, ApiError> {
        if prefix.len() > K::COLUMNS {
            let columns = self.columns.join(", ");
            let message = format!(
                "a key of view '{}' is {columns}: expected the parameter prefix {} times at most",
                self.name(),
                K::COLUMNS
            );
            return Err(ApiError::parameter("prefix", message));
        }
        K::range(prefix).map_err(|error| self.wrong("prefix", error))
    }

    /// The answer of a request as JSON.
    ///
    /// # Errors
    /// 400 for a measure that is none of the view.
    fn write(&self, ask: &Ask, answer: &Answer<K, A>) -> Result<Vec<u8>, ApiError> {
        let text = match ask {
            Ask::Value { key, days } => self.value(key.as_deref(), *days, answer),
            Ask::Series { key, days } => self.series(key.as_deref(), *days, answer),
            Ask::Top { by, n, days } => self.top((by, self.measure(by)?), *n, *days, answer),
            Ask::Keys { prefix, limit } => self.names(prefix, *limit, answer),
        };
        Ok(text.into_bytes())
    }

    /// As [`TypedView::write`], on a thread of its own if it is much.
    async fn written(
        self: Arc<Self>,
        ask: Ask,
        answer: Arc<Answer<K, A>>,
    ) -> Result<Vec<u8>, ApiError> {
        if answer.items.len() <= WRITTEN_AT_ONCE {
            return self.write(&ask, &answer);
        }
        let thread = Arc::clone(&self.threads.writers).acquire_owned().await;
        let written = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            self.write(&ask, &answer)
        });
        written.await.unwrap_or_else(|_| Err(ApiError::panicked()))
    }

    /// A live answer as an event.
    async fn event(self: Arc<Self>, ask: Ask, answer: Arc<Answer<K, A>>) -> Option<Bytes> {
        self.live_written.fetch_add(1, Ordering::Relaxed);
        // What could be wrong with the question has been looked at.
        let json = self.written(ask, answer).await.ok()?;
        Some(live::event("answer", &json))
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
    fn begin(&self, answer: &Answer<K, A>, asked: impl Fn(&mut Text)) -> Text {
        let mut text = Text::default();
        text.raw("{\"view\":").string(self.name()).raw(",");
        asked(&mut text);
        text.certificate(&answer.certificate);
        text
    }

    fn value(&self, key: Option<&[String]>, days: Days, answer: &Answer<K, A>) -> Text {
        let mut text = self.begin(answer, |text| {
            if let Some(key) = key {
                text.raw("\"key\":").strings(key).raw(",");
            }
            write_days(text, days);
        });
        text.parts(answer.items.first().map(|item| &item.parts), || self.handle.measures());
        text.raw("}");
        text
    }

    fn series(&self, key: Option<&[String]>, days: Days, answer: &Answer<K, A>) -> Text {
        let mut text = self.begin(answer, |text| {
            text.raw("\"key\":");
            match key {
                Some(key) => text.strings(key),
                None => text.raw("null"),
            };
            write_days(text.raw(","), days);
        });
        let whole = whole(answer);
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
        text.raw("}");
        text
    }

    fn top(
        &self,
        (by, measure): (&str, &MeasureFn<A>),
        n: u32,
        days: Days,
        answer: &Answer<K, A>,
    ) -> Text {
        let mut text = self.begin(answer, |text| {
            text.raw("\"by\":").string(by).raw(",\"n\":").integer(u64::from(n)).raw(",");
            write_days(text, days);
        });
        text.parts(Some(&whole(answer)), || self.handle.measures()).raw(",\"rows\":");
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
        text.raw("}");
        text
    }

    fn names(&self, prefix: &[String], limit: u32, answer: &Answer<K, A>) -> Text {
        let mut text = self.begin(answer, |text| {
            text.raw("\"prefix\":").strings(prefix).raw(",");
        });
        text.parts(Some(&whole(answer)), || self.handle.measures()).raw(",\"keys\":");
        let keys = answer.items.iter().filter_map(|item| item.key.as_ref()).take(limit as usize);
        text.list(keys, |text, key| {
            text.strings(&key.to_texts());
        });
        let more = answer.items.len() > limit as usize;
        text.raw(",\"more\":").raw(if more { "true" } else { "false" });
        text.raw("}");
        text
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

    fn ask(self: Arc<Self>, ask: Ask) -> Asking {
        let asked = self.query(&ask).map(|query| self.handle.ask_async(query));
        Box::pin(async move {
            let answer = asked?.await.map_err(no_answer)?;
            self.written(ask, Arc::new(answer)).await
        })
    }

    fn subscribe(self: Arc<Self>, ask: Ask, every: Duration) -> Result<Changing, ApiError> {
        let answers = self.handle.subscribe(self.query(&ask)?, every).map_err(no_answer)?;
        let latest = self.texts.of(ask.clone());
        let texts = answers.shared().then(move |(version, answer)| {
            let (latest, view, ask) = (Arc::clone(&latest), Arc::clone(&self), ask.clone());
            async move { latest.text(version, view.event(ask, answer)).await }
        });
        Ok(Box::pin(texts.filter_map(std::future::ready)))
    }

    fn live_written(&self) -> u64 {
        self.live_written.load(Ordering::Relaxed)
    }

    fn span(&self) -> BoxFuture<'static, Result<Option<(Day, Day)>, ApiError>> {
        let all = Keys::Range(KeyRange::all());
        let asked = self.handle.ask_async(Query::new(all, DayRange::ALL, Shape::ByDay));
        Box::pin(async move {
            let answer = asked.await.map_err(no_answer)?;
            let first = answer.items.first().and_then(|item| item.day);
            Ok(first.zip(answer.items.last().and_then(|item| item.day)))
        })
    }
}

fn no_answer(error: AskError) -> ApiError {
    match error {
        AskError::Stopped => ApiError::unavailable("stopped", error.to_string()),
        AskError::Full { .. } => ApiError::unavailable("busy", error.to_string()),
        AskError::TooManySubscribers { .. } => ApiError::too_many_subscribers(error.to_string()),
        _ => ApiError::unavailable("no_answer", error.to_string()),
    }
}

fn write_days(text: &mut Text, days: Days) {
    text.raw("\"from\":").day(days.from).raw(",\"to\":").day(days.to).raw(",");
}

/// All items of an answer combined.
fn whole<K: TextKey, A: Aggregate>(answer: &Answer<K, A>) -> Parts<A> {
    let mut whole = Parts::empty();
    answer.items.iter().for_each(|item| whole.combine(&item.parts));
    whole
}
