//! Callers that try to make the agent read files, use its own credentials, or connect to what only it can reach: each with the real program.

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

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use coffer_proto::agent::v1;
use coffer_proto::agent::v1::operations_client::OperationsClient;
use process::Program;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};

const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AGENTKEY"),
    ("AWS_SECRET_ACCESS_KEY", "4711"),
    ("AWS_SESSION_TOKEN", "TOKEN4711"),
];

/// An agent with credentials of its own, and a caller.
struct World {
    directory: TempDir,
    _program: Program,
    client: OperationsClient<Channel>,
}

impl World {
    /// `repositories` is the list in TOML; `D` in it is the world's directory.
    async fn new(repositories: &str) -> World {
        let directory = tempfile::tempdir().unwrap();
        let shown = directory.path().display().to_string();
        let text = format!(
            "cluster = 'lab'\nlisten = 'unix:{shown}/agent.sock'\nstate_dir = '{shown}/state'\nlog_format = 'json'\n\
             repositories = [{}]\n",
            repositories.replace("DIRECTORY", &shown)
        );
        fs::write(directory.path().join("agent.toml"), text).unwrap();
        let mut program = Program::start_with(&directory.path().join("agent.toml"), &KEYS);
        program.until("listening");
        let client = OperationsClient::new(client::unix_channel(directory.path().join("agent.sock")).await);
        World { directory, _program: program, client }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Asks for a verification of the repository at `url`.
    async fn verify(&mut self, url: &str, s3: Option<v1::S3Credentials>) -> Result<v1::Operation, Status> {
        let plan = v1::Plan { team: "shop".into(), ..v1::Plan::default() };
        let repository = v1::Repository { url: url.into(), s3, ..v1::Repository::default() };
        let request = v1::StartVerifyRequest {
            idempotency_key: url.chars().take(128).collect(),
            repository: Some(repository),
            plan: Some(plan),
            ..v1::StartVerifyRequest::default()
        };
        Ok(self.client.start_verify(request).await?.into_inner())
    }

    /// As `verify`, up to the operation's end; returns what it failed with.
    async fn failure(&mut self, url: &str) -> String {
        let s3 = url.starts_with("s3://").then(credentials);
        let operation = self.verify(url, s3).await.unwrap();
        let request = v1::WatchOperationRequest { id: operation.id, after: 0 };
        let mut events = self.client.watch(request).await.unwrap().into_inner();
        let mut last = None;
        while let Some(event) = events.message().await.unwrap() {
            last = event.operation;
        }
        last.unwrap().error.unwrap().message
    }
}

fn credentials() -> v1::S3Credentials {
    v1::S3Credentials {
        access_key_id: "CALLER".into(),
        secret_access_key: "secret".into(),
        ..v1::S3Credentials::default()
    }
}

/// A server that only listens.
fn server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn nobody_came(server: &TcpListener) {
    server.set_nonblocking(true).unwrap();
    assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "the agent connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_in_an_address_is_refused_in_the_same_words_whatever_it_is() {
    let mut world = World::new("'s3://'").await;
    nix::unistd::mkfifo(&world.at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let paths =
        ["/dev/zero".into(), world.at("pipe"), world.at("agent.toml"), world.at("none"), "/etc".into()];
    for path in paths {
        let url = format!("s3://bucket?ca={}", path.display());
        let refused = world.verify(&url, Some(credentials())).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        assert!(refused.message().contains("callers name none"), "{refused}");
        assert!(!refused.message().contains(path.to_str().unwrap()), "{refused}");
    }
    // It lives and answers.
    world.client.list(v1::ListOperationsRequest::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agents_own_credentials_go_to_where_a_rule_says_so_and_nowhere_else() {
    let (server, address) = server();
    let url = format!("s3://bucket?endpoint=http://{address}");
    let rule = format!("'s3://?endpoint=http://{address}'");
    let mut world = World::new(&rule).await;
    let refused = world.verify(&url, None).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("own_credentials"), "{refused}");
    nobody_came(&server);

    server.set_nonblocking(false).unwrap();
    let rule = format!("{{ address = 's3://?endpoint=http://{address}', own_credentials = true }}");
    let mut world = World::new(&rule).await;
    world.verify(&url, None).await.unwrap();
    let asked = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut bytes = [0; 4096];
        let len = stream.read(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).to_lowercase()
    });
    let asked = asked.await.unwrap();
    assert!(asked.contains("credential=agentkey/") && asked.contains("token4711"), "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_for_every_server_leads_to_none_of_this_host_and_to_none_without_tls() {
    let (server, address) = server();
    let port = address.port();
    let mut world = World::new("{ address = 's3://', own_credentials = true }").await;
    for (endpoint, word) in [
        (format!("https://127.0.0.1:{port}"), "a loopback address"),
        (format!("https://[::ffff:127.0.0.1]:{port}"), "a loopback address"),
        (format!("https://2130706433:{port}"), "a loopback address"),
        ("https://169.254.169.254".to_owned(), "a link-local address"),
        (format!("http://store.example:{port}"), "without TLS"),
    ] {
        let url = format!("s3://bucket?endpoint={endpoint}");
        let refused = world.verify(&url, None).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{endpoint}: {refused}");
        assert!(refused.message().contains(word), "{endpoint}: {refused}");
    }
    // A name is found out when it has been resolved.
    let failed = world.failure(&format!("s3://bucket?endpoint=https://localhost:{port}")).await;
    assert!(failed.contains("localhost leads to") && failed.contains("a loopback address"), "{failed}");
    nobody_came(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_link_leads_out_of_an_allowed_directory() {
    let mut world = World::new("'file://DIRECTORY/allowed'").await;
    for name in ["allowed/within", "outside"] {
        fs::create_dir_all(world.at(name)).unwrap();
    }
    std::os::unix::fs::symlink(world.at("outside"), world.at("allowed/link")).unwrap();
    std::os::unix::fs::symlink(world.at("allowed/within"), world.at("allowed/inner-link")).unwrap();
    for (name, word) in [("link", "symbolic link"), ("inner-link", "symbolic link"), ("none", "no directory")]
    {
        let failed = world.failure(&format!("file://{}", world.at("allowed").join(name).display())).await;
        assert!(failed.contains(word), "{name}: {failed}");
    }
    assert_eq!(fs::read_dir(world.at("outside")).unwrap().count(), 0, "nothing was made outside");
}
