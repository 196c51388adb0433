//! Numbers for Prometheus, in its text format.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hdrhistogram::Histogram;

use crate::app::{App, Shared};
use crate::exports::ExportNumbers;
use crate::json::known;
use crate::sinks::SinkNumbers;
use crate::status::memory;
use dayfold::engine::Observer;

/// Upper bounds of the buckets of latencies, in microseconds.
const BOUNDS: [u64; 12] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 1_000_000, 10_000_000];

/// The text that is being written.
#[derive(Default)]
struct Text(String);

impl Text {
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP dayfold_{name} {help}\n# TYPE dayfold_{name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("memory takes every line");
    }

    /// One number without labels.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.begin(name, kind, help);
        self.line(format_args!("dayfold_{name} {value}"));
    }

    /// A histogram of microseconds, printed in seconds.
    fn histogram(&mut self, name: &str, help: &str, of: &Histogram<u64>) {
        self.begin(name, "histogram", help);
        for bound in BOUNDS {
            let count = of.count_between(0, bound);
            let bound = bound as f64 / 1e6;
            self.line(format_args!("dayfold_{name}_bucket{{le=\"{bound}\"}} {count}"));
        }
        let sum = of.mean() * of.len() as f64 / 1e6;
        self.line(format_args!("dayfold_{name}_bucket{{le=\"+Inf\"}} {}", of.len()));
        self.line(format_args!("dayfold_{name}_sum {sum}"));
        self.line(format_args!("dayfold_{name}_count {}", of.len()));
    }
}

/// A label's value: backslashes, quotes and ends of lines are escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): Shared) -> Response {
    let mut text = Text::default();
    of_server(&app, &mut text);
    if let Some(observer) = &app.observer {
        of_engine(observer, &mut text);
    }
    if let Some(exports) = &app.exports {
        of_exports(&exports(), &mut text);
    }
    if let Some(sinks) = &app.sinks {
        of_sinks(&sinks(), &mut text);
    }
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text.0).into_response()
}

fn of_server(app: &App, text: &mut Text) {
    let uptime = app.started.elapsed().as_secs_f64();
    text.one("uptime_seconds", "gauge", "Since the server was started.", uptime);
    if let Some(bytes) = memory() {
        text.one("memory_bytes", "gauge", "Resident memory of the process.", bytes);
    }
    let subscribers = app.subscribers.load(Ordering::Relaxed);
    text.one("http_subscribers", "gauge", "Live answers that are subscribed to.", subscribers);
    let delivered = app.metrics.delivered.load(Ordering::Relaxed);
    text.one("http_live_answers_total", "counter", "Live answers, to each subscriber.", delivered);
    let written: u64 = app.views().iter().map(|view| view.live_written()).sum();
    let help = "Live answers that were written: subscribers who ask the same share one.";
    text.one("http_live_written_total", "counter", help, written);
    let help = "Bytes that bodies take: reserved before they are read, until they are answered.";
    text.one("http_bodies_bytes", "gauge", help, app.places.bodies.taken());
    let accepted = app.metrics.accepted.load(Ordering::Relaxed);
    text.one("http_events_total", "counter", "Events accepted over HTTP.", accepted);
    text.begin("http_responses_total", "counter", "Responses by the class of their status.");
    for (class, count) in app.metrics.responses.iter().enumerate().skip(1) {
        let count = count.load(Ordering::Relaxed);
        text.line(format_args!("dayfold_http_responses_total{{class=\"{class}xx\"}} {count}"));
    }
    let help = "From asking the engine to its answer, as the server sees it.";
    text.histogram("query_seconds", help, &app.metrics.queries());
}

fn of_exports(exports: &[ExportNumbers], text: &mut Text) {
    let mut gauge = |name: &str, help: &str, of: fn(&ExportNumbers) -> u64| {
        text.begin(name, "gauge", help);
        for numbers in exports {
            let (export, view, value) = (label(&numbers.export), label(&numbers.view), of(numbers));
            text.line(format_args!(
                "dayfold_{name}{{export=\"{export}\",view=\"{view}\"}} {value}"
            ));
        }
    };
    gauge("export_periods", "Periods that are exported as they are.", |of| of.exported);
    gauge("export_waiting", "Periods that are sealed and not exported yet.", |of| of.waiting);
    gauge("export_failures", "How often in a row an export has failed.", |of| of.failures.into());
}

