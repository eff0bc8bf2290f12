//! The way to the API: a kubeconfig, found as kubectl finds it, or the service account of the pod that this runs in.
//!
//! Nothing of a kubeconfig but paths and names of contexts is ever told: tokens and keys stand in it, and what plugins print are tokens.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use coffer_engine::one_line;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::failure::KubernetesError;

const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A credential plugin may ask a person to log in.
const OPEN_MAX: Duration = Duration::from_secs(120);

/// An API server.
pub(super) struct Cluster {
    pub(super) client: Client,
    /// Where it is, for people.
    pub(super) server: String,
}

/// Opens the kubeconfig's current context, or this one. Connects to nothing yet.
pub(super) async fn open(context: Option<String>) -> Result<Cluster, KubernetesError> {
    let (sender, receiver) = oneshot::channel();
    let runtime = Handle::current();
    // A credential plugin runs in here and may never end: on a thread of its own it holds nothing up.
    let work = move || {
        // Who waited may have given up.
        drop(sender.send(runtime.block_on(client(context))));
    };
    std::thread::Builder::new().name("kubeconfig".into()).spawn(work).map_err(|error| {
        KubernetesError::kubeconfig(format!("a thread to read it cannot be started: {error}"))
    })?;
    match tokio::time::timeout(OPEN_MAX, receiver).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(_)) => Err(KubernetesError::kubeconfig("reading it broke off")),
        Err(_) => {
            let limit = OPEN_MAX.as_secs();
            Err(KubernetesError::kubeconfig(format!("its credential plugin did not end within {limit} s")))
        }
    }
}

async fn client(context: Option<String>) -> Result<Cluster, KubernetesError> {
    let mut config = match kubeconfig()? {
        Some(kubeconfig) => {
            let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| wrong(&error))?
        }
        None => of_this_pod(context.is_some())?,
    };
    config.connect_timeout = Some(CONNECT_MAX);
    let url = &config.cluster_url;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let server = format!("{}://{}{port}", url.scheme_str().unwrap_or("http"), url.host().unwrap_or_default());
    // kube's client takes the process's provider, and two are built in. The one that is there already is as good.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::try_from(config).map_err(|error| KubernetesError::from_client(&server, &error))?;
    Ok(Cluster { client, server })
}

/// All files of `KUBECONFIG`, or `~/.kube/config`; `None` where there is neither.
fn kubeconfig() -> Result<Option<Kubeconfig>, KubernetesError> {
    let is_there = |path: &PathBuf| path.try_exists().unwrap_or(true);
    let named: Vec<PathBuf> = env::var_os("KUBECONFIG")
        .map(|paths| env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect())
        .unwrap_or_default();
    if named.is_empty() {
        let own = env::home_dir().map(|home| home.join(".kube/config")).filter(is_there);
        return own.map(Kubeconfig::read_from).transpose().map_err(|error| wrong(&error));
    }
    // As kubectl does: files that are not there are left out.
    let found: Vec<&PathBuf> = named.iter().filter(|path| is_there(path)).collect();
    if found.is_empty() {
        let named: Vec<String> = named.iter().map(|path| path.display().to_string()).collect();
        return Err(KubernetesError::kubeconfig(format!(
            "KUBECONFIG names {}: there is no such file",
            named.join(", ")
        )));
    }
    let merged = found
        .into_iter()
        .try_fold(Kubeconfig::default(), |merged, path| merged.merge(Kubeconfig::read_from(path)?));
    merged.map(Some).map_err(|error| wrong(&error))
}

fn of_this_pod(wants_context: bool) -> Result<Config, KubernetesError> {
    if env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        return Err(KubernetesError::kubeconfig(
            "there is none: no KUBECONFIG, no ~/.kube/config, and this is no pod with a service account",
        ));
    }
    if wants_context {
        return Err(KubernetesError::kubeconfig("--context needs one, and a pod's service account has none"));
    }
    Config::incluster().map_err(|error| {
        KubernetesError::kubeconfig(format!(
            "this pod's service account cannot be used: {}",
            one_line(&error)
        ))
    })
}

fn wrong(error: &KubeconfigError) -> KubernetesError {
    KubernetesError::kubeconfig(match error {
        KubeconfigError::CurrentContextNotSet => "it has no current context; give --context NAME".to_owned(),
        KubeconfigError::LoadContext(name) => format!("it has no context {name}"),
        KubeconfigError::LoadClusterOfContext(name) => {
            format!("the context's cluster {name} is not in it")
        }
        KubeconfigError::ReadConfig(error, path) => format!("cannot read {}: {error}", path.display()),
        // The parser quotes the lines that it stumbles over.
        KubeconfigError::Parse(_) => "it is not YAML as kubectl writes it".to_owned(),
        other => one_line(other),
    })
}
