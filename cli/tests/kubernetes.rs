//! `coffer volumes --kubernetes`: names that only the API has, against an API server and agents of our own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/fake_agent.rs"]
mod fake_agent;
#[path = "harness/fake_api.rs"]
mod fake_api;
#[path = "harness/json_reference.rs"]
mod json_reference;
#[path = "harness/sandbox.rs"]
mod sandbox;

use std::process::Command;

use coffer_proto::agent::v1;
use fake_agent::{FakeAgent, Script};
use fake_api::{FakeApi, Fault, TOKEN, World, base64, host_path, pod, status};
use json_reference::{Reference, reference};
use sandbox::{Outcome, Sandbox, finish, text};
use serde_json::{Value, json};

/// An agent of n1 that lists two directories without a name and a device with one, an API server that knows more, and a kubeconfig.
struct Stage {
    sandbox: Sandbox,
    agent: FakeAgent,
    api: FakeApi,
}

fn stage() -> Stage {
    let directory = |id: &str, path: &str| v1::Volume {
        id: id.into(),
        kind: v1::VolumeKind::Directory.into(),
        path: path.into(),
        engine: "local-hostpath".into(),
        unusable_because: "directories are not backed up by this version".into(),
        ..Default::default()
    };
    let device = v1::Volume {
        kind: v1::VolumeKind::Device.into(),
        kubernetes: Some(v1::KubernetesVolume {
            persistent_volume: "pv-block".into(),
            plugin: "kubernetes.io/local-volume".into(),
            pods: vec![v1::Pod { uid: "uid-app-0".into(), ..Default::default() }],
            ..Default::default()
        }),
        ..directory("pv.pv-block", "/dev/vdb")
    };
    let volumes = vec![directory("path.a", "/srv/a"), directory("path.z", "/srv/z"), device];
    let agent = FakeAgent::start("n1", Script { volumes, ..Script::default() });
    let api = FakeApi::start(World {
        volumes: vec![
            host_path("pv-a", "/srv/a/", "data-a"),
            host_path("pv-hidden", "/var/lib/shop\u{1b}[2J", "data-hidden"),
            host_path("pv-elsewhere", "/var/lib/web", "data-elsewhere"),
            json!({ "metadata": { "name": "pv-csi" }, "spec": { "csi": { "driver": "x" } } }),
        ],
        pods: vec![
            pod("app-0", "n1", &["data-a", "data-hidden"]),
            pod("app-1", "n1", &["data-a"]),
            pod("web-0", "n2", &["data-elsewhere"]),
        ],
        ..World::default()
    });
    let sandbox = Sandbox::new();
    sandbox.write("kubeconfig", &api.kubeconfig("lab").to_string());
    Stage { sandbox, agent, api }
}

/// The program where nothing of the caller's own clusters is seen.
fn command(sandbox: &Sandbox, words: &[&str]) -> Command {
    let mut command = sandbox.command(words);
    for name in
        ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"]
    {
        command.env_remove(name);
    }
    command.env("HOME", sandbox.path("home")).env("KUBECONFIG", sandbox.path("kubeconfig"));
    command
}

impl Stage {
    fn run(&self, more: &[&str]) -> Outcome {
        self.run_with(&[], more)
    }

    fn run_with(&self, variables: &[(&str, &str)], more: &[&str]) -> Outcome {
        // The agent has a name of the caller's here, which Kubernetes has never heard of.
        let agent = format!("mine={}", self.agent.url());
        let words = [&["volumes", "--json", "--agent", &agent][..], more].concat();
        let mut command = command(&self.sandbox, &words);
        let outcome = finish(&words, command.envs(variables.iter().copied()).output().unwrap());
        assert!(
            !outcome.stderr.contains("canary") && !outcome.text().contains("canary"),
            "{}",
            outcome.stderr
        );
        outcome
    }

    /// Rows as `ID PATH PV: PODS`.
    #[track_caller]
    fn rows(&self, more: &[&str]) -> Vec<String> {
        rows(&self.run(&[&["--kubernetes"], more].concat()).ends(0).json())
    }

