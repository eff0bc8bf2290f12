//! HTTP's side of the API: requests -> operations -> answers.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::{Method, Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};

use super::address::{Address, query};
use super::objects::{Change, Write};
use super::refusal::Refusal;
use super::selector::Selector;
use super::{Asked, FakeApi};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Query = BTreeMap<String, String>;

impl FakeApi {
    pub(super) async fn answer(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
        self.asked
            .lock()
            .expect("no holder panicked")
            .push(Asked { method: method.clone(), path: path.clone() });
        let body = body.collect_bytes().await.expect("requests lie in memory");
        if let Err(refusal) = self.faults().strike(&method, &path) {
            return refused(&refusal);
        }
        let Some(address) = Address::parse(&path) else { return refused(&Refusal::not_found(&path)) };
        let query = query(parts.uri.query().unwrap_or_default());
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_metadata = header(header::ACCEPT).contains("as=PartialObjectMetadata");
        let content = header(header::CONTENT_TYPE);
        let answer = match (&parts.method, &address.name) {
            (&Method::GET, None) if query.get("watch").is_some_and(|watch| watch == "true") => {
                return self.watch(&address, &query, is_metadata);
            }
            (&Method::GET, None) => Ok(self.list(&address, &query, is_metadata)),
            (&Method::GET, Some(_)) => self.objects().get(&address).map(|object| shown(object, is_metadata)),
            (&Method::DELETE, Some(_)) => {
                let options: Value = serde_json::from_slice(&body).unwrap_or_default();
                self.objects().delete(&address, options["preconditions"]["uid"].as_str())
            }
            _ => serde_json::from_slice(&body)
                .map_err(|error| Refusal::bad(error.to_string()))
                .and_then(|body| self.write(&parts.method, &address, body, &query, content)),
        };
        self.announce();
        let answer = answer.map(|object| as_asked(&address, object));
        answer.map_or_else(|refusal| refused(&refusal), |object| response(200, &object))
    }

    fn write(
        &self,
        method: &Method,
        address: &Address,
        mut body: Value,
        query: &Query,
        content: &str,
    ) -> Result<Value, Refusal> {
        let manager = query.get("fieldManager").map_or("", String::as_str);
        let way = match (method, content) {
            (&Method::POST, _) if address.name.is_none() => {
                if let Some(fields) = body.as_object_mut() {
                    fields.remove("status");
                }
                return self.objects().create(address, body);
            }
            (&Method::PUT, _) => Write::Replace,
            (&Method::PATCH, "application/merge-patch+json") => Write::Merge,
            (&Method::PATCH, "application/apply-patch+yaml") if manager.is_empty() => {
                return Err(Refusal::bad("fieldManager is required for apply patch"));
            }
            (&Method::PATCH, "application/apply-patch+yaml") => {
                Write::Apply { manager, is_forced: query.get("force").is_some_and(|force| force == "true") }
            }
            (&Method::PATCH, other) => {
                return Err(Refusal::new(
                    415,
                    "UnsupportedMediaType",
                    format!("no patch of kind {other} here"),
                ));
            }
            _ => return Err(Refusal::new(405, "MethodNotAllowed", format!("{method} is not served here"))),
        };
        self.objects().write(address, &body, way)
    }

    fn list(&self, address: &Address, query: &Query, is_metadata: bool) -> Value {
        let selector = Selector::new(address.namespace.clone(), query);
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
        let (skipped, limit) = (number("continue").unwrap_or(0), number("limit").unwrap_or(0));
        let limit = if limit == 0 { usize::MAX } else { limit };
        let objects = self.objects();
        let mut rest =
            objects.all(&address.collection).filter(|object| selector.matches(object)).skip(skipped);
        let item = |object: &Value| {
            let mut object = shown(object.clone(), is_metadata);
            if address.collection.is_built_in()
                && !is_metadata
                && let Some(fields) = object.as_object_mut()
            {
                fields.remove("apiVersion");
                fields.remove("kind");
            }
            object
        };
        let items: Vec<Value> = rest.by_ref().take(limit).map(item).collect();
        let mut metadata = json!({ "resourceVersion": objects.revision().to_string() });
        if rest.next().is_some() {
            metadata["continue"] = json!((skipped + items.len()).to_string());
        }
        let api_version =
            if is_metadata { "meta.k8s.io/v1".into() } else { address.collection.api_version() };
        let kind = if is_metadata { "PartialObjectMetadataList" } else { "List" };
        json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata, "items": items })
    }

    /// Tells of changes for ever; `timeoutSeconds` is not kept.
    fn watch(&self, address: &Address, query: &Query, is_metadata: bool) -> Answer {
        let selector = Selector::new(address.namespace.clone(), query);
        let from = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
        let (api, collection) = (self.clone(), address.collection.clone());
        let moved = self.revision.subscribe();
        let lines = stream::unfold(Some((from, moved)), move |state| {
            let (api, collection, selector) = (api.clone(), collection.clone(), selector.clone());
            async move {
                let (mut seen, mut moved) = state?;
                loop {
                    moved.mark_unchanged();
                    let (revision, changes) = {
                        let objects = api.objects();
                        (objects.revision(), objects.changes_after(seen))
                    };
                    let Ok(changes) = changes else { return Some((expired(seen), None)) };
                    let of_collection = changes.iter().filter(|change| change.collection == collection);
                    let lines: Vec<String> =
                        of_collection.filter_map(|change| line(change, &selector, is_metadata)).collect();
                    if !lines.is_empty() {
                        return Some((lines.concat(), Some((revision, moved))));
                    }
                    seen = revision;
                    moved.changed().await.ok()?;
                }
            }
        });
        let frames = lines.map(|line| Ok::<_, Infallible>(Frame::data(Bytes::from(line))));
        Response::new(StreamBody::new(frames).boxed_unsync())
    }
}

/// One event as a selector sees it: an object that begins to match is new, one that ends to match is gone.
fn line(change: &Change, selector: &Selector, is_metadata: bool) -> Option<String> {
    let before = change.before.as_ref().filter(|object| selector.matches(object));
    let after = change.after.as_ref().filter(|object| selector.matches(object));
    let (kind, object) = match (before, after) {
        (None, Some(after)) => ("ADDED", after.clone()),
        (Some(_), Some(after)) => ("MODIFIED", after.clone()),
        (Some(before), None) => ("DELETED", change.after.clone().unwrap_or_else(|| before.clone())),
        (None, None) => return None,
    };
    Some(format!("{}\n", json!({ "type": kind, "object": shown(object, is_metadata) })))
}

fn expired(revision: u64) -> String {
    let refusal = Refusal::new(410, "Expired", format!("too old resource version: {revision}"));
    format!("{}\n", json!({ "type": "ERROR", "object": refusal.status() }))
}

/// The whole object, or its metadata only.
fn shown(object: Value, is_metadata: bool) -> Value {
    if !is_metadata {
        return object;
    }
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"],
    })
}

/// `scale` shows the replicas of a workload only.
fn as_asked(address: &Address, object: Value) -> Value {
    if address.subresource.as_deref() != Some("scale") {
        return object;
    }
    let replicas = object["spec"]["replicas"].clone();
    let status = json!({ "replicas": replicas });
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": object["metadata"],
        "spec": { "replicas": replicas }, "status": status,
    })
}

fn refused(refusal: &Refusal) -> Answer {
    response(refusal.code, &refusal.status())
}

fn response(code: u16, body: &Value) -> Answer {
    let builder = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    let body = Full::new(Bytes::from(body.to_string())).boxed_unsync();
    builder.body(body).expect("status codes are our own")
}
