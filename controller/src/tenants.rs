//! Which team a namespace belongs to, and what that team may use. A namespace of no team, or of two, has no backups.

use anyhow::Context as _;
use coffer_api::{BackupLocation, Team};
use coffer_format::Label;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

/// A team as a run needs it.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// The object.
    pub team: Team,
    /// Its name in the bucket.
    pub label: Label,
}

/// All teams.
///
/// # Errors
/// The API does not tell.
pub async fn teams(client: &Client) -> anyhow::Result<Vec<Team>> {
    let api: Api<Team> = Api::all(client.clone());
    Ok(api.list(&ListParams::default()).await.context("list teams")?.items)
}

/// The team of a namespace. Pure.
///
/// # Errors
/// No team names it, or two do.
pub fn tenant(teams: &[Team], namespace: &str) -> anyhow::Result<Tenant> {
    let names = |team: &&Team| team.spec.namespaces.iter().any(|name| name == namespace);
    let found: Vec<&Team> = teams.iter().filter(names).collect();
    match found.as_slice() {
        [team] => {
            let name = team.name_any();
            let label = name.parse().with_context(|| format!("team {name}: its name is no label"))?;
            Ok(Tenant { team: (*team).clone(), label })
        }
        [] => anyhow::bail!("namespace {namespace} belongs to no Team: add it to spec.namespaces of one"),
        several => {
            let names: Vec<String> = several.iter().map(|team| team.name_any()).collect();
            anyhow::bail!(
                "namespace {namespace} belongs to several Teams ({}): leave it in one",
                names.join(", ")
            )
        }
    }
}

/// Whether the team may name a path of a node: it is, or lies below, one of its directories. Pure.
pub fn may_use(team: &Team, path: &str) -> bool {
    let is_plain = !path.split('/').any(|part| part == ".." || part == ".");
    let is_below = |directory: &String| {
        let directory = directory.trim_end_matches('/');
        path == directory || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
    };
    is_plain && team.spec.host_paths.iter().any(is_below)
}

/// Reads a location.
///
/// # Errors
/// There is none of this name.
pub async fn location(client: &Client, name: &str) -> anyhow::Result<BackupLocation> {
    let api: Api<BackupLocation> = Api::all(client.clone());
    let location = api.get_opt(name).await.with_context(|| format!("read BackupLocation {name}"))?;
    location.with_context(|| format!("there is no BackupLocation {name}: see `kubectl get backuplocations`"))
}

#[cfg(test)]
mod tests {
    use coffer_api::{SecretName, TeamKeys, TeamSpec};

    use super::*;

    fn team(name: &str, namespaces: &[&str], host_paths: &[&str]) -> Team {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let keys = TeamKeys { writer: SecretName { name: "w".into() }, recovery: None };
        let spec = TeamSpec {
            display_name: None,
            namespaces: owned(namespaces),
            keys,
            host_paths: owned(host_paths),
        };
        Team::new(name, spec)
    }

    #[test]
    fn a_namespace_has_one_team_or_none_at_all() {
        let teams = [team("shop", &["shop", "both"], &[]), team("bank", &["bank", "both"], &[])];
        assert_eq!(tenant(&teams, "shop").unwrap().label.to_string(), "shop");
        assert!(tenant(&teams, "both").unwrap_err().to_string().contains("shop, bank"));
        assert!(tenant(&teams, "none").unwrap_err().to_string().contains("no Team"));
    }

    #[test]
    fn paths_lie_below_a_directory_and_not_beside_it() {
        let team = team("shop", &[], &["/srv/shop/"]);
        let check = |path, expected| assert_eq!(may_use(&team, path), expected, "{path}");
        check("/srv/shop", true);
        check("/srv/shop/a/b", true);
        check("/srv/shopping", false);
        check("/srv/shop/../other", false);
        check("/srv", false);
    }
}
