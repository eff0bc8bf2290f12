use coffer_api::{BackupPhase, BackupStatus, SecretName, TeamKeys, TeamSpec};
use coffer_format::{Id, PlanId, PointState, PointType, Reason, Summary, Timestamp};

use super::*;

fn point(number: u64, cluster: &str, namespace: &str) -> PointEntry {
    let label = |text: &str| text.parse().unwrap();
    let plan = PlanId {
        team: label("shop"),
        cluster: label(cluster),
        namespace: label(namespace),
        plan: label("web"),
    };
    let id = Id::from_parts(number, [0; 10]);
    let summary = Summary {
        kind: PointType::Full,
        state: PointState::Available,
        reason: Reason::NoParent,
        time: Timestamp::from_unix_ms(0),
        completed: Timestamp::from_unix_ms(0),
        sequence: number,
        size: 1,
        changed: 1,
        stored: 1,
        chain: id,
        parent: None,
        volumes: None,
    };
    PointEntry { confirmed: true, ..PointEntry::new(plan, id, summary) }
}

fn team() -> Team {
    let keys = TeamKeys { writer: SecretName { name: "w".into() }, recovery: None };
    let namespaces = vec!["gone".to_owned(), "first".to_owned(), "shop".to_owned()];
    Team::new("shop", TeamSpec { display_name: None, namespaces, keys, host_paths: Vec::new() })
}

fn changes(known: &[Backup], points: &[PointEntry], check: impl Fn(Changes<'_>)) {
    let teams = [team()];
    let namespaces = ["first".to_owned(), "shop".to_owned()].into();
    let view = View { location: "main", cluster: "c1", teams: &teams, namespaces: &namespaces, now: &[] };
    check(compare(&view, known, points));
}

#[test]
fn points_show_in_their_namespace_or_the_teams_first() {
    let points = [point(1, "c1", "shop"), point(2, "c2", "shop"), point(3, "c2", "other")];
    changes(&[], &points, |changes| {
        let found: Vec<_> = changes.make.iter().map(|new| (new.namespace.as_str(), new.origin)).collect();
        let (local, other) = (Origin::Local, Origin::Discovered);
        assert_eq!(found, [("shop", local), ("shop", other), ("first", other)]);
        let names: HashSet<String> = changes.make.iter().map(|new| new.backup.name_any()).collect();
        assert_eq!(names.len(), 3);
    });
}

#[test]
fn what_is_shown_stays_and_what_is_gone_goes() {
    let points = [point(1, "c2", "shop"), point(2, "c2", "shop")];
    let mut known = Vec::new();
    changes(&[], &points, |changes| {
        assert_eq!(changes.make.len(), 2);
    });
    let teams = [team()];
    let namespaces = ["shop".to_owned()].into();
    let view = View { location: "main", cluster: "c1", teams: &teams, namespaces: &namespaces, now: &[] };
    for new in compare(&view, &[], &points).make {
        let mut backup = new.backup;
        backup.metadata.namespace = Some(new.namespace);
        known.push(backup);
    }
    changes(&known, &points, |changes| assert!(changes.make.is_empty() && changes.delete.is_empty()));
    changes(&known, &points[..1], |changes| {
        assert_eq!(changes.delete, [("shop".to_owned(), known[1].name_any())]);
    });
    let elsewhere = View { location: "other", ..view };
    assert!(compare(&elsewhere, &known, &[]).delete.is_empty());
}

#[test]
fn a_run_that_has_not_ended_is_left_alone() {
    let spec = BackupSpec { plan: Some("web".into()), kind: BackupType::Auto, slot: None, discovered: None };
    let mut run = Backup::new("web-1", spec);
    run.status = Some(BackupStatus { phase: BackupPhase::Running, ..BackupStatus::default() });
    changes(&[run], &[], |changes| assert!(changes.delete.is_empty()));
}

#[test]
fn a_point_that_a_run_has_just_made_is_not_shown_twice() {
    let points = [point(1, "c1", "shop")];
    let spec = BackupSpec { plan: Some("web".into()), kind: BackupType::Auto, slot: None, discovered: None };
    let mut run = Backup::new("web-1", spec);
    run.metadata.namespace = Some("shop".into());
    let made = |phase, point: Option<String>| {
        let mut run = run.clone();
        run.status = Some(BackupStatus { phase, point, ..BackupStatus::default() });
        let (teams, namespaces, now) = ([team()], ["shop".to_owned()].into(), [run]);
        let view =
            View { location: "main", cluster: "c1", teams: &teams, namespaces: &namespaces, now: &now };
        compare(&view, &[], &points).make.len()
    };
    assert_eq!(made(BackupPhase::Running, None), 0);
    assert_eq!(made(BackupPhase::Completed, Some(points[0].id.to_string())), 0);
    assert_eq!(made(BackupPhase::Failed, None), 1);
}