    /// Runs, and looks at the error's kind.
    #[track_caller]
    fn fails(&self, status: i32, kind: &str, says: &str) {
        let outcome = self.run(&["--kubernetes"]).ends(status).says(says);
        // One line, by us; and no control character of the API's.
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(!outcome.stderr.contains('\u{1b}'), "{}", outcome.stderr);
        let error = outcome.json();
        assert_eq!(text(&error["error"], "kind"), kind, "{error}");
    }
}

fn rows(document: &Value) -> Vec<String> {
    let row = |row: &Value| {
        let pods: Vec<&str> =
            row["pods"].as_array().unwrap().iter().filter_map(|pod| pod["name"].as_str()).collect();
        let volume = row["persistent_volume"].as_str().unwrap_or("-");
        format!("{} {} {volume}: {}", text(row, "id"), text(row, "path"), pods.join(" ")).trim().to_owned()
    };
    document.as_array().unwrap().iter().map(row).collect()
}

const ALL: [&str; 4] = [
    "path.a /srv/a pv-a: app-0 app-1",
    "path.z /srv/z -:",
    "pv.pv-block /dev/vdb pv-block: app-0",
    "/var/lib/shop [2J pv-hidden: app-0",
];

#[test]
fn host_path_volumes_are_named_and_those_that_the_agent_cannot_see_are_added() {
    let stage = stage();
    let document = stage.run(&["--kubernetes"]).ends(0).json();
    assert_eq!(rows(&document), ALL);
    for row in document.as_array().unwrap() {
        Reference(reference()).check("volumes", row, &[]);
        assert_eq!(text(row, "node"), "mine");
    }
    Reference(reference()).check("pod", &document[3]["pods"][0], &[]);
    assert_eq!(document[2]["pods"][0]["namespace"], "shop");
    assert_eq!(
        (text(&document[3], "kind"), text(&document[3], "plugin")),
        ("directory", "kubernetes.io/host-path")
    );
    assert!(text(&document[3], "unusable_because").contains("agent lists nothing at this path"));
    assert_eq!(text(&document[0], "unusable_because"), "directories are not backed up by this version");
    // One object per page, and only the pods of this agent's node.
    let asked = stage.api.asked();
    let count = |resource: &str| asked.iter().filter(|asked| asked.resource == resource).count();
    assert_eq!((count("persistentvolumes"), count("pods")), (4, 2));
    assert!(asked.iter().all(|asked| asked.query["limit"] == "500"), "{asked:?}");
    let pods = asked.iter().filter(|asked| asked.resource == "pods");
    assert!(pods.clone().all(|asked| asked.query["fieldSelector"] == "spec.nodeName=n1"), "{asked:?}");
    let table = {
        let words = ["volumes", "--agent", &stage.agent.named(), "--kubernetes"];
        finish(&words, command(&stage.sandbox, &words).output().unwrap()).ends(0).text()
    };
    assert!(
        table.contains("pv-hidden") && table.contains("cannot be backed up: directories are not"),
        "{table}"
    );
}

#[test]
fn filters_hold_for_what_only_kubernetes_names() {
    let stage = stage();
    assert_eq!(stage.rows(&["--pv", "pv-hidden"]), [ALL[3]]);
    assert_eq!(stage.rows(&["--pv", "pv-a"]), [ALL[0]]);
    assert_eq!(stage.rows(&["--pv", "pv-elsewhere"]), [""; 0]);
    assert_eq!(stage.rows(&["--namespace", "shop"]), [ALL[0], ALL[2], ALL[3]]);
    assert_eq!(stage.rows(&["--namespace", "shop", "--pv", "pv-block"]), [ALL[2]]);
    assert_eq!(stage.rows(&["--namespace", "web"]), [""; 0]);
}

#[test]
fn kubernetes_is_asked_only_if_the_caller_wants_it() {
    let stage = stage();
    assert_eq!(rows(&stage.run(&["--pv", "pv-a"]).ends(0).json()), [""; 0]);
    assert_eq!(rows(&stage.run(&[]).ends(0).json()).len(), 3);
    stage.run(&["--context", "lab"]).ends(2).says("--kubernetes");
    assert_eq!(stage.api.asked().len(), 0);
}

