//! The page, embedded in the program.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use xxhash_rust::xxh3::xxh3_64;

use crate::app::{App, Shared};
use crate::error::ApiError;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";
const STYLE: &str = "text/css; charset=utf-8";

/// A file of the page, its type and its content.
type Asset = (&'static str, &'static str, &'static [u8]);

const INDEX: Asset = ("index.html", HTML, include_bytes!("page/index.html"));

/// What the page loads. The chart is uPlot, MIT (`page/uplot.LICENSE`); the rest is ours.
const ASSETS: [Asset; 11] = [
    ("app.js", SCRIPT, include_bytes!("page/app.js")),
    ("api.js", SCRIPT, include_bytes!("page/api.js")),
    ("chart.js", SCRIPT, include_bytes!("page/chart.js")),
    ("format.js", SCRIPT, include_bytes!("page/format.js")),
    ("keys.js", SCRIPT, include_bytes!("page/keys.js")),
    ("refused.js", SCRIPT, include_bytes!("page/refused.js")),
    ("tables.js", SCRIPT, include_bytes!("page/tables.js")),
    ("uplot.js", SCRIPT, include_bytes!("page/uplot.js")),
    ("uplot.css", STYLE, include_bytes!("page/uplot.css")),
    ("style.css", STYLE, include_bytes!("page/style.css")),
    ("icon.svg", IMAGE, include_bytes!("page/icon.svg")),
];

pub(crate) fn routes(router: Router<Arc<App>>) -> Router<Arc<App>> {
    router.route("/", get(index)).route("/assets/{name}", get(asset))
}

async fn index(headers: HeaderMap) -> Response {
    respond(&INDEX, &headers)
}

async fn asset(
    State(_): Shared,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let name = path.map(|Path(name)| name).unwrap_or_default();
    let found = ASSETS.iter().find(|(asset, ..)| *asset == name);
    found.map(|asset| respond(asset, &headers)).ok_or_else(|| {
        let message = format!("there is no file '{}'", uri.path());
        ApiError::missing("no_such_path", message, ASSETS.iter().map(|(name, ..)| *name))
    })
}

/// The file, or 304 if the client has it already. The client asks each time, because the next version of the program
/// may have another one.
fn respond((_, kind, content): &Asset, headers: &HeaderMap) -> Response {
    let tag = format!("\"{:016x}\"", xxh3_64(content));
    let has =
        headers.get(header::IF_NONE_MATCH).is_some_and(|has| has.as_bytes() == tag.as_bytes());
    let tag = HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes are a header value");
    let headers =
        [(header::ETAG, tag), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if has {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], *content).into_response()
}
