//! Errors, as a client sees them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// A refusal: a status, a code for programs, a sentence for people.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// The parameter, or the available names.
    more: Option<(&'static str, Value)>,
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError { status, code, message: message.into(), more: None }
    }

    /// 400: a parameter is missing, unknown, or not what was expected.
    pub(crate) fn parameter(name: &str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "bad_parameter", message)
            .with("parameter", json!(name))
    }

    /// 404, with the available names.
    pub(crate) fn missing<'a>(
        code: &'static str,
        message: impl Into<String>,
        available: impl IntoIterator<Item = &'a str>,
    ) -> ApiError {
        let available: Vec<&str> = available.into_iter().collect();
        ApiError::new(StatusCode::NOT_FOUND, code, message).with("available", json!(available))
    }

    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// 429.
    pub(crate) fn too_many_subscribers(message: String) -> ApiError {
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_subscribers", message)
    }

    /// 500: a function of the embedding program has panicked.
    pub(crate) fn panicked() -> ApiError {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        ApiError::new(status, "panicked", "the request could not be answered")
    }

    /// 500: the program or the view is wrong.
    pub(crate) fn internal(code: &'static str, message: String) -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, code, message)
    }

    /// 410: a moment that is not kept any longer.
    pub(crate) fn expired(message: String) -> ApiError {
        ApiError::new(StatusCode::GONE, "expired", message)
    }

    /// The same in the form that clients of Iceberg's REST protocol expect.
    pub(crate) fn into_catalog_response(self) -> Response {
        let kind = match self.status {
            StatusCode::UNAUTHORIZED => "NotAuthorizedException",
            StatusCode::FORBIDDEN => "ForbiddenException",
            _ => "BadRequestException",
        };
        let code = self.status.as_u16();
        let body = json!({ "error": { "message": self.message, "type": kind, "code": code } });
        let of_json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        (self.status, [of_json], body.to_string()).into_response()
    }

    /// The same error with one more field.
    pub(crate) fn with(mut self, name: &'static str, value: Value) -> ApiError {
        self.more = Some((name, value));
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = Map::new();
        error.insert("code".to_owned(), json!(self.code));
        error.insert("message".to_owned(), json!(self.message));
        if let Some((name, value)) = self.more {
            error.insert(name.to_owned(), value);
        }
        let body = json!({ "error": error }).to_string();
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut response = (self.status, [kind], body).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}
