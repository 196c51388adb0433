//! Refused rows, by page, and the permissions that they need.

use dayfold_http::{RefusedRow, RefusedRows, Role, Server, Serving};
use serde_json::Value;

/// A server with 5 refused rows.
fn server() -> Server {
    Server::new("test").refused(|after, limit| {
        if after > 5 {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let end = (after + limit as u64).min(5);
        let row =
            |line| RefusedRow { line, reason: "no number".to_owned(), row: "x,\"y\"".to_owned() };
        let next = (end < 5).then_some(end);
        let reasons = vec![("no number".to_owned(), 5)];
        Ok(RefusedRows { rows: (after..end).map(row).collect(), next, total: 5, reasons })
    })
}

fn get(serving: &Serving, path: &str, token: &str) -> (u16, Value) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let url = format!("http://{}{path}", serving.address());
    let get = ureq::Agent::new_with_config(config).get(url);
    let mut answer = get.header("authorization", format!("Bearer {token}")).call().unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap())
}

#[test]
fn pages_of_refused_rows() {
    let serving = server().serve("127.0.0.1:0").unwrap();
    let (mut lines, mut after) = (Vec::new(), String::new());
    loop {
        let (status, page) = get(&serving, &format!("/api/refused?limit=2{after}"), "");
        assert_eq!((status, &page["total"]), (200, &Value::from(5)), "{page}");
        assert_eq!(page["reasons"][0]["rows"], 5);
        lines.extend(
            page["rows"].as_array().unwrap().iter().map(|row| row["line"].as_u64().unwrap()),
        );
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(lines, [0, 1, 2, 3, 4]);
    for wrong in ["after=6", "after=x", "limit=0", "limit=1001", "from=2024-05-01"] {
        let (status, error) = get(&serving, &format!("/api/refused?{wrong}"), "");
        assert_eq!(
            (status, &error["error"]["code"]),
            (400, &Value::from("bad_parameter")),
            "{wrong}"
        );
    }
}

#[test]
fn refused_rows_are_for_admins_where_others_may_ask() {
    let status = |server: Server, address: &str, token: &str| {
        let serving = server.serve(address).unwrap();
        let port = serving.address().port();
        let local = format!("http://127.0.0.1:{port}/api/refused");
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let get = ureq::Agent::new_with_config(config).get(local);
        get.header("authorization", format!("Bearer {token}")).call().unwrap().status().as_u16()
    };
    let with = |role| server().token_of(role, "t").token_of(Role::Admin, "a");
    let (loopback, everywhere) = ("127.0.0.1:0", "0.0.0.0:0");
    assert_eq!(status(server(), loopback, ""), 200);
    assert_eq!(status(server(), everywhere, ""), 403);
    assert_eq!(status(with(Role::Push), loopback, ""), 200);
    for address in [loopback, everywhere] {
        assert_eq!(status(with(Role::Read), address, "t"), 403, "{address}");
        assert_eq!(status(with(Role::Read), address, "a"), 200, "{address}");
        assert_eq!(status(with(Role::Read), address, ""), 401, "{address}");
    }
    assert_eq!(status(Server::new("test"), loopback, ""), 404);
}
