//! Servers that know less than S3, and what is no server of S3 at all: a repository's life there, and what `init` and `doctor` find out.

use coffer_tests::process::run;
use coffer_tests::repository::Place;
use coffer_tests::s3::credentials::{self, WEB_IDENTITY};
use coffer_tests::s3::double::{self, Double, Lack};
use coffer_tests::s3::proxy::{Fault, Plan, Proxy, Step, Times};
use coffer_tests::s3::stub::{self, Stub};
use coffer_tests::s3::{ACCESS_KEY, Endpoint, SECRET_KEY};

use crate::world::{World, last_line, noise, owners_place, point_of};

fn place_on(endpoint: &Endpoint, more: &str) -> Place {
    Place::s3(&endpoint.address(double::BUCKET, "a", more), ACCESS_KEY, SECRET_KEY)
}

/// Backups, a restore, forget and prune; then `doctor`, whose whole text is returned.
fn lives(server: &Double, more: &str) -> String {
    let world = World::new(place_on(&server.endpoint(), more));
    let image = noise(1, 12 << 20);
    let first = world.back_up(&image, &[]);
    world.compare(&point_of(&first), &image);
    let second = world.back_up(&image, &["--type", "full"]);
    run(world.repository.forget(1)).expect_status(0);
    run(world.repository.prune()).expect_status(0);
    assert_eq!(world.repository.point_ids(), [point_of(&second)]);
    world.repository.expect_clean(&["--read-data"]);
    let doctor = run(world.repository.command(&["doctor"], Some("writer.key"))).expect_status(0);
    // Twice: its names are new each time.
    run(world.repository.command(&["doctor"], Some("writer.key"))).expect_status(0);
    doctor.stdout
}

#[test]
fn a_repository_lives_on_a_server_that_knows_little() {
    let lacks = [Lack::Checksums, Lack::Conditions, Lack::DeleteListsWithoutMd5];
    let told = lives(&Double::without(&lacks), "");
    for words in ["checksum=none", "conditional-put=false", "one by one", "the store would overwrite"] {
        assert!(told.contains(words), "no `{words}`\n{told}");
    }
}

#[test]
fn a_repository_lives_where_no_name_can_be_used_twice() {
    let told = lives(&Double::without(&[Lack::SecondUse]), "");
    assert!(told.contains("the findings are kept"), "{told}");
}

#[test]
fn a_repository_lives_behind_a_limit_on_bodies_with_shorter_parts() {
    let server = Double::without(&[Lack::LongBodies]);
    let world = World::without_repository(place_on(&server.endpoint(), ""));
    let outcome = run(world.repository.init_command()).expect_status(2);
    assert!(last_line(&outcome).contains("part-size=5"), "{}", outcome.story());
    lives(&server, "&part-size=5");
}

#[test]
fn no_repository_is_made_where_lists_begin_anew() {
    let server = Double::without(&[Lack::StartAfter]);
    let world = World::without_repository(place_on(&server.endpoint(), ""));
    let outcome = run(world.repository.init_command()).expect_status(2);
    assert!(last_line(&outcome).contains("does not go on after"), "{}", outcome.story());
    let doctor = run(world.repository.command(&["doctor"], None)).expect_status(1);
    assert!(doctor.stdout.contains("no repository can be kept there"), "{}", doctor.story());
}

#[test]
fn a_console_instead_of_a_server_is_named_by_init_and_doctor() {
    let server = Stub::start(|asked| stub::page(asked, 200, "", "MinIO Console"));
    let place = place_on(&server.endpoint(), "&patience=1");
    let world = World::without_repository(place);
    let outcome = run(world.repository.init_command()).expect_status(2);
    for words in ["is not S3", "answer 200", "MinIO Console", &server.endpoint().url, "endpoint="] {
        assert!(last_line(&outcome).contains(words), "no `{words}`\n{}", outcome.story());
    }
    let doctor = run(world.repository.command(&["doctor"], None)).expect_status(1);
    assert!(doctor.stdout.contains("is not S3"), "{}", doctor.story());
}

