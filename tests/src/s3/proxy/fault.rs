//! The faults, and what each does to a request.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::refusal::{REFUSED, during};
use crate::s3::message::Message;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A whole object is stored.
    Put,
    /// An upload in parts begins.
    Create,
    /// A part is stored.
    Part,
    /// The parts become an object.
    Complete,
    /// An upload is given up.
    Abort,
    /// A whole object is read.
    Get,
    /// A range of one is read.
    Range,
    /// An object is looked up.
    Head,
    /// Objects are listed.
    List,
    /// Uploads, or parts of one, are listed.
    Uploads,
    /// Objects are deleted.
    Delete,
    /// Something else.
    Other,
}

impl Step {
    /// What a request is.
    pub(super) fn of(head: &Message) -> Step {
        let (method, rest) = head.start.split_once(' ').unwrap_or_default();
        let target = rest.split(' ').next().unwrap_or_default();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let asks = |name: &str| query.split('&').any(|it| it.split('=').next() == Some(name));
        match method {
            "PUT" if asks("partNumber") => Step::Part,
            "PUT" => Step::Put,
            "POST" if asks("uploads") => Step::Create,
            "POST" if asks("uploadId") => Step::Complete,
            "POST" if asks("delete") => Step::Delete,
            "DELETE" if asks("uploadId") => Step::Abort,
            "GET" if asks("list-type") => Step::List,
            "GET" if asks("uploads") || asks("uploadId") => Step::Uploads,
            "GET" if head.header("range").is_some() => Step::Range,
            "GET" => Step::Get,
            "HEAD" => Step::Head,
            _ => Step::Other,
        }
    }
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks, and new ones are refused for a while.
    Refused,
    /// The connection is reset in the middle of the request.
    ResetInRequest,
    /// The server did it; the connection is reset in the middle of the answer.
    ResetInAnswer,
    /// 403 with S3's code, and nothing is done.
    Denied,
    /// 404 with some page, and nothing is done: a gateway that has lost its way.
    NoSuchPage,
    /// 429, and nothing is done.
    TooManyRequests,
    /// 500 with S3's code, and nothing is done.
    InternalError,
    /// 503 with S3's code, and nothing is done.
    SlowDown,
    /// 200 with S3's error in the body, and nothing is done.
    ErrorInSuccess,
    /// The server did it; its answer ends in the middle as if that were its end.
    Truncated,
    /// One byte of the body is another one: of the request's where it has one, else of the answer's.
    Flipped,
    /// The server did it, and its checksum comes back as another one.
    WrongChecksum,
    /// The server did it, and its answer is lost.
    AnswerLost,
    /// Nothing moves any more.
    Stall,
}

impl Fault {
    /// All of them, in the order of the table.
    pub const ALL: [Fault; 14] = [
        Fault::Refused,
        Fault::ResetInRequest,
        Fault::ResetInAnswer,
        Fault::Truncated,
        Fault::AnswerLost,
        Fault::Stall,
        Fault::TooManyRequests,
        Fault::SlowDown,
        Fault::InternalError,
        Fault::ErrorInSuccess,
        Fault::Denied,
        Fault::NoSuchPage,
        Fault::Flipped,
        Fault::WrongChecksum,
    ];

    /// Whether there is anything for it to strike in such a request.
    pub fn concerns(self, step: Step) -> bool {
        match self {
            Fault::WrongChecksum => matches!(step, Step::Put | Step::Part | Step::Complete),
            // An answer to HEAD has no body; an answer to PUT has an empty one.
            Fault::ErrorInSuccess | Fault::Flipped => step != Step::Head,
            Fault::Truncated => !matches!(step, Step::Head | Step::Put | Step::Part),
            _ => true,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Refused => "connection refused",
            Fault::ResetInRequest => "reset in the request",
            Fault::ResetInAnswer => "reset in the answer",
            Fault::Denied => "403 AccessDenied",
            Fault::NoSuchPage => "404 of a gateway",
            Fault::TooManyRequests => "429",
            Fault::InternalError => "500 InternalError",
            Fault::SlowDown => "503 SlowDown",
            Fault::ErrorInSuccess => "200 with an error",
            Fault::Truncated => "answer cut short",
            Fault::Flipped => "a byte changed",
            Fault::WrongChecksum => "wrong checksum in the answer",
            Fault::AnswerLost => "done, answer lost",
            Fault::Stall => "nothing moves",
        })
    }
}

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// One request.
    Once,
    /// Three.
    Few,
    /// All.
    Ever,
}

impl Times {
    pub(super) fn allows(self, struck: u64) -> bool {
        match self {
            Times::Once => struck < 1,
            Times::Few => struck < 3,
            Times::Ever => true,
        }
    }

    /// How long connections are refused.
    pub(super) fn refused(self) -> Option<Duration> {
        match self {
            Times::Once | Times::Few => Some(REFUSED),
            Times::Ever => None,
        }
    }
}

