//! A host name that changes with each run, as a container's does: then each run is the first of a cluster of its own, and a full.
//!
//! It only gives a hint; who really has many hosts of such names is not kept from anything.

use coffer_engine::Repository;
use coffer_engine::backup::BackupReport;
use coffer_engine::catalog::{Filter, list_points};
use coffer_format::Label;

/// Shortest part of a name that may be made up.
const MADE_UP_LEN_MIN: usize = 5;
/// Longest.
const MADE_UP_LEN_MAX: usize = 10;
/// Shortest name that is a number of a container.
const HEX_LEN_MIN: usize = 8;

/// What to say of a point whose cluster is this host's name, if that name seems to be another one each time.
pub(super) fn hint(repository: &Repository, report: &BackupReport) -> Option<String> {
    // Only the first point of a plan costs a look.
    if report.sequence != 1 || report.repeated {
        return None;
    }
    let plan = &report.plan;
    let filter = Filter {
        team: Some(plan.team.clone()),
        namespace: Some(plan.namespace.clone()),
        plan: Some(plan.plan.clone()),
        ..Filter::default()
    };
    let points = list_points(repository, &filter)
        .inspect_err(|error| tracing::debug!(%error, "points of other clusters cannot be listed"))
        .ok()?;
    let clusters: Vec<&Label> = points.iter().map(|point| &point.plan.cluster).collect();
    let found = siblings(&plan.cluster, &clusters);
    let first = found.first()?;
    Some(format!(
        "this host's name `{}` is new to plan {}, which has points under {first}{}: if the name changes with each run, as in containers, each \
         backup is a full; give --cluster C, always the same",
        plan.cluster,
        plan.plan,
        match found.len() {
            1 => String::new(),
            more => format!(" and {} more such names", more - 1),
        }
    ))
}

/// Clusters with one point that are named as `own` is, but for what may be made up. `clusters` has one entry for each point.
fn siblings<'l>(own: &Label, clusters: &[&'l Label]) -> Vec<&'l Label> {
    let Some(stem) = stem(own.as_ref()) else { return Vec::new() };
    let is_alone = |cluster: &Label| clusters.iter().filter(|other| **other == cluster).count() == 1;
    let is_sibling = |cluster: &&&Label| **cluster != own && self::stem(cluster.as_ref()) == Some(stem);
    clusters.iter().filter(is_sibling).filter(|cluster| is_alone(cluster)).copied().collect()
}

/// What is left of a name without parts that may be made up; none where there are none.
fn stem(name: &str) -> Option<&str> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if name.len() >= HEX_LEN_MIN && name.bytes().all(is_hex) && name.bytes().any(|byte| byte.is_ascii_digit())
    {
        return Some("");
    }
    let mut rest = name;
    while let Some((before, _)) = rest.rsplit_once('-').filter(|(_, part)| is_made_up(part)) {
        rest = before;
    }
    (rest != name).then_some(rest)
}

/// Whether a part of a name is as Kubernetes makes them up: no vowels, so that no word comes of it; or the number of a job.
fn is_made_up(part: &str) -> bool {
    (MADE_UP_LEN_MIN..=MADE_UP_LEN_MAX).contains(&part.len())
        && part
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (byte.is_ascii_lowercase() && !b"aeiouy".contains(&byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(own: &str, clusters: &[&str]) -> Vec<String> {
        let clusters: Vec<Label> = clusters.iter().map(|cluster| cluster.parse().unwrap()).collect();
        let found = siblings(&own.parse().unwrap(), &clusters.iter().collect::<Vec<_>>());
        found.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn containers_and_pods_have_siblings() {
        assert_eq!(found("0f3c9ab1d2e4", &["0f3c9ab1d2e4", "77aa01b2c3d4", "web"]), ["77aa01b2c3d4"]);
        assert_eq!(
            found("dump-28394750-x2x9k", &["dump-28394810-zzq4b", "other-28394810-zzq4b"]),
            ["dump-28394810-zzq4b"]
        );
        assert_eq!(found("web-7d4b9c6f5d-x2x9k", &["web-7d4b9c6f5d-lk8tz", "web-5fbd8h9cd2-qwrt2"]).len(), 2);
    }

    #[test]
    fn hosts_of_a_fleet_have_none() {
        for (own, other) in [
            ("web-1", "web-2"),
            ("db-0", "db-1"),
            ("node-a", "node-b"),
            ("node-shell", "node-email"),
            ("facade", "decade"),
        ] {
            assert_eq!(found(own, &[other]), [""; 0], "{own} {other}");
        }
        // Whoever has more than one point keeps its name.
        assert_eq!(found("0f3c9ab1d2e4", &["77aa01b2c3d4", "77aa01b2c3d4"]), [""; 0]);
    }
}
