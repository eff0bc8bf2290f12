//! From what agents return to what the engine commits. Pure but for signing.
//!
//! An agent is believed about its own volumes only; whether a record is genuine the engine decides.

use std::collections::BTreeSet;

use coffer_engine::Advice;
use coffer_engine::backup::VolumesDone;
use coffer_format::{Id, Signed, VolumeName, VolumeRecord};
use coffer_proto::agent::v1;
use coffer_store::RequestCounts;

use crate::agent_error::{AgentError, AgentErrorKind, plain};

/// The records of a part, if they are of volumes that the agent was given.
pub(crate) fn volumes_done(
    node: &str,
    result: &v1::BackupResult,
    given: &[VolumeName],
) -> Result<VolumesDone, AgentError> {
    let mut done = VolumesDone {
        objects: result.objects_written,
        bytes: result.bytes_written,
        resumed_bytes: result.resumed_bytes,
        ..VolumesDone::default()
    };
    let mut names = BTreeSet::new();
    for bytes in &result.records {
        let record = Signed::<VolumeRecord>::decode(bytes).map_err(|error| {
            invalid(node, format!("a volume record that it returned cannot be read: {error}"))
        })?;
        let name = &record.payload.name;
        if !given.contains(name) || !names.insert(name.to_string()) {
            return Err(invalid(
                node,
                format!("it returned a record of volume {name}, which it was not asked for"),
            ));
        }
        done.records.push(record);
    }
    for run in &result.reused_runs {
        let run: Result<Id, _> = run.parse();
        done.reused_runs.insert(
            run.map_err(|error| invalid(node, format!("it reused a run without a good id: {error}")))?,
        );
    }
    Ok(done)
}

fn invalid(node: &str, message: String) -> AgentError {
    AgentError::new(node, AgentErrorKind::RecordInvalid, Advice::Corrupt, plain(&message))
}

/// What a message says was asked of the store.
pub fn counts(requests: Option<&v1::Requests>) -> RequestCounts {
    let v1::Requests { put, get, list, delete, multipart } = requests.copied().unwrap_or_default();
    RequestCounts { put, get, list, delete, multipart }
}

/// Requests of two parties together.
pub fn total(one: RequestCounts, other: RequestCounts) -> RequestCounts {
    RequestCounts {
        put: one.put.saturating_add(other.put),
        get: one.get.saturating_add(other.get),
        list: one.list.saturating_add(other.list),
        delete: one.delete.saturating_add(other.delete),
        multipart: one.multipart.saturating_add(other.multipart),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_record_is_said_to_be_damaged() {
        let result = v1::BackupResult { records: vec![b"{}\n{}\n".to_vec()], ..Default::default() };
        let error = volumes_done("n", &result, &[]).unwrap_err();
        assert_eq!(error.kind, AgentErrorKind::RecordInvalid);
        let result = v1::BackupResult { reused_runs: vec!["x".into()], ..Default::default() };
        assert!(volumes_done("n", &result, &[]).is_err());
    }

    #[test]
    fn requests_add_up() {
        let more = v1::Requests { put: 2, multipart: u64::MAX, ..Default::default() };
        let counts = RequestCounts { put: 1, multipart: 1, ..RequestCounts::default() };
        assert_eq!(
            total(self::counts(Some(&more)), counts),
            RequestCounts { put: 3, multipart: u64::MAX, ..RequestCounts::default() }
        );
        assert_eq!(self::counts(None), RequestCounts::default());
    }
}
