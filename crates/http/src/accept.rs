//! The form in which a client wants rows.

use axum::http::{HeaderMap, StatusCode, header};
use serde_json::json;

use crate::error::ApiError;

/// A form of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowsFormat {
    Json,
    Csv,
    /// JSON, a row on each line.
    Lines,
}

impl RowsFormat {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            RowsFormat::Json => "application/json",
            RowsFormat::Csv => "text/csv; charset=utf-8",
            RowsFormat::Lines => "application/x-ndjson",
        }
    }
}

/// The names of the forms for the parameter `format`.
const FORMATS: [(&str, RowsFormat); 3] =
    [("json", RowsFormat::Json), ("csv", RowsFormat::Csv), ("ndjson", RowsFormat::Lines)];

/// The media types that request them.
const TYPES: [(&str, RowsFormat); 5] = [
    ("application/json", RowsFormat::Json),
    ("text/csv", RowsFormat::Csv),
    ("application/x-ndjson", RowsFormat::Lines),
    ("application/ndjson", RowsFormat::Lines),
    ("application/jsonl", RowsFormat::Lines),
];

/// The named form, or else the one that `Accept` prefers; JSON by default.
///
/// # Errors
/// 400 for an unknown name, 406 if none of the forms is accepted.
pub(crate) fn kind(format: Option<&str>, headers: &HeaderMap) -> Result<RowsFormat, ApiError> {
    if let Some(format) = format {
        let found = FORMATS.iter().find(|(name, _)| *name == format);
        return found.map(|(_, kind)| *kind).ok_or_else(|| {
            let message = format!("format={format}: expected json, csv or ndjson");
            ApiError::parameter("format", message)
        });
    }
    accepted(headers, &TYPES)
}

/// The available form that `Accept` prefers, by media type; the first one if there is no header.
///
/// # Errors
/// 406 if none of them is accepted.
pub(crate) fn accepted<F: Copy>(headers: &HeaderMap, types: &[(&str, F)]) -> Result<F, ApiError> {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepted: Vec<&str> = accepted.filter_map(|value| value.to_str().ok()).collect();
    let accepted = if accepted.is_empty() { "*/*".to_owned() } else { accepted.join(",") };
    preferred(&accepted, types).ok_or_else(|| {
        let names: Vec<&str> = types.iter().map(|(name, _)| *name).collect();
        let message = format!("rows come as {}: accept one of them", names.join(", "));
        ApiError::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", message)
            .with("available", json!(names))
    })
}

/// The form that the value of an `Accept` header prefers.
fn preferred<F: Copy>(accept: &str, types: &[(&str, F)]) -> Option<F> {
    let mut best: Option<(u16, F)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or("").to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let quality = quality.map_or(Some(1.0), |text| text.parse::<f32>().ok());
        // In thousandths, as in the header.
        let quality = quality.map_or(0, |quality| (quality.clamp(0.0, 1.0) * 1_000.0) as u16);
        let is_meant = |known: &str| match name.strip_suffix('*') {
            Some("*/") => true,
            Some(beginning) => beginning.ends_with('/') && known.starts_with(beginning),
            None => known == name,
        };
        let Some((_, kind)) = types.iter().find(|(known, _)| is_meant(known)) else { continue };
        // If several have the same preference, the first one is taken.
        if quality > best.map_or(0, |(quality, _)| quality) {
            best = Some((quality, *kind));
        }
    }
    best.map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_that_is_preferred() {
        for (accept, kind) in [
            ("*/*", Some(RowsFormat::Json)),
            ("text/csv", Some(RowsFormat::Csv)),
            ("Text/CSV; charset=utf-8", Some(RowsFormat::Csv)),
            ("text/html, text/csv;q=0.5, application/x-ndjson;q=0.9", Some(RowsFormat::Lines)),
            ("text/csv, application/json", Some(RowsFormat::Csv)),
            (
                "text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8",
                Some(RowsFormat::Json),
            ),
            ("text/csv;q=0, application/json;q=0.001", Some(RowsFormat::Json)),
            ("text/*", Some(RowsFormat::Csv)),
            ("application/jsonl", Some(RowsFormat::Lines)),
            ("text/html", None),
            ("text/csv;q=0", None),
            ("text/csv;q=x", None),
            ("", None),
        ] {
            assert_eq!(preferred(accept, &TYPES), kind, "{accept}");
        }
    }
}
