//! Verifies points. Nothing is written but notes of damaged packs, which the next backup stores again.

use coffer_engine::catalog::Filter;
use coffer_engine::find_point;
use coffer_engine::{VerifyRequest, run_verify};
use coffer_proto::checked::StartVerify;

use super::record::{Problem, VerifyOutcome};
use super::run::Run;
use crate::errors::AgentError;

/// Problems and notices that a result carries of each; the rest is counted in a last notice.
const LISTED_MAX: usize = 1_000;

pub(super) fn run(run: &Run<'_>, request: &StartVerify) -> Result<VerifyOutcome, AgentError> {
    let team = &request.plans.team;
    let repository = run.open_repository(&request.repository, team)?;
    let filter = Filter {
        team: Some(team.clone()),
        cluster: request.plans.cluster.clone(),
        namespace: request.plans.namespace.clone(),
        plan: request.plans.plan.clone(),
        point: request.point,
        ..Filter::default()
    };
    if let Some(point) = request.point {
        // A point that is not there must not pass as one without faults.
        find_point(&repository, &filter, point)?;
    }
    let read_data_percent = (request.read_data_percent > 0).then(|| f64::from(request.read_data_percent));
    let wanted = VerifyRequest { filter, read_data_percent, expect_head: None };
    let report = run_verify(&repository, run.resources, &wanted)?;
    let (mut problems, mut notices) = (report.problems, report.notices);
    let left_out = problems.len().saturating_sub(LISTED_MAX) + notices.len().saturating_sub(LISTED_MAX);
    problems.truncate(LISTED_MAX);
    notices.truncate(LISTED_MAX);
    if left_out > 0 {
        notices.push(format!(
            "{left_out} more problems and notices are left out here; `coffer verify` lists all"
        ));
    }
    for problem in &problems {
        run.warn(format!("{} {}: {}", problem.kind, problem.key, problem.detail));
    }
    let problems = problems.into_iter().map(|problem| Problem {
        kind: problem.kind.to_owned(),
        key: problem.key,
        detail: problem.detail,
        points: problem.points,
    });
    Ok(VerifyOutcome {
        points: report.points,
        packs: report.packs,
        bytes_read: report.bytes_read,
        problems: problems.collect(),
        notices,
    })
}
