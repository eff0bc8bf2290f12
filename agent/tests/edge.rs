//! A real agent on loopback: who is let in, who is refused, and with which answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/certificates.rs"]
mod certificates;
#[path = "harness/client.rs"]
mod client;
#[path = "harness/running.rs"]
mod running;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use certificates::{Authority, Mounted, Pair};
use coffer_agent::config::ListenAddress;
use coffer_agent::edge::EdgeError;
use coffer_agent::edge::listener::Listener;
use coffer_agent::edge::patience::Expects;
use coffer_agent::edge::tls::{ALPN_GRPC, Certificates};
use coffer_agent::metrics::Metrics;
use coffer_proto::agent::v1::node_client::NodeClient;
use coffer_proto::agent::v1::operations_client::OperationsClient;
use coffer_proto::agent::v1::{DrainRequest, InfoRequest, ListOperationsRequest};
use running::{Running, settings};
use rustls::ClientConfig;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

/// An agent with certificates, and the authority of its clients.
struct Lab {
    authority: Authority,
    mounted: Mounted,
    agent: Running,
    _directory: TempDir,
}

impl Lab {
    async fn new() -> Lab {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new("authority of a test");
        let mounted = Mounted::new(directory.path(), &authority.server("one"), &authority.certificate);
        let mut config = settings("listen = '127.0.0.1:0'\nmetrics_listen = '127.0.0.1:0'");
        config.tls = Some(mounted.files());
        let agent = Running::start(&config).await;
        Lab { authority, mounted, agent, _directory: directory }
    }

    fn tls(&self, own: Option<&Pair>) -> Arc<ClientConfig> {
        client::tls(&self.authority.certificate, own, b"h2")
    }

    async fn channel(&self, own: &Pair) -> Channel {
        client::channel(self.agent.grpc.unwrap(), self.tls(Some(own))).await.unwrap()
    }

    async fn role(&self, role: &str) -> Channel {
        self.channel(&self.authority.role(role)).await
    }

    /// Whether a caller with this certificate gets as far as any answer of a service.
    async fn is_let_in(&self, own: Option<&Pair>) -> bool {
        let Ok(channel) = client::channel(self.agent.grpc.unwrap(), self.tls(own)).await else {
            return false;
        };
        info(&channel).await.is_ok()
    }

    async fn scrape(&self, own: Option<&Pair>, path: &str) -> std::io::Result<String> {
        let tls = client::tls(&self.authority.certificate, own, b"http/1.1");
        client::http(client::shake_hands(self.agent.scrapes.unwrap(), tls).await?, "GET", path).await
    }

    /// The count of one series.
    fn count(&self, series: &str) -> u64 {
        count(&self.agent.metrics, series)
    }
}

fn count(metrics: &Metrics, series: &str) -> u64 {
    let page = metrics.page();
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("coffer_agent_{series} ")));
    line.map_or(0, |number| number.parse().unwrap())
}

async fn info(channel: &Channel) -> Result<coffer_proto::agent::v1::InfoResponse, Status> {
    NodeClient::new(channel.clone()).info(InfoRequest {}).await.map(tonic::Response::into_inner)
}

async fn drain(channel: &Channel, seconds: i64) -> Result<(u32, u32), Status> {
    let grace = Some(prost_types::Duration { seconds, nanos: 0 });
    let answer = NodeClient::new(channel.clone()).drain(DrainRequest { grace }).await?.into_inner();
    Ok((answer.finished, answer.interrupted))
}

async fn health(channel: &Channel, service: &str) -> Result<i32, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(channel.clone()).check(request).await.map(|answer| answer.into_inner().status)
}

