//! Rows of a view as a table: whole and page by page, in each form.

use super::*;

/// Status, headers, and the whole text of an answer.
fn get_with(
    served: &Served,
    path: &str,
    accept: Option<&str>,
) -> (u16, ureq::http::HeaderMap, String) {
    let mut request = agent().get(format!("http://{}{path}", served.serving.address()));
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let mut response = request.call().unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), response.headers().clone(), text)
}

fn sold() -> Served {
    let served = served(|server| server);
    served.push(&[(MAY, "north", 1, 250), (MAY + 1, "north", 1, 451), (MAY, "a\"b,c", 2, -7)]);
    served.push(&[(MAY - DAY, "north", 10, (1 << 53) + 2), (MAY, "", 3, 1)]);
    served
}

const CSV: &str = "day,shop,till,sales,cents,mean,sealed\n\
    2024-04-30,north,10,1,9007199254740994,9007199254740994.000000,false\n\
    2024-05-01,\"\",3,1,1,1.000000,false\n\
    2024-05-01,\"a\"\"b,c\",2,1,-7,-7.000000,false\n\
    2024-05-01,north,1,2,701,350.500000,false\n";

const LINES: &str = r#"{"day":"2024-04-30","shop":"north","till":10,"sales":1,"cents":"9007199254740994","mean":"9007199254740994.000000","sealed":false}
{"day":"2024-05-01","shop":"","till":3,"sales":1,"cents":1,"mean":"1.000000","sealed":false}
{"day":"2024-05-01","shop":"a\"b,c","till":2,"sales":1,"cents":-7,"mean":"-7.000000","sealed":false}
{"day":"2024-05-01","shop":"north","till":1,"sales":2,"cents":701,"mean":"350.500000","sealed":false}
"#;

const COLUMNS: &str = "columns=day,shop,till,sales,cents,mean,sealed";

#[test]
fn rows_come_in_the_form_that_is_asked_for() {
    let served = sold();
    let path = format!("/api/views/by-till/rows?{COLUMNS}");
    for (accept, format) in
        [(Some("text/csv"), ""), (None, "&format=csv"), (Some("*/*"), "&format=csv")]
    {
        let (status, headers, text) = get_with(&served, &format!("{path}{format}"), accept);
        assert_eq!((status, &text[..]), (200, CSV));
        assert_eq!(headers["content-type"], "text/csv; charset=utf-8");
        let as_of: Value =
            serde_json::from_str(headers["dayfold-as-of"].to_str().unwrap()).unwrap();
        assert!(as_of["as_of"]["tick"].is_number(), "{as_of}");
        assert!(!headers.contains_key("dayfold-next"));
    }
    let (_, headers, text) = get_with(&served, &path, Some("application/x-ndjson"));
    assert_eq!(
        (text.as_str(), headers["content-type"].as_bytes()),
        (LINES, &b"application/x-ndjson"[..])
    );
    let (_, headers, text) = get_with(&served, &path, None);
    assert_eq!(headers["content-type"], "application/json");
    let body: Value = serde_json::from_str(&text).unwrap();
    let lines: Vec<Value> = LINES.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&body["rows"], &body["view"]), (&json!(lines), &json!("by-till")));
    assert_eq!((&body["next"], &body["columns"][1]), (&Value::Null, &json!("shop")));
    for line in LINES.lines() {
        assert!(text.contains(line), "{line} is written alike: {text}");
    }
    served.end();
}

#[test]
fn rows_are_chosen_by_days_keys_and_columns() {
    let served = sold();
    let rows = |query: &str| {
        let path = format!("/api/views/by-till/rows?format=csv&{query}");
        let (status, _, text) = get_with(&served, &path, None);
        assert_eq!(status, 200, "{text}");
        text
    };
    assert_eq!(rows("columns=till&key=north&key=10"), "till\n10\n");
    assert_eq!(rows("columns=till,day&prefix=nor&from=2024-05-01"), "till,day\n1,2024-05-01\n");
    assert_eq!(rows("columns=sales&prefix=north&prefix=1"), "sales\n2\n");
    assert_eq!(rows("columns=sales&to=2020-01-01"), "sales\n");
    served.end();
}

