//! Restores, verifications and tables through agents, over loopback, Unix sockets and TLS; and that no secret is ever printed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/fake_agent.rs"]
mod fake_agent;
#[path = "harness/json_reference.rs"]
mod json_reference;
#[path = "harness/sandbox.rs"]
mod sandbox;

use std::process::Stdio;

use coffer_proto::agent::v1;
use coffer_proto::agent::v1::RestoreMode;
use fake_agent::{Act, FakeAgent, Script};
use json_reference::{Reference, reference};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sandbox::{Sandbox, finish, text};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

/// A repository with one point of `disk.img`, and the point.
fn world() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.init();
    sandbox.image("disk.img", 200_000, 1);
    let point = text(&sandbox.backup(&["vdb=disk.img"]), "point").to_owned();
    (sandbox, point)
}

fn restored(target: &str) -> v1::RestoreResult {
    let volume = v1::RestoredVolume {
        name: "vdb".into(),
        target: target.into(),
        size: 200_000,
        fetched: 10,
        written: 20,
        skipped: 30,
        zeroed: 40,
        cut: 0,
        tail: 50,
    };
    v1::RestoreResult {
        volumes: vec![volume],
        requests: Some(v1::Requests { get: 1000, ..Default::default() }),
    }
}

#[test]
fn a_restore_sends_the_point_the_targets_and_the_key_of_its_chain_only() {
    let (sandbox, point) = world();
    let agent = FakeAgent::start("n1", Script { restored: restored("/dev/vdb"), ..Script::default() });
    let url = agent.url();
    let words = [
        "restore",
        "--agent",
        &url,
        "--repo",
        "REPO",
        "--key",
        "recovery.key",
        "--plan",
        "web",
        "--pick",
        "latest",
    ];
    let outcome = sandbox
        .run(&[&words[..], &["--volume", "vdb=/dev/vdb", "--overwrite", "--json"]].concat())
        .ends(0)
        .json();
    Reference(reference()).check("restore", &outcome, &[]);
    Reference(reference()).check("restored volume", &outcome["volumes"][0], &[]);
    assert_eq!(
        (text(&outcome, "point"), outcome["volumes"][0]["skipped"].as_u64()),
        (point.as_str(), Some(30))
    );
    assert!(outcome["requests"]["get"].as_u64().unwrap() > 1000);
    agent.asked(|asked| {
        let request = &asked.restores[0];
        let plan = request.plan.as_ref().unwrap();
        assert_eq!(
            (plan.team.as_str(), plan.cluster.as_str(), plan.plan.as_str()),
            ("default", "host", "web")
        );
        assert_eq!(request.point, point);
        let volume = &request.volumes[0];
        assert_eq!((volume.name.as_str(), volume.target.as_str()), ("vdb", "/dev/vdb"));
        assert_eq!(volume.mode(), RestoreMode::Overwrite);
        let key = &request.repository.as_ref().unwrap().key;
        assert!(key.contains("coffer chain key 1"), "the recovery key does not travel");
        assert!(key.contains("\"x25519_private\":null") && key.contains("\"ed25519_private\":null"));
    });
    for (option, mode) in [("--in-place", RestoreMode::InPlace), ("--quiet", RestoreMode::New)] {
        sandbox.run(&[&words[..], &["--to", "/srv/out", option]].concat()).ends(0);
        let sent = agent.asked(|asked| asked.restores.last().unwrap().volumes[0].clone());
        assert_eq!((sent.target.as_str(), sent.mode()), ("/srv/out/vdb", mode));
    }
    sandbox.run(&[&words[..], &["--volume", "vdb=-"]].concat()).ends(2).says("does not go through an agent");
    sandbox.run(&[&words[..], &["--to", "/x", "--dry-run"]].concat()).ends(2).says("--dry-run");
}

