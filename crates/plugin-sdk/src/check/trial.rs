//! Rules that can be tried on a resource only, by protecting it.

use std::time::Duration;

use coffer_format::ResourceRef;
use coffer_proto::checked::PluginArtefact;
use tokio::sync::mpsc;

use super::reading::must_fail;
use super::report::Report;
use crate::client::{PluginClient, WorkOrder};
use crate::failure::Reason;

/// Most bytes of data that a trial keeps in memory.
const DATA_MAX: usize = 64 << 20;

/// A resource that may be protected, and restored where options for that are given.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The resource.
    pub reference: ResourceRef,
    /// Options of protect.
    pub protect_options: String,
    /// Options of restore; `None` leaves restore out.
    pub restore_options: Option<String>,
    /// A key that nobody used before.
    pub key: String,
    /// How long one call may take.
    pub timeout: Duration,
}

impl Trial {
    fn order(&self, options: &str) -> WorkOrder {
        WorkOrder {
            reference: self.reference.clone(),
            key: self.key.clone(),
            timeout: self.timeout,
            schema_version: String::new(),
            options: options.to_owned(),
        }
    }
}

pub(super) async fn check(client: &PluginClient, trial: &Trial, report: &mut Report) {
    let order = trial.order(&trial.protect_options);
    report.take("release of what is not held succeeds", client.release(&order).await);
    let nothing = trial.order("{}");
    report.take("delete of what was never made succeeds", client.delete(&nothing, None).await);
    report.take("prepare succeeds", client.prepare(&order).await);
    let made = protect(client, &order).await;
    let Some((artefact, data)) = report.take("protect makes an artefact", made) else { return };
    if let Some((again, _)) = report.take("protect with the same key succeeds", protect(client, &order).await)
    {
        let same = again.id == artefact.id;
        report.must("protect with the same key finds what it made", same, || {
            format!("{} and {}", artefact.id, again.id)
        });
    }
    report.take("complete succeeds", client.complete(&order).await);
    report.take("release succeeds", client.release(&order).await);
    report.take("release succeeds a second time", client.release(&order).await);
    report.take("verify finds the artefact", client.verify(&nothing, &artefact).await);
    if let Some(options) = &trial.restore_options {
        restore(client, trial, options, &artefact, data, report).await;
    }
    report.take("delete removes the artefact", client.delete(&nothing, Some(&artefact)).await);
    report.take("delete of what is gone succeeds", client.delete(&nothing, Some(&artefact)).await);
    if !artefact.has_data {
        let gone = client.verify(&nothing, &artefact).await.map(drop);
        must_fail(report, "verify of what is gone fails with NOT_FOUND", gone, Reason::NotFound);
    }
}

async fn protect(client: &PluginClient, order: &WorkOrder) -> Result<(PluginArtefact, Vec<u8>), String> {
    let mut data = Vec::new();
    let mut keep = |piece: &[u8]| {
        data.extend_from_slice(piece);
        match data.len() {
            0..=DATA_MAX => Ok(()),
            _ => Err(crate::Failure::new(
                Reason::Quota,
                "the resource is too large for a trial: 64 MiB of data are allowed",
            )),
        }
    };
    let outcome = client.protect(order, None, &mut keep).await.map_err(|error| error.to_string())?;
    let artefact = outcome.artefact.ok_or_else(|| "no artefact came".to_owned())?;
    if artefact.has_data || data.is_empty() {
        return Ok((artefact, data));
    }
    Err("data came, and the artefact says that it has none".to_owned())
}

async fn restore(
    client: &PluginClient,
    trial: &Trial,
    options: &str,
    artefact: &PluginArtefact,
    data: Vec<u8>,
    report: &mut Report,
) {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for piece in data.chunks(1 << 20) {
            if sender.send(Ok(piece.to_vec())).await.is_err() {
                return;
            }
        }
    });
    let order = trial.order(options);
    let restored = client.restore(&order, artefact, &trial.protect_options, receiver).await;
    if let Some(restored) = report.take("restore makes a resource", restored) {
        let named = restored.restored.and_then(|resource| resource.r#ref);
        report.must("restore names what it made", named.is_some(), || "no reference".to_owned());
    }
}
