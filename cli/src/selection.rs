//! Which plan and which point are meant. Where several could be, nothing is guessed: the list is the answer.

use std::collections::BTreeSet;

use coffer_engine::catalog::{Filter, PointEntry, list_points};
use coffer_engine::{Intent, Repository, find_point, pick_proven};
use coffer_format::{Id, PlanId};
use jiff::tz::TimeZone;

use crate::error::CliError;

/// How many plans an error lists.
const LISTED_MAX: usize = 20;

/// The one plan that has points among those that match `filter`, and its points, oldest first.
pub(crate) fn one_plan(
    repository: &Repository,
    filter: &Filter,
) -> Result<(PlanId, Vec<PointEntry>), CliError> {
    let points = list_points(repository, filter)?;
    let plans: BTreeSet<PlanId> = points.iter().map(|point| point.plan.clone()).collect();
    let mut plans = plans.into_iter();
    match (plans.next(), plans.next()) {
        (None, _) => Err(CliError::NotFound(format!(
            "no plan with points matches {}; `coffer points` lists what is there",
            describe(filter)
        ))),
        (Some(plan), None) => Ok((plan, points)),
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(plans).map(|plan| plan.to_string()).collect();
            Err(CliError::Usage(ambiguous(all, filter)))
        }
    }
}

/// The point with this id, in whatever plan.
pub(crate) fn point_by_id(repository: &Repository, filter: &Filter, id: Id) -> Result<PointEntry, CliError> {
    Ok(find_point(repository, filter, id)?)
}

/// The point of one plan that the intent means.
pub(crate) fn point_by_intent(
    repository: &Repository,
    filter: &Filter,
    intent: &Intent,
    zone: &TimeZone,
) -> Result<PointEntry, CliError> {
    let (_, points) = one_plan(repository, filter)?;
    Ok(pick_proven(repository, &points, intent, zone)?)
}

fn ambiguous(plans: Vec<String>, filter: &Filter) -> String {
    let more = match plans.len().saturating_sub(LISTED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let listed = plans.iter().take(LISTED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    format!(
        "several plans (team/cluster/namespace/plan) match {}: {listed}{more}; add --team, --cluster or --namespace so that one is left",
        describe(filter)
    )
}

fn describe(filter: &Filter) -> String {
    let parts = [
        ("--team", &filter.team),
        ("--cluster", &filter.cluster),
        ("--namespace", &filter.namespace),
        ("--plan", &filter.plan),
    ];
    let given: Vec<String> = parts
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}")))
        .collect();
    if given.is_empty() { "no filter at all".into() } else { given.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_and_the_filter_is_named() {
        let filter = Filter { plan: Some("web".parse().unwrap()), ..Filter::default() };
        let text = ambiguous((0..25).map(|number| format!("t/c{number}/n/web")).collect(), &filter);
        assert!(text.contains("match --plan web: t/c0/n/web"), "{text}");
        assert!(text.contains("and 5 more") && !text.contains("t/c24/"), "{text}");
        assert_eq!(describe(&Filter::default()), "no filter at all");
    }
}