/// The names of the services that reflection lists.
async fn reflection(channel: &Channel) -> Result<Vec<String>, Status> {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = tonic_reflection::pb::v1::ServerReflectionRequest { host: String::new(), message_request };
    let requests = tokio_stream::iter([request]);
    let mut answers =
        ServerReflectionClient::new(channel.clone()).server_reflection_info(requests).await?.into_inner();
    match answers.message().await?.unwrap().message_response.unwrap() {
        MessageResponse::ListServicesResponse(list) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn code<T: std::fmt::Debug>(result: &Result<T, Status>) -> Code {
    result.as_ref().map_or_else(Status::code, |_| Code::Ok)
}

#[tokio::test]
async fn every_identity_gets_what_the_rules_say_and_no_more() {
    let lab = Lab::new().await;
    for (role, own, may_info, may_drain, may_reflect) in [
        ("team/shop", "team/shop", Code::Ok, Code::PermissionDenied, Code::PermissionDenied),
        ("scraper", "scraper", Code::PermissionDenied, Code::PermissionDenied, Code::PermissionDenied),
        ("controller", "controller", Code::Ok, Code::Ok, Code::Ok),
    ] {
        let channel = lab.role(role).await;
        assert_eq!(code(&health(&channel, "").await), Code::Ok, "{role}");
        assert_eq!(code(&info(&channel).await), may_info, "{role}");
        assert_eq!(code(&reflection(&channel).await), may_reflect, "{role}");
        let drained = drain(&channel, 7).await;
        assert_eq!(code(&drained), may_drain, "{role}");
        assert_eq!(lab.agent.operations.draining.load(Ordering::SeqCst), may_drain == Code::Ok, "{role}");
        if let Err(status) = drained {
            let info = status.get_details_error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), ("permission-denied", "coffer.dev"));
            assert_eq!(info.metadata["caller"], own);
            assert!(status.message().contains("Node/Drain") && status.message().contains(own), "{status}");
        }
    }
    assert_eq!(lab.agent.operations.grace_seconds.load(Ordering::SeqCst), 7);
    assert_eq!(lab.count("requests_total{code=\"OK\",rpc=\"Node/Info\"}"), 2);
    assert_eq!(lab.count("requests_total{code=\"PERMISSION_DENIED\",rpc=\"Node/Drain\"}"), 2);
    assert_eq!(lab.count("requests_total{code=\"OK\",rpc=\"Node/Drain\"}"), 1);
    assert_eq!(lab.count("refused_total{reason=\"rule\"}"), 5);
    lab.agent.stop().await;
}

#[tokio::test]
async fn info_and_reflection_tell_what_is_served() {
    let lab = Lab::new().await;
    let channel = lab.role("controller").await;
    let told = info(&channel).await.unwrap();
    assert_eq!((told.node.as_str(), told.running, told.queued, told.draining), ("node-1", 2, 3, false));
    let limits = told.limits.unwrap();
    assert_eq!((limits.memory_bytes, limits.operations_max, limits.threads), (256 << 20, 16, 2));
    let services = reflection(&channel).await.unwrap();
    for service in ["coffer.agent.v1.Node", "coffer.agent.v1.Operations", "coffer.agent.v1.Volumes"] {
        assert!(services.iter().any(|name| name == service), "{services:?}");
    }
}

#[tokio::test]
async fn a_drained_agent_is_not_serving_and_says_so() {
    let lab = Lab::new().await;
    let channel = lab.role("controller").await;
    assert_eq!(health(&channel, "coffer.agent.v1.Operations").await.unwrap(), 1);
    assert_eq!(code(&drain(&channel, 3_601).await), Code::InvalidArgument);
    assert_eq!(drain(&channel, 0).await.unwrap(), (1, 1));
    for service in ["", "coffer.agent.v1.Operations"] {
        assert_eq!(health(&channel, service).await.unwrap(), 2);
    }
    assert!(info(&channel).await.unwrap().draining);
}

#[tokio::test]
async fn what_has_no_rule_or_no_service_is_refused() {
    let lab = Lab::new().await;
    let team = lab.role("team/shop").await;
    // Known to the rules and served by nobody in this test: it passes the rules and finds no service.
    let list = OperationsClient::new(team.clone()).list(ListOperationsRequest::default()).await;
    assert_eq!(code(&list), Code::Unimplemented);
    assert_eq!(lab.count("refused_total{reason=\"rule\"}"), 0);
    // Served by tonic's own health service, but without a rule.
    let watch = HealthClient::new(team).watch(HealthCheckRequest { service: String::new() }).await;
    assert_eq!(code(&watch), Code::Unimplemented);
    assert_eq!(watch.unwrap_err().get_details_error_info().unwrap().reason, "unknown-call");
    assert_eq!(lab.count("refused_total{reason=\"rule\"}"), 1);
    assert_eq!(lab.count("requests_total{code=\"UNIMPLEMENTED\",rpc=\"unknown\"}"), 1);
}

