//! Giving back the space of points that were given up: a Job for each team, with credentials that may delete.

use coffer_api::{BackupLocation, Prune, Schedule, Team, label};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::context::{Context, rfc3339};
use crate::repositories::address;
use crate::schedule::Slots;

/// How long a Job that ended is kept, seconds.
const KEPT_SECONDS: u32 = 86_400;

/// The slot that is due, if one is; `last` is the time of the prune before, or when the location was made.
pub(super) fn due(prune: &Prune, last: Timestamp, now: Timestamp) -> anyhow::Result<Option<Timestamp>> {
    let schedule = Schedule {
        cron: prune.schedule.clone(),
        time_zone: "UTC".into(),
        jitter_seconds: 0,
        starting_deadline_seconds: None,
    };
    Ok(Slots::parse(&schedule, "")?.due(last, now).map(|due| due.newest))
}

/// Makes the Jobs of a slot; those that are there already stay.
pub(super) async fn start(
    context: &Context,
    location: &BackupLocation,
    prune: &Prune,
    teams: &[Team],
    slot: Timestamp,
) -> anyhow::Result<()> {
    let api: Api<Job> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    for team in teams {
        let job: Job = serde_json::from_value(job(context, location, prune, team, slot)?)?;
        match api.create(&PostParams::default(), &job).await {
            Ok(_) => {
                tracing::info!(
                    location = location.name_any(),
                    team = team.name_any(),
                    slot = rfc3339(slot),
                    "prune begins"
                )
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn job(
    context: &Context,
    location: &BackupLocation,
    prune: &Prune,
    team: &Team,
    slot: Timestamp,
) -> anyhow::Result<Value> {
    let mut address = address(&location.spec.s3)?;
    let mut volumes = vec![secret("key", &team.spec.keys.writer.name)];
    let mut mounts = vec![json!({ "name": "key", "mountPath": "/etc/coffer/key", "readOnly": true })];
    if let Some(ca) = &location.spec.s3.ca {
        address.ca = Some("/etc/coffer/ca/ca.crt".into());
        volumes.push(secret("ca", &ca.name));
        mounts.push(json!({ "name": "ca", "mountPath": "/etc/coffer/ca", "readOnly": true }));
    }
    let url = coffer_store::RepositoryUrl::S3(Box::new(address)).to_string();
    let variable = |name: &str, secret: &str, key: &str, optional: bool| {
        let reference = json!({ "name": secret, "key": key, "optional": optional });
        json!({ "name": name, "valueFrom": { "secretKeyRef": reference } })
    };
    let credentials = prune.credentials.as_ref().or(location.spec.credentials.as_ref());
    let environment: Vec<Value> = credentials.map_or_else(Vec::new, |secret| {
        vec![
            variable("AWS_ACCESS_KEY_ID", &secret.name, "accessKeyId", false),
            variable("AWS_SECRET_ACCESS_KEY", &secret.name, "secretAccessKey", false),
            variable("AWS_SESSION_TOKEN", &secret.name, "sessionToken", true),
        ]
    });
    let (location, team) = (location.name_any(), team.name_any());
    let labels = json!({
        "app.kubernetes.io/name": "coffer-prune",
        "app.kubernetes.io/part-of": "coffer",
        label::LOCATION: location,
        label::TEAM: team,
    });
    let container = json!({
        "name": "prune",
        "image": context.settings.jobs.image,
        "command": ["/usr/bin/coffer"],
        "args": ["prune", "--repo", url, "--key", "/etc/coffer/key/key", "--team", team],
        "env": environment,
        "volumeMounts": mounts,
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        },
        "resources": { "requests": { "cpu": "50m", "memory": "64Mi" }, "limits": { "memory": "320Mi" } },
    });
    Ok(json!({
        "metadata": { "name": format!("prune-{location}-{team}-{}", slot.as_second()), "labels": labels },
        "spec": {
            "backoffLimit": 2,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "securityContext": { "runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": { "type": "RuntimeDefault" } },
                    "containers": [container],
                    "volumes": volumes,
                },
            },
        },
    }))
}

fn secret(volume: &str, name: &str) -> Value {
    json!({ "name": volume, "secret": { "secretName": name, "defaultMode": 0o440 } })
}