#[test]
fn a_node_that_kubernetes_does_not_know_is_told() {
    let stage = stage();
    let agent = FakeAgent::start("pod-4711", Script::default());
    let words = ["volumes", "--agent", &agent.url(), "--kubernetes", "--json"];
    let outcome = finish(&words, command(&stage.sandbox, &words).output().unwrap()).ends(0);
    assert!(
        outcome.stderr.contains("knows no pod on this node") && outcome.stderr.contains("pod-4711"),
        "{}",
        outcome.stderr
    );
    // Words of an agent that mean something in a selector are not sent.
    let odd = FakeAgent::start("n1,spec.x=y", Script::default());
    let words = ["volumes", "--agent", &odd.url(), "--kubernetes", "--json"];
    let before = stage.api.asked().len();
    finish(&words, command(&stage.sandbox, &words).output().unwrap()).ends(0);
    assert!(stage.api.asked().iter().skip(before).all(|asked| asked.resource == "persistentvolumes"));
}

#[test]
fn missing_rights_name_the_verb_and_the_resource() {
    let stage = stage();
    stage.api.forbid("persistentvolumes");
    stage.fails(
        2,
        "permission-denied",
        "needs a ClusterRole with the verb list on the resource persistentvolumes",
    );
    stage.fails(2, "permission-denied", "User \"jane [31m\" cannot list");
    stage.api.forbid("pods");
    stage.fails(2, "permission-denied", "the verb list on the resource pods");
    let stranger = stage.api.kubeconfig_of("lab", json!({ "token": "wrong" }));
    stage.sandbox.write("kubeconfig", &stranger.to_string());
    stage.fails(2, "unauthenticated", "check the user of the kubeconfig's context");
}

#[test]
fn an_answer_that_is_none_of_kubernetes_is_refused() {
    let stage = stage();
    let check = |code: u16, body: &str, says: &str| {
        stage.api.faults([Some(Fault::Answer(code, body.to_owned()))]);
        stage.fails(2, "kubernetes-answer", says);
        assert_eq!(stage.rows(&[]), ALL);
    };
    check(200, "<html>", "cannot be used");
    check(200, "{}", "cannot be used");
    check(
        200,
        &json!({ "kind": "PodList", "items": [] }).to_string(),
        "its kind is PodList, not PersistentVolumeList",
    );
    check(
        200,
        &json!({ "kind": "PersistentVolumeList", "items": [{ "metadata": 1 }] }).to_string(),
        "cannot be used",
    );
    check(404, "not found", "HTTP status 404");
    check(302, "", "check that the server of the kubeconfig's context is a Kubernetes API server");
    let (code, body) = status(400, "BadRequest", "limit is odd");
    check(code, &body, "limit is odd");
    check(200, &" ".repeat((64 << 20) + 1), "it has more than 64 MiB");
    stage.api.faults([Some(Fault::Cut)]);
    stage.fails(1, "kubernetes-unavailable", "broke off");
    stage.api.faults([Some(Fault::Answer(500, status(500, "InternalError", "etcd is away").1))]);
    stage.fails(1, "kubernetes-unavailable", "etcd is away; run the command again later");
}

#[test]
fn a_list_whose_next_page_was_forgotten_is_begun_anew_but_not_for_ever() {
    let stage = stage();
    let gone =
        || Some(Fault::Answer(410, status(410, "Expired", "The provided continue parameter is too old").1));
    stage.api.faults([None, None, gone()]);
    assert_eq!(stage.rows(&[]), ALL);
    stage.api.faults([None, gone(), None, gone(), None, gone()]);
    stage.fails(1, "kubernetes-unavailable", "changes faster than it can be read");
    // On the first page it means nothing.
    stage.api.faults([gone()]);
    stage.fails(2, "kubernetes-answer", "too old");
}

#[test]
fn a_signal_ends_a_wait_for_kubernetes() {
    let stage = stage();
    stage.api.faults([None, Some(Fault::Stall)]);
    let words = ["volumes", "--agent", &stage.agent.url(), "--kubernetes", "--json"];
    let mut command = command(&stage.sandbox, &words);
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    stage.api.wait_for_stall();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    finish(&words, child.wait_with_output().unwrap()).ends(130);
}