#[tokio::test]
async fn who_has_no_good_certificate_does_not_get_in() {
    let lab = Lab::new().await;
    let foreign = Authority::new("authority of a stranger").role("controller");
    let wrong_use = lab.authority.server("localhost");
    for (name, own) in [
        ("none", None),
        ("foreign", Some(foreign)),
        ("expired", Some(lab.authority.expired("controller"))),
        ("of a server", Some(wrong_use)),
    ] {
        assert!(!lab.is_let_in(own.as_ref()).await, "{name}");
    }
    assert_eq!(lab.count("refused_total{reason=\"handshake\"}"), 4);
    assert_eq!(lab.count("requests_total{code=\"OK\",rpc=\"Node/Info\"}"), 0);
    assert!(lab.is_let_in(Some(&lab.authority.role("controller"))).await);
}

#[tokio::test]
async fn a_certificate_that_names_nobody_is_unauthenticated_for_every_call() {
    let lab = Lab::new().await;
    let controller = format!("spiffe://{}/coffer/controller", certificates::DOMAIN);
    for uris in [
        vec![],
        vec!["spiffe://other.example/coffer/controller"],
        vec!["https://lab.example/coffer/controller"],
        vec![controller.as_str(), controller.as_str()],
    ] {
        let channel = lab.channel(&lab.authority.client(&uris)).await;
        for refused in
            [code(&info(&channel).await), code(&health(&channel, "").await), code(&drain(&channel, 0).await)]
        {
            assert_eq!(refused, Code::Unauthenticated, "{uris:?}");
        }
    }
    assert_eq!(lab.count("refused_total{reason=\"identity\"}"), 12);
    assert!(!lab.agent.operations.draining.load(Ordering::SeqCst));
}

#[tokio::test]
async fn certificates_rotate_while_connections_are_open() {
    let mut lab = Lab::new().await;
    let (old_client, old_tls) =
        (lab.authority.role("controller"), lab.tls(Some(&lab.authority.role("controller"))));
    let open = lab.channel(&old_client).await;
    info(&open).await.unwrap();

    // Another authority for both sides: only what it vouches for is let in from now on.
    let next = Authority::new("next authority");
    lab.mounted.exchange(&next.server("two"), &next.certificate);
    let new_tls = client::tls(&next.certificate, Some(&next.role("controller")), b"h2");
    let new = client::channel(lab.agent.grpc.unwrap(), new_tls).await.unwrap();
    info(&new).await.unwrap();
    assert!(
        client::channel(lab.agent.grpc.unwrap(), old_tls).await.is_err(),
        "the agent's new certificate is not the old authority's"
    );
    let old_with_new_trust = client::tls(&next.certificate, Some(&old_client), b"h2");
    let stale = client::channel(lab.agent.grpc.unwrap(), old_with_new_trust).await;
    let refused = match stale {
        Ok(channel) => info(&channel).await.is_err(),
        Err(_) => true,
    };
    assert!(refused, "a client of the old authority was let in");
    info(&open).await.unwrap();
}

#[tokio::test]
async fn new_files_that_cannot_be_used_leave_the_old_ones_in_force() {
    let mut lab = Lab::new().await;
    let own = lab.authority.role("controller");
    let (good, other) = (lab.authority.server("two"), lab.authority.server("three"));
    let ca = lab.authority.certificate.clone();
    let mixed = Pair { certificate: good.certificate.clone(), key: other.key.clone() };
    let cut = Pair { certificate: good.certificate[..100].to_owned(), key: good.key.clone() };
    let empty = Pair { certificate: String::new(), key: String::new() };
    for (name, server, ca) in [
        ("key of another", &mixed, ca.as_str()),
        ("cut certificate", &cut, ca.as_str()),
        ("empty files", &empty, ca.as_str()),
        ("empty authority", &good, ""),
    ] {
        lab.mounted.exchange(server, ca);
        assert!(lab.is_let_in(Some(&own)).await, "{name}");
        assert!(
            Certificates::load(&lab.mounted.files(), ALPN_GRPC).is_err(),
            "{name} would not have been a test"
        );
    }
    std::fs::remove_file(lab.mounted.files().cert).unwrap();
    assert!(lab.is_let_in(Some(&own)).await, "file gone");

    let next = Authority::new("next authority");
    std::fs::write(lab.mounted.files().cert, &good.certificate).unwrap();
    lab.mounted.exchange(&good, &next.certificate);
    assert!(!lab.is_let_in(Some(&own)).await, "good files are taken again after bad ones");
}