#[test]
fn pages_put_together_are_the_whole() {
    let served = sold();
    for limit in [1, 2, 3, 4, 100] {
        let (mut csv, mut rows, mut after) = (String::new(), Vec::new(), String::new());
        let (mut of_csv, mut pages) = (after.clone(), 0);
        loop {
            let path = format!("/api/views/by-till/rows?{COLUMNS}&limit={limit}");
            let (_, headers, text) =
                get_with(&served, &format!("{path}{of_csv}"), Some("text/csv"));
            let (head, page) = text.split_once('\n').unwrap();
            csv = if pages == 0 { format!("{head}\n{page}") } else { csv + page };
            assert!(page.lines().count() <= limit);
            let (status, body) = served.get(&format!("{path}{after}"));
            assert_eq!(status, 200, "{body}");
            rows.extend(body["rows"].as_array().unwrap().clone());
            pages += 1;
            let next = headers.get("dayfold-next").map(|next| next.to_str().unwrap());
            assert_eq!(next, body["next"].as_str(), "each form says where the next page begins");
            let Some(next) = next else { break };
            (after, of_csv) = (format!("&after={next}"), format!("&after={next}"));
        }
        assert_eq!((csv.as_str(), pages), (CSV, 4usize.div_ceil(limit)));
        let lines: Vec<Value> =
            LINES.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows, lines);
    }
    served.end();
}

#[test]
fn what_rows_cannot_be_is_refused_with_what_was_expected() {
    let served = sold();
    let path = "/api/views/by-till/rows";
    let bad = |query: &str, parameter: &str, expected: &str| {
        let error = served.refused(&format!("{path}?{query}"), 400, "bad_parameter");
        assert_eq!(error["parameter"], parameter, "{query}: {error}");
        assert!(error["message"].as_str().unwrap().contains(expected), "{query}: {error}");
    };
    bad("limit=0", "limit", "from 1 to 10000");
    bad("limit=10001", "limit", "from 1 to 10000");
    bad("limit=all", "limit", "from 1 to 10000");
    bad("columns=day,profit", "columns", "day, shop, till, sales");
    bad("columns=", "columns", "day, shop, till, sales");
    bad("after=00", "after", "cursor");
    bad("format=xml", "format", "json, csv or ndjson");
    bad("key=north", "key", "2 times");
    bad("key=north&key=x", "key", "whole number");
    bad("key=north&key=4294967296", "key", "integer");
    bad("prefix=a&prefix=1&prefix=2", "prefix", "2 times at most");
    bad("prefix=a&key=a&key=1", "prefix", "one of them");
    bad("from=2024-05-02&to=2024-05-01", "from", "from <= to");
    bad("n=3", "n", "columns");
    bad("by=sales", "by", "quarter");
    let (_, body) = served.get(&format!("{path}?limit=1"));
    let cursor = body["next"].as_str().unwrap();
    let error =
        served.refused(&format!("/api/views/by-shop/rows?after={cursor}"), 400, "bad_parameter");
    assert!(error["message"].as_str().unwrap().contains("another view"), "{error}");
    let (status, _, text) = get_with(&served, path, Some("text/html"));
    assert_eq!(status, 406, "{text}");
    assert!(text.contains("text/csv"), "{text}");
    served.refused("/api/views/by-tills/rows", 404, "no_such_view");
    served.end();
}

/// Answers without a limit have separate places, and release them.
#[test]
fn answers_that_are_sent_for_long_are_bounded() {
    let served = limited(|limits| limits.streams(1));
    let shops: Vec<String> = (0..2_000).map(|shop| format!("shop {shop:0>2000}")).collect();
    let sales: Vec<_> = shops.iter().map(|shop| (MAY, shop.as_str(), 1, 1)).collect();
    served.push(&sales);
    let address = served.serving.address();
    // It reads nothing of four megabytes.
    let first = subscribe(address, "/api/views/by-shop/rows?format=csv");
    let began = std::time::Instant::now();
    while served.get("/api/views/by-shop/rows").0 != 503 {
        assert!(began.elapsed() < Duration::from_secs(60), "the place is not taken");
    }
    served.refused("/api/views/by-shop/rows", 503, "busy");
    assert_eq!(served.get("/api/views/by-shop/rows?limit=1").0, 200, "pages need none");
    drop(first);
    while served.get("/api/views/by-shop/rows").0 != 200 {
        assert!(began.elapsed() < Duration::from_secs(60), "the place does not come back");
    }
    served.end();
}