fn of_sinks(sinks: &[SinkNumbers], text: &mut Text) {
    let mut each = |name: &str, kind: &str, help: &str, of: fn(&SinkNumbers) -> f64| {
        text.begin(name, kind, help);
        for numbers in sinks {
            let (sink, view, value) = (label(&numbers.sink), label(&numbers.view), of(numbers));
            text.line(format_args!("dayfold_{name}{{sink=\"{sink}\",view=\"{view}\"}} {value}"));
        }
    };
    each("sink_rows_total", "counter", "Rows written to a store.", |of| of.written as f64);
    let help = "Rows that a store has refused.";
    each("sink_refused_total", "counter", help, |of| of.refused as f64);
    let help = "Events since the moment that a store has: so many rows may have changed at most.";
    each("sink_lag_events", "gauge", help, |of| of.lag_events as f64);
    let help = "How old the moment is that a store has; 0 if it has all.";
    each("sink_lag_seconds", "gauge", help, |of| of.lag.as_secs_f64());
    let help = "How often in a row a sink has failed.";
    each("sink_failures", "gauge", help, |of| of.failures.into());
}

fn of_engine(observer: &Observer, text: &mut Text) {
    let progress = observer.progress();
    text.one("events_total", "counter", "Events that entered.", progress.events);
    text.one("refused_total", "counter", "Events that were refused.", progress.refused);
    text.one("recovered", "gauge", "1 if what was before is all in.", u8::from(progress.recovered));
    if let Some(floor) = known(progress.floor) {
        let help = "The event time up to which days may close, since 1970.";
        text.one("floor_timestamp_seconds", "gauge", help, floor as f64 / 1e3);
    }
    let help = "The estimate of event-time completeness of a source, since 1970.";
    text.begin("source_watermark_timestamp_seconds", "gauge", help);
    for source in &progress.sources {
        let Some(watermark) = known(source.watermark) else { continue };
        let (name, seconds) = (label(&source.name), watermark as f64 / 1e3);
        text.line(format_args!(
            "dayfold_source_watermark_timestamp_seconds{{source=\"{name}\"}} {seconds}"
        ));
    }
    let partitions = || progress.sources.iter().map(|source| (label(&source.name), source));
    text.begin("source_position", "gauge", "The number of the next record of a partition.");
    for (name, source) in partitions() {
        let Some(position) = source.position else { continue };
        text.line(format_args!("dayfold_source_position{{source=\"{name}\"}} {position}"));
    }
    text.begin("source_records_behind", "gauge", "How far a partition is behind its end.");
    for (name, source) in partitions() {
        let Some(behind) = source.lag else { continue };
        text.line(format_args!("dayfold_source_records_behind{{source=\"{name}\"}} {behind}"));
    }
    text.begin("source_troubled", "gauge", "1 if something keeps a source from being read on.");
    for (name, source) in partitions() {
        let is_troubled = u8::from(source.trouble.is_some());
        text.line(format_args!("dayfold_source_troubled{{source=\"{name}\"}} {is_troubled}"));
    }
    text.begin("source_paused", "gauge", "1 if a partition is far ahead of others, and waits.");
    for (name, source) in partitions() {
        let is_paused = u8::from(source.paused);
        text.line(format_args!("dayfold_source_paused{{source=\"{name}\"}} {is_paused}"));
    }
    text.begin("source_quiet", "gauge", "1 if a source brings nothing, and holds no days open.");
    for (name, source) in partitions() {
        let is_quiet = u8::from(source.quiet);
        text.line(format_args!("dayfold_source_quiet{{source=\"{name}\"}} {is_quiet}"));
    }
    let numbers = || progress.view_names.iter().map(|name| label(name)).zip(&progress.views);
    text.begin("late_total", "counter", "Events that came after their day had closed.");
    numbers().for_each(|(view, numbers)| {
        text.line(format_args!("dayfold_late_total{{view=\"{view}\"}} {}", numbers.late));
    });
    text.begin("days", "gauge", "Days of a view on the first worker of this process.");
    numbers().for_each(|(view, numbers)| {
        let (sealed, unsealed) = (numbers.sealed_days, numbers.unsealed_days);
        text.line(format_args!("dayfold_days{{view=\"{view}\",state=\"sealed\"}} {sealed}"));
        text.line(format_args!("dayfold_days{{view=\"{view}\",state=\"unsealed\"}} {unsealed}"));
    });
    text.begin("groups", "gauge", "Pairs of day and key with events that are not sealed.");
    numbers().for_each(|(view, numbers)| {
        text.line(format_args!("dayfold_groups{{view=\"{view}\"}} {}", numbers.groups));
    });
    if let Some(log) = progress.log {
        let help = "Entries appended to the logs of this process.";
        text.one("log_appended_total", "counter", help, log.appended);
        let help = "Entries of these that nothing can take away.";
        text.one("log_durable_total", "counter", help, log.durable);
    }
    let help = "From a tick's entering to its being visible on the worker that entered it.";
    text.histogram("freshness_seconds", help, &observer.freshness());
}