#[tokio::test]
async fn a_silent_client_is_sent_away() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority of a test");
    let mounted = Mounted::new(directory.path(), &authority.server("one"), &authority.certificate);
    let (metrics, certificates) =
        (Metrics::new("test"), Certificates::load(&mounted.files(), ALPN_GRPC).unwrap());
    let address = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
    let listener =
        Listener::bind(&address, Some(certificates), Expects::Preface, metrics.clone()).await.unwrap();
    let bound = listener.tcp_address().unwrap();
    let mut tasks = JoinSet::new();
    let _connections = listener.with_handshake_time(Duration::from_millis(20)).connections(&mut tasks);
    let mut silent = tokio::net::TcpStream::connect(bound).await.unwrap();
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap(), 0, "the agent closes the connection");
    assert_eq!(count(&metrics, "refused_total{reason=\"timeout\"}"), 1);
}

#[tokio::test]
async fn metrics_are_for_the_scraper_and_the_controller() {
    let lab = Lab::new().await;
    for role in ["scraper", "controller"] {
        let page = lab.scrape(Some(&lab.authority.role(role)), "/metrics").await.unwrap();
        assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("\ncoffer_agent_build_info{"), "{page}");
    }
    let scraper = lab.authority.role("scraper");
    assert!(lab.scrape(Some(&scraper), "/").await.unwrap().starts_with("HTTP/1.1 404"));
    let team = lab.scrape(Some(&lab.authority.role("team/shop")), "/metrics").await.unwrap();
    assert!(team.starts_with("HTTP/1.1 403") && !team.contains("coffer_agent_"), "{team}");
    let nobody = lab.scrape(Some(&lab.authority.client(&[])), "/metrics").await.unwrap();
    assert!(nobody.starts_with("HTTP/1.1 401") && !nobody.contains("coffer_agent_"), "{nobody}");
    let without = lab.scrape(None, "/metrics").await.unwrap_or_default();
    assert_eq!(without, "");
}

#[tokio::test]
async fn loopback_without_certificates_is_served_and_everything_else_refused_at_the_start() {
    let agent = Running::start(&settings("listen = '127.0.0.1:0'\nmetrics_listen = '127.0.0.1:0'")).await;
    let channel = client::plain_channel(agent.grpc.unwrap()).await;
    info(&channel).await.unwrap();
    drain(&channel, 0).await.unwrap();
    let stream = tokio::net::TcpStream::connect(agent.scrapes.unwrap()).await.unwrap();
    assert!(client::http(stream, "GET", "/metrics").await.unwrap().contains("coffer_agent_build_info"));
    let stream = tokio::net::TcpStream::connect(agent.scrapes.unwrap()).await.unwrap();
    assert!(client::http(stream, "POST", "/metrics").await.unwrap().starts_with("HTTP/1.1 405"));
    agent.stop().await;

    for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        // The settings refuse it already; the listener does not rely on that.
        let address = ListenAddress::Tcp(open.parse().unwrap());
        let refused =
            Listener::bind(&address, None, Expects::Preface, Metrics::new("test")).await.unwrap_err();
        assert!(matches!(refused, EdgeError::Open { .. }), "{open}: {refused}");
    }
}

#[tokio::test]
async fn a_unix_socket_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let agent = Running::start(&settings(&format!("listen = 'unix:{}'", path.display()))).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let channel = client::unix_channel(path.clone()).await;
    info(&channel).await.unwrap();
    assert_eq!(code(&reflection(&channel).await), Code::Ok);
    drop(channel);
    agent.stop().await;
    assert!(!path.exists());
}
