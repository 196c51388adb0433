//! Tests of `POST /api/sql` with an HTTP client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use datafusion::arrow::ipc::reader::StreamReader;
use dayfold_http::{Role, Server, Serving};
use dayfold_sql::{Limits, http, texts};

use crate::scene::{Scene, texts as ask_texts};

struct Served {
    scene: Scene,
    serving: Serving,
}

/// Status, content type and body.
type Answer = (u16, String, Vec<u8>);

impl Served {
    fn new(limits: Limits) -> Served {
        Served::with(limits, |server| server)
    }

    fn with(limits: Limits, more: impl Fn(Server) -> Server) -> Served {
        let scene = Scene::new(1, limits);
        let server = Server::new("test").views(&scene.running.views());
        let server = server.sql(http::answers(scene.sql.clone()).unwrap());
        let serving = more(server).serve("127.0.0.1:0").unwrap();
        Served { scene, serving }
    }

    fn post(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let url = format!("http://{}/api/sql", self.serving.address());
        let mut request = ureq::Agent::new_with_config(config).post(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.send(body).unwrap();
        let kind = answer.headers().get("content-type").unwrap().to_str().unwrap().to_owned();
        (answer.status().as_u16(), kind, answer.body_mut().read_to_vec().unwrap())
    }

    /// The answer to a JSON body, in the accepted format.
    fn ask(&self, accept: &str, body: &str) -> Answer {
        self.post(&[("content-type", "application/json"), ("accept", accept)], body)
    }

    #[track_caller]
    fn csv(&self, body: &str) -> String {
        let (status, kind, body) = self.ask("text/csv", body);
        let body = String::from_utf8(body).unwrap();
        assert_eq!((status, &kind[..]), (200, "text/csv; charset=utf-8"), "{body}");
        body
    }

    /// The status and the message of an error.
    fn refusal(&self, body: &str) -> (u16, String) {
        let (status, kind, body) = self.ask("*/*", body);
        assert_eq!(kind, "application/json");
        (status, String::from_utf8(body).unwrap())
    }

    fn end(self) {
        self.serving.stop();
        self.scene.running.finish().unwrap();
    }
}

#[tokio::test]
async fn rows_in_each_form() {
    let served = Served::new(Limits::default());
    let sql = "SELECT week, sum(cents) AS cents, CAST(sum(cents) AS numeric(20, 2)) AS \"as money\", avg(cents / 2.0) AS mean, NULL AS n FROM weeks GROUP BY week ORDER BY week LIMIT 2";
    let body = format!("{{\"sql\":{}}}", serde_json::to_string(sql).unwrap());
    let rows = served.scene.sql.query(sql).await.unwrap().collect().await.unwrap();
    let expect: Vec<Vec<String>> = rows
        .iter()
        .flat_map(|batch| texts(batch).unwrap())
        .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
        .collect();
    assert_eq!(expect.len(), 2);
    let lines = expect.iter().map(|row| row.join(",") + "\n").collect::<String>();
    assert_eq!(served.csv(&body), format!("week,cents,as money,mean,n\n{lines}"));
    let (status, kind, json) = served.ask("*/*", &body);
    assert_eq!((status, &kind[..]), (200, "application/json"));
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let columns = serde_json::json!([
        { "name": "week", "kind": "date", "nullable": false },
        { "name": "cents", "kind": "integer", "nullable": true },
        { "name": "as money", "kind": "decimal", "nullable": true },
        { "name": "mean", "kind": "float", "nullable": true },
        { "name": "n", "kind": "text", "nullable": true },
    ]);
    assert_eq!(json["columns"], columns);
    for (row, expect) in json["rows"].as_array().unwrap().iter().zip(&expect) {
        assert_eq!(row[0], expect[0]);
        assert_eq!(row[1].to_string(), expect[1]);
        assert!(row[3].is_number());
        assert_eq!(row[3].to_string(), expect[3]);
        assert_eq!(row[4], serde_json::Value::Null);
    }
    let (status, kind, lines) = served.ask("application/x-ndjson", &body);
    assert_eq!((status, &kind[..]), (200, "application/x-ndjson"));
    let lines: Vec<serde_json::Value> = std::str::from_utf8(&lines)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["week"], json["rows"][1][0]);
    let arrow = "application/vnd.apache.arrow.stream";
    let (status, kind, bytes) = served.ask(arrow, &body);
    assert_eq!((status, &kind[..]), (200, arrow));
    let read = StreamReader::try_new(&bytes[..], None).unwrap();
    let read: Vec<_> = read.map(Result::unwrap).collect();
    assert_eq!(ask_texts(&read), ask_texts(&rows));
    // All rows of a view, in batches; and a result without rows.
    let all = served.csv(r#"{"sql":"SELECT * FROM sales"}"#);
    let count = served.csv(r#"{"sql":"SELECT count(*) FROM sales"}"#);
    assert_eq!(count, format!("count(*)\n{}\n", all.lines().count() - 1));
    assert_eq!(served.csv(r#"{"sql":"SELECT shop FROM sales WHERE desk < 0"}"#), "shop\n");
    let (status, _, none) = served.ask("*/*", r#"{"sql":"SELECT day FROM sales WHERE desk < 0"}"#);
    let expect = r#"{"columns":[{"name":"day","kind":"date","nullable":false}],"rows":[]}"#;
    assert_eq!((status, std::str::from_utf8(&none).unwrap().trim_end()), (200, expect));
    served.end();
}

#[test]
fn parameters() {
    let served = Served::new(Limits::default());
    let plain = served.csv(
        r#"{"sql":"SELECT sum(cents) FROM sales WHERE shop = 'Oslo' AND day >= DATE '2024-03-01' AND desk IN (60, 120)"}"#,
    );
    let with = served.csv(
        r#"{"sql":"SELECT sum(cents) FROM sales WHERE shop = $1 AND day >= $2 AND desk IN ($3, $4)","params":["Oslo","2024-03-01",60,"120"]}"#,
    );
    assert_eq!(plain, with);
    let limited =
        served.csv(r#"{"sql":"SELECT week FROM weeks ORDER BY week LIMIT $1","params":[2]}"#);
    assert_eq!(limited.lines().count(), 3);
    // The numbers are exact, not those of a double.
    let exact = served.csv(
        r#"{"sql":"SELECT $1::bigint AS a, $2::numeric(38, 9) AS b, $3::text IS NULL AS c","params":[9007199254740993,9007199254740993.5,null]}"#,
    );
    assert_eq!(exact, "a,b,c\n9007199254740993,9007199254740993.5,true\n");
    // Numbers that a column cannot have are compared as they are.
    let count = |condition: &str, parameters: &str| {
        let statement = format!("SELECT count(*) AS n FROM sales WHERE {condition}");
        served.csv(&format!(r#"{{"sql":"{statement}"{parameters}}}"#))
    };
    for (condition, parameters, same) in [
        ("desk = $1", r#","params":[60.5]"#, "desk = 60.5"),
        ("desk <= $1", r#","params":[60.5]"#, "desk <= 60"),
        ("desk IN ($1, $2)", r#","params":[60.5,120]"#, "desk = 120"),
        ("desk < $1", r#","params":[100000000000000000000]"#, "true"),
        ("cents > $1", r#","params":[0.000000001]"#, "cents >= 1"),
    ] {
        assert_eq!(count(condition, parameters), count(same, ""), "{condition} {parameters}");
    }
    for (body, expect) in [
        (r#"{"sql":"SELECT $1 + 1"}"#, "1 parameters"),
        (r#"{"sql":"SELECT 1","params":[1]}"#, "there are 1 values"),
        (
            r#"{"sql":"SELECT day FROM sales WHERE desk = $1","params":["x"]}"#,
            "$1: 'x' is no integer",
        ),
        (
            r#"{"sql":"SELECT day FROM sales WHERE day = $1","params":["May"]}"#,
            "$1: 'May' is no date",
        ),
    ] {
        let (status, said) = served.refusal(body);
        assert!(status == 400 && said.contains("\"parameter\":\"params\""), "{body}: {said}");
        assert!(said.contains(expect), "{body}: {said}");
    }
    served.end();
}

#[test]
fn a_window_is_that_of_the_question_over_http() {
    let served = Served::new(Limits::default());
    let get = |question: &str| {
        let url = format!("http://{}/api/views/{question}&format=csv", served.serving.address());
        ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()
    };
    let sql = |select: &str, window: &str, view: &str| {
        let columns = if view == "sales" { "day, shop, desk" } else { "hour, shop" };
        served.csv(&format!(
            r#"{{"sql":"SELECT {select} FROM last('{view}', $1) ORDER BY {columns}","params":["{window}"]}}"#
        ))
    };
    let rows = |text: &str| text.lines().count();
    let day = "day, shop, desk, sales, cents";
    let all = rows(&sql(day, "1 year", "sales"));
    for (short, words) in
        [("60d", "60 days"), ("9w", "9 weeks"), ("3mo", "3 months"), ("2q", "2 quarters")]
    {
        let found = sql(day, words, "sales");
        assert!(rows(&found) > 1, "{words}");
        let question =
            format!("sales/rows?last={short}&limit=10000&columns={}", day.replace(", ", ","));
        assert_eq!(get(&question), found, "{words}");
    }
    assert!(rows(&sql(day, "60 days", "sales")) < all);
    let hour = "hour, shop, sales, cents";
    let found = sql(hour, "1000 hours", "hours");
    assert_eq!(get("hours/rows?last=1000h&limit=10000&columns=hour,shop,sales,cents"), found);
    let (status, said) = served.refusal(r#"{"sql":"SELECT * FROM last('weeks', '7 days')"}"#);
    assert_eq!(status, 400, "{said}");
    assert!(
        said.contains("view 'weeks' is kept by week: expected a window of one of week"),
        "{said}"
    );
    served.end();
}

#[test]
fn errors_have_a_status_and_a_place() {
    let served = Served::new(Limits::default());
    for (sql, status, code, place) in [
        ("SELEC 1", 400, "bad_statement", Some((1, 1))),
        ("SELECT 1\\n  FROM sales WHERE", 400, "bad_statement", None),
        ("SELECT 1,\\n  shop FRM sales", 400, "bad_statement", Some((2, 12))),
        ("SELECT day,\\n  shops FROM sales", 400, "bad_statement", Some((2, 3))),
        ("SELECT * FROM nothing", 400, "bad_statement", Some((1, 15))),
        ("SELECT 1; SELECT 2", 400, "bad_statement", None),
        ("SELECT sum(clients) FROM sales", 400, "bad_statement", None),
        ("DELETE FROM sales", 400, "read_only", None),
        ("CREATE TABLE t (a int)", 400, "read_only", None),
        ("SELECT cents / (desk - desk) FROM sales", 422, "statement_failed", None),
    ] {
        let (found, said) = served.refusal(&format!("{{\"sql\":\"{sql}\"}}"));
        let error = &serde_json::from_str::<serde_json::Value>(&said).unwrap()["error"];
        assert_eq!((found, error["code"].as_str().unwrap()), (status, code), "{sql}: {said}");
        if let Some((line, column)) = place {
            let place = serde_json::json!({ "line": line, "column": column });
            assert_eq!(error["position"], place, "{sql}: {said}");
        }
    }
    for (headers, body, status) in [
        (&[("content-type", "text/plain")][..], "SELECT 1", 415),
        (
            &[("content-type", "application/json"), ("accept", "text/html")],
            r#"{"sql":"SELECT 1"}"#,
            406,
        ),
        (&[("content-type", "application/json")], "SELECT 1", 400),
        (&[("content-type", "application/json")], r#"{"sql":"SELECT 1","parameters":[]}"#, 400),
        (
            &[("content-type", "application/json"), ("origin", "http://evil.example")],
            r#"{"sql":"SELECT 1"}"#,
            403,
        ),
        (&[("content-type", "application/json")], r#"{"sql":"SELECT 1"}"#, 200),
    ] {
        let (found, _, said) = served.post(headers, body);
        assert_eq!(found, status, "{headers:?} {body}: {}", String::from_utf8_lossy(&said));
    }
    served.end();
}

#[test]
fn it_needs_the_token_to_read() {
    let served = Served::with(Limits::default(), |server| {
        server.token_of(Role::Read, "r").token_of(Role::Push, "p")
    });
    let body = r#"{"sql":"SELECT 1"}"#;
    for (token, status) in [("", 401), ("Bearer p", 401), ("Bearer r", 200)] {
        let headers = [("content-type", "application/json"), ("authorization", token)];
        assert_eq!(served.post(&headers, body).0, status, "{token}");
    }
    served.end();
}

#[test]
fn limits_hold() {
    let served = Served::new(Limits::default().rows(10).memory(1 << 20));
    for sql in [
        "SELECT * FROM sales",
        "SELECT a.cents, count(*) FROM sales a CROSS JOIN sales b GROUP BY a.cents, b.cents ORDER BY 1",
    ] {
        let (status, said) = served.refusal(&format!("{{\"sql\":\"{sql}\"}}"));
        assert!(status == 422 && said.contains("limit_exceeded"), "{sql}: {said}");
    }
    served.end();
    let served = Served::new(Limits::default().time(Duration::ZERO));
    let (status, said) = served.refusal(r#"{"sql":"SELECT * FROM sales"}"#);
    assert!(status == 422 && said.contains("was stopped after"), "{said}");
    served.end();
}

/// A statement that takes longer than any test.
const LONG: &str = "SELECT count(*) FROM sales a, sales b, sales c, sales d WHERE a.cents + b.cents + c.cents + d.cents = 0";
/// Its rows come at once, and there are more than a connection buffers.
const MANY: &str = "SELECT a.day, a.shop, b.shop, c.shop FROM sales a, sales b, sales c";

#[test]
fn a_client_that_goes_stops_its_statement() {
    let hours = Duration::from_secs(36_000);
    let served = Served::new(Limits::default().time(hours).rows(u64::MAX).statements(1));
    let one = r#"{"sql":"SELECT 1"}"#;
    let until = Instant::now() + Duration::from_secs(120);
    let check_time = || assert!(Instant::now() < until, "nobody has given back the place");
    for (sql, bytes) in [(LONG, 0), (MANY, 100_000)] {
        let mut client = loop {
            check_time();
            let client = send(&served, sql);
            // It is the one that may run, unless one of the requests below was.
            while !is_refused(&client) && served.ask("*/*", one).0 == 200 {
                check_time();
            }
            if !is_refused(&client) {
                break client;
            }
        };
        client.read_exact(&mut vec![0; bytes]).unwrap();
        assert_eq!(served.ask("*/*", one).0, 503);
        drop(client);
        while served.ask("*/*", one).0 == 503 {
            check_time();
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    served.end();
}

/// Sends a statement, and does not wait for the answer.
fn send(served: &Served, sql: &str) -> TcpStream {
    let body = format!("{{\"sql\":\"{sql}\"}}");
    let mut client = TcpStream::connect(served.serving.address()).unwrap();
    let head = "POST /api/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    write!(client, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    client
}

/// Whether the answer has begun, and refuses the statement because too many run.
fn is_refused(client: &TcpStream) -> bool {
    let mut head = [0; 12];
    client.set_nonblocking(true).unwrap();
    let read = client.peek(&mut head);
    client.set_nonblocking(false).unwrap();
    read.is_ok_and(|read| head[..read].ends_with(b"503"))
}
