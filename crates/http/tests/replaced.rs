//! What a server serves is replaced while it listens: no request is lost, and none waits for ever.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dayfold::aggregate::Count;
use dayfold::engine::{EngineState, LiveOptions, Measures, Pusher, Running};
use dayfold::time::EventTime;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_http::{Limits, Role, Server, Serving};

struct Started {
    running: Running,
    pusher: Pusher<EventTime>,
}

fn start(name: &str) -> Started {
    let mut engine = Engine::<EventTime>::new();
    let view = View::new(name).unwrap().measure_names([["events"]]).unwrap();
    engine.view(view, Measures::none(), |at| Some((*at, 0u64, Count::one())));
    let pusher = engine.live(LiveOptions::new(|at| *at));
    let running = engine.start(Cluster::workers(1)).unwrap();
    while running.observer().state() == EngineState::Recovering {
        std::thread::sleep(Duration::from_millis(1));
    }
    Started { running, pusher }
}

impl Started {
    fn server(&self) -> Server {
        let server = Server::new("test").observe(self.running.observer());
        let server = server.views(&self.running.views());
        server.events(self.pusher.clone(), |json| json.as_i64().ok_or("a number".to_owned()))
    }

    fn end(self) {
        drop(self.pusher);
        self.running.finish().unwrap();
    }
}

/// The status, whether the request may be repeated, and the body.
fn get(serving: &Serving, path: &str) -> (u16, bool, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let url = format!("http://{}{path}", serving.address());
    let mut answer = ureq::Agent::new_with_config(config).get(url).call().unwrap();
    let again = answer.headers().contains_key("retry-after");
    (answer.status().as_u16(), again, answer.body_mut().read_to_string().unwrap())
}

fn push(serving: &Serving) -> u16 {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let url = format!("http://{}/api/events", serving.address());
    let post = ureq::Agent::new_with_config(config).post(url);
    post.header("content-type", "application/json").send("1714550000000").unwrap().status().as_u16()
}

#[test]
fn requests_wait_for_what_comes_next() {
    let before = start("before");
    let serving = before.server().serve("127.0.0.1:0").unwrap();
    assert_eq!(push(&serving), 200);
    let is_replaced = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A live answer does not delay the pause: it ends.
        let live = scope.spawn(|| get(&serving, "/api/views/before/live?of=total&every=20ms").2);
        std::thread::sleep(Duration::from_millis(200));
        serving.pause();
        let live = live.join().unwrap();
        assert!(live.ends_with("event: end\ndata: {}\n\n"), "{live}");
        let asked =
            scope.spawn(|| (get(&serving, "/api/views"), is_replaced.load(Ordering::SeqCst)));
        let pushed = scope.spawn(|| (push(&serving), is_replaced.load(Ordering::SeqCst)));
        assert_eq!(get(&serving, "/healthz").0, 200);
        let (status, again, text) = get(&serving, "/readyz");
        assert!((status, again) == (503, true) && text.contains("reloading"), "{text}");
        std::thread::sleep(Duration::from_millis(200));
        before.end();
        let after = start("after");
        is_replaced.store(true, Ordering::SeqCst);
        serving.replace(after.server());
        let ((status, _, text), was_replaced) = asked.join().unwrap();
        assert!(status == 200 && was_replaced && text.contains("\"after\""), "{text}");
        assert_eq!(pushed.join().unwrap(), (200, true));
        let total = get(&serving, "/api/views/after/total?from=2024-05-01&to=2024-05-02").2;
        assert!(total.contains("\"events\":1"), "{total}");
        // The server's own counters have not started again.
        let metrics = get(&serving, "/metrics").2;
        assert!(metrics.contains("\ndayfold_http_events_total 2\n"), "{metrics}");
        after.end();
    });
}

#[test]
fn a_request_waits_no_longer_than_the_patience() {
    let limits = Limits::default().patience(Duration::from_millis(100));
    let serving = Server::new("test").limits(limits).serve("127.0.0.1:0").unwrap();
    serving.pause();
    let (status, again, text) = get(&serving, "/api/views");
    assert!((status, again) == (503, true), "{text}");
    assert!(text.contains("nothing of the request has entered"), "{text}");
    serving.replace(Server::new("test"));
    assert_eq!(get(&serving, "/api/views").0, 200);
    // A server that stops does not wait for a replacement.
    let patient = Server::new("test").serve("127.0.0.1:0").unwrap();
    patient.pause();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| get(&patient, "/api/views").0);
        std::thread::sleep(Duration::from_millis(200));
        let url = format!("http://{}/healthz", patient.address());
        assert!(ureq::get(url).call().is_ok());
        patient.replace(Server::new("test"));
        assert_eq!(asked.join().unwrap(), 200);
    });
    patient.pause();
    patient.stop();
}

#[test]
fn other_tokens_hold_from_the_next_request_on() {
    let serving = Server::new("test").serve("127.0.0.1:0").unwrap();
    assert_eq!(get(&serving, "/api/views").0, 200);
    serving.replace(Server::new("test").token_of(Role::Read, "secret"));
    assert_eq!(get(&serving, "/api/views").0, 401);
}
