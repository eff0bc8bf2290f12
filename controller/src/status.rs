//! Conditions and status writes: server-side apply of whole statuses, only where something changed.

use coffer_api::{Condition, ConditionStatus, set_condition};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::FIELD_MANAGER;

/// How an object is, in kstatus's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is at work.
    InProgress {
        /// One word.
        reason: &'static str,
        /// In words.
        message: String,
    },
    /// It is as it should be.
    Ready {
        /// One word.
        reason: &'static str,
        /// In words.
        message: String,
    },
    /// It is not, and nothing changes that by itself.
    Stalled {
        /// One word.
        reason: &'static str,
        /// In words, and what to do.
        message: String,
    },
}

/// Sets `Ready`, `Reconciling` and `Stalled`.
pub fn set_state(conditions: &mut Vec<Condition>, state: &State, generation: Option<i64>, now: &str) {
    let (ready, reconciling, stalled, reason, message) = match state {
        State::InProgress { reason, message } => (false, true, false, reason, message),
        State::Ready { reason, message } => (true, false, false, reason, message),
        State::Stalled { reason, message } => (false, false, true, reason, message),
    };
    for (kind, holds) in [("Ready", ready), ("Reconciling", reconciling), ("Stalled", stalled)] {
        set(conditions, kind, holds, (reason, message), generation, now);
    }
}

/// Sets one condition.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    holds: bool,
    (reason, message): (&str, &str),
    generation: Option<i64>,
    now: &str,
) {
    set_condition(
        conditions,
        Condition {
            kind: kind.into(),
            status: ConditionStatus::from(holds),
            reason: reason.into(),
            message: message.chars().take(MESSAGE_LEN_MAX).collect(),
            last_transition_time: now.into(),
            observed_generation: generation,
        },
    );
}

const MESSAGE_LEN_MAX: usize = 2_000;

/// Writes the whole status of an object.
///
/// # Errors
/// As the API says.
pub async fn write<K, S>(api: &Api<K>, name: &str, status: &S) -> kube::Result<()>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    S: Serialize,
{
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": name },
        "status": status,
    });
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(name, &apply, &Patch::Apply(&body)).await.map(drop)
}
