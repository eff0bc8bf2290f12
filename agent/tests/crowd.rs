//! A team that takes all it can of a real agent: what it takes is bounded, and the others do not notice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/certificates.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod certificates;
#[path = "harness/client.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod client;
#[path = "harness/memory_group.rs"]
mod memory_group;
#[path = "harness/process.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod process;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::node_client::NodeClient;
use coffer_proto::agent::v1::operations_client::OperationsClient;
use coffer_proto::agent::v1::volumes_client::VolumesClient;
use hyper::body::{Body, Frame};
use hyper_util::rt::TokioIo;
use memory_group::MemoryGroup;
use process::Program;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::ServiceExt;

const MIB: u64 = 1 << 20;
/// What the agent is given.
const MEMORY: u64 = 256 * MIB;
/// What it may take beside that; where a memory cgroup can be made, the kernel kills it beyond.
const BESIDE: u64 = 64 * MIB;
/// A limit for hangs, not a measure of anything.
const PATIENCE: Duration = Duration::from_secs(300);

/// A server whose answers never end: a byte now and then keeps the connection alive.
async fn trickling_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes: &[u8] = b"HTTP/1.1 200 OK\r\nx-slow: ";
                while stream.write_all(bytes).await.is_ok() {
                    bytes = b"s";
                    tokio::time::sleep(Duration::from_secs(3)).await;
                }
            });
        }
    });
    port
}

fn verify(team: &str, port: u16, idempotency_key: String, key: String) -> v1::StartVerifyRequest {
    let url = format!("s3://bucket?endpoint=http://127.0.0.1:{port}&region=us-east-1&path-style=true");
    let s3 = v1::S3Credentials {
        access_key_id: "AKID".into(),
        secret_access_key: "secret".into(),
        session_token: String::new(),
    };
    v1::StartVerifyRequest {
        idempotency_key,
        repository: Some(v1::Repository { url, key, s3: Some(s3), ..v1::Repository::default() }),
        plan: Some(v1::Plan { team: team.into(), ..v1::Plan::default() }),
        ..v1::StartVerifyRequest::default()
    }
}

/// Starts operations until `count` were accepted or one is refused; returns ids. A refusal must tell when to try again.
async fn start(
    channel: &Channel,
    team: &str,
    port: u16,
    prefix: &str,
    count: usize,
    key_len: usize,
) -> Vec<String> {
    let mut client = OperationsClient::new(channel.clone());
    let mut ids = Vec::new();
    for number in 0..count {
        let request = verify(team, port, format!("{prefix}-{number}"), "k".repeat(key_len));
        match client.start_verify(request).await {
            Ok(operation) => ids.push(operation.into_inner().id),
            Err(status) => {
                assert_is_full(&status);
                eprintln!("{prefix}: {} were taken, then: {}", ids.len(), status.message());
                break;
            }
        }
    }
    ids
}

fn assert_is_full(status: &Status) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status}");
}

/// A body that begins a message and does not end it.
struct Half {
    left: usize,
}

impl Body for Half {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Pending;
        }
        let len = self.left.min(16 << 10);
        let mut bytes = vec![7; len];
        if self.left == HALF_LEN {
            // A message of 2 MiB, of which the first field has as much.
            bytes[..10].copy_from_slice(&[0, 0, 0x1f, 0xff, 0xf0, 0x0a, 0xf0, 0xff, 0x7f, 0]);
        }
        self.left -= len;
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }
}

const HALF_LEN: usize = 1 << 20;

async fn send_half(channel: Channel) -> http::Response<tonic::body::Body> {
    let request = http::Request::post("/coffer.agent.v1.Operations/StartVerify")
        .header("content-type", "application/grpc")
        .body(tonic::body::Body::new(Half { left: HALF_LEN }))
        .unwrap();
    channel.oneshot(request).await.unwrap()
}

/// A channel whose client takes a kilobyte of each answer until it reads.
async fn slow_channel(program: &Program, role: &str) -> Channel {
    let (address, tls) = (program.address, program.tls(role));
    let connect = move |_| {
        let tls = tls.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(client::shake_hands(address, tls).await?)) }
    };
    let endpoint = Endpoint::from_static("http://agent").initial_stream_window_size(1_024);
    endpoint.connect_with_connector(tower::service_fn(connect)).await.unwrap()
}

/// Asks for something and does not read the answer, which lasts as long as what this returns.
async fn ask_and_not_read<Q, A>(
    channel: Channel,
    path: &'static str,
    question: Q,
) -> Option<tonic::Streaming<A>>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(path);
    let codec: tonic_prost::ProstCodec<Q, A> = tonic_prost::ProstCodec::default();
    match grpc.server_streaming(tonic::Request::new(question), path, codec).await {
        Ok(answer) => Some(answer.into_inner()),
        Err(status) => {
            assert_is_full(&status);
            None
        }
    }
}

/// Starts an operation and waits until it runs.
async fn run_one(channel: &Channel, request: v1::StartVerifyRequest) -> String {
    let mut client = OperationsClient::new(channel.clone());
    let id = client.start_verify(request).await.unwrap().into_inner().id;
    let mut events =
        client.watch(v1::WatchOperationRequest { id: id.clone(), after: 0 }).await.unwrap().into_inner();
    while events.message().await.unwrap().unwrap().operation.unwrap().state() == v1::OperationState::Queued {}
    id
}

