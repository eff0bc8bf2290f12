//! Checks what is stored: seals, digests, places, and on demand every block. It changes nothing but for noting damaged packs, so that the next backup stores their blocks again.

mod chains;
mod lengths;
mod maps;
mod note;
mod objects;
mod packs;
mod points;
mod report;
mod volume_check;
mod volumes;

pub use report::{Problem, VerifyReport, VerifyRequest};

use std::collections::BTreeSet;

use coffer_format::Label;

use crate::repository::list_teams;
use crate::{EngineError, Repository, Resources};

/// Verifies all points that match, and the small records around them.
///
/// What it can see depends on the key: none: listings, lengths and digests of manifests; a writer key: signatures, maps and trailers; a
/// recovery key with `read_data`: every block.
pub fn run_verify(
    repository: &Repository,
    resources: &Resources,
    request: &VerifyRequest,
) -> Result<VerifyReport, EngineError> {
    let cancel = &repository.environment().cancel;
    resources.begin(cancel);
    cancel.explain(verify_teams(repository, resources, request))
}

fn verify_teams(
    repository: &Repository,
    resources: &Resources,
    request: &VerifyRequest,
) -> Result<VerifyReport, EngineError> {
    let rereads_before = repository.reread_count();
    let teams: Vec<Label> = match request.filter.team.as_ref().or(repository.team()) {
        Some(team) => vec![team.clone()],
        None => list_teams(repository.store().as_ref())?,
    };
    let mut report = VerifyReport::default();
    let mut seen = BTreeSet::new();
    for team in &teams {
        repository.environment().cancel.check()?;
        objects::check_records(repository, team, &mut report)?;
        let listed = lengths::list(repository, team, &mut report)?;
        let can_check = volumes::can_check(repository, team, request, &mut report)?;
        let visited = maps::Visited::default();
        let mut volumes = volumes::Volumes { repository, resources, listed: &listed, request, visited };
        let mut done = lengths::Done::default();
        let notes = points::check_manifests(repository, team, request, &mut report, |manifests, report| {
            lengths::check_lengths(manifests, &listed, &mut done, report);
            if can_check { volumes.check(manifests, report) } else { Ok(()) }
        })?;
        seen.extend(notes.iter().map(|note| note.point));
    }
    if let Some(head) = request.expect_head
        && !seen.contains(&head)
    {
        report.problem(
            "head-missing",
            "points",
            format!("point {head} was expected and is not there"),
            [head],
        );
    }
    let again = repository.reread_count() - rereads_before;
    if again > 0 {
        report.notice(format!(
            "{again} reads were wrong at first and right when repeated: the network or the memory on the way flips bits; nothing stored is damaged by that"
        ));
    }
    report.requests = repository.store().requests();
    Ok(report)
}
