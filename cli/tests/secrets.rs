//! The canary: no byte of a key file's secrets ever comes out of the program, whatever goes well or wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/sandbox.rs"]
mod sandbox;

use sandbox::{Outcome, Sandbox, text};

/// Characters of a secret that would be a leak.
const LEAK_LEN: usize = 12;

/// All runs of hexadecimal digits of a key file's secret fields.
fn secrets(sandbox: &Sandbox, name: &str) -> Vec<String> {
    let key: serde_json::Value = serde_json::from_slice(&sandbox.read(name)).unwrap();
    let fields = ["writer_private", "x25519_private", "ed25519_private"];
    let metadata = key["secrets"].as_array().unwrap().iter();
    let metadata = metadata.flat_map(|secrets| [&secrets["metadata_key"], &secrets["hash_secret"]]);
    let found = fields.iter().map(|field| &key[field]).chain(metadata);
    let found: Vec<String> = found.filter_map(|secret| secret.as_str()).map(str::to_owned).collect();
    assert!(found.len() >= 3 && found.iter().all(|secret| secret.len() == 64), "{name} has no secrets");
    found
}

#[track_caller]
fn check(outcome: &Outcome, secrets: &[String]) {
    let printed = format!("{}{}", outcome.text(), outcome.stderr);
    for secret in secrets {
        for start in (0..=secret.len() - LEAK_LEN).step_by(4) {
            let part = &secret[start..start + LEAK_LEN];
            assert!(!printed.contains(part), "coffer {} printed a part of a secret", outcome.words);
        }
    }
}

#[test]
fn no_verb_prints_a_secret() {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 100_000, 1);
    let point = sandbox.backup(&["disk.img"]);
    let point = text(&point, "point");
    let mut secrets_of_all = [secrets(&sandbox, "recovery.key"), secrets(&sandbox, "writer.key")].concat();
    let with_key: &[&[&str]] = &[
        &["backup", "--plan", "web", "disk.img"],
        &["points"],
        &["show", point],
        &["restore", point, "--to", "out"],
        &["verify", "--read-data"],
        &["usage"],
        &["prune"],
        &["hold", point],
        &["doctor", "disk.img"],
        &["key", "check"],
        &["cat", "manifest", point],
        &["key", "rotate", "--writers", "--key-out", "new.key", "--writer-key-out", "new-writer.key"],
    ];
    for words in with_key {
        for format in [&[][..], &["--json"][..], &["--log-level", "debug", "--log-format", "json"][..]] {
            let outcome =
                sandbox.run(&[words, &["--repo", "REPO", "--key", "recovery.key"][..], format].concat());
            check(&outcome, &secrets_of_all);
        }
    }
    secrets_of_all.extend(secrets(&sandbox, "new.key"));
    secrets_of_all.extend(secrets(&sandbox, "new-writer.key"));
    for name in ["recovery.key", "writer.key", "new.key"] {
        check(&sandbox.run(&["key", "show", "--key", name, "--log-level", "debug"]), &secrets_of_all);
        check(
            &sandbox.run(&["key", "writer", "--key", name, "--writer-key-out", "x.key", "--json"]),
            &secrets_of_all,
        );
    }
}

#[test]
fn no_broken_key_file_is_quoted() {
    let sandbox = Sandbox::new();
    sandbox.init();
    let secrets = secrets(&sandbox, "recovery.key");
    let good = String::from_utf8(sandbox.read("recovery.key")).unwrap();
    let first = &secrets[0];
    let swapped: String = first.chars().rev().collect();
    let breakages = [
        good.replace(first.as_str(), &first[..63]),
        good.replace(first.as_str(), &format!("{first}0")),
        good.replace(first.as_str(), &first.to_uppercase()),
        good.replace(first.as_str(), &swapped),
        good.replace("\"metadata_key\"", "\"metadata_kez\""),
        good.replace("\"team\":\"default\"", &format!("\"team\":\"{first}{first}\"")),
        good.replace("coffer recovery key 1", first),
        good.replace("\"generation\":1", &format!("\"generation\":\"{first}\"")),
        good.replace('{', "["),
        good[..good.len() / 2].to_owned(),
        format!("{good}{good}"),
    ];
    for (number, broken) in breakages.iter().enumerate() {
        sandbox.write("broken.key", broken);
        for format in [&[][..], &["--json"][..], &["--log-level", "debug"][..]] {
            let outcome = sandbox.run(&[&["key", "show", "--key", "broken.key"][..], format].concat());
            assert_eq!(outcome.status, 2, "breakage {number}: {}", outcome.stderr);
            check(&outcome, &secrets);
        }
    }
}
