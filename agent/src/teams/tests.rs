//! Rules of ownership over paths of a made-up node.

use std::path::Path;

use super::Teams;
use crate::config::Team;

fn team(name: &str, roots: &[&str], volumes: &[&str]) -> Team {
    Team {
        name: name.parse().unwrap(),
        namespaces: Vec::new(),
        roots: roots.iter().map(Into::into).collect(),
        volumes: volumes.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_path_belongs_to_the_one_team_in_whose_directories_it_lies() {
    let shop = team("shop", &["/srv/shop"], &["/srv/common/a.img"]);
    let teams = Teams::new(&[shop, team("bank", &["/srv/bank"], &[])]);
    let owner = |path: &str| teams.owner_of_path(Path::new(path)).map(ToString::to_string);
    assert_eq!(owner("/srv/shop/db.img").as_deref(), Some("shop"));
    assert_eq!(owner("/srv/bank/x/db.img").as_deref(), Some("bank"));
    assert_eq!(owner("/srv/common/a.img").as_deref(), Some("shop"));
    assert_eq!(owner("/srv/shop"), None);
    assert_eq!(owner("/srv/shopping/db.img"), None);
    assert_eq!(owner("/dev/sda"), None);
}

#[test]
fn what_two_teams_could_claim_belongs_to_none() {
    let teams = Teams::new(&[team("shop", &["/srv"], &[]), team("bank", &["/srv/bank"], &[])]);
    assert_eq!(teams.owner_of_path(Path::new("/srv/bank/a")), None);
}
