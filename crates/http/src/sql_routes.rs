//! `POST /api/sql`.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dayfold::aggregate::Decimal;
use dayfold::schema::Value;
use futures_util::StreamExt;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::accept;
use crate::app::Shared;
use crate::body::{Received, receive};
use crate::error::ApiError;
use crate::sql::{SqlFormat, SqlQuery};

/// The media types of rows; the first one is the default.
const TYPES: [(&str, SqlFormat); 6] = [
    ("application/json", SqlFormat::Json),
    ("text/csv", SqlFormat::Csv),
    ("application/vnd.apache.arrow.stream", SqlFormat::Arrow),
    ("application/x-ndjson", SqlFormat::JsonLines),
    ("application/ndjson", SqlFormat::JsonLines),
    ("application/jsonl", SqlFormat::JsonLines),
];

fn content_type(format: SqlFormat) -> &'static str {
    match format {
        SqlFormat::Json => "application/json",
        SqlFormat::Csv => "text/csv; charset=utf-8",
        SqlFormat::JsonLines => "application/x-ndjson",
        SqlFormat::Arrow => "application/vnd.apache.arrow.stream",
    }
}

/// `POST /api/sql`.
pub(crate) async fn post(
    State(app): Shared,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    let Some(answer) = &app.sql else {
        let message = "this server answers no statements: the program dayfold does if it is built with the feature 'sql'";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "no_sql", message));
    };
    check_media(&headers)?;
    let format = accept::accepted(&headers, &TYPES)?;
    let query = {
        let Received { bytes, reserved: _reserved } = receive(&app, request).await?;
        query(&bytes, format)?
    };
    let place = app.places.stream()?;
    let before = Instant::now();
    let pieces = answer(query).await?;
    app.metrics.asked(before.elapsed());
    let body = Body::from_stream(pieces.map(move |piece| {
        let _place = &place;
        piece.map(Bytes::from)
    }));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(format)));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

fn check_media(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or("").trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message =
        "expected the content type application/json, and a body such as {\"sql\":\"SELECT 1\"}";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(ApiError::new(status, "unsupported_media_type", message))
}

/// Parses a request body.
fn query(body: &[u8], format: SqlFormat) -> Result<SqlQuery, ApiError> {
    // The values stay raw, because reading a number as a double may change it.
    let body: Result<BTreeMap<String, Box<RawValue>>, _> = serde_json::from_slice(body);
    let mut body = body.map_err(|error| {
        let message = format!(
            "expected an object such as {{\"sql\":\"SELECT 1\",\"params\":[]}} in JSON: {error}"
        );
        ApiError::new(StatusCode::BAD_REQUEST, "bad_body", message)
    })?;
    let sql = body.remove("sql").and_then(|sql| serde_json::from_str(sql.get()).ok());
    let sql =
        sql.ok_or_else(|| ApiError::parameter("sql", "sql: expected a text with a statement"))?;
    let params = body.remove("params").unwrap_or_default();
    if let Some(name) = body.keys().next() {
        let message = format!("unknown field '{name}': expected sql and params");
        return Err(ApiError::parameter(name, message));
    }
    let params: Option<Vec<Box<RawValue>>> = serde_json::from_str(params.get())
        .map_err(|_| ApiError::parameter("params", "params: expected a list of values"))?;
    let values = params.unwrap_or_default().into_iter().zip(1..).map(|(value, number)| {
        parameter(value.get()).map_err(|expected| {
            ApiError::parameter("params", format!("params: ${number}: expected {expected}"))
        })
    });
    Ok(SqlQuery { sql, params: values.collect::<Result<_, _>>()?, format })
}

/// The value of a parameter, which is JSON.
fn parameter(json: &str) -> Result<Value, &'static str> {
    Ok(match serde_json::from_str(json) {
        Ok(Json::Null) => Value::Null,
        Ok(Json::Bool(is_so)) => Value::Boolean(is_so),
        Ok(Json::String(text)) => Value::Text(text),
        Ok(Json::Array(_) | Json::Object(_)) => {
            return Err("a text, a number, true, false or null");
        }
        // A number, which a double may not be able to represent.
        _ => match (json.parse(), json.parse::<Decimal>()) {
            (Ok(integer), _) => Value::Integer(integer),
            (_, Ok(decimal)) => Value::Decimal(decimal),
            _ => return Err("a number of at most 18 digits before the point and nine behind it"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let read = |body: &str| query(body.as_bytes(), SqlFormat::Csv).map_err(|_| ());
        let found =
            read(r#"{"sql":"SELECT 1","params":[null,true,"x",-7,9007199254740993.50]}"#).unwrap();
        // The number is exact, not that of a double.
        let decimal = Value::Decimal("9007199254740993.50".parse().unwrap());
        let text = Value::Text("x".to_owned());
        let params = vec![Value::Null, Value::Boolean(true), text, Value::Integer(-7), decimal];
        assert_eq!(found, SqlQuery { sql: "SELECT 1".to_owned(), params, format: SqlFormat::Csv });
        assert!(read(r#"{"sql":"SELECT 1"}"#).unwrap().params.is_empty());
        for wrong in [
            "",
            "SELECT 1",
            "[]",
            "{}",
            r#"{"sql":1}"#,
            r#"{"sql":"x","parameters":[]}"#,
            r#"{"sql":"x","params":{}}"#,
            r#"{"sql":"x","params":[[]]}"#,
            r#"{"sql":"x","params":[1e300]}"#,
            r#"{"sql":"x","params":[0.0000000001]}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
