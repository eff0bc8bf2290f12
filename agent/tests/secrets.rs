//! No key and no credential is left in the agent's memory when the operation that brought it has ended.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/certificates.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod certificates;
#[path = "harness/client.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod client;
#[path = "harness/memory_group.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod memory_group;
#[path = "harness/process.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod process;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use coffer_agent::operations::system::system;
use coffer_engine::{CancelToken, Environment, Repository};
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::operations_client::OperationsClient;
use coffer_store::{OpenOptions, RepositoryUrl};
use process::Program;
use tonic::transport::Channel;

/// A limit for hangs, and for threads that are about to end.
const PATIENCE: Duration = Duration::from_secs(60);
const S3_SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCY-4711-SECRET";
const S3_TOKEN: &str = "IQoJb3JpZ2luX2VjE-0815-SESSION-TOKEN-of-a-test";

/// A server that refuses everything.
fn refusing_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut bytes = [0; 16 << 10];
                while stream.read(&mut bytes).is_ok_and(|len| len > 0) {
                    let answer = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// A repository below `directory`, and its recovery key's text.
fn repository(directory: &std::path::Path) -> (String, String) {
    let root = directory.join("repository");
    std::fs::create_dir(&root).unwrap();
    let url = format!("file://{}", root.display());
    let store = coffer_store::open(&RepositoryUrl::parse(&url).unwrap(), OpenOptions::default()).unwrap();
    let (clock, entropy) = system();
    let environment = Environment { clock, entropy, cancel: CancelToken::default() };
    let mut key = String::new();
    let mut save = |file: &coffer_format::KeyFile| {
        key = file.encode().to_string();
        Ok(())
    };
    Repository::init(store.as_ref(), &environment, true, &mut save).unwrap();
    (url, key)
}

/// Every secret of a key file, as it stands there and as bytes: what has 64 hexadecimal digits and a private name.
fn secrets(key: &str) -> Vec<(String, Vec<u8>)> {
    fn walk(name: &str, value: &serde_json::Value, found: &mut Vec<(String, Vec<u8>)>) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| walk(name, value, found))
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| walk(name, value, found)),
            serde_json::Value::String(text)
                if name.contains("private") || name.contains("secret") || name == "metadata_key" =>
            {
                found.push((format!("{name} as text"), text.clone().into_bytes()));
                let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
                found.push((format!("{name} as bytes"), bytes));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk("", &serde_json::from_str(key).unwrap(), &mut found);
    assert!(found.len() >= 8, "the key file has other fields now: {}", found.len());
    found
}

async fn verify(channel: &Channel, key: &str, repository: v1::Repository) -> v1::Operation {
    let mut client = OperationsClient::new(channel.clone());
    let request = v1::StartVerifyRequest {
        idempotency_key: key.into(),
        repository: Some(repository),
        plan: Some(v1::Plan { team: "default".into(), ..v1::Plan::default() }),
        read_data_percent: 100,
        ..v1::StartVerifyRequest::default()
    };
    let id = client.start_verify(request).await.unwrap().into_inner().id;
    let mut events = client.watch(v1::WatchOperationRequest { id, after: 0 }).await.unwrap().into_inner();
    let mut last = None;
    while let Some(event) = events.message().await.unwrap() {
        last = event.operation;
    }
    last.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_key_is_left_when_its_operation_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let (url, key) = repository(directory.path());
    let port = refusing_server();
    let endpoint = format!("http://127.0.0.1:{port}");
    let settings = format!("repositories = ['{url}', 's3://?endpoint={endpoint}']");
    let program = Program::start(directory.path(), &settings);
    let channel = program.channel("controller").await;

    let local = v1::Repository { url, key: key.clone(), ..v1::Repository::default() };
    let verified = verify(&channel, "local", local).await;
    assert_eq!(verified.state(), v1::OperationState::Succeeded, "{:?}", verified.error);
    let s3 = v1::Repository {
        url: format!("s3://bucket/prefix?endpoint={endpoint}&region=us-east-1&path-style=true"),
        key: key.clone(),
        s3: Some(v1::S3Credentials {
            access_key_id: "AKIDOFATEST4711".into(),
            secret_access_key: S3_SECRET.into(),
            session_token: S3_TOKEN.into(),
        }),
        ..v1::Repository::default()
    };
    let refused = verify(&channel, "s3", s3).await;
    assert_eq!(refused.state(), v1::OperationState::Failed, "{:?}", refused.error);
    eprintln!("{:?}", refused.error);
    // What was read last lies in a connection's buffers until it is closed or carries something else.
    drop(channel);

    let mut needles = secrets(&key);
    needles.push(("S3 secret".into(), S3_SECRET.into()));
    needles.push(("S3 session token".into(), S3_TOKEN.into()));
    let begun = Instant::now();
    let left = || -> Vec<String> {
        let left = needles.iter().map(|(name, needle)| (name, program.find(needle)));
        left.filter(|(_, found)| !found.is_empty())
            .map(|(name, found)| format!("{name}: {found:?}"))
            .collect()
    };
    while !left().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "still there: {:#?}", left());
        tokio::task::yield_now().await;
    }
}
