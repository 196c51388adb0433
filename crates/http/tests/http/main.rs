//! Tests of the HTTP API, end to end, with an ordinary client, and with raw bytes that no client sends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;
mod kinds;
mod limits;
mod once;
mod refused;
mod rows;
mod windows;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dayfold::aggregate::{Count, Decimal, Mean, Sum};
use dayfold::engine::{EngineState, LiveOptions, Measures, Pusher, Running};
use dayfold::time::{Day, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_http::{Limits, Server, Serving};
use serde_json::{Value, json};

type Sale = (EventTime, String, u32, i64);

/// 1 May 2024, 00:00 UTC.
const MAY: EventTime = 1_714_521_600_000;
const DAY: EventTime = 86_400_000;

struct Served {
    running: Running,
    serving: Serving,
    pusher: Pusher<Sale>,
    clock: Arc<AtomicI64>,
    /// Holding this lock holds up the worker that finds a sale of the shop `hold`.
    hold: Arc<Mutex<()>>,
    is_held: Arc<AtomicBool>,
}

fn served(change: impl FnOnce(Server) -> Server) -> Served {
    served_on("127.0.0.1:0", change)
}

fn served_on(address: &str, change: impl FnOnce(Server) -> Server) -> Served {
    let clock = Arc::new(AtomicI64::new(MAY + DAY / 2));
    let now = Arc::clone(&clock);
    let mut engine = Engine::<Sale>::new().clock(move || now.load(Ordering::SeqCst));
    type Stats = (Count, Sum, Mean);
    let measures = || {
        Measures::none()
            .measure("sales", |stats: &Stats| Some(stats.0.0.into()))
            .measure("cents", |stats: &Stats| {
                i64::try_from(stats.1.value()).ok().map(Decimal::from)
            })
            .measure("mean", |stats: &Stats| {
                Decimal::parse(stats.2.to_string_with(2).as_bytes()).ok()
            })
    };
    let stats = |cents: i64| (Count::one(), Sum::of(cents), Mean::of(cents.into()));
    let (hold, is_held) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
    let (gate, reached) = (Arc::clone(&hold), Arc::clone(&is_held));
    let view = |name: &str, key: &[&str]| {
        let view = View::new(name).unwrap().key_columns(key.iter().copied()).unwrap();
        view.measure_names([["sales"], ["cents"], ["mean"]]).unwrap()
    };
    engine.view(view("by-shop", &["shop"]), measures(), move |sale: &Sale| {
        if sale.1 == "hold" {
            reached.store(true, Ordering::SeqCst);
            drop(gate.lock());
        }
        assert!(sale.1 != "none", "there is no such shop");
        Some((sale.0, sale.1.clone(), stats(sale.3)))
    });
    engine.view(view("by-till", &["shop", "till"]), measures(), move |sale: &Sale| {
        Some((sale.0, (sale.1.clone(), sale.2), stats(sale.3)))
    });
    let behind_limit = Duration::from_secs(10_000 * 86_400);
    let pusher = engine.live(LiveOptions::new(|sale: &Sale| sale.0).behind_limit(behind_limit));
    let running = engine.start(Cluster::workers(2)).unwrap();
    while running.observer().state() == EngineState::Recovering {
        std::thread::yield_now();
    }
    let server = Server::new("sales").observe(running.observer()).views(&running.views()).events(
        pusher.clone(),
        |json| {
            let shop = json["shop"].as_str().ok_or("shop: expected a text")?.to_owned();
            let number = |name: &str| {
                json[name].as_i64().ok_or_else(|| format!("{name}: expected an integer"))
            };
            Ok((number("time")?, shop, number("till")? as u32, number("cents")?))
        },
    );
    let serving = change(server).serve(address).unwrap();
    Served { running, serving, pusher, clock, hold, is_held }
}

fn limited(set: impl FnOnce(Limits) -> Limits) -> Served {
    served(|server| server.limits(set(Limits::default())))
}

impl Served {
    fn push(&self, sales: &[(EventTime, &str, u32, i64)]) {
        let own = |sale: &(EventTime, &str, u32, i64)| (sale.0, sale.1.to_owned(), sale.2, sale.3);
        let pushed = self.pusher.push(sales.iter().map(own).collect()).unwrap();
        pushed.receipt.wait_visible(Duration::from_secs(60)).unwrap();
    }

    fn get(&self, path: &str) -> (u16, Value) {
        get(self.serving.address(), path)
    }

    #[track_caller]
    fn refused(&self, path: &str, status: u16, code: &str) -> Value {
        let (found, body) = self.get(path);
        assert_eq!((found, body["error"]["code"].as_str()), (status, Some(code)), "{path}: {body}");
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
        body["error"].clone()
    }

    fn post(&self, kind: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let mut request = agent().post(format!("http://{}/api/events", self.serving.address()));
        for (name, value) in headers.iter().chain([&("content-type", kind)]) {
            request = request.header(*name, *value);
        }
        answer(request.send(body).unwrap())
    }

    fn end(self) {
        self.serving.stop();
        self.running.finish().unwrap();
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn get(address: SocketAddr, path: &str) -> (u16, Value) {
    answer(agent().get(format!("http://{address}{path}")).call().unwrap())
}

/// The response to raw bytes that no client would send.
fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    // A closed connection is an answer as well.
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn values_are_those_that_were_pushed() {
    let served = served(|server| server);
    let big = (1i64 << 53) + 2;
    served.push(&[(MAY, "north", 1, 250), (MAY + 1, "north", 2, 451), (MAY, "süd/ost&=", 1, big)]);
    served.push(&[(MAY - DAY, "north", 1, 9)]);
    let (status, body) =
        served.get("/api/views/by-shop/value?key=north&from=2024-05-01&to=2024-05-01");
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["value"], json!({ "sales": 2, "cents": 701, "mean": "350.50" }));
    assert_eq!(body["speed"], body["value"]);
    assert_eq!((&body["batch"], &body["key"]), (&Value::Null, &json!(["north"])));
    assert_eq!((&body["from"], &body["to"]), (&json!("2024-05-01"), &json!("2024-05-01")));

    let (_, body) = served.get("/api/views/by-shop/value?key=s%C3%BCd/ost%26%3D");
    assert_eq!(body["value"]["cents"], json!(big.to_string()), "beyond 2^53: a string");
    let (_, body) = served.get("/api/views/by-till/value?key=north&key=2");
    assert_eq!(body["value"], json!({ "sales": 1, "cents": 451, "mean": "451.00" }));
    let (_, body) = served.get("/api/views/by-till/value?key=north&key=3");
    assert_eq!(body["value"], Value::Null, "no events");
    let (_, body) = served.get("/api/views/by-shop/total?from=2030-01-01");
    assert_eq!(body["value"], Value::Null, "days without data are fine");

    let (_, body) = served.get("/api/views/by-shop/series?key=north");
    let days: Vec<(&str, u64)> = body["days"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| (day["day"].as_str().unwrap(), day["value"]["sales"].as_u64().unwrap()))
        .collect();
    assert_eq!(days, [("2024-04-30", 1), ("2024-05-01", 2)]);
    assert_eq!(body["value"]["sales"], 3);
    let (_, body) = served.get("/api/views/by-till/top?by=sales&n=1&to=2024-05-01");
    assert_eq!(body["rows"][0]["key"], json!(["north", "1"]));
    assert_eq!((body["rows"].as_array().unwrap().len(), &body["value"]["sales"]), (1, &json!(4)));
    let (_, body) = served.get("/api/views/by-till/keys?prefix=north&prefix=2");
    assert_eq!((&body["keys"], &body["more"]), (&json!([["north", "2"]]), &json!(false)));
    let (_, body) = served.get("/api/views/by-till/keys?prefix=n&limit=1");
    assert_eq!((&body["keys"], &body["more"]), (&json!([["north", "1"]]), &json!(true)));

    let (_, body) = served.get("/api/views");
    assert_eq!(body["views"][1]["key"], json!(["shop", "till"]));
    assert_eq!(body["views"][1]["measures"], json!(["sales", "cents", "mean"]));
    let schema = &body["views"][1]["schema"];
    assert_eq!(schema["key"][1], json!({ "name": "till", "kind": "integer", "nullable": false }));
    assert_eq!(
        (&schema["grain"], &schema["measures"][2]["kind"]),
        (&json!("day"), &json!("decimal"))
    );
    assert_eq!(schema["table"].as_array().unwrap().len(), 1 + 2 + 5 + 1);
    assert_eq!(
        (&body["views"][0]["first_day"], &body["views"][0]["last_day"]),
        (&json!("2024-04-30"), &json!("2024-05-01"))
    );
    let (_, body) = served.get("/api/status");
    assert_eq!((&body["events"], &body["state"]), (&json!(4), &json!("running")));
    assert_eq!((&body["workers"], &body["accepts_events"]), (&json!(2), &json!(true)));
    let (_, body) = served.get("/metrics");
    assert!(body.as_str().unwrap().contains("\ndayfold_events_total 4\n"), "{body}");
    assert_eq!(served.get("/readyz").0, 200);
    served.end();
}

#[test]
fn regression_c13_an_engine_that_has_failed_is_not_ready_and_says_why() {
    let served = served(|server| server);
    assert_eq!(served.get("/readyz").0, 200);
    assert!(served.pusher.push(vec![(MAY, "none".to_owned(), 1, 1)]).is_ok());
    while served.running.observer().failure().is_none() {
        std::thread::yield_now();
    }
    let error = served.refused("/readyz", 503, "stopped");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("the engine has stopped: ") && message.ends_with("no such shop"));
    let sale = format!(r#"{{"time": {MAY}, "shop": "a", "till": 1, "cents": 1}}"#);
    // The other worker may still take it while the engine stops; then its result is unknown.
    loop {
        let (status, body) = served.post("application/json", &[], &sale);
        match (status, body["error"]["code"].as_str()) {
            (503, Some("stopped")) => break,
            (503, Some("not_known")) => {}
            other => panic!("{other:?}: {body}"),
        }
    }
    assert!(served.running.wait_sealed(Duration::ZERO).is_err());
    assert!(served.running.finish().is_err());
}

#[test]
fn errors_say_what_was_expected() {
    let served = served(|server| server);
    let bad = |path: &str, parameter: &str| {
        let error = served.refused(path, 400, "bad_parameter");
        assert_eq!(error["parameter"], parameter, "{path}: {error}");
    };
    let view = "/api/views/by-till";
    bad(&format!("{view}/value"), "key");
    bad(&format!("{view}/value?key=north"), "key");
    bad(&format!("{view}/value?key=north&key=x"), "key");
    bad(&format!("{view}/value?key=%ff&key=1"), "key");
    bad(&format!("{view}/value?key=n&key=1&from=2024-02-30"), "from");
    bad(&format!("{view}/value?key=n&key=1&to=today"), "to");
    for day in ["20240501", "2024-05-01T10:00", "2024-05-01%2010:00", "2024-5-1", ""] {
        bad(&format!("{view}/total?from={day}"), "from");
    }
    for window in ["7", "0d", "24h", "1001d", "week", ""] {
        bad(&format!("{view}/total?last={window}"), "last");
    }
    bad(&format!("{view}/total?last=7d&from=2024-05-01"), "last");
    bad(&format!("{view}/keys?last=7d"), "last");
    bad(&format!("{view}/total?from=2024-05-02&to=2024-05-01"), "from");
    bad(&format!("{view}/total?from=2024-05-02&from=2024-05-01"), "from");
    bad(&format!("{view}/total?form=2024-05-02"), "form");
    bad(&format!("{view}/top"), "by");
    bad(&format!("{view}/top?by=profit"), "by");
    bad(&format!("{view}/top?by=sales&n=0"), "n");
    bad(&format!("{view}/top?by=sales&n=99999999999"), "n");
    bad(&format!("{view}/keys?prefix=a&prefix=b"), "prefix");
    bad(&format!("{view}/keys?prefix=a&prefix=1&prefix=c"), "prefix");
    bad(&format!("{view}/live?every=1ms"), "every");
    bad(&format!("{view}/live?every=soon"), "every");
    bad(&format!("{view}/live?of=keys"), "of");
    bad(&format!("{view}/live?of=total&key=n&key=1"), "key");
    bad(&format!("{view}/live?of=top"), "by");
    for path in
        ["/api/views", "/api/status", "/api/openapi.json", "/metrics", "/healthz", "/readyz"]
    {
        bad(&format!("{path}?x=1"), "x");
    }
    let error = served.refused("/api/views/by-shops/total", 404, "no_such_view");
    assert_eq!(error["available"], json!(["by-shop", "by-till"]));
    served.refused("/api/views/by-shop/sum", 404, "no_such_path");
    served.refused("/api/views/%ff/total", 404, "no_such_path");
    served.refused("/api", 404, "no_such_path");
    served.refused("/assets/../Cargo.toml", 404, "no_such_path");
    served.refused("/api/events", 405, "method_not_allowed");
    let address = served.serving.address();
    let strange =
        raw(address, "GET /api/status HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    assert!(strange.starts_with("HTTP/1.1 421") && strange.contains("foreign_host"), "{strange}");
    for hosts in ["host: localhost\r\nhost: localhost\r\n", ""] {
        let request = format!("GET /healthz HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let answer = raw(address, &request);
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("bad_host"), "{answer}");
    }
    for garbage in ["\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        let answer = raw(address, garbage);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{garbage:?}: {answer}");
    }
    assert_eq!(served.get("/healthz").0, 200, "and it lives");
    served.end();
}

#[test]
fn events_enter_all_or_none() {
    let served = served(|server| server.token("secret").limits(Limits::default().body(500)));
    let json = "application/json";
    let lines = "application/x-ndjson";
    let token = ("authorization", "Bearer secret");
    let sale =
        |shop: &str| format!("{{\"time\":{MAY},\"shop\":\"{shop}\",\"till\":1,\"cents\":5}}");
    let (status, body) = served.post(json, &[token], &sale("a"));
    assert_eq!(
        (status, body),
        (200, json!({ "accepted": 1, "durable": false, "repeated": false }))
    );
    let kind = "Application/X-NDJSON; charset=utf-8";
    let (status, body) = served.post(kind, &[token], &format!("{}\n\n{}\n", sale("a"), sale("b")));
    assert_eq!((status, &body["accepted"]), (200, &json!(2)));

    let refused = |kind: &str, headers: &[(&str, &str)], body: &str, status: u16, code: &str| {
        let (found, answer) = served.post(kind, headers, body);
        assert_eq!((found, answer["error"]["code"].as_str()), (status, Some(code)), "{answer}");
        answer["error"].clone()
    };
    let error = refused(lines, &[token], &format!("{}\n{{}}", sale("a")), 400, "bad_event");
    assert_eq!(error["line"], 2);
    assert!(error["message"].as_str().unwrap().contains("expected"), "{error}");
    refused(lines, &[token], &format!("{}\n{{", sale("a")), 400, "bad_event");
    refused(lines, &[token], "\n", 400, "bad_event");
    let future = format!("{{\"time\":{},\"shop\":\"a\",\"till\":1,\"cents\":5}}", MAY + 9 * DAY);
    refused(lines, &[token], &format!("{}\n{future}", sale("a")), 400, "bad_event");
    let old = "{\"time\":0,\"shop\":\"a\",\"till\":1,\"cents\":5}";
    let error = refused(lines, &[token], &format!("{}\n{old}", sale("a")), 400, "bad_event");
    assert!(error["message"].as_str().unwrap().contains("behind the wall clock"), "{error}");
    refused(json, &[token, ("idempotency-key", "1")], &sale("a"), 400, "idempotency_unsupported");
    refused(json, &[], &sale("a"), 401, "unauthorized");
    refused(json, &[("authorization", "Bearer secre")], &sale("a"), 401, "unauthorized");
    refused(json, &[token, ("origin", "http://evil.example")], &sale("a"), 403, "foreign_origin");
    refused(json, &[token], &sale(&"x".repeat(500)), 413, "too_large");
    refused("text/plain", &[token], &sale("a"), 415, "unsupported_media_type");
    let (_, body) = served.get("/api/views/by-shop/total");
    assert_eq!(body["value"]["sales"], 3, "nothing of what was refused");
    let here = format!("http://{}", served.serving.address());
    let (status, _) = served.post(json, &[token, ("origin", &here)], &sale("a"));
    assert_eq!(status, 200, "a page of this server may write");
    served.end();
}

/// Subscribes, and returns the lines of the stream.
fn subscribe(address: SocketAddr, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    BufReader::new(stream)
}

/// The data of the next event of this name.
fn next_event(stream: &mut BufReader<TcpStream>, name: &str) -> Value {
    let mut line = String::new();
    let mut is_it = false;
    loop {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream goes on until '{name}'");
        is_it |= line.trim_end() == format!("event: {name}");
        if let Some(data) = line.strip_prefix("data: ").filter(|_| is_it) {
            return serde_json::from_str(data).unwrap();
        }
    }
}

#[test]
fn live_answers_come_when_they_change_and_end_with_the_server() {
    let served = limited(|limits| limits.subscribers(1));
    let address = served.serving.address();
    let mut stream = subscribe(address, "/api/views/by-shop/live?key=north&every=20ms");
    assert_eq!(next_event(&mut stream, "answer")["value"], Value::Null);
    for sales in 1..=3 {
        served.push(&[(MAY, "north", 1, 5)]);
        assert_eq!(next_event(&mut stream, "answer")["value"]["sales"], sales);
    }
    served.refused("/api/views/by-shop/live", 429, "too_many_subscribers");
    let Served { running, serving, .. } = served;
    serving.stop();
    next_event(&mut stream, "end");
    running.finish().unwrap();
}

#[test]
fn listeners_take_no_place_from_those_who_ask() {
    let served = limited(|limits| limits.waiting(2));
    let address = served.serving.address();
    let mut streams: Vec<_> = (0..300)
        .map(|shop| {
            let path = format!("/api/views/by-shop/live?key={}&every=20ms", shop % 3);
            subscribe(address, &path)
        })
        .collect();
    for stream in &mut streams {
        assert_eq!(next_event(stream, "answer")["value"], Value::Null);
    }
    served.push(&[(MAY, "0", 1, 5), (MAY, "1", 1, 5), (MAY, "2", 1, 5)]);
    for stream in &mut streams {
        // Sealing days also causes an answer.
        while next_event(stream, "answer")["value"]["sales"] != 1 {}
    }
    assert_eq!(served.get("/api/status").1["subscribers"], 300);
    let Served { running, serving, .. } = served;
    serving.stop();
    streams.iter_mut().for_each(|stream| drop(next_event(stream, "end")));
    running.finish().unwrap();
}

/// A client with an incomplete request holds up neither the server nor its end.
#[test]
fn half_a_request_ends() {
    let soon = Duration::from_millis(50);
    let served = limited(|limits| limits.read_head(soon).read_body(soon));
    let address = served.serving.address();
    let half = raw(address, "GET /healthz HTTP/1.1\r\nhost: loc");
    assert!(half.is_empty() || half.starts_with("HTTP/1.1 408"), "{half}");
    let post = "POST /api/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 9\r\nconnection: close\r\n\r\n{";
    let slow = raw(address, post);
    assert!(slow.starts_with("HTTP/1.1 408") && slow.contains("too_slow"), "{slow}");
    served.end();

    let patient = served_with_an_hour();
    let mut streams = Vec::new();
    for part in ["GET /healthz HTTP/1.1\r\nhost: loc", post, ""] {
        let mut stream = TcpStream::connect(patient.serving.address()).unwrap();
        stream.write_all(part.as_bytes()).unwrap();
        streams.push(stream);
    }
    assert_eq!(patient.get("/healthz").0, 200);
    // It would take an hour, and the harness would not wait that long.
    patient.end();
}

fn served_with_an_hour() -> Served {
    let hour = Duration::from_secs(3_600);
    limited(|limits| limits.read_head(hour).read_body(hour).patience(hour))
}

/// While a worker is held up, requests wait up to the limit and others are refused; waiting ones get their answers even
/// if the server is stopped meanwhile.
#[test]
fn what_was_asked_is_answered_though_the_server_stops() {
    let served = limited(|limits| limits.waiting(2).patience(Duration::from_secs(60)));
    let address = served.serving.address();
    let held = served.hold.lock().unwrap();
    let pushed = served.pusher.push(vec![(MAY, "hold".to_owned(), 1, 5)]).unwrap();
    while !served.is_held.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    let (told, answers) = std::sync::mpsc::channel();
    for _ in 0..5 {
        let told = told.clone();
        std::thread::spawn(move || told.send(get(address, "/api/views/by-shop/total")).unwrap());
    }
    for _ in 0..3 {
        let (status, body) = answers.recv().unwrap();
        assert_eq!((status, &body["error"]["code"]), (503, &json!("busy")), "{body}");
    }
    let Served { running, serving, .. } = served;
    let stopping = std::thread::spawn(move || serving.stop());
    // The port is closed once the server begins to stop.
    while TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    assert!(!stopping.is_finished(), "it waits for what was asked");
    drop(held);
    for _ in 0..2 {
        let (status, body) = answers.recv().unwrap();
        assert_eq!((status, &body["view"]), (200, &json!("by-shop")), "{body}");
    }
    stopping.join().unwrap();
    assert!(pushed.refused.is_empty());
    running.finish().unwrap();
}

#[test]
fn connections_are_bounded() {
    let served = limited(|limits| limits.connections(1));
    let address = served.serving.address();
    let mut first = subscribe(address, "/api/views/by-shop/live");
    next_event(&mut first, "answer");
    let second = raw(address, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(second.is_empty() || second.starts_with("HTTP/1.1 503"), "{second}");
    drop(first);
    served.end();
}

/// A client that takes no answer keeps its place only until a time limit.
#[test]
fn whoever_takes_nothing_is_cut_off() {
    let served = limited(|limits| limits.connections(1).take(Duration::from_millis(50)));
    let shops: Vec<String> = (0..2_000).map(|shop| format!("shop {shop:0>80}")).collect();
    let sales: Vec<_> = shops.iter().map(|shop| (MAY, shop.as_str(), 1, 1)).collect();
    served.push(&sales);
    let address = served.serving.address();
    let mut stream = TcpStream::connect(address).unwrap();
    // More than all buffers hold.
    let keys = "GET /api/views/by-shop/keys?limit=2000 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(keys.repeat(150).as_bytes()).unwrap();
    let began = std::time::Instant::now();
    let health = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    while !raw(address, health).starts_with("HTTP/1.1 200") {
        assert!(began.elapsed() < Duration::from_secs(60), "it still has the only place");
    }
    drop(stream);
    served.end();
}

/// Checks an answer over all pushed sales, two at a time, on two days each; returns how many it has.
fn one_moment(body: &Value, last: u64) -> u64 {
    let sales = |part: &Value| part["sales"].as_u64().unwrap_or(0);
    let total = sales(&body["value"]);
    let parts = ["batch", "speed", "amendments"].map(|name| sales(&body[name]));
    assert_eq!(total, parts.iter().sum::<u64>(), "{body}");
    assert_eq!(total % 2, 0, "one push is seen in part: {body}");
    assert!(last <= total, "{last} sales, and then {total}");
    if let Some(days) = body["days"].as_array() {
        assert_eq!(total, days.iter().map(|day| sales(&day["value"])).sum::<u64>(), "{body}");
        let days: Vec<Day> =
            days.iter().map(|day| day["day"].as_str().unwrap().parse().unwrap()).collect();
        let follows = |pair: &[Day]| pair[0].next() == pair[1];
        assert!(days.windows(2).all(follows), "a day is missing or doubled: {days:?}");
    }
    total
}

/// While events come in and days close, no reader sees a total go down, or a total that differs from the sum of its
/// days.
#[test]
fn readers_never_see_two_moments() {
    let served = served(|server| server);
    let address = served.serving.address();
    let done = Arc::new(AtomicBool::new(false));
    let reads = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (done, reads) = (Arc::clone(&done), Arc::clone(&reads));
            std::thread::spawn(move || {
                let agent = agent();
                let mut last = 0;
                for question in
                    ["series", "total", "top?by=sales&n=3", "keys?limit=3"].iter().cycle()
                {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    let url = format!("http://{address}/api/views/by-till/{question}");
                    let (status, body) = answer(agent.get(url).call().unwrap());
                    assert_eq!(status, 200, "{body}");
                    last = one_moment(&body, last);
                    reads.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let mut pushes = 0;
    while pushes < 200 || reads.load(Ordering::SeqCst) < 4_000 {
        let now = MAY + DAY / 2 + pushes * DAY / 40;
        served.clock.store(now, Ordering::SeqCst);
        served.push(&[(now, "north", pushes as u32 % 7, 1), (now - DAY, "south", 1, 1)]);
        pushes += 1;
        assert!(readers.iter().all(|reader| !reader.is_finished()), "a reader has failed");
    }
    done.store(true, Ordering::SeqCst);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let (_, body) = served.get("/api/views/by-till/total");
    assert_eq!(body["value"]["sales"], 2 * pushes);
    assert_ne!(body["sealed_through"], Value::Null, "days have closed meanwhile");
    served.end();
}
