//! An open point as it travels: what agents need in fields, what the coordinator needs to commit it in a short JSON text of its own. Pure.
//!
//! What comes back from an agent proves nothing; the engine holds it against the bucket before it commits anything.

use coffer_engine::backup::{OpenPoint, PointReference};
use coffer_format::{FormatError, Id, PlanId, Reason, Timestamp};
use coffer_proto::agent::v1;
use serde::{Deserialize, Serialize};

/// Most bytes of the coordinator's own part.
const COORDINATOR_MAX: usize = 64 << 10;

/// The coordinator's part.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Coordinator {
    coordinator: u8,
    reason: (u8, u64),
    sequence: u64,
    time: Timestamp,
    started: Timestamp,
}

/// The plan as it travels.
pub fn plan(plan: &PlanId) -> v1::Plan {
    let PlanId { team, cluster, namespace, plan } = plan;
    v1::Plan {
        team: team.to_string(),
        cluster: cluster.to_string(),
        namespace: namespace.to_string(),
        plan: plan.to_string(),
    }
}

/// The open point as it travels.
pub(crate) fn encode(point: &OpenPoint) -> v1::PointReference {
    let OpenPoint { reference, reason, sequence, time, started } = point;
    let coordinator = Coordinator {
        coordinator: 1,
        reason: reason.to_code(),
        sequence: *sequence,
        time: *time,
        started: *started,
    };
    v1::PointReference {
        plan: Some(plan(&reference.plan)),
        point: reference.point.to_string(),
        chain: reference.chain.to_string(),
        parent: reference.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        coordinator: serde_json::to_vec(&coordinator).expect("plain numbers and texts become JSON"),
    }
}

/// The open point that an agent kept. `None` where it is of another plan, or not one that this program wrote.
pub(crate) fn decode(reference: &v1::PointReference, wanted: &PlanId) -> Option<OpenPoint> {
    if reference.plan.as_ref()? != &plan(wanted) || reference.coordinator.len() > COORDINATOR_MAX {
        return None;
    }
    let own: Coordinator = serde_json::from_slice(&reference.coordinator)
        .ok()
        .filter(|own: &Coordinator| own.coordinator == 1)?;
    let id = |text: &str| -> Result<Id, FormatError> { text.parse() };
    let parent = match reference.parent.as_str() {
        "" => None,
        parent => Some(id(parent).ok()?),
    };
    Some(OpenPoint {
        reference: PointReference {
            plan: wanted.clone(),
            point: id(&reference.point).ok()?,
            chain: id(&reference.chain).ok()?,
            parent,
        },
        reason: Reason::from_code(own.reason.0, own.reason.1).ok()?,
        sequence: own.sequence,
        time: own.time,
        started: own.started,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> OpenPoint {
        let label = |text: &str| text.parse().unwrap();
        let plan =
            PlanId { team: label("shop"), cluster: label("c"), namespace: label("n"), plan: label("web") };
        OpenPoint {
            reference: PointReference {
                plan,
                point: Id::from_parts(2, [2; 10]),
                chain: Id::from_parts(1, [1; 10]),
                parent: Some(Id::from_parts(1, [1; 10])),
            },
            reason: Reason::Continues(7),
            sequence: 8,
            time: Timestamp::from_unix_ms(1000),
            started: Timestamp::from_unix_ms(2000),
        }
    }

    #[test]
    fn an_open_point_survives_the_journey() {
        let mut point = open();
        assert_eq!(decode(&encode(&point), &point.reference.plan), Some(point.clone()));
        point.reference.parent = None;
        point.reason = Reason::NoParent;
        assert_eq!(decode(&encode(&point), &point.reference.plan), Some(point));
    }

    #[test]
    fn what_another_wrote_is_not_taken() {
        let point = open();
        let plan = &point.reference.plan;
        let other = PlanId { plan: "other".parse().unwrap(), ..plan.clone() };
        assert_eq!(decode(&encode(&point), &other), None);
        let spoil = |spoil: &dyn Fn(&mut v1::PointReference)| {
            let mut reference = encode(&point);
            spoil(&mut reference);
            assert_eq!(decode(&reference, plan), None, "{reference:?}");
        };
        spoil(&|reference| reference.plan = None);
        spoil(&|reference| reference.point = "x".into());
        spoil(&|reference| reference.parent = "x".into());
        spoil(&|reference| reference.coordinator.clear());
        spoil(&|reference| reference.coordinator = b"{\"coordinator\":2}".to_vec());
        spoil(&|reference| reference.coordinator.extend_from_slice(b" {}"));
    }
}
