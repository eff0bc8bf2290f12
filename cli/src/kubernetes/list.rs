//! Lists from the API, page by page. Every page has a limit of objects, of bytes and of time, and so has the number of pages.

use std::collections::BTreeSet;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use kube::core::Request;
use kube::core::params::ListParams;

use super::access::{self, Cluster};
use super::facts::Facts;
use super::failure::KubernetesError;
use super::wire::{Item, List, Status, WirePod, WireVolume};

/// Objects of one page.
const PAGE: u32 = 500;
/// Pages of one list: three times the pods that Kubernetes itself is made for.
const PAGES_MAX: usize = 1000;
/// Bytes of one page; an object has at most 1.5 MiB, and few have more than 20 KiB.
const PAGE_BYTES_MAX: usize = 64 << 20;
/// No page takes longer.
const CALL_MAX: Duration = Duration::from_secs(30);
/// How often a list whose next page was forgotten by the server is begun.
const BEGINNINGS: u32 = 3;
/// The server has forgotten which page comes next.
const GONE: u16 = 410;

/// Reads PersistentVolumes, and the pods of these nodes, with the kubeconfig's current context or the one that is given.
pub(crate) async fn read(context: Option<String>, nodes: BTreeSet<String>) -> Result<Facts, KubernetesError> {
    let cluster = access::open(context).await?;
    let volumes = list::<WireVolume>(&cluster, None).await?;
    let mut pods = Vec::new();
    for node in nodes.iter().filter(|node| is_node_name(node)) {
        pods.extend(list::<WirePod>(&cluster, Some(&format!("spec.nodeName={node}"))).await?);
    }
    Ok(Facts { volumes, pods })
}

/// Whether Kubernetes could call a node so. Other words might mean something in a selector.
fn is_node_name(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    (1..=253).contains(&name.len()) && name.bytes().all(allowed)
}

async fn list<T: Item>(cluster: &Cluster, selector: Option<&str>) -> Result<Vec<T::Fact>, KubernetesError> {
    for _ in 0..BEGINNINGS {
        if let Some(found) = pages::<T>(cluster, selector).await? {
            return Ok(found);
        }
    }
    let words = "the list changes faster than it can be read";
    Err(KubernetesError::from_status(&cluster.server, T::RESOURCE, 503, words))
}

/// All pages; `None` where the server has forgotten how to go on.
async fn pages<T: Item>(
    cluster: &Cluster,
    selector: Option<&str>,
) -> Result<Option<Vec<T::Fact>>, KubernetesError> {
    let (mut found, mut next) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let mut wish = ListParams::default().limit(PAGE);
        wish.field_selector = selector.map(str::to_owned);
        wish.continue_token = Some(next.clone()).filter(|next| !next.is_empty());
        let late = |_| KubernetesError::late(&cluster.server, T::RESOURCE, CALL_MAX.as_secs());
        let (code, bytes) =
            tokio::time::timeout(CALL_MAX, call::<T>(cluster, &wish)).await.map_err(late)??;
        if code == GONE && !next.is_empty() {
            return Ok(None);
        }
        let page: List<T> = decode(cluster, code, &bytes)?;
        found.extend(page.items.into_iter().flatten().filter_map(T::fact));
        next = page.metadata.next;
        if next.is_empty() {
            return Ok(Some(found));
        }
    }
    Err(KubernetesError::odd(&cluster.server, T::RESOURCE, &format!("more than {PAGES_MAX} pages")))
}

async fn call<T: Item>(cluster: &Cluster, wish: &ListParams) -> Result<(u16, Vec<u8>), KubernetesError> {
    let odd = |what: String| KubernetesError::odd(&cluster.server, T::RESOURCE, &what);
    let request = Request::new(format!("/api/v1/{}", T::RESOURCE))
        .list(wish)
        .map_err(|error| odd(error.to_string()))?;
    let answer = cluster
        .client
        .send(request.map(Body::from))
        .await
        .map_err(|error| KubernetesError::from_call(&cluster.server, T::RESOURCE, &error))?;
    let code = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), PAGE_BYTES_MAX).collect().await;
    let bytes = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return odd(format!("it has more than {} MiB", PAGE_BYTES_MAX >> 20));
        }
        KubernetesError::cut(&cluster.server, T::RESOURCE, &*error)
    })?;
    Ok((code, bytes.to_bytes().to_vec()))
}

fn decode<T: Item>(cluster: &Cluster, code: u16, bytes: &[u8]) -> Result<List<T>, KubernetesError> {
    let odd = |what: String| KubernetesError::odd(&cluster.server, T::RESOURCE, &what);
    if code != 200 {
        let status: Status = serde_json::from_slice(bytes).unwrap_or_default();
        return Err(KubernetesError::from_status(&cluster.server, T::RESOURCE, code, &status.message));
    }
    let page: List<T> = serde_json::from_slice(bytes).map_err(|error| odd(error.to_string()))?;
    if page.kind != T::LIST_KIND {
        return Err(odd(format!("its kind is {}, not {}", page.kind, T::LIST_KIND)));
    }
    Ok(page)
}
