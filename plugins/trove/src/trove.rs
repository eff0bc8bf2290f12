//! Trove's calls, as far as this plugin makes them. Addresses come from ids alone: an `href` of an answer is never followed.

use std::collections::BTreeMap;

use coffer_plugin_sdk::{Failure, Reason};
use hyper::Method;
use serde_json::{Value, json};
use url::Url;

use crate::http::{Answer, Http, NoAnswer};
use crate::keystone::{Access, Keystone};

/// Most pages of a list.
const PAGES_MAX: usize = 10_000;
/// Most entries of a list.
const ENTRIES_MAX: usize = 100_000;

/// How a call failed.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The server said no.
    Refused {
        /// Status of HTTP.
        status: u16,
        /// For the caller.
        failure: Failure,
    },
    /// Nobody knows whether it was done.
    Ambiguous(Failure),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { failure, .. } | CallError::Ambiguous(failure) => failure,
        }
    }
}

impl CallError {
    fn is_not_found(&self) -> bool {
        matches!(self, CallError::Refused { status: 404, .. })
    }
}

impl From<NoAnswer> for CallError {
    fn from(error: NoAnswer) -> Self {
        CallError::Ambiguous(error.into())
    }
}

/// The cloud's Trove, as one identity sees it.
pub(crate) struct Trove {
    pub(crate) http: Http,
    pub(crate) keystone: Keystone,
}

impl Trove {
    /// Whose token this is.
    pub(crate) async fn access(&self) -> Result<Access, Failure> {
        self.keystone.access(&self.http).await
    }

    /// An instance; `None` where there is none, also where it is another project's.
    pub(crate) async fn instance(&self, id: &str) -> Result<Option<Value>, Failure> {
        self.one("instance", &["instances", id]).await
    }

    /// A backup, as above.
    pub(crate) async fn backup(&self, id: &str) -> Result<Option<Value>, Failure> {
        self.one("backup", &["backups", id]).await
    }

    /// All instances of the project.
    pub(crate) async fn instances(&self) -> Result<Vec<Value>, Failure> {
        self.all("instances", &[]).await
    }

    /// All backups of an instance that the project has.
    pub(crate) async fn backups(&self, instance: Option<&str>) -> Result<Vec<Value>, Failure> {
        match instance {
            Some(instance) => self.all("backups", &[("instance_id", instance)]).await,
            None => self.all("backups", &[]).await,
        }
    }

    /// Begins a backup.
    pub(crate) async fn create_backup(&self, backup: Value) -> Result<Value, CallError> {
        let answer = self.call(Method::POST, &["backups"], &[], Some(&json!({ "backup": backup }))).await?;
        created(&answer, "backup")
    }

    /// Begins an instance.
    pub(crate) async fn create_instance(&self, instance: Value) -> Result<Value, CallError> {
        let answer =
            self.call(Method::POST, &["instances"], &[], Some(&json!({ "instance": instance }))).await?;
        created(&answer, "instance")
    }

