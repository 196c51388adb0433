//! Requests with an idempotency key count once, also after a restart.

use std::time::Duration;

use dayfold::Cluster;
use dayfold::Engine;
use dayfold::aggregate::Count;
use dayfold::engine::{EngineState, LiveOptions, Measures, Pusher, Running, ViewHandle};
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold_http::{Limits, Server, Serving};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Time, and the request in which it came.
type Event = (EventTime, u64);

/// Longer than any wait takes, unless something is broken.
const LONG: Duration = Duration::from_secs(60);
const NOW: EventTime = 1_700_000_000_000;
const SOON: Durability = Durability::Every(Duration::from_millis(1));

struct Program {
    running: Running,
    view: ViewHandle<u64, Count>,
    pusher: Pusher<Event>,
}

impl Program {
    fn start(folder: &TempDir, durability: Durability) -> Program {
        let mut engine = Engine::<Event>::new().clock(|| NOW);
        let view = View::new("v").unwrap();
        let view = engine.view(view, Measures::none(), |&(time, request): &Event| {
            Some((time, request, Count::one()))
        });
        let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
        let engine = engine.data(folder.path().join("data")).log(durability, |event| event.0);
        let running = engine.start(Cluster::workers(2)).unwrap();
        Program { running, view, pusher }
    }

    /// The request's two events are visible, and were added once.
    #[track_caller]
    fn counts_once(&self, request: u64) {
        let answer = self.view.ask(Query::point(request, DayRange::ALL)).unwrap();
        assert_eq!(answer.value(), Some(Count(2)), "request {request}");
    }

    fn finish(self) {
        drop(self.pusher);
        self.running.finish().unwrap();
    }
}

fn serve(folder: &TempDir, durability: Durability, limits: Limits) -> (Program, Serving) {
    let program = Program::start(folder, durability);
    let server = Server::new("requests").observe(program.running.observer());
    let server = server.events(program.pusher.clone(), |json| {
        Ok((NOW, json["request"].as_u64().ok_or("request: expected a number")?))
    });
    let serving = server.limits(limits).serve("127.0.0.1:0").unwrap();
    (program, serving)
}

/// Retries like a client: until all earlier events are restored, the server answers that nothing has entered.
fn post(serving: &Serving, keys: &[&str], body: &str) -> (u16, Value) {
    loop {
        let (status, answer) = post_once(serving, keys, body);
        if status != 503 || answer["error"]["code"] != "recovering" {
            return (status, answer);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn post_once(serving: &Serving, keys: &[&str], body: &str) -> (u16, Value) {
    let agent =
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(LONG));
    let agent: ureq::Agent = agent.build().into();
    let mut request = agent.post(format!("http://{}/api/events", serving.address()));
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    let request = request.header("content-type", "application/x-ndjson");
    let mut response = request.send(body).unwrap();
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

#[test]
fn a_request_with_a_key_counts_once() {
    let folder = TempDir::new().unwrap();
    let body = "{\"request\":1}\n{\"request\":1}\n";
    for run in 0..2 {
        let (program, serving) = serve(&folder, SOON, Limits::default());
        for (again, key) in ["abc", "\"abc\"", "abc"].into_iter().enumerate() {
            let repeated = run + again > 0;
            let accepted = json!({ "accepted": 2, "durable": true, "repeated": repeated });
            assert_eq!(post(&serving, &[key], body), (200, accepted));
            program.counts_once(1);
        }
        let refused = |keys: &[&str], body: &str, status: u16, code: &str| {
            let (found, answer) = post(&serving, keys, body);
            let code_found = answer["error"]["code"].as_str();
            assert_eq!((found, code_found), (status, Some(code)), "{answer}");
        };
        refused(&["abc"], "{\"request\":1}", 422, "idempotency_key_reused");
        refused(&[""], body, 400, "bad_idempotency_key");
        refused(&["a", "b"], body, 400, "bad_idempotency_key");
        refused(&["other"], "{}", 400, "bad_event");
        program.counts_once(1);
        let metrics = ureq::get(format!("http://{}/metrics", serving.address())).call();
        let metrics = metrics.unwrap().body_mut().read_to_string().unwrap();
        let accepted = metrics
            .lines()
            .find(|line| line.contains("http_events_total") && !line.starts_with('#'));
        let ends = format!(" {}", 2 * (1 - run));
        assert!(accepted.is_some_and(|line| line.ends_with(&ends)), "{accepted:?} {run}");
        serving.stop();
        program.finish();
    }
}

/// Requests that wait for the disk do not hold up requests that do not need it.
#[test]
fn pushes_with_a_key_that_wait_hold_nobody_up() {
    const PUSHES: usize = 40;
    let folder = TempDir::new().unwrap();
    let hour = Duration::from_secs(3_600);
    let limits = Limits::default().patience(hour);
    let (program, serving) = serve(&folder, Durability::Every(hour), limits);
    while program.running.observer().state() == EngineState::Recovering {
        std::thread::yield_now();
    }
    let address = serving.address();
    let waiting = (0..PUSHES).map(|push| {
        std::thread::spawn(move || {
            let request = ureq::post(format!("http://{address}/api/events"));
            let request = request.header("idempotency-key", push.to_string());
            let request = request.content_type("application/json");
            // It is answered when the engine ends, or not at all.
            drop(request.send(format!("{{\"request\":{push}}}")));
        })
    });
    let waiting: Vec<_> = waiting.collect();
    // All entered events are visible. The other requests wait for a thread.
    let began = std::time::Instant::now();
    while program.view.ask(Query::total(DayRange::ALL)).unwrap().value().is_none() {
        assert!(began.elapsed() < LONG, "the first has not entered");
    }
    let (status, answer) = post(&serving, &[], "no event");
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("bad_event")), "{answer}");
    assert!(waiting.iter().all(|thread| !thread.is_finished()), "they wait for the disk");
    // The log is committed as the engine ends.
    program.finish();
    serving.stop();
    waiting.into_iter().for_each(|thread| thread.join().unwrap());
}