async fn info(channel: &Channel) -> v1::InfoResponse {
    NodeClient::new(channel.clone()).info(v1::InfoRequest {}).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_at_once_stays_below_the_memory_and_the_others_are_served() {
    tokio::time::timeout(PATIENCE, all_at_once()).await.expect("nobody waits for ever");
}

async fn all_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let images = directory.path().join("images");
    std::fs::create_dir(&images).unwrap();
    for number in 0..20_000 {
        let file = std::fs::File::create(images.join(format!("volume-with-a-rather-long-name-{number}.img")))
            .unwrap();
        file.set_len(MIB).unwrap();
    }
    let port = trickling_server().await;
    let settings = format!(
        "memory = '{MEMORY}'\nrepositories = ['s3://?endpoint=http://127.0.0.1:{port}']\nroots = ['{0}']\n[[teams]]\nname = 'flood'\nroots = ['{0}']\n",
        images.display()
    );
    let settings = settings.replace(&format!("memory = '{MEMORY}'"), &format!("memory = {MEMORY}"));
    let mut program = Program::start_in(directory.path(), &settings, MemoryGroup::new(MEMORY + BESIDE));
    let flood = program.channel("team/flood").await;
    let controller = program.channel("controller").await;

    // Some that run and do not end. Then keys of 1 MiB and of 1 KiB, as many as are taken; the controller adds its own up to 1,000.
    let running = start(&flood, "flood", port, "running", 4, 0).await;
    assert_eq!(running.len(), 4);
    let large = start(&flood, "flood", port, "large", 1_000, MIB as usize).await;
    let mut queued = start(&flood, "flood", port, "small", 1_000, 1_000).await;
    let by_team = running.len() + large.len() + queued.len();
    assert!(large.len() < 10, "{} keys of 1 MiB were taken", large.len());
    assert!(!queued.is_empty());

    // Another team runs at once, before the controller adds its own, up to 1,000 in all.
    let shop = program.channel("team/shop").await;
    let id = run_one(&shop, verify("shop", port, "own".into(), String::new())).await;
    let own = queued.len();
    queued.extend(start(&controller, "shop", port, "more", 1_000 - by_team, 0).await);
    let told = info(&controller).await;
    eprintln!(
        "{by_team} operations of the team, {} of them with large keys; {} wait, {} run; {} MiB",
        large.len(),
        told.queued,
        told.running,
        program.peak_bytes() / MIB
    );
    assert!(told.queued > 500 && told.running >= 3, "{told:?}");

    // 200 that watch and do not read on.
    let mut watches = Vec::new();
    for number in 0..200 {
        let (channel, id) = match number % 2 {
            0 => (&flood, &queued[number % own]),
            _ => (&controller, &queued[number % queued.len()]),
        };
        let request = v1::WatchOperationRequest { id: id.clone(), after: 0 };
        match OperationsClient::new(channel.clone()).watch(request).await {
            Ok(stream) => watches.push(stream.into_inner()),
            Err(status) => assert_is_full(&status),
        }
    }
    // Messages that do not end, answers that nobody reads, lists of 20,000 volumes.
    let mut halves = JoinSet::new();
    let (mut pages, mut lists) = (Vec::new(), Vec::new());
    for number in 0..64 {
        halves.spawn(send_half(flood.clone()));
        // The team's account is full by now; a few of the controller's show what an answer takes that nobody reads.
        let role = if number % 8 == 0 { "controller" } else { "team/flood" };
        let channel = slow_channel(&program, role).await;
        if number % 16 == 0 {
            let all = v1::ListVolumesRequest::default();
            let path = "/coffer.agent.v1.Volumes/List";
            lists.extend(ask_and_not_read::<_, v1::ListVolumesResponse>(channel, path, all).await);
        } else {
            let all = v1::ListOperationsRequest { page_size: 1_000, ..Default::default() };
            let path = "/coffer.agent.v1.Operations/List";
            pages.extend(ask_and_not_read::<_, v1::ListOperationsResponse>(channel, path, all).await);
        }
    }
    let mut all = JoinSet::new();
    for channel in [&flood, &flood, &flood, &controller] {
        let mut client = VolumesClient::new(channel.clone());
        all.spawn(async move { client.list(v1::ListVolumesRequest::default()).await });
    }
    while let Some(listed) = all.join_next().await {
        match listed.unwrap() {
            Ok(page) => assert!(!page.into_inner().volumes.is_empty()),
            Err(status) => assert_is_full(&status),
        }
    }
    assert!(pages.len() >= 2 && lists.len() >= 2, "{} {}", pages.len(), lists.len());
    let unread = (watches.len(), pages.len(), lists.len());
    eprintln!(
        "{unread:?} watches, pages of operations and of volumes unread; {} MiB",
        program.peak_bytes() / MIB
    );

    // Meanwhile, another team and the controller.
    let mut of_shop = OperationsClient::new(shop.clone());
    of_shop.get(v1::GetOperationRequest { id: id.clone() }).await.unwrap();
    of_shop.start_verify(verify("shop", port, "own too".into(), String::new())).await.unwrap();
    let mut of_controller = OperationsClient::new(controller.clone());
    of_controller.cancel(v1::CancelOperationRequest { id }).await.unwrap();
    info(&controller).await;
    drop((watches, pages, lists, halves));
    // And who filled its own part can still cancel, when its calls have ended.
    let cancel = v1::CancelOperationRequest { id: queued[0].clone() };
    while let Err(status) = OperationsClient::new(flood.clone()).cancel(cancel.clone()).await {
        assert_is_full(&status);
    }

    let peak = program.peak_bytes();
    eprintln!("peak {} MiB of {} MiB", peak / MIB, (MEMORY + BESIDE) / MIB);
    assert!(program.is_alive());
    assert!(peak <= MEMORY + BESIDE, "{} MiB", peak / MIB);
}
