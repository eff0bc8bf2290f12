//! Metrics and health over HTTP.

use std::net::SocketAddr;

use coffer_controller::serve::{Telling, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn ask(address: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{line} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn health_readiness_and_figures_are_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let telling = Telling::new().unwrap();
    let serving = tokio::spawn(serve(listener, telling.clone()));
    let check = async |line: &str, status: &str, text: &str| {
        let answer = ask(address, line).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
        assert!(answer.contains(text), "{line}: {answer}");
    };
    check("GET /healthz", "200", "ok").await;
    check("GET /readyz", "503", "not connected").await;
    telling.set_ready();
    check("GET /readyz", "200", "ok").await;
    telling.is_leading.set(1);
    telling.runs.set(3);
    check("GET /metrics", "200", "coffer_controller_leading 1\n").await;
    check("GET /metrics", "200", "coffer_controller_runs 3\n").await;
    check("POST /metrics", "404", "GET /metrics").await;
    check("GET /etc/passwd", "404", "GET /metrics").await;
    serving.abort();
}
