//! Ways to a server: certificates, credentials, proxies; and what is said where one is missing.

use coffer_tests::process::{Outcome, run};
use coffer_tests::repository::Place;
use coffer_tests::s3::credentials::{self, WEB_IDENTITY};
use coffer_tests::s3::double::{Double, SESSION_ACCESS_KEY, SESSION_TOKEN};
use coffer_tests::s3::servers;
use coffer_tests::s3::tunnel::Tunnels;
use coffer_tests::s3::{ACCESS_KEY, Endpoint, SECRET_KEY, double};

use crate::world::{World, last_line, noise, owners_place, point_of, tmp};

/// What a command that cannot start says.
#[track_caller]
fn fails(place: Place, status: i32, parts: &[&str]) -> Outcome {
    let world = World::without_repository(place);
    let outcome = run(world.repository.init_command()).expect_status(status);
    for part in parts {
        assert!(last_line(&outcome).contains(part), "`{part}` is not said\n{}", outcome.story());
    }
    outcome
}

#[test]
fn certificates_of_unknown_authorities_and_wrong_files_are_told() {
    let server = servers::minio(tmp());
    let without = Endpoint { ca: None, ..server.endpoint().clone() };
    let place = |endpoint: &Endpoint| owners_place(endpoint, servers::BUCKET, "teams/a");
    fails(place(&without), 2, &["certificate is not trusted", "ca=FILE"]);
    let missing = Endpoint { ca: Some(tmp().join("no-such-file")), ..without.clone() };
    fails(place(&missing), 2, &["ca=", "no-such-file"]);
    let device = Endpoint { ca: Some("/dev/null".into()), ..without.clone() };
    fails(place(&device), 2, &["ca=/dev/null", "not a regular file"]);
    let file = tempfile::NamedTempFile::new_in(tmp()).expect("an empty file");
    let empty = Endpoint { ca: Some(file.path().into()), ..without };
    fails(place(&empty), 2, &["ca=", "no certificate"]);
    World::new(place(server.endpoint()));
}

#[test]
fn https_proxy_is_used_and_no_proxy_is_heard() {
    let server = servers::minio(tmp());
    let tunnels = Tunnels::start();
    let direct = owners_place(server.endpoint(), servers::BUCKET, "teams/a");
    let through = direct.clone().with("HTTPS_PROXY", &tunnels.url());
    let world = World::new(through.clone());
    let image = noise(1, 9 << 20);
    let outcome = world.back_up(&image, &[]);
    assert!(tunnels.tunnels() > 0 && tunnels.bytes() > image.len() as u64, "{tunnels:?}");
    let before = tunnels.bytes();
    world.compare(&point_of(&outcome), &image);
    assert!(tunnels.bytes() > before + image.len() as u64, "{tunnels:?}");
    let tunnels_before = tunnels.tunnels();
    let around = world.repository.seen_from(through.with("NO_PROXY", "localhost,127.0.0.1"));
    assert_eq!(around.point_ids().len(), 1);
    assert_eq!(tunnels.tunnels(), tunnels_before);
    // One that is not there is said to be missing, not the server.
    let nowhere = direct.with("HTTPS_PROXY", "http://127.0.0.1:1");
    let nowhere = Place { url: format!("{}&patience=0", nowhere.url), ..nowhere };
    let outcome = run(world.repository.seen_from(nowhere).command(&["points"], None)).expect_status(1);
    assert!(last_line(&outcome).contains("run the command again later"), "{}", outcome.story());
}

#[test]
fn wrong_credentials_are_denied_and_missing_ones_are_told() {
    let server = servers::versitygw(tmp());
    let url = server.endpoint().address(servers::BUCKET, "teams/a", "");
    for (access, secret) in [("nobody", "nothing"), (ACCESS_KEY, "wrong")] {
        fails(Place::s3(&url, access, secret), 2, &["denied", "credentials", "403"]);
    }
    let none = Place { url, ..Place::default() };
    let none = none.with("AWS_EC2_METADATA_DISABLED", "true").with("HOME", "/nonexistent");
    fails(none, 2, &["no usable credentials", "AWS_ACCESS_KEY_ID"]);
}

#[test]
fn a_missing_bucket_and_a_missing_repository_are_told_apart() {
    let server = servers::versitygw(tmp());
    let endpoint = server.endpoint();
    fails(
        owners_place(endpoint, "no-such-bucket", "a"),
        4,
        &["there is no bucket `no-such-bucket`", &endpoint.url],
    );
    let world = World::without_repository(owners_place(endpoint, servers::BUCKET, "a"));
    let outcome = run(world.repository.command(&["points"], None)).expect_status(4);
    assert!(last_line(&outcome).contains("coffer init"), "{}", outcome.story());
}

#[test]
fn nobody_at_the_address_is_told_within_the_patience() {
    let address = |more: &str| format!("s3://bucket/a?endpoint=http://127.0.0.1:1{more}");
    let place = Place::s3(&address("&patience=1"), ACCESS_KEY, SECRET_KEY);
    fails(place, 1, &["not available", "refused", "run the command again later"]);
}

#[test]
fn a_session_token_goes_with_every_request() {
    let server = Double::start();
    let url = server.endpoint().address(double::BUCKET, "a", "");
    let place = Place::s3(&url, SESSION_ACCESS_KEY, SECRET_KEY);
    fails(place.clone(), 2, &["denied"]);
    let before = server.requests();
    let world = World::new(place.with("AWS_SESSION_TOKEN", SESSION_TOKEN));
    let image = noise(1, 100_000);
    let outcome = world.back_up(&image, &[]);
    world.compare(&point_of(&outcome), &image);
    assert_eq!(server.session_requests(), server.requests() - before);
}

#[test]
fn a_web_identity_becomes_credentials() {
    let (server, sts) = (Double::start(), credentials::sts());
    let directory = tempfile::tempdir().expect("make a directory");
    let token = directory.path().join("token");
    std::fs::write(&token, WEB_IDENTITY).expect("write a token");
    let place = Place { url: server.endpoint().address(double::BUCKET, "a", ""), ..Place::default() }
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().expect("test paths are text"))
        .with("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
        .with("AWS_ENDPOINT_URL_STS", &sts.url())
        .with("AWS_EC2_METADATA_DISABLED", "true");
    World::new(place);
    assert!(sts.given() > 0 && server.session_requests() > 0, "{sts:?} {server:?}");
}

#[test]
fn an_instance_gives_its_role() {
    let (server, metadata) = (Double::start(), credentials::metadata());
    let place = Place { url: server.endpoint().address(double::BUCKET, "a", ""), ..Place::default() }
        .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url())
        .with("HOME", "/nonexistent");
    World::new(place);
    assert!(metadata.given() > 0 && server.session_requests() > 0, "{metadata:?} {server:?}");
}