#[test]
fn an_interrupted_restore_is_started_again_and_a_failed_one_says_how_to_finish() {
    let (sandbox, _) = world();
    let acts = [Act::Interrupt, Act::Work, Act::Fail("target", "retry")].into();
    let agent = FakeAgent::start("n1", Script { acts, restored: restored("/x"), ..Script::default() });
    let url = agent.url();
    let words = [
        "restore",
        "--agent",
        &url,
        "--repo",
        "REPO",
        "--key",
        "recovery.key",
        "--plan",
        "web",
        "--pick",
        "latest",
        "--to",
        "/x",
    ];
    sandbox.run(&words).ends(0);
    agent.asked(|asked| assert_eq!(asked.restores[0], asked.restores[1]));
    sandbox.run(&words).ends(1).says("--in-place");
    let writer: Vec<&str> =
        words.iter().map(|word| if *word == "recovery.key" { "writer.key" } else { *word }).collect();
    sandbox.run(&writer).ends(2).says("recovery key");
    // A key of the agent's own needs none here.
    let own: Vec<&str> = writer.iter().copied().chain(["--agent-key-name", "shop.key"]).collect();
    sandbox.run(&own).ends(0);
    agent.asked(|asked| {
        let place = asked.restores.last().unwrap().repository.clone().unwrap();
        assert_eq!((place.key.as_str(), place.key_name.as_str()), ("", "shop.key"));
    });
}

#[test]
fn an_agent_that_says_nothing_of_a_volume_has_not_restored_it() {
    let (sandbox, _) = world();
    let agent = FakeAgent::start("n1", Script::default());
    let url = agent.url();
    let words = [
        "restore",
        "--agent",
        &url,
        "--repo",
        "REPO",
        "--key",
        "recovery.key",
        "--plan",
        "web",
        "--pick",
        "latest",
        "--to",
        "/x",
    ];
    sandbox.run(&words).ends(1).says("says nothing of volume vdb");
}

#[test]
fn a_verification_tells_what_the_agent_found() {
    let (sandbox, point) = world();
    let problem = v1::Problem {
        kind: "damaged".into(),
        key: "t/default/x".into(),
        detail: "bad\u{7}".into(),
        points: vec![point.clone(), "no id".into()],
    };
    let verified = v1::VerifyResult {
        points: 1,
        packs: 2,
        bytes_read: 3,
        problems: vec![problem],
        notices: vec!["n".into()],
    };
    let agent = FakeAgent::start("n1", Script { verified, ..Script::default() });
    let url = agent.url();
    let words = [
        "verify",
        "--agent",
        &url,
        "--repo",
        "REPO",
        "--key",
        "recovery.key",
        "--plan",
        "web",
        "--read-data=7",
        "--json",
    ];
    let outcome = sandbox.run(&words).ends(5).says("the first is damaged t/default/x: bad ;").json();
    Reference(reference()).check("verify", &outcome, &[]);
    Reference(reference()).check("problem", &outcome["problems"][0], &[]);
    assert_eq!(outcome["problems"][0]["points"], serde_json::json!([point]));
    agent.asked(|asked| {
        let request = &asked.verifies[0];
        let plan = request.plan.as_ref().unwrap();
        assert_eq!((plan.team.as_str(), plan.cluster.as_str(), plan.plan.as_str()), ("default", "", "web"));
        assert_eq!(request.read_data_percent, 7);
    });
    // What was found stays to be seen.
    let show = sandbox.json(&["operations", "show", "--agent", &url, "n1-1"]);
    Reference(reference()).check("operations", &show, &[]);
    Reference(reference()).check("verified", &show["verified"], &[]);
    Reference(reference()).check("problem", &show["verified"]["problems"][0], &[]);
    let shown = sandbox.run(&["operations", "show", "--agent", &url, "n1-1"]).ends(0).text();
    assert!(shown.contains("problem: damaged t/default/x: bad") && shown.contains("notice: n"), "{shown}");
    sandbox
        .run(&["verify", "--agent", &url, "--repo", "REPO", "--read-data=0.5"])
        .ends(2)
        .says("whole percents");
    sandbox
        .run(&["verify", "--agent", &url, "--repo", "REPO", "--expect-head", &point])
        .ends(2)
        .says("--expect-head");
}

