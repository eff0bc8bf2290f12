//! The Secrets that certificates are kept in.

use std::collections::BTreeMap;

use anyhow::Context;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};

use super::decide::{Found, decide};
use super::make::{Authority, Identity, Role};
use crate::FIELD_MANAGER;
use crate::settings::Settings;

/// Secret with the authority's certificate and key: only the controller reads it.
const AUTHORITY_SECRET: &str = "coffer-ca";
/// Secret that agents mount.
const AGENT_SECRET: &str = "coffer-agent-tls";
/// Secret with the controller's own certificate.
pub const CONTROLLER_SECRET: &str = "coffer-controller-tls";

/// Makes what is missing or old. Agents that trust the old authority trust it until they have read the new one as well: it stays in `ca.crt`.
///
/// # Errors
/// What could not be read or written.
pub async fn ensure(client: &Client, settings: &Settings) -> anyhow::Result<()> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &settings.namespace);
    let read = async |name: &str| api.get_opt(name).await.with_context(|| format!("read Secret {name}"));
    let (authority, agent, controller) =
        (read(AUTHORITY_SECRET).await?, read(AGENT_SECRET).await?, read(CONTROLLER_SECRET).await?);
    let now = jiff::Timestamp::now().as_second();
    let found_authority = text(authority.as_ref(), "ca.crt");
    let first = found_authority.as_deref().and_then(first_certificate);
    let (agent_certificate, controller_certificate) =
        (text(agent.as_ref(), "tls.crt"), text(controller.as_ref(), "tls.crt"));
    let found = Found {
        authority: first.as_deref().filter(|_| text(authority.as_ref(), "ca.key").is_some()),
        agent: agent_certificate.as_deref(),
        controller: controller_certificate.as_deref(),
    };
    let make = decide(&found, now);
    let (signer, trusted) = if make.authority {
        let signer = Authority::make(now)?;
        let trusted = format!("{}{}", signer.certificate, first.unwrap_or_default());
        let data = [("ca.crt", trusted.clone()), ("ca.key", signer.key.clone())];
        write(&api, AUTHORITY_SECRET, "Opaque", data).await?;
        (signer, trusted)
    } else {
        let key = text(authority.as_ref(), "ca.key").unwrap_or_default();
        (Authority { certificate: first.unwrap_or_default(), key }, found_authority.unwrap_or_default())
    };
    if make.agent {
        let identity = signer.issue(&Role::Agent { name: settings.agents.server_name.clone() }, now)?;
        write_identity(&api, AGENT_SECRET, identity, &trusted).await?;
    }
    if make.controller {
        let role = Role::Controller { trust_domain: settings.certificates.trust_domain.clone() };
        write_identity(&api, CONTROLLER_SECRET, signer.issue(&role, now)?, &trusted).await?;
    }
    Ok(())
}

async fn write_identity(
    api: &Api<Secret>,
    name: &str,
    identity: Identity,
    trusted: &str,
) -> anyhow::Result<()> {
    let data = [("tls.crt", identity.certificate), ("tls.key", identity.key), ("ca.crt", trusted.to_owned())];
    write(api, name, "kubernetes.io/tls", data).await
}

async fn write<const N: usize>(
    api: &Api<Secret>,
    name: &str,
    kind: &str,
    data: [(&str, String); N],
) -> anyhow::Result<()> {
    let data: BTreeMap<String, ByteString> =
        data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect();
    let secret = Secret {
        metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
        type_: Some(kind.into()),
        data: Some(data),
        ..Secret::default()
    };
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(name, &apply, &Patch::Apply(&secret)).await.with_context(|| format!("write Secret {name}"))?;
    tracing::info!(secret = name, "certificate made");
    Ok(())
}

fn text(secret: Option<&Secret>, key: &str) -> Option<String> {
    let bytes = secret?.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok().filter(|text| !text.is_empty())
}

/// The newest authority stands first.
fn first_certificate(pem: &str) -> Option<String> {
    const END: &str = "-----END CERTIFICATE-----\n";
    let end = pem.find(END)?;
    pem.get(..end + END.len()).map(str::to_owned)
}
