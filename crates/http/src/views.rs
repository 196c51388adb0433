//! The views that are served.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use dayfold::scan::{Batches, ErasedView, Scan, ScanError, Snapshot, ValueRef};
use dayfold::schema::{Kind as SchemaKind, ViewSchema};
use dayfold::time::Day;
use futures_util::{Stream, StreamExt};

use crate::answer::{self, Answer};
use crate::ask::{Ask, refusal};
use crate::error::ApiError;
use crate::json::Text;
use crate::places::Threads;
use crate::written::Texts;

/// An event whenever a live answer has changed, until the engine stops. All listeners of the same answer share its
/// bytes.
pub(crate) type Changing = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// A view, and the written live answers of it.
pub(crate) struct ServedView {
    view: Arc<dyn ErasedView>,
    /// The names of the measures that are shown.
    measures: Vec<String>,
    /// The units of the measures that have one.
    units: BTreeMap<String, String>,
    threads: Arc<Threads>,
    texts: Texts<Ask>,
    live_written: AtomicU64,
}

impl ServedView {
    pub(crate) fn new(view: Arc<dyn ErasedView>, threads: Arc<Threads>) -> ServedView {
        ServedView {
            measures: view.shown().into_iter().map(|measure| measure.name).collect(),
            view,
            units: BTreeMap::new(),
            threads,
            texts: Texts::default(),
            live_written: AtomicU64::new(0),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.view.name()
    }

    /// Whether it serves this view, and not another one of the same name.
    pub(crate) fn is_of(&self, view: &Arc<dyn ErasedView>) -> bool {
        Arc::ptr_eq(&self.view, view)
    }

    pub(crate) fn schema(&self) -> &ViewSchema {
        self.view.schema()
    }

    /// Sets the unit in which a measure is shown.
    pub(crate) fn set_unit(&mut self, measure: &str, unit: &str) {
        self.units.insert(measure.to_owned(), unit.to_owned());
    }

    pub(crate) fn measures(&self) -> &[String] {
        &self.measures
    }

    /// The description of the view: its key, the measures shown, and the columns of its rows.
    pub(crate) fn write_schema(&self, text: &mut Text) {
        let schema = self.schema();
        let column = |text: &mut Text, (name, kind, nullable): (&str, SchemaKind, bool)| {
            text.raw("{\"name\":").string(name).raw(",\"kind\":").string(&kind.to_string());
            text.raw(",\"nullable\":").raw(if nullable { "true" } else { "false" });
        };
        let close = |text: &mut Text| {
            text.raw("}");
        };
        text.raw("{\"grain\":").string(&schema.grain.to_string()).raw(",\"key\":");
        text.list(&schema.key, |text, one| {
            column(text, (&one.name, one.kind, one.nullable));
            close(text);
        });
        text.raw(",\"measures\":").list(self.view.shown(), |text, one| {
            column(text, (&one.name, one.kind, one.nullable));
            text.raw(",\"additive\":").raw(if one.additive { "true" } else { "false" });
            if let Some(unit) = self.units.get(&one.name) {
                text.raw(",\"unit\":").string(unit);
            }
            close(text);
        });
        let period = schema.period();
        let key = schema.key.iter().map(|one| (&one.name[..], one.kind, one.nullable));
        let measures = schema.measures.iter().map(|one| (&one.name[..], one.kind, one.nullable));
        let first = std::iter::once((&period.name[..], period.kind, false));
        let last = std::iter::once(("sealed", SchemaKind::Boolean, false));
        text.raw(",\"table\":").list(first.chain(key).chain(measures).chain(last), |text, one| {
            column(text, one);
            close(text);
        });
        close(text);
    }

    /// How many live answers have been written.
    pub(crate) fn live_written(&self) -> u64 {
        self.live_written.load(Ordering::Relaxed)
    }

    /// Asks without waiting; each batch may take at most this long.
    ///
    /// # Errors
    /// 400 for a question that does not fit the view; 503 if there is no answer.
    pub(crate) fn scan(
        &self,
        scan: &Scan,
        at: Option<&Snapshot>,
        patience: Duration,
    ) -> Result<Batches, ScanError> {
        Ok(self.view.scan(scan, at)?.timeout(patience))
    }

    fn scan_of(&self, ask: &Ask) -> Result<Scan, ApiError> {
        let schema = self.schema();
        ask.scan(schema, answer::columns(ask.leading(schema), &self.measures))
    }

    /// Asks, and waits for the answer as JSON.
    ///
    /// # Errors
    /// 400 for a key or measure that is none of the view; 503 if there is no answer.
    pub(crate) async fn ask(
        self: Arc<Self>,
        ask: Ask,
        at: Option<Snapshot>,
        patience: Duration,
    ) -> Result<Vec<u8>, ApiError> {
        let refused = |error| refusal(&error, ask.keys_parameter());
        let mut batches =
            self.scan(&self.scan_of(&ask)?, at.as_ref(), patience).map_err(refused)?;
        // It waits without a thread.
        batches.certificate_async().await.map_err(refused)?;
        self.written(ask, batches).await
    }

    /// The JSON of a complete answer, written on a separate thread if it may be large.
    async fn written(self: Arc<Self>, ask: Ask, batches: Batches) -> Result<Vec<u8>, ApiError> {
        if matches!(ask, Ask::Value { .. }) {
            return self.write(&ask, batches);
        }
        let thread = Arc::clone(&self.threads.writers).acquire_owned().await;
        let written = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            self.write(&ask, batches)
        });
        written.await.unwrap_or_else(|_| Err(ApiError::panicked()))
    }

    fn write(&self, ask: &Ask, mut batches: Batches) -> Result<Vec<u8>, ApiError> {
        let refused = |error| refusal(&error, ask.keys_parameter());
        let certificate = batches.certificate().map_err(refused)?;
        let mut all = Vec::new();
        while let Some(batch) = Iterator::next(&mut batches) {
            all.push(batch.map_err(refused)?);
        }
        let answer = Answer {
            schema: self.schema(),
            measures: &self.measures,
            leading: ask.leading(self.schema()).len(),
            certificate,
            batches: all,
            has_more: batches.next_page().is_some(),
        };
        Ok(answer.write(ask).into_bytes())
    }

    /// Subscribes to an answer, at most one per `every`. Each is written as an event of `text/event-stream`.
    ///
    /// # Errors
    /// 400 for a key or measure that is none of the view; 503 if there will be no answer.
    pub(crate) fn subscribe(
        self: Arc<Self>,
        ask: Ask,
        every: Duration,
    ) -> Result<Changing, ApiError> {
        let answers = self.view.subscribe(&self.scan_of(&ask)?, every);
        let answers = answers.map_err(|error| match error {
            ScanError::Busy { .. } => ApiError::too_many_subscribers(error.to_string()),
            error => refusal(&error, ask.keys_parameter()),
        })?;
        let latest = self.texts.of(ask.clone());
        let texts = answers.then(move |batches| {
            let (latest, view, ask) = (Arc::clone(&latest), Arc::clone(&self), ask.clone());
            let version = batches.version();
            async move { latest.text(version, view.event(ask, batches)).await }
        });
        Ok(Box::pin(texts.filter_map(std::future::ready)))
    }

    /// A live answer as an event.
    async fn event(self: Arc<Self>, ask: Ask, batches: Batches) -> Option<Bytes> {
        self.live_written.fetch_add(1, Ordering::Relaxed);
        // The question has been checked before.
        let json = self.written(ask, batches).await.ok()?;
        Some(answer::event("answer", &json))
    }

    /// The first and the last day with events.
    ///
    /// # Errors
    /// 503 if there is no answer.
    pub(crate) async fn span(&self, patience: Duration) -> Result<Option<(Day, Day)>, ApiError> {
        let refused = |error| refusal(&error, "key");
        let scan = Scan::by_period().columns([self.schema().grain.name()]);
        let mut batches = self.scan(&scan, None, patience).map_err(refused)?;
        let mut span = None;
        while let Some(batch) = batches.next_async().await {
            let batch = batch.map_err(refused)?;
            let day = |row| match batch.value_ref(row, 0) {
                ValueRef::Date(day) => Some(day),
                ValueRef::Timestamp(time) => Day::hour_from(time),
                _ => None,
            };
            let (Some(first), Some(last)) = (day(0), day(batch.rows() - 1)) else { continue };
            span = Some((span.map_or(first, |(first, _)| first), last));
        }
        Ok(span)
    }
}
