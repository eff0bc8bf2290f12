//! Secrets of S3 never show: not in the log at its most talkative, not in errors, not in what is stored.

use coffer_tests::process::run;
use coffer_tests::repository::Place;
use coffer_tests::s3::double::{Double, SESSION_ACCESS_KEY, SESSION_TOKEN};
use coffer_tests::s3::{ACCESS_KEY, SECRET_KEY, double, servers};

use crate::world::{World, noise, tmp};

const CANARY: &str = "canary+secret/0123456789";
const TALKATIVE: [&str; 2] = ["--log-level", "debug"];

#[test]
fn a_secret_never_shows_in_log_or_errors() {
    let server = Double::start();
    let url = server.endpoint().address(double::BUCKET, "a", "");
    let place = Place::s3(&url, SESSION_ACCESS_KEY, SECRET_KEY).with("AWS_SESSION_TOKEN", SESSION_TOKEN);
    let world = World::new(place);
    world.write(&noise(1, 6 << 20));
    let outcome = run(world.repository.backup(&[world.volume()], &TALKATIVE)).expect_status(0);
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    for secret in [SECRET_KEY, SESSION_TOKEN, "AWS4-HMAC"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn a_wrong_secret_never_shows_in_the_refusal() {
    let server = servers::versitygw(tmp());
    let url = server.endpoint().address(servers::BUCKET, "a", "");
    let world =
        World::without_repository(Place::s3(&url, ACCESS_KEY, CANARY).with("AWS_SESSION_TOKEN", CANARY));
    for format in ["text", "json"] {
        let words = [&TALKATIVE[..], &["--log-format", format, "points", "--json"]].concat();
        let command = world.repository.command(&words, None);
        let outcome = run(command).expect_status(2);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(said.contains("denied") && !said.contains(CANARY), "{said}");
    }
}
