//! Checks before a request is handled: the host that it is for, and the origin of the page that sent it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::role::Role;
use crate::server::host_name;

/// A page of this server may load only from here.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The path of the catalogue of Iceberg tables.
pub(crate) const CATALOG: &str = "/iceberg";

pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let asks_catalog = is_of_catalog(&app, &request);
    let mut response = match check(&app, &request).and_then(|()| check_read(&app, &request)) {
        Ok(()) => next.run(request).await,
        Err(error) if asks_catalog => error.into_catalog_response(),
        Err(error) => error.into_response(),
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        // A browser asks the user for it.
        let asks = HeaderValue::from_static("Basic realm=\"dayfold\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, asks);
    }
    app.metrics.responded(response.status());
    let headers = response.headers_mut();
    let constant = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in constant {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // An answer is valid only for its moment, so it is not cached.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn check(app: &App, request: &Request) -> Result<(), ApiError> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        let message = format!("expected one Host header, found {hosts}");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_host", message));
    }
    let host = text(request.headers(), &header::HOST).or_else(|| request.uri().host());
    let name = host.map(host_name);
    let is_named = |name: &str| app.hosts.iter().any(|host| host == name);
    let is_ours = match name.as_deref() {
        // HTTP/1.0 names none, but no browser uses it.
        None => true,
        Some(name) => is_named(name) || is_own(name, app.is_loopback),
    };
    if !is_ours {
        let message = "the request is for another host: this server answers for localhost, its addresses, and \
                       names that it was told (--host)";
        return Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "foreign_host", message));
    }
    // Views and the catalogue check their own parameters; the address of the page contains its state.
    let path = request.uri().path();
    let checks_itself = matches!(path, "/" | "/api/refused")
        || path.starts_with("/api/views/")
        || is_of_catalog(app, request);
    if !checks_itself {
        Parameters::read(request.uri().query(), &[])?;
    }
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if writes && let Some(origin) = request.headers().get(header::ORIGIN) {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        if origin.is_none() || origin.map(|(_, host)| host) != host {
            let message = "a page of another origin may not write here";
            return Err(ApiError::new(StatusCode::FORBIDDEN, "foreign_origin", message));
        }
    }
    Ok(())
}

/// Whether a request is for the catalogue, whose clients expect another form of errors.
fn is_of_catalog(app: &App, request: &Request) -> bool {
    let below = request.uri().path().strip_prefix(CATALOG);
    app.catalog.is_some() && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    // A host that is not text is not ours.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Whether a host is always ours. Any name except `localhost` may resolve to any address; an address resolves to
/// itself, so a page of another site cannot use it.
fn is_own(name: &str, loopback_only: bool) -> bool {
    let is_ours = |address: IpAddr| !loopback_only || address.is_loopback();
    name == "localhost" || name.parse().is_ok_and(is_ours)
}

/// Refuses to take events from other machines without a token.
///
/// # Errors
/// 403 if pushes are not possible.
pub(crate) fn check_may_push(app: &App) -> Result<(), ApiError> {
    if app.may_push() {
        return Ok(());
    }
    let message = "this server can be reached from other machines, so that events need a token, and it has none: \
                   give it one (--token)";
    Err(ApiError::new(StatusCode::FORBIDDEN, "token_needed", message))
}

/// Whether a request may push: it has the token, if one is set.
///
/// # Errors
/// 401 if not.
pub(crate) fn check_token(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    if !app.tokens.has(Role::Push) || app.tokens.allow(Role::Push, headers) {
        return Ok(());
    }
    let message = "writing needs a token of this server: expected 'Authorization: Bearer TOKEN'";
    Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message))
}

/// Whether a request may query, if queries need a token. Pushes are checked where they are taken; `/healthz` and
/// `/readyz` are open to everybody.
fn check_read(app: &App, request: &Request) -> Result<(), ApiError> {
    let path = request.uri().path();
    let pushes = path == "/api/events" || path.starts_with("/api/sources/");
    let is_free = pushes || matches!(path, "/healthz" | "/readyz");
    if is_free || !app.tokens.keep_reads() || app.tokens.allow(Role::Read, request.headers()) {
        return Ok(());
    }
    let message = "asking needs a token of this server: expected 'Authorization: Bearer TOKEN', or the token as the password";
    Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_without_ports() {
        for (host, name) in
            [("LocalHost:80", "localhost"), ("[::1]:80", "::1"), ("127.0.0.1", "127.0.0.1")]
        {
            assert_eq!(host_name(host), name);
            assert!(is_own(name, true) && is_own(name, false));
        }
    }

    #[test]
    fn names_are_foreign_and_addresses_beyond_loopback_are_not() {
        for (host, on_loopback, beyond) in [
            ("10.0.0.1:8080", false, true),
            ("[fe80::1]:8080", false, true),
            ("localhost.example.com", false, false),
            ("evil.example", false, false),
            ("127.0.0.1.evil.example", false, false),
            ("", false, false),
        ] {
            let name = host_name(host);
            assert_eq!(
                (is_own(&name, true), is_own(&name, false)),
                (on_loopback, beyond),
                "{host}"
            );
        }
    }
}
