//! What went wrong on the way to Kubernetes or there, with what to do next. The API's words are shown without control characters.

use std::error::Error;

use coffer_coordinator::{certificate_error, plain};
use coffer_engine::Advice;
use kube::client::AuthError;

use coffer_engine::one_line;

/// Kubernetes could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct KubernetesError {
    message: String,
    /// A short name of it, as in JSON.
    pub(crate) kind: &'static str,
    /// What to do about it.
    pub(crate) advice: Advice,
    /// The same in words.
    pub(crate) next: String,
}

impl KubernetesError {
    fn new(kind: &'static str, advice: Advice, message: &str, next: impl Into<String>) -> KubernetesError {
        KubernetesError { message: plain(message), kind, advice, next: next.into() }
    }

    /// The kubeconfig, or what stands for it, cannot be used.
    pub(super) fn kubeconfig(message: impl AsRef<str>) -> KubernetesError {
        let message = format!("kubeconfig: {}", message.as_ref());
        let next = "set KUBECONFIG and --context so that `kubectl get persistentvolumes` works";
        KubernetesError::new("kubeconfig", Advice::Configure, &message, next)
    }

    /// No client could be made of a kubeconfig.
    pub(super) fn from_client(server: &str, error: &kube::Error) -> KubernetesError {
        KubernetesError::kubeconfig(match error {
            kube::Error::Auth(error) => auth(error),
            // The address of a proxy may have a password in it.
            kube::Error::ProxyProtocolUnsupported { .. } | kube::Error::ProxyProtocolDisabled { .. } => {
                "its proxy speaks none of http, https and socks5".to_owned()
            }
            other => format!("no client for {server} can be made of it: {}", one_line(other)),
        })
    }

    /// A call brought no answer.
    pub(super) fn from_call(server: &str, resource: &str, error: &kube::Error) -> KubernetesError {
        match error {
            kube::Error::Auth(error) => KubernetesError::kubeconfig(auth(error)),
            kube::Error::Service(cause) => unreachable(server, resource, &**cause),
            kube::Error::HyperError(cause) => unreachable(server, resource, cause),
            other => unreachable(server, resource, other),
        }
    }

    /// An answer began and has no end.
    pub(super) fn cut(server: &str, resource: &str, cause: &(dyn Error + 'static)) -> KubernetesError {
        let cause = one_line(cause);
        let message = format!("list {resource} of Kubernetes: the answer of {server} broke off: {cause}");
        KubernetesError::new("kubernetes-unavailable", Advice::Retry, &message, "run the command again later")
    }

    /// The server refused, with this code and these words.
    pub(super) fn from_status(server: &str, resource: &str, code: u16, words: &str) -> KubernetesError {
        let said = if words.is_empty() { format!("HTTP status {code}") } else { words.to_owned() };
        let (kind, advice, what, next) = match code {
            401 => (
                "unauthenticated",
                Advice::Configure,
                "does not know the caller",
                "check the user of the kubeconfig's context".to_owned(),
            ),
            403 => (
                "permission-denied",
                Advice::Configure,
                "refused",
                format!("the caller needs a ClusterRole with the verb list on the resource {resource}"),
            ),
            429 | 500.. => (
                "kubernetes-unavailable",
                Advice::Retry,
                "cannot answer now",
                "run the command again later".to_owned(),
            ),
            _ => return KubernetesError::odd(server, resource, &said),
        };
        KubernetesError::new(
            kind,
            advice,
            &format!("list {resource} of Kubernetes: {server} {what}: {said}"),
            next,
        )
    }

    /// What came is no answer of Kubernetes.
    pub(super) fn odd(server: &str, resource: &str, what: &str) -> KubernetesError {
        let message = format!("list {resource} of Kubernetes: the answer of {server} cannot be used: {what}");
        let next = "check that the server of the kubeconfig's context is a Kubernetes API server";
        KubernetesError::new("kubernetes-answer", Advice::Configure, &message, next)
    }

    /// Nothing came in time.
    pub(super) fn late(server: &str, resource: &str, limit_s: u64) -> KubernetesError {
        let message = format!("list {resource} of Kubernetes: no answer of {server} within {limit_s} s");
        KubernetesError::new("timeout", Advice::Retry, &message, "run the command again later")
    }
}

fn unreachable(server: &str, resource: &str, cause: &(dyn Error + 'static)) -> KubernetesError {
    let message = format!("list {resource} of Kubernetes: cannot reach {server}: {}", one_line(cause));
    match certificate_error(cause) {
        Some(_) => {
            let next = "check the certificates of the kubeconfig's cluster and user";
            KubernetesError::new("kubernetes-certificate", Advice::Configure, &message, next)
        }
        None => {
            let next = "check the server of the kubeconfig's context, and that it runs";
            KubernetesError::new("kubernetes-unavailable", Advice::Retry, &message, next)
        }
    }
}

/// The library's own words would quote what a plugin printed, and that is a token.
fn auth(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecStart(error) => format!("its credential plugin cannot be started: {error}"),
        AuthError::AuthExecRun { out, .. } => format!("its credential plugin failed: {}", out.status),
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "its credential plugin printed no credential".to_owned()
        }
        AuthError::ReadTokenFile(error, path) => {
            format!("cannot read its token file {}: {error}", path.display())
        }
        _ => "its user's credentials cannot be used".to_owned(),
    }
}
