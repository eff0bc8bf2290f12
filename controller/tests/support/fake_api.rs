//! A Kubernetes API in memory, for tests of what reads and writes through it: get, list (pages, selectors, metadata only), watch, create, replace,
//! merge patch, server-side apply, `status` and `scale`, delete with finalizers, conflicts, and faults on demand.
//!
//! What it leaves out: schemas, defaults and admission (the real server's, in the cluster's tests), existence of namespaces, collection of garbage,
//! strategic and JSON patch (refused). Every object has a status of its own, as Coffer's kinds do.

mod address;
mod faults;
mod merge;
mod objects;
mod refusal;
mod respond;
mod selector;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use http::Request;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::sync::watch;

use self::address::Address;
use self::faults::Faults;
use self::objects::{Objects, Write};

/// What was asked, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
}

/// A Kubernetes API in memory. Clones are the same one.
#[derive(Clone)]
pub(crate) struct FakeApi {
    objects: Arc<Mutex<Objects>>,
    faults: Arc<Mutex<Faults>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    revision: watch::Sender<u64>,
}

impl FakeApi {
    /// Without any object.
    pub(crate) fn new() -> FakeApi {
        FakeApi {
            objects: Arc::default(),
            faults: Arc::default(),
            asked: Arc::default(),
            revision: watch::channel(0).0,
        }
    }

    /// A client of it. Needs a runtime.
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Puts an object there with its status, as another writer would. `path` is the collection's, such as `/api/v1/namespaces/shop/pods`.
    pub(crate) fn put(&self, path: &str, object: Value) -> Value {
        let address = Address::parse(path).expect("a path of the API");
        let put = self.objects().create(&address, object).expect("an object that is not there yet");
        self.announce();
        put
    }

    /// Replaces an object as another writer would.
    pub(crate) fn replace(&self, path: &str, object: Value) {
        let address = Address::parse(path).expect("a path of the API");
        self.objects().write(&address, &object, Write::Replace).expect("an object that is there");
        self.announce();
    }

    /// Sets an object's status as another writer would.
    pub(crate) fn set_status(&self, path: &str, status: Value) {
        let address = Address::parse(&format!("{path}/status")).expect("a path of the API");
        let body = serde_json::json!({ "status": status });
        self.objects().write(&address, &body, Write::Merge).expect("an object that is there");
        self.announce();
    }

    /// As `replace`, but watches that run learn only that they are too old, as after a long silence.
    pub(crate) fn replace_unseen(&self, path: &str, object: Value) {
        let address = Address::parse(path).expect("a path of the API");
        let mut objects = self.objects();
        objects.write(&address, &object, Write::Replace).expect("an object that is there");
        objects.compact();
        drop(objects);
        self.announce();
    }

    /// Deletes an object as another writer would.
    pub(crate) fn remove(&self, path: &str) {
        let address = Address::parse(path).expect("a path of the API");
        self.objects().delete(&address, None).expect("an object that is there");
        self.announce();
    }

    /// An object as it is now, such as `/api/v1/namespaces/shop/pods/one`.
    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.objects().get(&Address::parse(path).expect("a path of the API")).ok()
    }

    /// All objects of a collection, of all namespaces.
    pub(crate) fn all(&self, path: &str) -> Vec<Value> {
        let address = Address::parse(path).expect("a path of the API");
        self.objects().all(&address.collection).cloned().collect()
    }

    /// From now on, requests of this method whose path holds `fragment` are refused with `code`, `times` times.
    pub(crate) fn refuse(&self, method: &str, fragment: &str, code: u16, times: usize) {
        self.faults().refuse(method, fragment, code, times);
    }

    /// Lets `count` more writes through and refuses every later one: a process that is killed between two of them.
    pub(crate) fn allow_writes(&self, count: usize) {
        self.faults().allow_writes(Some(count));
    }

    /// All writes go through again.
    pub(crate) fn allow_all_writes(&self) {
        self.faults().allow_writes(None);
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no holder panicked").clone()
    }

    /// What was asked so far and may change something.
    pub(crate) fn writes(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.method != "GET").collect()
    }

    fn announce(&self) {
        let revision = self.objects().revision();
        self.revision.send_replace(revision);
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().expect("no holder panicked")
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("no holder panicked")
    }
}
