//! The policies of `docs/s3.md` are enough for what they are for, and for nothing else.

use bytes::Bytes;
use coffer_store::s3::Tuning;
use coffer_store::{Key, ObjectStore, StoreError};
use coffer_tests::process::{Outcome, run};
use coffer_tests::repository::{Place, Repository};
use coffer_tests::s3::operator::Operator;
use coffer_tests::s3::servers::{self, BUCKET, Server};
use coffer_tests::s3::{credentials, open};
use serde_json::{Value, json};

use crate::page;
use crate::world::{World, last_line, noise, point_of, tmp, visible_place};

const PREFIX: &str = "backups";
const SECRET: &str = "of-a-user-of-a-test";
const JOBS: [&str; 3] = ["backup", "prune", "restore"];

#[test]
fn each_job_works_with_its_own_rights_only() {
    let server = servers::versitygw(tmp());
    let world = World::new(visible_place(&server, BUCKET, PREFIX));
    give_rights(&server);
    let of = |job: &str| world.repository.seen_from(place_of(&server, job));
    let (backup, prune, restore) = (of("backup"), of("prune"), of("restore"));
    let backs_up =
        |repository: &Repository, kind: &str| run(repository.backup(&[world.volume()], &["--type", kind]));

    // Enough: larger than a part, smaller than one, and nothing changed.
    let image = noise(1, 12 << 20);
    world.write(&image);
    let first = point_of(&backs_up(&backup, "full").expect_status(0));
    let second = point_of(&backs_up(&backup, "incremental").expect_status(0));
    let target = world.path("restored");
    let word = format!("--volume=image={}", target.display());
    run(restore.restore(&second, &[&word])).expect_status(0);
    assert!(std::fs::read(&target).expect("read a restored file") == image, "other bytes");
    run(restore.verify(&["--read-data"])).expect_status(0);
    let third = point_of(&backs_up(&backup, "full").expect_status(0));
    for repository in [&backup, &restore] {
        let words = ["forget", "--json", &first];
        denied(&run(repository.command(&words, Some("writer.key"))));
    }
    run(prune.forget(1)).expect_status(0);
    let pruned = run(prune.prune()).expect_status(0);
    assert!(pruned.json()["bytes_deleted"].as_u64() > Some(12 << 20), "{}", pruned.story());
    for repository in [&backup, &prune, &restore] {
        let listed =
            run(repository.command(&["points", "--json", "--team", "default"], None)).expect_status(0);
        let points = listed.json();
        assert!(
            points[0]["point"] == third.as_str() && points[1].is_null(),
            "not {first}, {second}: {points}"
        );
    }

    // And not more.
    denied(&backs_up(&prune, "full"));
    denied(&backs_up(&restore, "full"));
    may_not_overstep(&server);
    world.repository.expect_clean(&["--read-data"]);
    assert_eq!(world.repository.point_ids(), [third.as_str()]);
}

/// What no job is for, asked of the store itself.
fn may_not_overstep(server: &Server) {
    let key = |name: &str| Key::new(name).expect("a key");
    let address = server.endpoint().address(BUCKET, PREFIX, "");
    let owner = open(&address, Tuning::default());
    owner.put(&key("t/other/data/x"), Bytes::from_static(b"x")).expect("the owner may");
    owner.put(&key("t/default/data/x"), Bytes::from_static(b"x")).expect("the owner may");
    for job in JOBS {
        let store =
            open(&address, Tuning { credentials: Some(credentials(job, SECRET)), ..Tuning::default() });
        let put = |name: &str| store.put(&key(name), Bytes::from_static(b"y")).map(drop);
        let delete = |name: &str| store.delete(&[key(name)]);
        let get = |name: &str| store.get(&key(name), 10).map(drop);
        let mut tries = vec![
            ("read another team's", get("t/other/data/x")),
            ("write another team's", put("t/other/data/y")),
            ("delete another team's", delete("t/other/data/x")),
            ("list another team's", store.list("t/other/", None, 10).map(drop)),
            ("replace the configuration", put("coffer.json")),
            ("delete the configuration", delete("coffer.json")),
        ];
        if job != "backup" {
            tries.push(("write data", put("t/default/data/y")));
        }
        if job != "prune" {
            tries.push(("delete data", delete("t/default/data/x")));
            tries.push(("announce a deletion", put("t/default/ending/y")));
        }
        for (what, result) in tries {
            assert!(matches!(result, Err(StoreError::Denied { .. })), "{job} may {what}: {result:?}");
        }
    }
    owner.delete(&[key("t/default/data/x"), key("t/other/data/x")]).expect("the owner may");
}

/// A user for each job, with the policy of the page as a policy of the bucket.
fn give_rights(server: &Server) {
    let mut statements = Vec::new();
    for job in JOBS {
        servers::make_user(server, job, SECRET);
        let policy =
            page::policy(job).replace("BUCKET", BUCKET).replace("PREFIX", PREFIX).replace("TEAM", "default");
        let policy: Value = serde_json::from_str(&policy).expect("a policy is JSON");
        for statement in policy["Statement"].as_array().expect("statements are a list") {
            let mut statement = statement.clone();
            statement["Principal"] = json!({ "AWS": [job] });
            statements.push(statement);
        }
    }
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    Operator::of(server.endpoint()).put_bucket_policy(BUCKET, &policy);
}

fn place_of(server: &Server, job: &str) -> Place {
    Place::s3(&server.endpoint().address(BUCKET, PREFIX, ""), job, SECRET)
}

#[track_caller]
fn denied(outcome: &Outcome) {
    assert!(outcome.status == Some(2) && last_line(outcome).contains("denied"), "{}", outcome.story());
}
