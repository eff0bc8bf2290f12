//! Rules that can be tried without changing anything.

use coffer_format::ResourceRef;
use coffer_proto::plugin::v1::{ResourceType, Verb};

use super::report::Report;
use crate::client::{PluginClient, PluginError};
use crate::failure::Reason;

const NO_TYPE: &str = "Coffer::Check::NoSuchType";
const NO_ID: &str = "coffer-check-no-such-id";

pub(super) async fn check(client: &PluginClient, report: &mut Report) {
    report.take("probe answers", client.probe().await);
    let types = client.types_again().await.map(|types| types == client.types);
    if let Some(same) = report.take("it can be asked for its types again", types) {
        report.must("its types are the same each time", same, || "they differ".to_owned());
    }
    let unknown = client.list(NO_TYPE).await.map(drop);
    must_fail(
        report,
        "list of a type that it does not have fails with UNKNOWN_TYPE",
        unknown,
        Reason::UnknownType,
    );
    for kind in &client.types {
        check_type(client, kind, report).await;
    }
}

async fn check_type(client: &PluginClient, kind: &ResourceType, report: &mut Report) {
    let name = &kind.r#type;
    if let Some(found) = report.take("list comes to its end", client.list(name).await) {
        let complete = found.missing.is_empty();
        report.must("list misses nothing", complete, || found.missing.join("; "));
        if let Some((reference, _)) = found.resources.first_key_value() {
            report.take("what is listed can be shown", client.show(reference).await);
            report.take("dependents come to their end", client.dependents(reference).await);
        }
    }
    let nobody = ResourceRef {
        kind: name.parse().expect("the client checked the type"),
        id: NO_ID.parse().expect("it is an id"),
    };
    let shown = client.show(&nobody).await.map(drop);
    must_fail(report, "show of a resource that is not there fails with NOT_FOUND", shown, Reason::NotFound);
    if kind.protectable {
        check_schemas(client, &nobody, report).await;
    }
}

async fn check_schemas(client: &PluginClient, nobody: &ResourceRef, report: &mut Report) {
    let kind = nobody.kind.as_ref();
    let newest =
        report.take("its schemas are JSON Schema 2020-12 and closed", client.schemas(kind, "").await);
    let Some(newest) = newest else { return };
    report.take("a version that it gave can be had by its name", client.schemas(kind, &newest.version).await);
    let unknown = client.schemas(kind, "coffer-check-no-version").await.map(drop);
    must_fail(report, "a version that never was fails with UNKNOWN_SCHEMA", unknown, Reason::UnknownSchema);
    for verb in [Verb::Protect, Verb::Restore, Verb::Verify, Verb::Delete] {
        let given = client.validate(verb, nobody, "", r#"{"coffer-check-no-such-option":1}"#).await.map(drop);
        must_fail(report, "an option that no schema names fails with INVALID", given, Reason::Invalid);
        let given = client.validate(verb, nobody, "", "[]").await.map(drop);
        must_fail(report, "options that are no object fail with INVALID", given, Reason::Invalid);
    }
}

/// Notes that a call must fail, and with which reason.
pub(super) fn must_fail(
    report: &mut Report,
    rule: &'static str,
    result: Result<(), PluginError>,
    reason: Reason,
) {
    let problem = match result {
        Err(error) if error.failure.reason == reason => None,
        Err(error) => Some(format!("it fails with {}: {error}", error.failure.word())),
        Ok(()) => Some("it succeeds".to_owned()),
    };
    report.note(rule, problem);
}
