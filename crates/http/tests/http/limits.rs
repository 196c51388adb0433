//! Tests of the limits of a server, and of permissions.

use super::*;

/// The value of a metric.
fn metric(address: SocketAddr, name: &str) -> u64 {
    let (_, text) = get(address, "/metrics");
    let prefix = format!("{name} ");
    let line = text.as_str().unwrap().lines().find_map(|line| line.strip_prefix(&prefix)).unwrap();
    line.parse().unwrap()
}

/// Begins to push, and sends only the head.
fn held_body(address: SocketAddr, length: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head =
        "POST /api/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n";
    stream.write_all(format!("{head}{length}\r\n\r\n").as_bytes()).unwrap();
    stream
}

fn until(what: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Bodies count before they are read, over all connections; their bytes are released when they end.
#[test]
fn bodies_that_are_held_take_no_more_than_all_may() {
    const BODY: usize = 100_000;
    let served = limited(|limits| limits.body(BODY).bodies(10 * BODY));
    let address = served.serving.address();
    let taken = || metric(address, "dayfold_http_bodies_bytes") as usize;
    let line = format!("{{\"time\":{MAY},\"shop\":\"a\",\"till\":1,\"cents\":5}}\n");
    let declared = format!("content-length: {BODY}");
    let held: Vec<_> = (0..10).map(|_| held_body(address, &declared)).collect();
    until(|| taken() == 10 * BODY);
    for _ in 0..100 {
        let mut refused = String::new();
        BufReader::new(held_body(address, &declared)).read_line(&mut refused).unwrap();
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    }
    let (status, body) = served.post("application/x-ndjson", &[], &line);
    assert_eq!((status, &body["error"]["code"]), (503, &json!("busy")), "{body}");
    assert_eq!(served.get("/api/views/by-shop/total").0, 200, "questions need none of it");
    assert_eq!(taken(), 10 * BODY);
    drop(held);
    until(|| taken() == 0);

    // A body of unknown length reserves bytes as it comes.
    let mut chunked = held_body(address, "transfer-encoding: chunked");
    chunked.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).unwrap();
    until(|| taken() == 64 << 10);
    let most = format!("{:x}\r\n{}", BODY + 1, "x".repeat(BODY + 1));
    chunked.write_all(most.as_bytes()).unwrap();
    let mut refused = String::new();
    BufReader::new(chunked).read_line(&mut refused).unwrap();
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
    until(|| taken() == 0);
    let (status, body) = served.post("application/x-ndjson", &[], &line.repeat(500));
    assert_eq!((status, &body["accepted"]), (200, &json!(500)), "{body}");
    until(|| taken() == 0);
    served.end();
}

/// While a worker is held up, waiting pushes and queries do not take each other's places.
#[test]
fn pushes_and_questions_have_places_of_their_own() {
    let served = limited(|limits| limits.waiting(1).pushes(1).patience(Duration::from_secs(60)));
    let address = served.serving.address();
    let held = served.hold.lock().unwrap();
    drop(served.pusher.push(vec![(MAY, "hold".to_owned(), 1, 5)]).unwrap());
    until(|| served.is_held.load(Ordering::SeqCst));
    let sale = format!("{{\"time\":{MAY},\"shop\":\"a\",\"till\":1,\"cents\":5}}");
    let push = || {
        let request = agent().post(format!("http://{address}/api/events"));
        answer(request.header("content-type", "application/json").send(&sale).unwrap())
    };
    let ask = || get(address, "/api/views/by-shop/total");
    std::thread::scope(|scope| {
        let (told, answers) = std::sync::mpsc::channel();
        // Two of each: one waits, and the other is refused.
        for _ in 0..2 {
            let (ask_told, push_told) = (told.clone(), told.clone());
            scope.spawn(move || ask_told.send(("question", ask())).unwrap());
            scope.spawn(move || push_told.send(("push", push())).unwrap());
        }
        let refused: std::collections::BTreeSet<&str> = (0..2)
            .map(|_| {
                let (kind, (status, body)) = answers.recv().unwrap();
                assert_eq!((status, &body["error"]["code"]), (503, &json!("busy")), "{body}");
                kind
            })
            .collect();
        assert_eq!(refused.len(), 2, "one of each, so one of each waits");
        drop(held);
        for _ in 0..2 {
            assert_eq!(answers.recv().unwrap().1.0, 200);
        }
    });
    served.end();
}

