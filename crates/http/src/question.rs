//! The question of a request to a view.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::Uri;

use crate::app::{App, nothing_at};
use crate::ask::Ask;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::views::ServedView;

/// How many keys `/top` and `/keys` list by default, and at most.
const LISTED: (u32, u32) = (10, 1_000);

const KEYS: (u32, u32) = (100, 10_000);

/// The greatest number of keys that `/top` skips, because each page ranks them again. `/rows` has all keys.
const SKIPPED: u32 = 100_000;

/// The view and the query of a live answer, and its minimum interval.
pub(crate) fn live_ask(
    app: &App,
    path: Result<Path<String>, PathRejection>,
    query: Option<&str>,
    uri: Uri,
) -> Result<(Arc<ServedView>, Ask, Duration), ApiError> {
    let Ok(Path(view)) = path else { return Err(nothing_at(&uri)) };
    let view = app.view(&view)?;
    let known = ["of", "every", "key", "from", "to", "last", "by", "n"];
    let given = Parameters::read(query, &known)?;
    let every = given.every(EVERY, app.limits.every)?;
    let default = if given.get("key").is_some() { "value" } else { "total" };
    let of = given.get("of").unwrap_or(default);
    if !["value", "series", "total", "top"].contains(&of) {
        let message = format!("of={of}: expected value, series, total or top");
        return Err(ApiError::parameter("of", message));
    }
    for name in ["key", "by", "n"] {
        let takes = match name {
            "key" => of != "total" && of != "top",
            "by" => of == "top" || of == "series",
            _ => of == "top",
        };
        if given.get(name).is_some() && !takes {
            let message =
                format!("of={of} takes no {name}: leave it out, or ask of something else");
            return Err(ApiError::parameter(name, message));
        }
    }
    Ok((view, ask_of(of, query, &["of", "every"])?, every))
}

/// The query of a request. `besides` are parameters that are handled elsewhere.
pub(crate) fn ask_of(of: &str, query: Option<&str>, besides: &[&str]) -> Result<Ask, ApiError> {
    let read = |names: &[&str]| Parameters::read(query, &[names, besides].concat());
    match of {
        "value" => {
            let given = read(&["key", "from", "to", "last"])?;
            let key = given.all("key");
            if key.is_empty() {
                let message = "the parameter key is missing; for all keys together, ask for total";
                return Err(ApiError::parameter("key", message));
            }
            Ok(Ask::Value { key: Some(key), days: given.days()? })
        }
        "total" => Ok(Ask::Value { key: None, days: read(&["from", "to", "last"])?.days()? }),
        "series" => {
            let given = read(&["key", "from", "to", "last", "by"])?;
            let key = Some(given.all("key")).filter(|key| !key.is_empty());
            Ok(Ask::Series { key, days: given.days()?, by: given.grain()? })
        }
        "top" => {
            let given = read(&["by", "n", "skip", "from", "to", "last"])?;
            let Some(by) = given.get("by") else {
                let message = "the parameter by is missing: expected the name of a measure";
                return Err(ApiError::parameter("by", message));
            };
            let n = given.number("n", LISTED.0, 1..=LISTED.1)?;
            let skip = given.number("skip", 0, 0..=SKIPPED)?;
            Ok(Ask::Top { by: by.to_owned(), n, skip, days: given.days()? })
        }
        "keys" => {
            let given = read(&["prefix", "limit"])?;
            let limit = given.number("limit", KEYS.0, 1..=KEYS.1)?;
            Ok(Ask::Keys { prefix: given.all("prefix"), limit })
        }
        _ => {
            let there_is = ["value", "series", "top", "total", "keys", "rows", "live"];
            let message = format!("there is no '{of}' of a view");
            Err(ApiError::missing("no_such_path", message, there_is))
        }
    }
}

/// The default minimum interval between answers.
pub(crate) const EVERY: Duration = Duration::from_millis(100);
