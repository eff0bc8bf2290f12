//! What a plan's backups say of it. Pure.

use coffer_api::{Backup, BackupPhase, BackupStatus, ContinuityPlanStatus, LastRun};
use jiff::Timestamp;
use kube::ResourceExt;

/// Fills in what follows from the plan's backups of this cluster.
pub fn fill(status: &mut ContinuityPlanStatus, backups: &[&Backup]) {
    let mut points: Vec<&BackupStatus> = backups.iter().filter_map(|backup| complete(backup)).collect();
    points.sort_by_key(|point| (point.sequence, point.point.clone()));
    let newest = points.last();
    status.points = i64::try_from(points.len()).ok();
    status.oldest_point_time = points.iter().filter_map(|point| point.point_in_time.clone()).min();
    status.last_success_time = newest.and_then(|newest| newest.point_in_time.clone());
    status.chain = newest.and_then(|newest| newest.chain.clone());
    let in_chain = points.iter().filter(|point| point.chain.is_some() && point.chain == status.chain).count();
    status.chain_points = i64::try_from(in_chain).ok();

    let mut runs: Vec<&&Backup> = backups.iter().filter(|backup| has_run(backup)).collect();
    runs.sort_by_key(|backup| (backup.creation_timestamp().map(|time| time.0), backup.name_any()));
    let failed = runs.iter().rev().take_while(|run| complete(run).is_none()).count();
    status.consecutive_failures = i64::try_from(failed).unwrap_or(i64::MAX);
    if let Some(last) = runs.last() {
        let ended = last.status.clone().unwrap_or_default();
        status.last_run = Some(LastRun {
            name: last.name_any(),
            phase: format!("{:?}", ended.phase),
            message: ended.message,
        });
    }
}

/// When the newest complete point is older than the plan promises; `None` where it promises nothing or has no point.
pub fn late_at(status: &ContinuityPlanStatus, recovery_point_seconds: Option<u32>) -> Option<Timestamp> {
    let newest: Timestamp = status.last_success_time.as_ref()?.parse().ok()?;
    newest.checked_add(jiff::SignedDuration::from_secs(i64::from(recovery_point_seconds?))).ok()
}

fn complete(backup: &Backup) -> Option<&BackupStatus> {
    backup.status.as_ref().filter(|status| status.phase == BackupPhase::Completed && status.point.is_some())
}

fn has_run(backup: &Backup) -> bool {
    backup.spec.plan.is_some() && backup.status.as_ref().is_some_and(|status| status.phase.has_ended())
}

#[cfg(test)]
mod tests {
    use coffer_api::BackupSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn backup(name: &str, hour: i8, phase: BackupPhase, chain: &str) -> Backup {
        let spec =
            BackupSpec { plan: Some("web".into()), kind: Default::default(), slot: None, discovered: None };
        let mut backup = Backup::new(name, spec);
        let time = format!("2026-01-01T{hour:02}:00:00Z");
        backup.metadata.creation_timestamp = Some(Time(time.parse().unwrap()));
        let is_made = phase == BackupPhase::Completed;
        backup.status = Some(BackupStatus {
            phase,
            point: is_made.then(|| name.to_owned()),
            chain: is_made.then(|| chain.to_owned()),
            sequence: Some(i64::from(hour)),
            point_in_time: Some(time),
            ..BackupStatus::default()
        });
        backup
    }

    #[test]
    fn the_newest_chain_is_counted_and_failures_since_the_last_success() {
        let all = [
            backup("a", 1, BackupPhase::Completed, "one"),
            backup("c", 3, BackupPhase::Completed, "two"),
            backup("b", 2, BackupPhase::Failed, ""),
            backup("e", 5, BackupPhase::PartiallyFailed, ""),
            backup("d", 4, BackupPhase::Completed, "two"),
            backup("f", 6, BackupPhase::Running, ""),
        ];
        let mut status = ContinuityPlanStatus::default();
        fill(&mut status, &all.iter().collect::<Vec<_>>());
        assert_eq!((status.points, status.chain_points, status.consecutive_failures), (Some(3), Some(2), 1));
        assert_eq!(status.chain.as_deref(), Some("two"));
        assert_eq!(status.oldest_point_time.as_deref(), Some("2026-01-01T01:00:00Z"));
        assert_eq!(status.last_run.as_ref().unwrap().name, "e");
        assert_eq!(late_at(&status, Some(3600)), Some("2026-01-01T05:00:00Z".parse().unwrap()));
        assert_eq!(late_at(&status, None), None);
    }

    #[test]
    fn a_plan_without_backups_has_none() {
        let mut status = ContinuityPlanStatus::default();
        fill(&mut status, &[]);
        assert_eq!((status.points, status.chain, status.last_run), (Some(0), None, None));
    }
}
