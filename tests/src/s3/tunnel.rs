//! An HTTP proxy that makes tunnels (`CONNECT`) and counts what goes through them. It must never look into one.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::message::Message;

/// A running proxy; its threads end with their connections and the process.
#[derive(Debug)]
pub struct Tunnels {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    tunnels: AtomicU64,
    bytes: AtomicU64,
}

impl Tunnels {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
        let address = listener.local_addr().expect("a listener has an address");
        let counts = Arc::new(Counts::default());
        let shared = counts.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let counts = shared.clone();
                std::thread::spawn(move || tunnel(&client, &counts));
            }
        });
        Tunnels { address, counts }
    }

    /// Its address, as `HTTPS_PROXY` wants it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Tunnels made so far.
    pub fn tunnels(&self) -> u64 {
        self.counts.tunnels.load(Ordering::SeqCst)
    }

    /// Bytes that went through them, both ways.
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::SeqCst)
    }
}

fn tunnel(client: &TcpStream, counts: &Counts) -> io::Result<()> {
    let mut from_client = BufReader::new(client);
    let Some(head) = Message::read_head(&mut from_client)? else { return Ok(()) };
    let mut to_client = client;
    let Some(target) = head.start.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
        return to_client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    };
    let server = TcpStream::connect(target)?;
    to_client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    counts.tunnels.fetch_add(1, Ordering::SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(|| pump(&mut from_client, &server, counts));
        pump(&server, client, counts);
    });
    Ok(())
}

/// Carries bytes until one side ends, and tells the other.
fn pump(mut from: impl io::Read, mut to: &TcpStream, counts: &Counts) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        counts.bytes.fetch_add(len as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
