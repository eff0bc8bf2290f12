//! A server of a few lines that answers whatever a test wants: pages of strangers, refusals of servers that know less than S3.
//!
//! It checks nothing of what it is sent. Its threads end with their connections, and the last one with the value.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Endpoint;
use super::message::Message;

/// What a request asks.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `GET`, `PUT`, …
    pub method: String,
    /// Path and query, or the whole address where a proxy is asked.
    pub target: String,
    /// The request's head and body.
    message: Message,
}

impl Asked {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.message.header(name)
    }

    /// Bytes of the body.
    pub fn body_len(&self) -> usize {
        self.message.body.len()
    }

    /// Whether the query has this name.
    pub fn asks(&self, name: &str) -> bool {
        self.query(name).is_some()
    }

    /// The value of a name in the query, as it stands there.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        let pair = query.split('&').find(|pair| pair.split('=').next() == Some(name))?;
        Some(pair.split_once('=').map_or("", |(_, value)| value))
    }
}

/// The bytes of an answer.
type Answer = dyn Fn(&Asked) -> Vec<u8> + Send + Sync;

/// A running server.
#[derive(Debug)]
pub struct Stub {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
}

impl Stub {
    /// Answers every request with what `answer` makes of it.
    pub fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
        let address = listener.local_addr().expect("a listener has an address");
        let (asked, over) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let answer: Arc<Answer> = Arc::new(answer);
        let shared = (asked.clone(), over.clone());
        std::thread::spawn(move || {
            let (asked, over) = shared;
            for client in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, asked) = (answer.clone(), asked.clone());
                // Who leaves in the middle has its reasons.
                std::thread::spawn(move || drop(serve(&client, answer.as_ref(), &asked)));
            }
        });
        Stub { address, asked, over }
    }

    /// Where it is.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { url: format!("http://{}", self.address), ca: None }
    }

    /// The requests so far: method and target.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener; one that is gone needs no waking.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut client: &TcpStream, answer: &Answer, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client);
    while let Some(mut message) = Message::read_head(&mut reader)? {
        message.read_body(&mut reader)?;
        let mut words = message.start.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {target}"));
        client.write_all(&answer(&Asked { method, target, message }))?;
    }
    Ok(())
}

/// An answer with a length. `headers` are lines with their ends.
pub fn answer(asked: &Asked, status: u16, headers: &str, body: &str) -> Vec<u8> {
    let body_here = if asked.method == "HEAD" { "" } else { body };
    let len = body.len();
    format!("HTTP/1.1 {status} Of a test\r\n{headers}Content-Length: {len}\r\n\r\n{body_here}").into_bytes()
}

/// A page for people.
pub fn page(asked: &Asked, status: u16, headers: &str, title: &str) -> Vec<u8> {
    let body = format!("<!DOCTYPE html>\n<html><head><title>{title}</title></head></html>");
    answer(asked, status, &format!("{headers}Content-Type: text/html; charset=utf-8\r\n"), &body)
}

/// An error in the words of S3; `more` goes into its document.
pub fn error(asked: &Asked, status: u16, headers: &str, code: &str, more: &str) -> Vec<u8> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>said by a test</Message>{more}</Error>"
    );
    answer(asked, status, &format!("{headers}Content-Type: application/xml\r\n"), &body)
}

/// A page of a list. `more` goes into its document.
pub fn list(asked: &Asked, keys: &[&str], truncated: bool, more: &str) -> Vec<u8> {
    let object = |key: &&str| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"1\"</ETag><Size>1</Size></Contents>"
        )
    };
    let objects: String = keys.iter().map(object).collect();
    let body =
        format!("<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{objects}</ListBucketResult>");
    answer(asked, 200, "Content-Type: application/xml\r\n", &body)
}