/// Which requests are struck by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Requests of this kind.
    pub step: Step,
    /// By this.
    pub fault: Fault,
    /// So many of them.
    pub times: Times,
}

/// What becomes of the connection.
pub(super) enum Act {
    GoOn,
    Hang,
    Reset,
    Refuse,
    Close,
}

type Side<'a, R> = (&'a mut R, &'a TcpStream);

/// Treats one request, whose head was read.
pub(super) fn act(
    fault: Option<Fault>,
    step: Step,
    mut request: Message,
    client: Side<'_, impl BufRead>,
    server: Side<'_, impl BufRead>,
) -> io::Result<Act> {
    let ((from_client, mut to_client), (from_server, to_server)) = (client, server);
    match fault {
        Some(Fault::Refused) => return Ok(Act::Refuse),
        Some(Fault::Stall) => return Ok(Act::Hang),
        Some(Fault::ResetInRequest) => {
            let half = request.body_len() / 2;
            request.read_part(from_client, half)?;
            return Ok(Act::Reset);
        }
        _ => request.read_body(from_client)?,
    }
    let method = request.start.split(' ').next().unwrap_or_default().to_owned();
    if let Some(answer) = fault.and_then(|fault| made_up(fault, &method)) {
        to_client.write_all(&answer)?;
        return Ok(Act::GoOn);
    }
    let flips_request = fault == Some(Fault::Flipped) && !request.body.is_empty();
    if flips_request {
        flip(&mut request.body);
    }
    request.send(to_server).map_err(|error| during("sending to the server", error))?;
    let answer = read_answer(from_server, &method);
    let mut answer = answer.map_err(|error| during("waiting for the server's answer", error))?;
    match fault {
        Some(Fault::AnswerLost) => return Ok(Act::Close),
        Some(Fault::ResetInAnswer) => {
            let bytes = answer.bytes();
            to_client.write_all(&bytes[..bytes.len() / 2])?;
            return Ok(Act::Reset);
        }
        Some(Fault::Truncated) => {
            to_client.write_all(&answer.head_bytes())?;
            to_client.write_all(&answer.body[..answer.body.len() / 2])?;
            return Ok(Act::Close);
        }
        Some(Fault::Flipped) if !flips_request => flip_answer(step, &mut answer.body),
        Some(Fault::WrongChecksum) => wrong_checksum(&mut answer, step),
        _ => {}
    }
    answer.send(to_client)?;
    Ok(Act::GoOn)
}

fn read_answer(from_server: &mut impl BufRead, method: &str) -> io::Result<Message> {
    let mut answer = Message::read_head(from_server)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    answer.read_answer_body(from_server, method)?;
    Ok(answer)
}

/// The answer of who never asked the server.
fn made_up(fault: Fault, method: &str) -> Option<Vec<u8>> {
    let error = |code: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>made up by a test</Message>\
             <RequestId>0</RequestId></Error>"
        )
    };
    let (status, kind, body) = match fault {
        Fault::Denied => ("403 Forbidden", "application/xml", error("AccessDenied")),
        Fault::NoSuchPage => ("404 Not Found", "text/html", "<html>default backend - 404</html>".to_owned()),
        Fault::TooManyRequests => ("429 Too Many Requests", "text/plain", "too many requests".to_owned()),
        Fault::InternalError => ("500 Internal Server Error", "application/xml", error("InternalError")),
        Fault::SlowDown => ("503 Slow Down", "application/xml", error("SlowDown")),
        Fault::ErrorInSuccess => ("200 OK", "application/xml", error("InternalError")),
        _ => return None,
    };
    let mut answer =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    if method != "HEAD" {
        answer.push_str(&body);
    }
    Some(answer.into_bytes())
}

fn flip(body: &mut [u8]) {
    let middle = body.len() / 2;
    body[middle] ^= 0x10;
}

/// In a list, a plan's name becomes another that is possible too, or else the team's: the worst that can come.
fn flip_answer(step: Step, body: &mut [u8]) {
    let find = |name: &[u8]| body.windows(name.len()).position(|bytes| bytes == name);
    let name = find(b"/web/").or_else(|| find(b"/default/")).filter(|_| step == Step::List);
    match name {
        Some(at) => body[at + 3] ^= 1,
        None if body.is_empty() || step == Step::List => {}
        None => flip(body),
    }
}

fn wrong_checksum(answer: &mut Message, step: Step) {
    let wrong = "AAAAAAAAAAA=";
    for (name, value) in &mut answer.headers {
        if name.eq_ignore_ascii_case("x-amz-checksum-crc64nvme") {
            wrong.clone_into(value);
        }
    }
    if step != Step::Complete {
        return;
    }
    // Here it stands in the body.
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let tags = ("<ChecksumCRC64NVME>", "</ChecksumCRC64NVME>");
    if let (Some(start), Some(end)) = (text.find(tags.0), text.find(tags.1)) {
        let start = start + tags.0.len();
        if end - start == wrong.len() {
            answer.body[start..end].copy_from_slice(wrong.as_bytes());
        }
    }
}
