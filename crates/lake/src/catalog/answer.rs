//! Answers and errors in the form of Iceberg's REST protocol.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::LakeError;

/// An answer with this JSON.
pub(super) fn json(value: &Value) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([kind], Body::from(value.to_string())).into_response()
}

/// An error: a status, the name by which clients know it, and a sentence for people.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn no_namespace(name: &str) -> Refusal {
        let message = format!("there is no namespace '{}'", name.replace('\u{1f}', "."));
        Refusal { status: StatusCode::NOT_FOUND, kind: "NoSuchNamespaceException", message }
    }

    pub(super) fn no_table(namespace: &str, table: &str) -> Refusal {
        let message = format!("there is no table '{table}' in the namespace '{namespace}'");
        Refusal { status: StatusCode::NOT_FOUND, kind: "NoSuchTableException", message }
    }

    pub(super) fn nothing_at(path: &str) -> Refusal {
        let message = match path.ends_with("/oauth/tokens") {
            true => "this catalogue gives no tokens: set the token of the server as the property 'token'".to_owned(),
            false => format!("there is nothing at '{path}'"),
        };
        Refusal { status: StatusCode::NOT_FOUND, kind: "NotFoundException", message }
    }

    pub(super) fn read_only() -> Refusal {
        let message =
            "this catalogue is to be read only: tables are written by the export".to_owned();
        // The protocol's error for requests that a catalogue does not accept.
        Refusal {
            status: StatusCode::NOT_ACCEPTABLE,
            kind: "UnsupportedOperationException",
            message,
        }
    }

    pub(super) fn parameter(message: String) -> Refusal {
        Refusal { status: StatusCode::BAD_REQUEST, kind: "BadRequestException", message }
    }

    pub(super) fn unavailable(message: String) -> Refusal {
        Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            kind: "ServiceUnavailableException",
            message,
        }
    }

    pub(super) fn failed(error: &LakeError) -> Refusal {
        let message = error.to_string();
        match error {
            LakeError::Store { .. } => Refusal::unavailable(message),
            _ => Refusal {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                kind: "InternalServerError",
                message,
            },
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self.status.as_u16();
        let error = json!({ "message": self.message, "type": self.kind, "code": code });
        let mut response = json(&json!({ "error": error }));
        *response.status_mut() = self.status;
        response
    }
}
