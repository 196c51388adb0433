//! Rows of a view as a table: page by page, or all of them, in JSON, CSV or NDJSON.
//!
//! A page is held until it is sent, so that its headers can say where the next one begins. A full listing is never held
//! as a whole: each batch is requested when the client has taken the one before it.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use dayfold::rows::{Format, Writer};
use dayfold::scan::{Batches, Cursor, Scan, ScanError};
use dayfold::serve::Certificate;
use tokio::sync::OwnedSemaphorePermit;

use crate::accept::{self, RowsFormat};
use crate::answer::write_days;
use crate::app::{Shared, nothing_at};
use crate::ask::{by_grain, key_prefix, one_key, refusal};
use crate::error::ApiError;
use crate::json::Text;
use crate::parameters::{Days, Parameters};
use crate::places::Threads;
use crate::views::ServedView;

/// The most rows of a page.
pub(crate) const PAGE: u32 = 10_000;

/// Where the rows after a page begin.
const NEXT: &str = "dayfold-next";

/// The certificate of the rows, as JSON.
const AS_OF: &str = "dayfold-as-of";

/// The request for rows.
struct Question {
    scan: Scan,
    days: Days,
    kind: RowsFormat,
    /// Whether a page is requested.
    is_page: bool,
    /// The parameter for keys.
    keys: &'static str,
}