/// Requests of one snapshot are of one moment, over all views and shapes, whatever comes meanwhile.
#[test]
fn requests_of_a_snapshot_are_of_one_moment() {
    let served = limited(|limits| limits.snapshots(2));
    served.push(&[(MAY, "north", 1, 5), (MAY, "south", 2, 7)]);
    let address = served.serving.address();
    let take = || answer(agent().post(format!("http://{address}/api/snapshots")).send("").unwrap());
    let (status, taken) = take();
    assert_eq!(status, 200, "{taken}");
    let name = taken["snapshot"].as_str().unwrap().to_owned();
    served.push(&[(MAY, "north", 1, 100), (MAY - DAY, "east", 9, 1)]);
    for (question, cents) in [
        ("by-shop/total?", 12),
        ("by-shop/value?key=north&", 5),
        ("by-till/series?", 12),
        ("by-till/top?by=cents&n=5&", 12),
        ("by-till/keys?", 12),
    ] {
        let (_, body) = served.get(&format!("/api/views/{question}snapshot={name}"));
        assert_eq!(
            (&body["value"]["cents"], &body["as_of"]),
            (&json!(cents), &taken["as_of"]),
            "{body}"
        );
    }
    let rows = format!("/api/views/by-till/rows?format=csv&columns=till,cents&snapshot={name}");
    let (_, headers, text) = get_with(&served, &format!("{rows}&limit=1"), None);
    assert_eq!(text, "till,cents\n1,5\n");
    let next = headers["dayfold-next"].to_str().unwrap();
    assert_eq!(get_with(&served, &format!("{rows}&after={next}"), None).2, "till,cents\n2,7\n");
    assert_eq!(served.get("/api/views/by-shop/total").1["value"]["cents"], 113);
    assert_eq!(take().0, 200);
    assert_eq!(take().0, 503, "there are no more than two");
    let release = agent().delete(format!("http://{address}/api/snapshots/{name}")).call().unwrap();
    assert_eq!(release.status(), 204);
    served.refused(&format!("/api/views/by-shop/total?snapshot={name}"), 410, "expired");
    assert_eq!(take().0, 200, "it has given back its place");
    served.end();
}

#[test]
fn every_path_is_described() {
    let served = served(|server| server.refused(|_, _| Ok(dayfold_http::RefusedRows::default())));
    let (status, document) = served.get("/api/openapi.json");
    assert_eq!(status, 200);
    for path in document["paths"].as_object().unwrap().keys() {
        // These continue while somebody listens.
        if path.ends_with("/live") || path.ends_with("/changes") {
            continue;
        }
        let (status, body) = served.get(&path.replace("{view}", "by-shop"));
        assert!(
            status != 404 || path == "/api/events" || path.starts_with("/api/snapshots"),
            "{path}: {body}"
        );
    }
    served.end();
}

#[test]
fn series_and_rows_come_by_a_coarser_grain() {
    let served = sold();
    let (status, body) = served.get("/api/views/by-shop/series?by=quarter");
    assert_eq!((status, &body["by"]), (200, &json!("quarter")), "{body}");
    assert_eq!((&body["days"][0]["day"], &body["days"][1]), (&json!("2024-04-01"), &Value::Null));
    assert_eq!(body["days"][0]["value"]["sales"], json!(5));
    let (_, body) = served.get("/api/views/by-shop/series?by=month&key=north");
    let days: Vec<_> = body["days"].as_array().unwrap().iter().map(|day| &day["day"]).collect();
    assert_eq!(days, ["2024-04-01", "2024-05-01"]);
    let (_, body) = served.get("/api/views/by-shop/series?by=month&from=2024-05-01");
    assert_eq!(body["days"].as_array().unwrap().len(), 1);
    let rows =
        "/api/views/by-till/rows?format=csv&by=year&key=north&key=1&columns=year,shop,sales,cents";
    let (_, _, text) = get_with(&served, rows, None);
    let wanted = "year,shop,sales,cents\n2024-01-01,north,2,701\n";
    assert_eq!(text, wanted);
    for by in ["hour", "decade", ""] {
        let error =
            served.refused(&format!("/api/views/by-shop/series?by={by}"), 400, "bad_parameter");
        assert!(error["message"].as_str().unwrap().contains("day, week, month"), "{error}");
    }
    served.refused("/api/views/by-shop/live?of=total&by=month", 400, "bad_parameter");
    served.end();
}
