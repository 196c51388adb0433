//! Refused rows with their reasons, for people who correct the source.
//!
//! Views show sums; these rows show the content of the source. So they are only served on the loopback interface, and
//! otherwise to clients with a token of the role admin.

use std::io;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use tokio::time::timeout;

use crate::app::{self, App, Shared};
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::refusals::RefusedRows;
use crate::role::Role;

/// The number of rows of an answer: the default, and the maximum.
const ROWS: (u32, u32) = (100, 1_000);

/// `GET /api/refused`.
pub(crate) async fn refused(
    State(app): Shared,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let given = Parameters::read(query.as_deref(), &["limit", "after"])?;
    let limit = given.number("limit", ROWS.0, 1..=ROWS.1)? as usize;
    let wrong = |after: &str| {
        let message = format!("after={after}: expected what 'next' said in an answer");
        ApiError::parameter("after", message)
    };
    let after = given.get("after").map(|after| after.parse().map_err(|_| wrong(after)));
    let after = after.transpose()?.unwrap_or(0);
    let Some(read) = app.refused.clone() else {
        let message = "this server does not tell which rows were refused";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "no_refused_rows", message));
    };
    check_may_look(&app, &headers)?;
    let patience = app.limits.patience;
    let busy = || ApiError::unavailable("busy", "too many requests read already: try again");
    let thread = timeout(patience, Arc::clone(&app.threads.readers).acquire_owned()).await;
    let Ok(Ok(thread)) = thread else { return Err(busy()) };
    let found = tokio::task::spawn_blocking(move || {
        let _thread = thread;
        read(after, limit)
    });
    let found = found.await.map_err(|_| ApiError::panicked())?;
    let RefusedRows { rows, next, total, reasons } = found.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => wrong(&after.to_string()),
        _ => ApiError::internal("unreadable", format!("refused rows cannot be read: {error}")),
    })?;
    let rows = rows.into_iter();
    let rows = rows.map(|row| json!({ "line": row.line, "reason": row.reason, "row": row.row }));
    let reasons = reasons.into_iter();
    let reasons = reasons.map(|(reason, rows)| json!({ "reason": reason, "rows": rows }));
    let answer = json!({
        "total": total,
        "reasons": reasons.collect::<Vec<_>>(),
        "rows": rows.collect::<Vec<_>>(),
        "next": next.map(|next| next.to_string()),
    });
    Ok(app::json(answer.to_string().into_bytes()))
}

fn check_may_look(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let is_local = app.is_loopback && !app.tokens.keep_reads();
    if is_local || app.tokens.allow(Role::Admin, headers) {
        return Ok(());
    }
    if app.tokens.has(Role::Admin) {
        let message = "refused rows are shown to who has a token of the role admin: expected 'Authorization: Bearer TOKEN'";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "admin_needed", message));
    }
    let message = "refused rows are shown on the loopback interface, or to who has a token of the role admin, and this \
                   server has none";
    Err(ApiError::new(StatusCode::FORBIDDEN, "admin_needed", message))
}