#[test]
fn virtual_hosts_only_are_found_out_and_the_switch_is_named() {
    // As a proxy it sees the host that is asked for: only that of the bucket is served.
    let server = Stub::start(|asked| match asked.target.starts_with("http://bucket.s3.test/") {
        true => stub::list(asked, &[], false, ""),
        false => stub::error(asked, 400, "", "InvalidRequest", ""),
    });
    let url = format!("s3://{}/a?endpoint=http://s3.test", double::BUCKET);
    let place = Place::s3(&url, ACCESS_KEY, SECRET_KEY).with("HTTP_PROXY", &server.endpoint().url);
    let world = World::without_repository(place);
    let outcome = run(world.repository.init_command()).expect_status(2);
    assert!(last_line(&outcome).contains("path-style=false"), "{}", outcome.story());
}

#[test]
fn a_failure_that_is_tried_again_is_no_error_in_the_log() {
    let server = Double::start();
    let address = server.endpoint().url.trim_start_matches("http://").parse().expect("an address");
    let proxy = Proxy::start(address);
    let world = World::new(owners_place(&Endpoint { url: proxy.url(), ca: None }, double::BUCKET, "a"));
    for fault in [Fault::InternalError, Fault::SlowDown, Fault::ResetInAnswer, Fault::ErrorInSuccess] {
        for step in [Step::Put, Step::Get, Step::List] {
            proxy.set_plan(Some(Plan { step, fault, times: Times::Few }));
            let outcome = world.back_up(&noise(1, 100_000), &["--type", "full"]);
            assert!(proxy.struck() > 0, "{fault} at {step:?}\n{}", outcome.story());
            assert!(!outcome.stderr.contains("ERROR"), "{fault} at {step:?}\n{}", outcome.story());
        }
    }
}

#[test]
fn a_line_end_in_a_secret_is_an_error_and_no_panic() {
    let server = Double::start();
    let url = server.endpoint().address(double::BUCKET, "a", "");
    for (access, secret) in [("coffertests\n", SECRET_KEY), (ACCESS_KEY, "hunter2 ")] {
        let world = World::without_repository(Place::s3(&url, access, secret));
        let outcome = run(world.repository.init_command()).expect_status(2);
        assert!(last_line(&outcome).contains("no request was made"), "{}", outcome.story());
        assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.story());
    }
    let place = Place::s3(&url, ACCESS_KEY, SECRET_KEY).with("AWS_SESSION_TOKEN", "a token");
    let outcome = run(World::without_repository(place).repository.init_command()).expect_status(2);
    assert!(last_line(&outcome).contains("session token"), "{}", outcome.story());
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_credentials_file_that_changes_is_read_again_in_the_middle_of_a_run() {
    let directory = tempfile::tempdir().expect("make a directory");
    let file = directory.path().join("credentials");
    let write = |file: &std::path::Path, access: &str| {
        let text = format!("[default]\naws_access_key_id = {access}\naws_secret_access_key = {SECRET_KEY}\n");
        std::fs::write(file, text).expect("write credentials");
    };
    write(&file, ACCESS_KEY);
    let server = Double::start();
    let place = Place { url: server.endpoint().address(double::BUCKET, "a", ""), ..Place::default() }
        .with("AWS_SHARED_CREDENTIALS_FILE", file.to_str().expect("test paths are text"))
        .with("AWS_EC2_METADATA_DISABLED", "true");
    let world = World::new(place);
    // From its tenth request on the server knows only the new key, which the file has by then.
    server.change_key_after(server.requests() + 10, "anotherkey", {
        let file = file.clone();
        move || write(&file, "anotherkey")
    });
    let image = noise(1, 30 << 20);
    let outcome = world.back_up(&image, &[]);
    assert!(server.key_changed(), "{}", outcome.story());
    world.compare(&point_of(&outcome), &image);
}

#[test]
fn a_web_identity_is_asked_for_again_in_the_middle_of_a_run() {
    let (server, sts) = (Double::start(), credentials::sts());
    let directory = tempfile::tempdir().expect("make a directory");
    let token = directory.path().join("token");
    std::fs::write(&token, WEB_IDENTITY).expect("write a token");
    let place = Place { url: server.endpoint().address(double::BUCKET, "a", ""), ..Place::default() }
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().expect("test paths are text"))
        .with("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
        .with("AWS_ENDPOINT_URL_STS", &sts.url())
        .with("AWS_EC2_METADATA_DISABLED", "true");
    let world = World::new(place);
    let before = sts.given();
    server.expire_once_after(server.requests() + 10);
    world.back_up(&noise(1, 30 << 20), &[]);
    assert_eq!(sts.given() - before, 2, "once at the start, once when it was said to be expired: {sts:?}");
}
