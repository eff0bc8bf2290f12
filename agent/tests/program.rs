//! The program itself: arguments, `--check`, signals.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/certificates.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod certificates;
#[path = "harness/client.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod client;
#[path = "harness/program.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod process;

use std::fs::{self, Permissions};
use std::io::BufReader;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};

use coffer_proto::agent::v1::InfoRequest;
use coffer_proto::agent::v1::node_client::NodeClient;
use nix::sys::signal::Signal;
use process::Program;
use tempfile::TempDir;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

fn settings(directory: &TempDir, more: &str) -> PathBuf {
    let socket = directory.path().join("agent.sock");
    let text = format!(
        "cluster = 'lab'\nrepositories = ['s3://']\nlisten = 'unix:{}'\nstate_dir = '{}'\nlog_format = 'json'\nlog_level = 'debug'\n{more}",
        socket.display(),
        directory.path().join("state").display()
    );
    let path = directory.path().join("agent.toml");
    fs::write(&path, text).unwrap();
    path
}

async fn read_limit(channel: &Channel) -> u64 {
    let told = NodeClient::new(channel.clone()).info(InfoRequest {}).await.unwrap().into_inner();
    told.limits.unwrap().read_bytes_per_second
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_changes_limits_and_sigterm_ends_with_0() {
    let directory = tempfile::tempdir().unwrap();
    let mut program = Program::start(&settings(&directory, "[limits]\nread_bytes_per_second = '1MiB'"));
    let line = program.until("listening");
    assert!(line.contains("whoever can open this socket may do everything"), "{line}");
    let channel = client::unix_channel(directory.path().join("agent.sock")).await;
    assert_eq!(read_limit(&channel).await, 1 << 20);

    settings(&directory, "[limits]\nread_bytes_per_second = '2MiB'");
    program.signal(Signal::SIGHUP);
    program.until("limits read again");
    assert_eq!(read_limit(&channel).await, 2 << 20);

    settings(&directory, "[limits]\nread_bytes_per_second = 'fast'");
    program.signal(Signal::SIGHUP);
    let line = program.until("old limits stay");
    assert!(line.contains("fast"), "{line}");
    assert_eq!(read_limit(&channel).await, 2 << 20);

    program.signal(Signal::SIGTERM);
    program.until("drained");
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
    assert!(!directory.path().join("agent.sock").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_trace_is_found_in_the_log_and_what_is_no_trace_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut program = Program::start(&settings(&directory, ""));
    program.until("listening");
    let mut client = NodeClient::new(client::unix_channel(directory.path().join("agent.sock")).await);
    for (header, found) in
        [("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true), ("4bf92f35 forged=1", false)]
    {
        let mut request = tonic::Request::new(InfoRequest {});
        request.metadata_mut().insert("traceparent", MetadataValue::try_from(header).unwrap());
        client.info(request).await.unwrap();
        let line = program.until("call ended");
        assert_eq!(line.contains("\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\""), found, "{line}");
        assert!(line.contains("\"rpc\":\"Node/Info\"") && line.contains("\"caller\":\"local\""), "{line}");
        assert!(line.contains("\"code\":\"OK\"") && !line.contains("forged"), "{line}");
    }
}

/// Status, output and errors of the program with these settings.
fn run(path: &Path, check: bool) -> (Option<i32>, String, String) {
    let words: &[&str] = if check { &["--check", "--config"] } else { &["--config"] };
    let output = Command::new(env!("CARGO_BIN_EXE_coffer-agent")).args(words).arg(path).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn check_shows_what_is_in_force_and_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (status, shown, said) = run(&settings(&directory, "nice = 3"), true);
    assert_eq!((status, said.as_str()), (Some(0), ""));
    assert!(shown.contains("nice = 3\n") && shown.contains("memory = \"256MiB\"\n"), "{shown}");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "only the settings are there");
}

/// Files and directories of a node that settings may be wrong about.
fn node(directory: &TempDir) -> impl Fn(&str) -> PathBuf {
    let at = |name: &str| directory.path().join(name);
    for name in
        ["images/a/deep", "images/b", "credentials/shop/keys", "kubelet/pods", "repository", "tls", "closed"]
    {
        fs::create_dir_all(at(name)).unwrap();
    }
    symlink(at("images"), at("link-to-images")).unwrap();
    symlink(at("images/a"), at("images/link-to-a")).unwrap();
    symlink(at("repository"), at("images/b/link")).unwrap();
    let authority = certificates::Authority::new("authority");
    let pair = authority.server("node");
    fs::write(at("tls/tls.crt"), &pair.certificate).unwrap();
    fs::write(at("tls/ca.crt"), &authority.certificate).unwrap();
    fs::write(at("tls/tls.key"), &pair.key).unwrap();
    fs::set_permissions(at("tls/tls.key"), Permissions::from_mode(0o644)).unwrap();
    at
}

#[test]
fn check_and_start_refuse_the_same_settings_in_the_same_words() {
    let directory = tempfile::tempdir().unwrap();
    let at = node(&directory);
    let tls = "[tls]\ncert = 'D/tls/tls.crt'\nkey = 'D/tls/tls.key'\nclient_ca = 'D/tls/ca.crt'\ntrust_domain = 'd'";
    let team = |name: &str, more: &str| format!("[[teams]]\nname = '{name}'\n{more}\n");
    let cases: Vec<(String, &str)> = vec![
        ("nice = 30".into(), "`nice` = 30: write 0 to 19"),
        ("colour = 1".into(), "unknown field `colour`"),
        ("roots = ['/']".into(), "it holds everything"),
        ("roots = ['D']".into(), "it holds"),
        ("roots = ['D/state']".into(), "state_dir"),
        ("roots = ['D/state/below']".into(), "below"),
        ("roots = ['D/kubelet']\nkubelet_dir = 'D/kubelet'".into(), "kubelet's directory"),
        ("roots = ['D/kubelet/pods']\nkubelet_dir = 'D/kubelet'".into(), "kubelet's directory"),
        ("roots = ['D/kubelet']\nhost_root = 'D'\nkubelet_dir = '/kubelet'".into(), "kubelet's directory"),
        ("roots = ['D/credentials']\ncredentials_dir = 'D/credentials'".into(), "credentials_dir"),
        ("roots = ['D/link-to-images']\ncredentials_dir = 'D/images/a'".into(), "credentials_dir"),
        ("roots = ['D/images']\ncredentials_dir = 'D/images/link-to-a/deep'".into(), "credentials_dir"),
        (format!("roots = ['D/tls']\n{tls}"), "tls.cert"),
        (tls.into(), "chmod 0600"),
        (
            "[tls]\ncert = '/no/such'\nkey = '/x'\nclient_ca = '/x'\ntrust_domain = 'd'".into(),
            "tls.cert = /no/such cannot be read",
        ),
        ("device_classes = ['floppy']".into(), "`floppy` is no device class; write one of disk"),
        ("credentials_dir = 'D/no-such'".into(), "credentials_dir"),
        ("state_dir = 'D/tls/tls.crt'".into(), "state_dir"),
        ("listen = 'unix:D/no/such/agent.sock'".into(), "mkdir -p"),
        (
            format!(
                "roots = ['D/images']\n{}{}",
                team("x", "roots = ['D/images/a']"),
                team("y", "roots = ['D/images/link-to-a']")
            ),
            "teams.roots",
        ),
        (
            format!(
                "roots = ['D/images']\n{}{}",
                team("x", "roots = ['D/images/a']"),
                team("y", "roots = ['D/images/a/deep']")
            ),
            "already",
        ),
        (
            format!(
                "roots = ['D/images']\n{}{}",
                team("x", "roots = ['D/images/a']"),
                team("y", "volumes = ['D/images/a/deep/v.img']")
            ),
            "team x's already",
        ),
        (
            format!(
                "roots = ['D/images']\n{}{}",
                team("x", "roots = ['D/images/a']"),
                team("y", "volumes = ['D/images/link-to-a/v.img']")
            ),
            "a root of team x",
        ),
    ];
    for (more, word) in cases {
        let more = more.replace('D', &directory.path().display().to_string());
        let path = settings_with(&directory, &more);
        let (status, shown, said) = run(&path, true);
        assert_eq!((status, shown.as_str()), (Some(2), ""), "{more}: {said}");
        assert!(said.contains(word), "{more}: {said}");
        assert_eq!(run(&path, false), (Some(2), String::new(), said), "{more}");
    }
    // A repository is a directory that rules name.
    for (repository, root) in
        [("repository", "repository"), ("images/b", "images"), ("repository", "images/b/link")]
    {
        let text = format!(
            "cluster = 'lab'\nrepositories = ['file://{}']\nroots = ['{}']\nstate_dir = '{}'\nlisten = 'unix:{}'",
            at(repository).display(),
            at(root).display(),
            at("state").display(),
            at("agent.sock").display()
        );
        fs::write(at("agent.toml"), text).unwrap();
        let (status, _, said) = run(&at("agent.toml"), true);
        assert!(status == Some(2) && said.contains("it holds the repository"), "{repository} {root}: {said}");
        assert_eq!(run(&at("agent.toml"), false).2, said);
    }
}

/// Settings in which what `more` says replaces what all have.
fn settings_with(directory: &TempDir, more: &str) -> PathBuf {
    let path = settings(directory, "");
    let given = |line: &str| {
        line.split_once(" = ")
            .is_some_and(|(key, _)| more.lines().any(|own| own.starts_with(&format!("{key} = "))))
    };
    let text = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !given(line)).collect();
    fs::write(&path, format!("{}\n{more}\n", kept.join("\n"))).unwrap();
    path
}

#[test]
fn what_cannot_be_told_ends_nothing_and_keeps_its_status() {
    let directory = tempfile::tempdir().unwrap();
    let good = settings(&directory, "");
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let status = |words: &[&str], stdout: Stdio, stderr: Stdio| {
        let mut agent = Command::new(env!("CARGO_BIN_EXE_coffer-agent"));
        agent.args(words).stdin(Stdio::null()).stdout(stdout).stderr(stderr).status().unwrap().code()
    };
    let good = good.to_str().unwrap();
    for words in [&["--bogus"][..], &[], &["--config", "/no/such"]] {
        assert_eq!(status(words, full(), full()), Some(2), "{words:?}");
        let dead_pipe = std::io::pipe().unwrap().1;
        assert_eq!(status(words, Stdio::null(), dead_pipe.into()), Some(2), "{words:?}");
    }
    assert_eq!(status(&["--check", "--config", good], full(), full()), Some(1));
    let dead_pipe = std::io::pipe().unwrap().1;
    assert_eq!(status(&["--check", "--config", good], dead_pipe.into(), Stdio::null()), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_log_cannot_be_written_works_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = settings(&directory, "");
    let mut program = Program::start(&path);
    program.until("listening");
    // Nobody reads the log from here on.
    let (reader, _writer) = std::io::pipe().unwrap();
    drop(std::mem::replace(
        &mut program.log,
        BufReader::new(ChildStderr::from(std::os::fd::OwnedFd::from(reader))),
    ));
    let channel = client::unix_channel(directory.path().join("agent.sock")).await;
    for _ in 0..3 {
        assert_eq!(read_limit(&channel).await, 0);
    }
    program.signal(Signal::SIGTERM);
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_documents_way_to_make_certificates_makes_good_ones() {
    let document = include_str!("../../docs/agent.md");
    let script = document.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let directory = tempfile::tempdir().unwrap();
    let made = Command::new("sh").args(["-ec", script]).current_dir(&directory).output();
    let output = match made {
        Ok(output) if Command::new("openssl").arg("version").output().is_ok() => output,
        _ => {
            eprintln!("openssl is not installed: the document's commands were not run");
            return;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let at = |name: &str| directory.path().join(name);
    let tls = format!(
        "[tls]\ncert = '{}'\nkey = '{}'\nclient_ca = '{}'\ntrust_domain = 'lab.example'",
        at("agent.crt").display(),
        at("agent.key").display(),
        at("ca.crt").display()
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let path = settings(&directory, &tls);
    let text = fs::read_to_string(&path).unwrap();
    let listen = format!("listen = 'unix:{}'", at("agent.sock").display());
    fs::write(&path, text.replace(&listen, "listen = '127.0.0.1:0'")).unwrap();
    let mut program = Program::start(&path);
    let line = program.until("listening with client certificates");
    let address = line.split_once("127.0.0.1:").unwrap().1.split('"').next().unwrap();
    let address = format!("127.0.0.1:{address}").parse().unwrap();
    let read = |name: &str| fs::read_to_string(at(name)).unwrap();
    for (name, allowed) in [("controller", true), ("shop", true), ("scraper", false)] {
        let own = certificates::Pair {
            certificate: read(&format!("{name}.crt")),
            key: read(&format!("{name}.key")),
        };
        let config = client::tls(&read("ca.crt"), Some(&own), b"h2");
        let answered = runtime.block_on(async {
            let channel = client::channel(address, config).await.unwrap();
            NodeClient::new(channel).info(InfoRequest {}).await
        });
        assert_eq!(answered.is_ok(), allowed, "{name}: {answered:?}");
    }
}