/// An answer is written once, however many clients ask the same and however often, and not at all for clients that read
/// nothing.
#[test]
fn subscribers_that_ask_the_same_share_what_is_written() {
    const SILENT: usize = 300;
    let served = served(|server| server);
    let address = served.serving.address();
    let shops: Vec<String> = (0..500).map(|shop| format!("shop {shop:0>100}")).collect();
    let all = |cents| shops.iter().map(|shop| (MAY, shop.as_str(), 1, cents)).collect::<Vec<_>>();
    served.push(&all(1));
    let path =
        |every: usize| format!("/api/views/by-shop/live?of=top&by=cents&n=500&every={every}ms");
    // They ask, and never read.
    let silent: Vec<_> = (0..SILENT).map(|n| subscribe(address, &path(20 + n % 50))).collect();
    until(|| metric(address, "dayfold_http_live_answers_total") >= SILENT as u64);
    let mut reader = subscribe(address, &path(20));
    next_event(&mut reader, "answer");
    for cents in 2..=60 {
        served.push(&all(cents));
        let sum = (1..=cents).sum::<i64>();
        while next_event(&mut reader, "answer")["rows"][0]["value"]["cents"] != sum {}
    }
    let written = metric(address, "dayfold_http_live_written_total");
    // Each push is seen at least once, and partly by listeners that are served in between.
    assert!(written <= 3 * 61, "{written} answers were written for 60 pushes");
    // An answer has 100 kB, so a client that reads nothing is sent few of them.
    let answers = metric(address, "dayfold_http_live_answers_total");
    assert!(answers < 60 + 12 * SILENT as u64, "{answers} answers for {SILENT} who do not read");
    assert_eq!(served.get("/api/views/by-shop/value?key=nobody").0, 200);
    drop(silent);
    drop(reader);
    served.end();
}

/// On all interfaces, unknown host names are refused, and so are events without a token.
#[test]
fn beyond_the_loopback_interface_names_are_told_and_events_need_a_token() {
    let sale = format!("{{\"time\":{MAY},\"shop\":\"a\",\"till\":1,\"cents\":5}}");
    let cases = [(None, 403, "token_needed"), (Some("secret"), 401, "unauthorized")];
    for (token, status, code) in cases {
        let served = served_on("0.0.0.0:0", |server| match token {
            Some(token) => server.host("Dash.Example").token(token),
            None => server.host("Dash.Example"),
        });
        let address = SocketAddr::from(([127, 0, 0, 1], served.serving.address().port()));
        let asked = |host: &str| {
            raw(
                address,
                &format!("GET /api/status HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"),
            )
        };
        for host in ["dash.example", "DASH.example:80", "10.1.2.3:8080", "[::1]", "localhost:1"] {
            let answer = asked(host);
            assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
            assert!(
                answer.contains(&format!("\"accepts_events\":{}", token.is_some())),
                "{answer}"
            );
        }
        for host in ["evil.example", "dash.example.evil.example", "localhost.evil.example"] {
            let answer = asked(host);
            assert!(
                answer.starts_with("HTTP/1.1 421") && answer.contains("foreign_host"),
                "{answer}"
            );
        }
        let post = |headers: &[(&str, &str)]| {
            let mut request = agent().post(format!("http://{address}/api/events"));
            for (name, value) in headers.iter().chain([&("content-type", "application/json")]) {
                request = request.header(*name, *value);
            }
            answer(request.send(&sale).unwrap())
        };
        for headers in [&[][..], &[("authorization", "Bearer ")]] {
            let (found, body) = post(headers);
            assert_eq!((found, &body["error"]["code"]), (status, &json!(code)), "{body}");
        }
        if token.is_some() {
            assert_eq!(post(&[("authorization", "Bearer secret")]).0, 200);
        }
        let Served { running, serving, .. } = served;
        serving.stop();
        running.finish().unwrap();
    }
}
