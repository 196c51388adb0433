//! The status of the engine and the server.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::app::{self, App, Shared};
use crate::error::ApiError;
use crate::json::{known, written};
use dayfold::engine::{EngineState, Observer};
use dayfold::time::{EventTime, zone_data_release};

/// `GET /api/status`.
pub(crate) async fn status(State(app): Shared) -> Response {
    let mut status = of_server(&app);
    if let Some(observer) = &app.observer {
        of_engine(observer, &mut status);
    }
    if let Some(exports) = &app.exports {
        let export = |of: crate::exports::ExportNumbers| {
            json!({
                "export": of.export,
                "view": of.view,
                "exported": of.exported,
                "waiting": of.waiting,
                "failures": of.failures,
                "error": of.error,
            })
        };
        status["exports"] = exports().into_iter().map(export).collect();
    }
    if let Some(sinks) = &app.sinks {
        let sink = |of: crate::sinks::SinkNumbers| {
            json!({
                "sink": of.sink,
                "view": of.view,
                "written": of.written,
                "refused": of.refused,
                "lag_events": of.lag_events,
                "lag_ms": of.lag.as_millis() as u64,
                "in_step": of.is_in_step,
                "failures": of.failures,
                "error": of.error,
            })
        };
        status["sinks"] = sinks().into_iter().map(sink).collect();
    }
    app::json(status.to_string().into_bytes())
}

/// `GET /readyz`.
pub(crate) async fn ready(State(app): Shared) -> Response {
    match app.observer.as_ref().map(Observer::state) {
        Some(EngineState::Recovering) => {
            let message = "what was before the program started is not all in yet";
            ApiError::unavailable("recovering", message).into_response()
        }
        Some(EngineState::Stopped) => {
            let failure = app.observer.as_ref().and_then(Observer::failure);
            let reason = failure.map_or(String::new(), |reason| format!(": {reason}"));
            ApiError::unavailable("stopped", format!("the engine has stopped{reason}"))
                .into_response()
        }
        None | Some(_) => "ready\n".into_response(),
    }
}

fn of_server(app: &App) -> Value {
    json!({
        "state": "running",
        "name": app.name,
        "process": app.process.0,
        "processes": app.process.1,
        "workers": 0,
        "uptime_ms": app.started.elapsed().as_millis() as u64,
        "floor": null,
        "sources": [],
        "events": 0,
        "refused": 0,
        "late": 0,
        "views": [],
        "log": null,
        "memory_bytes": memory(),
        "freshness_us": latency(&empty()),
        "query_us": latency(&app.metrics.queries()),
        "subscribers": app.subscribers.load(Ordering::Relaxed),
        "tells_refused": app.refused.is_some(),
        "accepts_events": app.events.is_some() && app.may_push(),
    })
}

fn of_engine(observer: &Observer, status: &mut Value) {
    let progress = observer.progress();
    status["state"] = json!(observer.state().to_string());
    status["workers"] = json!(observer.workers());
    status["floor"] = time(progress.floor);
    status["zone_data"] = json!(zone_data_release());
    status["events"] = json!(progress.events);
    status["refused"] = json!(progress.refused);
    status["late"] = json!(progress.views.iter().map(|view| view.late).max().unwrap_or(0));
    let sources = progress.sources.iter().map(|source| {
        let lag = known(source.watermark).zip(known(source.clock));
        json!({
            "name": source.name,
            "watermark": time(source.watermark),
            "lag_ms": lag.map(|(watermark, clock)| clock.saturating_sub(watermark).max(0)),
            "ended": source.ended,
            "position": source.position,
            "records_behind": source.lag,
            "quiet": source.quiet,
            "paused": source.paused,
            "trouble": source.trouble,
        })
    });
    status["sources"] = sources.collect();
    status["former_sources"] = json!(progress.former_sources);
    let views = progress.view_names.iter().zip(&progress.views).map(|(name, view)| {
        json!({
            "name": name,
            "sealed_through": view.sealed_through.map(|day| day.to_string()),
            "sealed_days": view.sealed_days,
            "unsealed_days": view.unsealed_days,
            "groups": view.groups,
            "amendments": view.late,
        })
    });
    status["views"] = views.collect();
    status["log"] = progress
        .log
        .map_or(Value::Null, |log| json!({ "appended": log.appended, "durable": log.durable }));
    status["freshness_us"] = latency(&observer.freshness());
}

fn time(time: EventTime) -> Value {
    known(time).and_then(written).map_or(Value::Null, Value::String)
}

fn empty() -> Histogram<u64> {
    Histogram::new(1).expect("one digit is a valid precision")
}

fn latency(of: &Histogram<u64>) -> Value {
    json!({
        "p50": of.value_at_quantile(0.5),
        "p99": of.value_at_quantile(0.99),
        "max": of.max(),
        "count": of.len(),
    })
}

/// Resident memory of this process in bytes; on Linux only.
pub(crate) fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}
