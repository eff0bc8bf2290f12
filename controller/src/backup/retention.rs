//! What a plan keeps, after each point: the engine decides and gives up; objects of what was given up go.

use coffer_api::{Backup, Retention, label};
use coffer_engine::{ForgetRequest, KeepRules, Repository, Verdict, forget_by_rules};
use coffer_format::PlanId;
use jiff::tz::TimeZone;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};

use crate::context::Context;

/// So few points may always go at once.
const FREELY: usize = 2;

/// What retention decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// Points that were given up.
    pub(super) forgotten: Vec<String>,
    /// Why nothing was given up though rules say so.
    pub(super) blocked: Option<String>,
}

/// Applies a plan's rules.
///
/// # Errors
/// As the engine says, such as of a point that lies in the future.
pub(super) fn apply(
    repository: &Repository,
    plan: &PlanId,
    retention: Option<&Retention>,
) -> anyhow::Result<Kept> {
    let Some(retention) = retention else { return Ok(Kept::default()) };
    let rules = rules(retention);
    let decide = |dry_run| {
        let request = ForgetRequest {
            plan,
            rules: &rules,
            as_of: None,
            zone: &TimeZone::UTC,
            dry_run,
            unverified: false,
        };
        forget_by_rules(repository, &request)
    };
    let wanted = decide(true)?;
    let blocked = blocked(&wanted, retention.acknowledge.as_deref());
    if blocked.is_some() || wanted.forgotten.is_empty() {
        return Ok(Kept { forgotten: Vec::new(), blocked });
    }
    let done = decide(false)?;
    Ok(Kept { forgotten: done.forgotten.iter().map(ToString::to_string).collect(), blocked: None })
}

/// Why so many points may not go at once. The word that allows it is the newest of them, so that it allows this and nothing later.
fn blocked(verdict: &Verdict, acknowledged: Option<&str>) -> Option<String> {
    let (going, staying) = (verdict.forgotten.len(), verdict.kept.len());
    let newest = verdict.forgotten.last()?.to_string();
    if going <= FREELY || going <= staying || acknowledged == Some(newest.as_str()) {
        return None;
    }
    Some(format!(
        "{going} of {} points would be given up at once; if that is meant, set spec.retention.acknowledge to {newest}",
        going + staying
    ))
}

fn rules(retention: &Retention) -> KeepRules {
    KeepRules {
        days: retention.keep_days,
        last: retention.keep_last,
        hourly: retention.keep_hourly,
        daily: retention.keep_daily,
        weekly: retention.keep_weekly,
        monthly: retention.keep_monthly,
    }
}

/// Deletes the objects of points that were given up.
///
/// # Errors
/// As the API says.
pub(super) async fn show(context: &Context, namespace: &str, kept: &Kept) -> anyhow::Result<()> {
    let api: Api<Backup> = Api::namespaced(context.client.clone(), namespace);
    for point in &kept.forgotten {
        let list = ListParams::default().labels(&format!("{}={point}", label::POINT));
        for backup in api.list(&list).await?.items {
            api.delete(&backup.name_any(), &DeleteParams::default()).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(kept: usize, forgotten: usize) -> Verdict {
        let id = |number: usize| coffer_format::Id::from_parts(number as u64, [0; 10]);
        Verdict {
            kept: (0..kept).map(|number| (id(number), String::new())).collect(),
            forgotten: (0..forgotten).map(id).collect(),
        }
    }

    #[test]
    fn more_than_half_needs_a_word_for_just_that() {
        assert_eq!(blocked(&verdict(72, 1), None), None);
        assert_eq!(blocked(&verdict(1, 2), None), None);
        assert_eq!(blocked(&verdict(5, 5), None), None);
        let many = verdict(5, 6);
        let word = many.forgotten.last().unwrap().to_string();
        assert!(blocked(&many, None).unwrap().contains(&word));
        assert!(blocked(&many, Some("other")).is_some());
        assert_eq!(blocked(&many, Some(&word)), None);
    }
}