#[test]
fn a_server_that_is_away_or_is_another_is_told_apart() {
    let stage = stage();
    let other = FakeApi::start(World::default());
    let mut kubeconfig = stage.api.kubeconfig("lab");
    kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"] = json!(base64(&other.authority));
    stage.sandbox.write("kubeconfig", &kubeconfig.to_string());
    stage.fails(2, "kubernetes-certificate", "check the certificates of the kubeconfig's cluster");
    // A port that is ours, and on which nobody listens.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let free = held.local_addr().unwrap();
    let mut kubeconfig = stage.api.kubeconfig("lab");
    kubeconfig["clusters"][0]["cluster"]["server"] = json!(format!("https://user:canary@{free}"));
    stage.sandbox.write("kubeconfig", &kubeconfig.to_string());
    stage.fails(1, "kubernetes-unavailable", &format!("cannot reach https://{free}"));
}

#[test]
fn a_kubeconfig_is_found_and_read_as_kubectl_does() {
    let stage = stage();
    let mut without_current = stage.api.kubeconfig("lab");
    without_current["current-context"] = Value::Null;
    stage.sandbox.write("kubeconfig", &without_current.to_string());
    stage.fails(2, "kubeconfig", "give --context NAME");
    assert_eq!(stage.rows(&["--context", "lab"]), ALL);
    stage.run(&["--kubernetes", "--context", "moon"]).ends(2).says("it has no context moon; set KUBECONFIG");
    // Several files, of which some are not there; the first current context counts.
    stage.sandbox.write("other", &FakeApi::start(World::default()).kubeconfig("other").to_string());
    stage.sandbox.write("kubeconfig", &stage.api.kubeconfig("lab").to_string());
    let path = |name: &str| stage.sandbox.path(name).display().to_string();
    let several = format!("{}::{}:{}", path("missing"), path("kubeconfig"), path("other"));
    let found = stage.run_with(&[("KUBECONFIG", &several)], &["--kubernetes"]).ends(0).json();
    assert_eq!(rows(&found), ALL);
    stage
        .run_with(&[("KUBECONFIG", &path("missing"))], &["--kubernetes"])
        .ends(2)
        .says("there is no such file");
    // The home directory, and nothing at all.
    stage.run_with(&[("KUBECONFIG", "")], &["--kubernetes"]).ends(2).says("no ~/.kube/config");
    let in_pod =
        [("KUBECONFIG", ""), ("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", "1")];
    let words = ["--kubernetes", "--context", "lab"];
    stage.run_with(&in_pod, &words).ends(2).says("a pod's service account has none");
    std::fs::create_dir_all(stage.sandbox.path("home/.kube")).unwrap();
    stage.sandbox.write("home/.kube/config", &stage.api.kubeconfig("lab").to_string());
    assert_eq!(rows(&stage.run_with(&[("KUBECONFIG", "")], &["--kubernetes"]).ends(0).json()), ALL);
    let broken = format!("users: [{{name: x, user: {{token: {TOKEN}}}}}\ncanary: [");
    stage.sandbox.write("kubeconfig", &broken);
    stage.fails(2, "kubeconfig", "it is not YAML as kubectl writes it");
}

#[test]
fn a_caller_shows_a_certificate_or_what_a_plugin_prints() {
    let stage = stage();
    let (certificate, key) = &stage.api.client;
    let user = json!({ "client-certificate-data": base64(certificate), "client-key-data": base64(key) });
    stage.sandbox.write("kubeconfig", &stage.api.kubeconfig_of("lab", user).to_string());
    assert_eq!(stage.rows(&[]), ALL);
    let plugin = |script: &str| {
        let exec = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
            "interactiveMode": "Never",
        });
        stage
            .sandbox
            .write("kubeconfig", &stage.api.kubeconfig_of("lab", json!({ "exec": exec })).to_string());
    };
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": { "token": TOKEN },
    });
    plugin(&format!("echo '{credential}'"));
    assert_eq!(stage.rows(&[]), ALL);
    plugin(&format!("echo {TOKEN}; exit 7"));
    stage.fails(2, "kubeconfig", "its credential plugin failed: exit status: 7");
    plugin(&format!("echo '{{ {TOKEN}'"));
    stage.fails(2, "kubeconfig", "its credential plugin printed no credential");
}