    /// Begins to delete a backup. Trove deletes all that build on it, so the caller looks for those first.
    pub(crate) async fn delete_backup(&self, id: &str) -> Result<(), Failure> {
        match self.call(Method::DELETE, &["backups", id], &[], None).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn one(&self, kind: &str, path: &[&str]) -> Result<Option<Value>, Failure> {
        match self.call(Method::GET, path, &[], None).await {
            Ok(answer) => {
                let found =
                    answer.body.get(kind).filter(|found| found["id"].as_str() == path.last().copied());
                let broken = || {
                    Failure::new(
                        Reason::Unreachable,
                        format!("Trove's answer has not the {kind} that was asked for"),
                    )
                };
                found.cloned().ok_or_else(broken).map(Some)
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All pages of a list. Pages shift while they are read, so entries are told apart by id.
    async fn all(&self, kind: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, Failure> {
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        let mut marker: Option<String> = None;
        let broken =
            |detail: &str| Failure::new(Reason::Unreachable, format!("Trove's list of {kind} {detail}"));
        for _ in 0..PAGES_MAX {
            let mut query = query.to_vec();
            query.extend(marker.as_deref().map(|marker| ("marker", marker)));
            let answer = self.call(Method::GET, &[kind], &query, None).await?;
            let entries = answer.body[kind].as_array().ok_or_else(|| broken("is none"))?;
            for entry in entries {
                let id = entry["id"].as_str().ok_or_else(|| broken("has an entry without id"))?;
                found.insert(id.to_owned(), entry.clone());
            }
            if found.len() > ENTRIES_MAX {
                return Err(broken("has more than 100000 entries"));
            }
            let next = next_marker(&answer.body);
            match next {
                None => return Ok(found.into_values().collect()),
                Some(next) if marker.as_ref() == Some(&next) => return Err(broken("has no end")),
                Some(next) => marker = Some(next),
            }
        }
        Err(broken("has no end"))
    }

    /// One call; a token that is refused is replaced once.
    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, CallError> {
        let access = |failure| CallError::Refused { status: 0, failure };
        let first = self.access().await.map_err(access)?;
        let answer = self.send(&first, method.clone(), path, query, body).await?;
        let answer = if answer.status.as_u16() == 401 {
            self.keystone.refused(&first.token).await;
            let second = self.access().await.map_err(access)?;
            self.send(&second, method, path, query, body).await?
        } else {
            answer
        };
        if answer.status.is_success() { Ok(answer) } else { Err(refusal(path, &answer)) }
    }

    async fn send(
        &self,
        access: &Access,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, NoAnswer> {
        let mut url = access.trove.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http.send(method, &url, Some(&access.token), body).await
    }
}

/// The marker in the address of the next page; the address itself is not used.
fn next_marker(body: &Value) -> Option<String> {
    let links = body["links"].as_array()?;
    let next = links.iter().find(|link| link["rel"] == "next")?["href"].as_str()?;
    let url = Url::parse(next)
        .or_else(|_| Url::parse("http://trove.invalid").and_then(|base| base.join(next)))
        .ok()?;
    let marker = url.query_pairs().find(|(name, _)| name == "marker").map(|(_, marker)| marker.into_owned());
    marker.filter(|marker| !marker.is_empty())
}

fn created(answer: &Answer, kind: &str) -> Result<Value, CallError> {
    let made = answer.body.get(kind).filter(|made| made["id"].as_str().is_some_and(|id| !id.is_empty()));
    let broken =
        || CallError::Ambiguous(Failure::new(Reason::Unreachable, format!("Trove's answer has no {kind}")));
    made.cloned().ok_or_else(broken)
}

/// What a status other than success means.
fn refusal(path: &[&str], answer: &Answer) -> CallError {
    let status = answer.status.as_u16();
    let fault = answer.body.as_object().and_then(|body| body.values().next());
    let said = fault.and_then(|fault| fault["message"].as_str()).unwrap_or_default();
    let said: String = said.chars().filter(|letter| !letter.is_control()).take(300).collect();
    let text = format!("Trove answers {status} for {}: {said}", path.join("/"));
    let reason = match status {
        400 => Reason::Invalid,
        401 | 403 => Reason::Denied,
        404 => Reason::NotFound,
        409 | 422 => Reason::NotReady,
        413 | 429 => Reason::Quota,
        500.. => return CallError::Ambiguous(Failure::new(Reason::Unreachable, text)),
        _ => Reason::Failed,
    };
    CallError::Refused { status, failure: Failure::new(reason, text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marker_of_a_next_page_is_taken() {
        let check = |href: &str, marker: Option<&str>| {
            let body = json!({"links": [{"rel": "self", "href": "x"}, {"rel": "next", "href": href}]});
            assert_eq!(next_marker(&body).as_deref(), marker, "{href}");
        };
        check("https://evil.example/v1.0/p/backups?limit=20&marker=20", Some("20"));
        check("/v1.0/p/backups?marker=a%20b", Some("a b"));
        check("https://evil.example/v1.0/p/backups", None);
        check("https://evil.example/?marker=", None);
        assert_eq!(next_marker(&json!({})), None);
    }
}
