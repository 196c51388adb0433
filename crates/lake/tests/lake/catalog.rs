//! The catalogue, queried by its clients' requests.

use dayfold_http::{Role, Server, Serving};
use dayfold_lake::{Catalog, Lake, Layout};
use serde_json::{Value, json};

use crate::folder::Folder;
use crate::{block_on, options};

/// A catalogue of a lake with one table that has two snapshots, an empty namespace, and a table in Hive's layout.
struct Served {
    _lake: tempfile::TempDir,
    url: String,
    serving: Serving,
}

fn served(change: impl FnOnce(Server) -> Server) -> Served {
    let mut folder = Folder::new();
    let lake = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", lake.path().display());
    let of =
        |name: &str, layout| Lake::open(&format!("{url}/{name}"), options(layout)).expect("a lake");
    for readings in [[(0, "a", Some("1"))], [(0, "b", Some("2"))]] {
        folder.run(&readings);
        block_on(of("full", Layout::Iceberg).export(folder.path(), "readings")).expect("an export");
    }
    block_on(of("hive", Layout::Hive).export(folder.path(), "readings")).expect("an export");
    let catalog = ["empty", "full", "hive"]
        .into_iter()
        .fold(Catalog::new(), |catalog, name| catalog.namespace(name, of(name, Layout::Iceberg)));
    let server = change(Server::new("lake").catalog(catalog.router()));
    Served { _lake: lake, url, serving: server.serve("127.0.0.1:0").expect("a server") }
}

impl Served {
    /// The status and the JSON of an answer; null if there is none.
    fn ask(&self, method: &str, path: &str, token: Option<&str>) -> (u16, Value) {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}/iceberg{path}", self.serving.address()));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(()).expect("a request");
        let mut answer = ureq::Agent::new_with_config(config).run(request).expect("an answer");
        let body = answer.body_mut().read_to_string().expect("a text");
        let json =
            if body.is_empty() { Value::Null } else { serde_json::from_str(&body).expect("JSON") };
        (answer.status().as_u16(), json)
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, None)
    }
}

#[test]
fn clients_find_tables_by_their_names() {
    let served = served(|server| server);
    let (status, config) = served.get("/v1/config?warehouse=any");
    assert_eq!((status, &config["overrides"]), (200, &json!({})));
    assert!(config["endpoints"].as_array().is_some_and(|of| of.len() == 6), "{config}");

    let all = json!({ "namespaces": [["empty"], ["full"], ["hive"]], "next-page-token": null });
    assert_eq!(served.get("/v1/namespaces"), (200, all));
    let none = json!({ "namespaces": [], "next-page-token": null });
    assert_eq!(served.get("/v1/namespaces?parent=full"), (200, none));
    let location = format!("{}/full", served.url);
    let full = json!({ "namespace": ["full"], "properties": { "location": location } });
    assert_eq!(served.get("/v1/namespaces/full"), (200, full));

    let identifiers = json!([{ "namespace": ["full"], "name": "readings" }]);
    let tables = json!({ "identifiers": identifiers, "next-page-token": null });
    assert_eq!(served.get("/v1/namespaces/full/tables"), (200, tables));
    for without in ["empty", "hive"] {
        let (status, tables) = served.get(&format!("/v1/namespaces/{without}/tables"));
        assert_eq!((status, &tables["identifiers"]), (200, &json!([])), "{without}");
    }

    let (status, table) = served.get("/v1/namespaces/full/tables/readings");
    let location = format!("{location}/readings/metadata/v2.metadata.json");
    assert_eq!((status, table["metadata-location"].as_str()), (200, Some(location.as_str())));
    let on_disk = std::fs::read(location.trim_start_matches("file://")).expect("metadata");
    let on_disk: Value = serde_json::from_slice(&on_disk).expect("JSON");
    assert_eq!(table["metadata"], on_disk);
    let (_, table) = served.get("/v1/namespaces/full/tables/readings?snapshots=refs");
    let snapshots = table["metadata"]["snapshots"].as_array().expect("a list");
    assert_eq!(snapshots.len(), 1);
    assert_eq!(snapshots[0]["snapshot-id"], on_disk["current-snapshot-id"]);

    for path in ["/v1/namespaces/full", "/v1/namespaces/full/tables/readings"] {
        assert_eq!(served.ask("HEAD", path, None), (204, Value::Null), "{path}");
    }
}

#[test]
fn errors_are_those_of_the_protocol() {
    let served = served(|server| server);
    let namespace = "NoSuchNamespaceException";
    let table = "NoSuchTableException";
    for (method, path, status, kind) in [
        ("GET", "/v1/namespaces/none", 404, namespace),
        ("GET", "/v1/namespaces/full%1Freadings", 404, namespace),
        ("GET", "/v1/namespaces?parent=none", 404, namespace),
        ("GET", "/v1/namespaces/none/tables", 404, namespace),
        ("GET", "/v1/namespaces/none/tables/readings", 404, namespace),
        ("GET", "/v1/namespaces/full/tables/none", 404, table),
        ("GET", "/v1/namespaces/hive/tables/readings", 404, table),
        ("GET", "/v1/namespaces/full/tables/..%2Ffull%2Freadings", 404, table),
        ("GET", "/v1/namespaces/%FF", 404, "NotFoundException"),
        ("GET", "/v2", 404, "NotFoundException"),
        ("POST", "/v1/oauth/tokens", 404, "NotFoundException"),
        ("GET", "/v1/namespaces?pageToken=&pageSize=0", 400, "BadRequestException"),
        ("GET", "/v1/namespaces/full/tables/readings?snapshots=some", 400, "BadRequestException"),
        ("POST", "/v1/namespaces", 406, "UnsupportedOperationException"),
        ("DELETE", "/v1/namespaces/full/tables/readings", 406, "UnsupportedOperationException"),
    ] {
        let (found, answer) = served.ask(method, path, None);
        let error = &answer["error"];
        assert_eq!((found, &error["type"]), (status, &json!(kind)), "{method} {path}: {answer}");
        assert_eq!(error["code"], status, "{path}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
    }
    for path in ["/v1/namespaces/none", "/v1/namespaces/full/tables/none"] {
        assert_eq!(served.ask("HEAD", path, None), (404, Value::Null), "{path}");
    }
}

#[test]
fn long_lists_come_in_pages() {
    let served = served(|server| server);
    let page = |token: &str| {
        let (status, page) = served.get(&format!("/v1/namespaces?pageSize=2&pageToken={token}"));
        assert_eq!(status, 200, "{page}");
        (page["namespaces"].clone(), page["next-page-token"].clone())
    };
    assert_eq!(page(""), (json!([["empty"], ["full"]]), json!("full")));
    assert_eq!(page("full"), (json!([["hive"]]), Value::Null));
    assert_eq!(page("hive"), (json!([]), Value::Null));
    // A client that does not know pages gets all names.
    let (_, all) = served.get("/v1/namespaces?pageSize=1");
    assert_eq!(all["namespaces"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_token_to_read_is_needed_where_the_server_has_one() {
    let served = served(|server| server.token_of(Role::Read, "secret").token_of(Role::Push, "p"));
    for token in [None, Some("p"), Some("secre")] {
        let (status, answer) = served.ask("GET", "/v1/config", token);
        assert_eq!((status, &answer["error"]["code"]), (401, &json!(401)), "{token:?}");
        assert_eq!(answer["error"]["type"], "NotAuthorizedException");
    }
    assert_eq!(served.ask("GET", "/v1/config", Some("secret")).0, 200);
}
