//! The routes of Iceberg's REST protocol that only read.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::answer::{Refusal, json as answered};
use super::namespaces::Namespaces;
use super::tables::{metadata_of, names_of};

/// The number of names in an answer: the default, and the maximum.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;

/// The endpoints that clients may use, as the protocol names them.
const ENDPOINTS: [&str; 6] = [
    "GET /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
];

type Shared = State<Arc<Namespaces>>;
type Found<T> = Result<Path<T>, PathRejection>;

pub(super) fn router(catalog: Arc<Namespaces>) -> Router {
    Router::new()
        .route("/v1/config", get(config))
        .route("/v1/namespaces", get(namespaces))
        .route("/v1/namespaces/{namespace}", get(namespace).head(namespace_exists))
        .route("/v1/namespaces/{namespace}/tables", get(tables))
        .route("/v1/namespaces/{namespace}/tables/{table}", get(table).head(table_exists))
        .fallback(nothing)
        .method_not_allowed_fallback(|| async { Refusal::read_only() })
        .with_state(catalog)
}

async fn nothing(uri: Uri) -> Refusal {
    Refusal::nothing_at(uri.path())
}

/// Accepts any warehouse that a client names.
async fn config() -> Response {
    answered(&json!({ "defaults": {}, "overrides": {}, "endpoints": ENDPOINTS }))
}

async fn namespaces(
    State(catalog): Shared,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let query = Query(query.as_deref());
    // Namespaces have no child namespaces.
    let names: Vec<String> = match query.get("parent").filter(|parent| !parent.is_empty()) {
        Some(parent) => catalog.lake(&parent).map(|_| Vec::new())?,
        None => catalog.lakes.keys().cloned().collect(),
    };
    let (names, next) = query.page(names)?;
    let names: Vec<[String; 1]> = names.into_iter().map(|name| [name]).collect();
    Ok(answered(&json!({ "namespaces": names, "next-page-token": next })))
}

async fn namespace(
    State(catalog): Shared,
    path: Found<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let name = found(path, &uri)?;
    let location = catalog.lake(&name)?.place().url();
    Ok(answered(&json!({ "namespace": [name], "properties": { "location": location } })))
}

async fn namespace_exists(
    State(catalog): Shared,
    path: Found<String>,
    uri: Uri,
) -> Result<StatusCode, Refusal> {
    catalog.lake(&found(path, &uri)?)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn tables(
    State(catalog): Shared,
    path: Found<String>,
    RawQuery(query): RawQuery,
    uri: Uri,
) -> Result<Response, Refusal> {
    let namespace = found(path, &uri)?;
    let lake = catalog.lake(&namespace)?;
    let names = catalog.within(names_of(lake.place())).await?;
    let (names, next) = Query(query.as_deref()).page(names)?;
    let identifier = |name: String| json!({ "namespace": [namespace], "name": name });
    let identifiers: Vec<Value> = names.into_iter().map(identifier).collect();
    Ok(answered(&json!({ "identifiers": identifiers, "next-page-token": next })))
}

async fn table(
    State(catalog): Shared,
    path: Found<(String, String)>,
    RawQuery(query): RawQuery,
    uri: Uri,
) -> Result<Response, Refusal> {
    let (namespace, table) = found(path, &uri)?;
    let lake = catalog.lake(&namespace)?;
    let found = catalog.within(metadata_of(lake.place(), &table)).await?;
    let (location, mut metadata) = found.ok_or_else(|| Refusal::no_table(&namespace, &table))?;
    match Query(query.as_deref()).get("snapshots").as_deref() {
        None | Some("" | "all") => {}
        Some("refs") => keep_named(&mut metadata),
        Some(other) => {
            let message = format!("snapshots: '{other}' is not known: expected all or refs");
            return Err(Refusal::parameter(message));
        }
    }
    Ok(answered(&json!({ "metadata-location": location, "metadata": metadata, "config": {} })))
}

async fn table_exists(
    State(catalog): Shared,
    path: Found<(String, String)>,
    uri: Uri,
) -> Result<StatusCode, Refusal> {
    let (namespace, table) = found(path, &uri)?;
    let lake = catalog.lake(&namespace)?;
    let found = catalog.within(metadata_of(lake.place(), &table)).await?;
    found.map(|_| StatusCode::NO_CONTENT).ok_or_else(|| Refusal::no_table(&namespace, &table))
}

/// The names in a path. A path that is not UTF-8 names nothing.
fn found<T>(path: Found<T>, uri: &Uri) -> Result<T, Refusal> {
    path.map(|Path(names)| names).map_err(|_| Refusal::nothing_at(uri.path()))
}

/// Keeps only those snapshots of a table that a branch or a tag names.
fn keep_named(metadata: &mut Value) {
    let refs = metadata["refs"].as_object().into_iter().flat_map(|refs| refs.values());
    let named: Vec<Value> = refs.map(|of| of["snapshot-id"].clone()).collect();
    if let Some(snapshots) = metadata["snapshots"].as_array_mut() {
        snapshots.retain(|snapshot| named.contains(&snapshot["snapshot-id"]));
    }
}

/// The parameters of a request. Clients send some that have no meaning here.
struct Query<'a>(Option<&'a str>);

impl Query<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut pairs = url::form_urlencoded::parse(self.0.unwrap_or_default().as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A page of names in order, and the token of the next one. A client that sends no token gets all names at once.
    fn page(&self, mut names: Vec<String>) -> Result<(Vec<String>, Option<String>), Refusal> {
        names.sort();
        let Some(token) = self.get("pageToken") else { return Ok((names, None)) };
        let size = match self.get("pageSize") {
            None => PAGE,
            Some(size) => match size.parse::<usize>() {
                Ok(size) if size > 0 => size.min(PAGE_MAX),
                _ => {
                    let message = format!(
                        "pageSize: '{size}' is no size: expected a number from 1 to {PAGE_MAX}"
                    );
                    return Err(Refusal::parameter(message));
                }
            },
        };
        // The token is the last name of the page before; every name comes after the empty one.
        let mut rest: Vec<String> = names.into_iter().filter(|name| **name > *token).collect();
        let next = (rest.len() > size).then(|| rest[size - 1].clone());
        rest.truncate(size);
        Ok((rest, next))
    }
}