fn volume(id: &str, namespace: &str) -> v1::Volume {
    let pod = v1::Pod { uid: "u".into(), namespace: namespace.into(), name: format!("{id}-0") };
    v1::Volume {
        id: id.into(),
        kind: v1::VolumeKind::Device.into(),
        path: format!("/dev/{id}"),
        size_bytes: 1 << 30,
        engine: "device".into(),
        changed_blocks: vec!["hash".into()],
        kubernetes: Some(v1::KubernetesVolume {
            persistent_volume: format!("pv-{id}"),
            pods: vec![pod],
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn volumes_are_listed_page_by_page_and_without_control_characters() {
    let sandbox = Sandbox::new();
    let mut odd = volume("vdc", "shop");
    odd.unusable_because = "mounted\u{1b}[2J".into();
    let agent = FakeAgent::start(
        "n1",
        Script { volumes: vec![volume("vdb", "shop"), odd, volume("vdd", "web")], ..Script::default() },
    );
    let url = agent.url();
    let all = sandbox.json(&["volumes", "--agent", &url]);
    assert_eq!(all.as_array().unwrap().len(), 3);
    Reference(reference()).check("volumes", &all[0], &[]);
    Reference(reference()).check("pod", &all[0]["pods"][0], &[]);
    let table = sandbox.done(&["volumes", "--agent", &agent.named(), "--namespace", "shop"]).text();
    assert!(
        table.contains("n1    vdb") && table.contains("pv-vdb") && table.contains("shop/vdb-0"),
        "{table}"
    );
    assert!(table.contains("cannot be backed up: mounted [2J") && !table.contains("vdd"), "{table}");
    let one = sandbox.json(&["volumes", "--agent", &url, "--pv", "pv-vdd"]);
    assert_eq!((one.as_array().unwrap().len(), text(&one[0], "id")), (1, "vdd"));
    // Of several agents one may be away: what the others say is shown, and that it is not all.
    let gone = FakeAgent::start("n2", Script::default()).named();
    let agents = format!("{},{gone}", agent.named());
    let outcome =
        sandbox.run(&["volumes", "--agent", &agents, "--json"]).ends(3).says("agent n2: cannot connect");
    assert_eq!(outcome.json().as_array().unwrap().len(), 3);
}

#[test]
fn operations_are_listed_shown_watched_and_cancelled() {
    let (sandbox, _) = world();
    let acts = [Act::Work, Act::Hang, Act::Fail("damaged", "corrupt")].into();
    let agent = FakeAgent::start("n1", Script { acts, ..Script::default() });
    let url = agent.url();
    let path = sandbox.path("disk.img").display().to_string();
    let backup = |key: &str| {
        let words = [
            "backup",
            "--agent",
            &url,
            "--repo",
            "REPO",
            "--key",
            "writer.key",
            "--plan",
            "web",
            "--idempotency-key",
            key,
            &path,
        ];
        sandbox
            .command(&words)
            .stderr(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    backup("done").wait().unwrap();
    agent.wait_for_watch();
    let mut hangs = backup("hangs");
    agent.wait_for_watch();
    backup("fails").wait().unwrap();
    let list = sandbox.json(&["operations", "list", "--agent", &url]);
    Reference(reference()).check("operations", &list[0], &[]);
    Reference(reference()).check("operation progress", &list[0]["progress"], &[]);
    let states: Vec<(&str, &str)> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(row, "idempotency_key"), text(row, "state")))
        .collect();
    assert_eq!(states, [("done", "succeeded"), ("fails", "failed"), ("hangs", "running")]);
    Reference(reference()).check("operation error", &list[1]["error"], &[]);
    let ids: Vec<&str> = list.as_array().unwrap().iter().map(|row| text(row, "id")).collect();
    let show = sandbox.json(&["operations", "show", "--agent", &url, ids[1]]);
    assert_eq!((text(&show, "node"), text(&show["error"], "kind")), (url.as_str(), "damaged"));
    sandbox.run(&["operations", "watch", "--agent", &url, ids[0]]).ends(0);
    sandbox.run(&["operations", "watch", "--agent", &url, ids[1]]).ends(5).says("is  [31mgone");
    sandbox.run(&["operations", "show", "--agent", &url, "nothing"]).ends(4).says("nothing");
    sandbox.run(&["operations", "cancel", "--agent", &url, ids[2]]).ends(0);
    assert_eq!(hangs.wait().unwrap().code(), Some(130));
    sandbox.run(&["operations", "watch", "--agent", &url, ids[2]]).ends(130);
}

#[test]
fn nodes_tell_their_limits() {
    let sandbox = Sandbox::new();
    let agent = FakeAgent::start("n1", Script::default());
    let node = sandbox.json(&["node", "--agent", &agent.url()]);
    Reference(reference()).check("node", &node[0], &[]);
    Reference(reference()).check("node limits", &node[0]["limits"], &[]);
    let text = sandbox.done(&["node", "--agent", &agent.url()]).text();
    assert!(
        text.contains("node n1: version 0.1.0") && text.contains("missing: io_uring: not permitted"),
        "{text}"
    );
}

/// An authority, and PEM files of a client, in the sandbox; the server's identity is returned.
fn certificates(sandbox: &Sandbox, authority: &str) -> ServerTlsConfig {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let leaf = |names: Vec<String>| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    sandbox.write(&format!("{authority}.crt"), &issuer.pem());
    let (client, client_key) = leaf(Vec::new());
    sandbox.write(&format!("{authority}-client.crt"), &client);
    sandbox.write(&format!("{authority}-client.key"), &client_key);
    let (server, server_key) = leaf(vec!["127.0.0.1".into(), "agent.example".into()]);
    ServerTlsConfig::new()
        .identity(Identity::from_pem(server, server_key))
        .client_ca_root(Certificate::from_pem(issuer.pem()))
}

#[test]
fn both_sides_have_to_show_certificates_of_their_authority() {
    let sandbox = Sandbox::new();
    let tls = certificates(&sandbox, "ours");
    certificates(&sandbox, "other");
    let agent = FakeAgent::start_with("n1", Script::default(), Some(tls));
    let url = format!("https://{}", agent.address);
    let check = |more: &[&str], status: i32, says: &str| {
        let outcome = sandbox
            .run(&[&["node", "--agent", &url, "--agent-patience", "0", "--json"][..], more].concat())
            .ends(status)
            .says(says);
        (status != 0).then(|| text(&outcome.json()["error"], "kind").to_owned())
    };
    let own = ["--agent-cert", "ours-client.crt", "--agent-key", "ours-client.key"];
    let with_ca = |ca: &'static str| [&["--agent-ca", ca][..], &own].concat();
    assert_eq!(check(&with_ca("ours.crt"), 0, ""), None);
    assert_eq!(
        check(&[&with_ca("ours.crt")[..], &["--agent-server-name", "agent.example"]].concat(), 0, ""),
        None
    );
    let refused = Some("agent-certificate".to_owned());
    assert_eq!(check(&with_ca("other.crt"), 2, "its certificate is refused"), refused);
    assert_eq!(
        check(&[&with_ca("ours.crt")[..], &["--agent-server-name", "other.example"]].concat(), 2, "refused"),
        refused
    );
    assert_eq!(check(&["--agent-ca", "ours.crt"], 2, "it refused our certificate"), refused);
    let stranger =
        ["--agent-ca", "ours.crt", "--agent-cert", "other-client.crt", "--agent-key", "other-client.key"];
    assert_eq!(check(&stranger, 2, "it refused our certificate"), refused);
    assert_eq!(
        check(&["--agent-ca", "ours.crt", "--agent-cert", "ours-client.crt"], 2, "--agent-key"),
        Some("usage".into())
    );
    assert_eq!(check(&with_ca("missing.crt"), 1, "missing.crt"), Some("file".into()));
    sandbox.write("broken.pem", "x");
    assert_eq!(check(&with_ca("broken.pem"), 2, "broken.pem holds no certificate"), Some("usage".into()));
}

#[test]
fn a_certificate_that_is_refused_in_the_middle_of_a_run_is_told_from_an_agent_that_is_away() {
    let (sandbox, _) = world();
    let ours = certificates(&sandbox, "ours");
    certificates(&sandbox, "other");
    let script = Script { acts: [Act::Hang].into(), ..Script::default() };
    let mut agent = FakeAgent::start_with("n1", script, Some(ours.clone()));
    let url = format!("https://{}", agent.address);
    let image = sandbox.path("disk.img").display().to_string();
    let repository = ["--repo", "REPO", "--key", "writer.key", "--plan", "web", &image];
    let own = ["--agent-cert", "ours-client.crt", "--agent-key", "ours-client.key", "--agent-ca", "ours.crt"];
    let patience = ["--agent-patience", "3600", "--json"];
    let words = [&["backup", "--agent", &url][..], &repository, &own, &patience].concat();
    let mut command = sandbox.command(&words);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    agent.wait_for_watch();
    let of_others = Certificate::from_pem(sandbox.read("other.crt"));
    agent.restart_with(ours.client_ca_root(of_others));
    let outcome = finish(&words, child.wait_with_output().unwrap());
    let outcome = outcome.ends(2).says("it refused our certificate");
    assert!(!outcome.json().to_string().contains("given up"), "it was not waited for");
}

/// Characters of a secret that would be a leak.
const LEAK_LEN: usize = 12;

#[test]
fn no_secret_that_travels_is_printed() {
    let (sandbox, _) = world();
    let path = sandbox.path("disk.img").display().to_string();
    let mut secrets = vec![
        "canary-access-key-id".to_owned(),
        "canary-secret-access-key".into(),
        "canary-session-token".into(),
    ];
    for name in ["recovery.key", "writer.key"] {
        let key: serde_json::Value = serde_json::from_slice(&sandbox.read(name)).unwrap();
        let fields = ["metadata_key", "hash_secret", "writer_private", "x25519_private", "ed25519_private"];
        secrets.extend(fields.iter().filter_map(|field| key[field].as_str()).map(str::to_owned));
    }
    for refuse in
        [None, Some((tonic::Code::InvalidArgument, "usage")), Some((tonic::Code::Unauthenticated, "x"))]
    {
        let acts = [Act::Fail("bug", "bug"), Act::Interrupt, Act::BreakStreams(1)].into();
        let agent = FakeAgent::start("n1", Script { refuse, acts, ..Script::default() });
        let url = agent.url();
        let at = ["--agent", &url, "--repo", "REPO", "--log-level", "debug"];
        let backup = ["backup", "--plan", "web", "--key", "recovery.key", &path];
        let restore = ["restore", "--plan", "web", "--key", "recovery.key", "--pick", "latest", "--to", "/x"];
        let verify = ["verify", "--key", "recovery.key", "--read-data"];
        let s3 = ["verify", "--key", "recovery.key", "--repo", "s3://bucket/x?endpoint=http://127.0.0.1:1"];
        let list = ["operations", "list"];
        for words in [&backup[..], &backup, &restore, &verify, &list] {
            for format in [&[][..], &["--json"], &["--log-format", "json"]] {
                check_silent(&sandbox, &[words, &at, format].concat(), &secrets);
            }
        }
        check_silent(&sandbox, &[&s3[..], &["--agent", &url, "--log-level", "debug"]].concat(), &secrets);
        if refuse.is_none() {
            let sent =
                agent.asked(|asked| asked.verifies.last().unwrap().repository.clone().unwrap().s3.unwrap());
            assert_eq!(sent.session_token, "canary-session-token");
        }
    }
}

#[track_caller]
fn check_silent(sandbox: &Sandbox, words: &[&str], secrets: &[String]) {
    let mut command = sandbox.command(words);
    command.env("AWS_ACCESS_KEY_ID", "canary-access-key-id");
    command.env("AWS_SECRET_ACCESS_KEY", "canary-secret-access-key");
    command.env("AWS_SESSION_TOKEN", "canary-session-token");
    let outcome = finish(words, command.output().unwrap());
    let printed = format!("{}{}", outcome.text(), outcome.stderr);
    for secret in secrets {
        for start in (0..=secret.len() - LEAK_LEN).step_by(4) {
            let part = &secret[start..start + LEAK_LEN];
            assert!(!printed.contains(part), "coffer {} printed a part of a secret", outcome.words);
        }
    }
}