/// `GET /api/views/{view}/rows`.
pub(crate) async fn rows(
    State(app): Shared,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Ok(Path(view)) = path else { return Err(nothing_at(&uri)) };
    let view = app.view(&view)?;
    let known = [
        "from", "to", "last", "key", "prefix", "by", "columns", "limit", "after", "format",
        "snapshot",
    ];
    let given = Parameters::read(query.as_deref(), &known)?;
    let snapshot = app.snapshots.named(given.get("snapshot"))?;
    let question = question(&view, &given, &headers)?;
    let place = if question.is_page { None } else { Some(app.places.stream()?) };
    let refused = |error| refusal(&error, question.keys);
    let batches = view.scan(&question.scan, snapshot.as_ref(), app.limits.patience);
    let mut batches = batches.map_err(refused)?;
    let certificate =
        app.waiting(async { batches.certificate_async().await.map_err(refused) }).await?;
    let as_of = as_of(&certificate);
    let rows = Rows::new(&view, &question, &certificate, batches);
    let threads = Arc::clone(&app.threads);
    let mut response = match place {
        None => page(rows, &question, &threads).await?,
        Some(place) => {
            let body = Body::from_stream(stream(rows, threads, place));
            body.into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(question.kind.content_type()));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(AS_OF, as_of);
    Ok(response)
}

fn question(
    view: &ServedView,
    given: &Parameters,
    headers: &HeaderMap,
) -> Result<Question, ApiError> {
    let (key, prefix) = (given.all("key"), given.all("prefix"));
    if !key.is_empty() && !prefix.is_empty() {
        let message = "key and prefix are both given: expected one of them";
        return Err(ApiError::parameter("prefix", message));
    }
    let (keys, parameter) = match key.is_empty() {
        true => (key_prefix(view.schema(), &prefix)?, "prefix"),
        false => (one_key(view.schema(), &key)?, "key"),
    };
    let days = given.days()?;
    let scan = days.of(Scan::rows().keys(keys), view.schema())?;
    let mut scan = by_grain(scan, given.grain()?);
    if let Some(columns) = given.get("columns") {
        scan = scan.columns(columns.split(','));
    }
    let is_page = given.get("limit").is_some();
    if is_page {
        scan = scan.limit(given.number("limit", PAGE, 1..=PAGE)?.into());
    }
    if let Some(after) = given.get("after") {
        let cursor: Cursor = after.parse().map_err(|error| refusal(&error, parameter))?;
        scan = scan.after(cursor);
    }
    let kind = accept::kind(given.get("format"), headers)?;
    Ok(Question { scan, days, kind, is_page, keys: parameter })
}

fn as_of(certificate: &Certificate) -> HeaderValue {
    let mut text = Text::default();
    text.raw("{").certificate_fields(certificate).raw("}");
    HeaderValue::from_bytes(&text.into_bytes()).expect("numbers and times are visible ASCII")
}

/// Rows that are being sent to a client.
struct Rows {
    batches: Batches,
    writer: Writer<Vec<u8>>,
    /// The text before the rows.
    head: Option<Vec<u8>>,
    is_json: bool,
    cursor: Option<Cursor>,
}

/// The part to be written next.
enum Piece {
    Some(Vec<u8>),
    Last(Vec<u8>),
}

impl Rows {
    fn new(
        view: &ServedView,
        question: &Question,
        certificate: &Certificate,
        batches: Batches,
    ) -> Rows {
        let (is_json, format) = match question.kind {
            RowsFormat::Json => (true, Format::Json),
            RowsFormat::Csv => (false, Format::Csv),
            RowsFormat::Lines => (false, Format::JsonLines),
        };
        let mut head = Text::default();
        if is_json {
            head.raw("{\"view\":").string(view.name()).raw(",");
            write_days(&mut head, question.days);
            head.certificate(certificate);
            let names = batches.columns().iter();
            head.raw("\"columns\":").list(names, |text, column| {
                text.string(&column.name);
            });
            head.raw(",\"rows\":");
        }
        let writer = Writer::new(format, batches.columns(), Vec::new());
        Rows { batches, writer, head: Some(head.into_bytes()), is_json, cursor: None }
    }

    /// Waits for the next batch, and writes it.
    fn next(&mut self) -> Result<Piece, ScanError> {
        let in_memory = "memory takes every row";
        let mut out = Vec::new();
        if let Some(head) = self.head.take() {
            out = head;
            self.writer.begin().expect(in_memory);
        }
        let piece = match self.batches.next().transpose()? {
            Some(batch) => {
                self.writer.batch(&batch).expect(in_memory);
                out.append(self.writer.get_mut());
                Piece::Some(out)
            }
            None => {
                self.writer.end().expect(in_memory);
                out.append(self.writer.get_mut());
                self.cursor = self.batches.next_page();
                if self.is_json {
                    let mut text = Text::default();
                    text.raw(",\"next\":");
                    match &self.cursor {
                        Some(cursor) => text.string(&cursor.to_string()),
                        None => text.raw("null"),
                    };
                    text.raw("}\n");
                    out.append(&mut text.into_bytes());
                }
                Piece::Last(out)
            }
        };
        Ok(piece)
    }
}

/// A whole page.
async fn page(
    mut rows: Rows,
    question: &Question,
    threads: &Threads,
) -> Result<Response, ApiError> {
    let thread = Arc::clone(&threads.writers).acquire_owned().await;
    let write = move || {
        let _thread = thread;
        let mut whole = Vec::new();
        loop {
            match rows.next()? {
                Piece::Some(mut piece) => whole.append(&mut piece),
                Piece::Last(mut piece) => {
                    whole.append(&mut piece);
                    return Ok((whole, rows.cursor));
                }
            }
        }
    };
    let written = tokio::task::spawn_blocking(write).await;
    let written = written.map_err(|_| ApiError::panicked())?;
    let (whole, cursor) = written.map_err(|error: ScanError| refusal(&error, question.keys))?;
    let mut response = Body::from(whole).into_response();
    if let Some(cursor) = cursor {
        let value = HeaderValue::from_str(&cursor.to_string());
        response.headers_mut().insert(NEXT, value.expect("a cursor is visible ASCII"));
    }
    Ok(response)
}

/// All rows, piece by piece: the next piece is made when the one before it has been taken. Dropping it ends the scan.
///
/// An error on the way cuts the answer off; the client notices the missing end.
fn stream(
    rows: Rows,
    threads: Arc<Threads>,
    place: OwnedSemaphorePermit,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    futures_util::stream::try_unfold(Some((rows, place)), move |state| {
        let threads = Arc::clone(&threads);
        async move {
            let Some((mut rows, place)) = state else { return Ok(None) };
            let thread = Arc::clone(&threads.writers).acquire_owned().await;
            let write = move || {
                let _thread = thread;
                let piece = rows.next();
                (rows, piece)
            };
            let written = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?;
            let (rows, piece) = written;
            match piece.map_err(io::Error::other)? {
                Piece::Some(piece) => Ok(Some((Bytes::from(piece), Some((rows, place))))),
                Piece::Last(piece) => Ok(Some((Bytes::from(piece), None))),
            }
        }
    })
}
