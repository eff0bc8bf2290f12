//! The services that give credentials on AWS, as far as a client sees them: STS for web identities, and an instance's metadata.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::SECRET_KEY;
use super::double::{SESSION_ACCESS_KEY, SESSION_TOKEN};
use super::message::Message;

/// The web identity token that [`sts`] takes.
pub const WEB_IDENTITY: &str = "a-token-of-a-service-account";
/// The token that an instance's metadata want (IMDSv2).
const METADATA_TOKEN: &str = "a-token-for-metadata";
/// Far away.
const EXPIRATION: &str = "2099-01-01T00:00:00Z";

/// A small server; its thread ends with the process.
#[derive(Debug)]
pub struct Giver {
    address: SocketAddr,
    given: Arc<AtomicU64>,
}

/// What is asked, and the answer's status and body; whether it gives credentials.
type Answer = fn(&str, &Message) -> (u16, String, bool);

impl Giver {
    fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
        let address = listener.local_addr().expect("a listener has an address");
        let given = Arc::new(AtomicU64::new(0));
        let counter = given.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Who leaves in the middle has its reasons.
                let _ = serve(&client, answer, &counter);
            }
        });
        Giver { address, given }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often it gave credentials.
    pub fn given(&self) -> u64 {
        self.given.load(Ordering::SeqCst)
    }
}

/// AWS STS as `AssumeRoleWithWebIdentity` needs it.
pub fn sts() -> Giver {
    Giver::start(|_, request| {
        let body = String::from_utf8_lossy(&request.body);
        if !body.contains("Action=AssumeRoleWithWebIdentity")
            || !body.contains(&format!("WebIdentityToken={WEB_IDENTITY}"))
        {
            let error = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code></Error></ErrorResponse>";
            return (400, error.to_owned(), false);
        }
        let answer = format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn>\
             <AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser><Credentials>\
             <AccessKeyId>{SESSION_ACCESS_KEY}</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey>\
             <SessionToken>{SESSION_TOKEN}</SessionToken><Expiration>{EXPIRATION}</Expiration></Credentials>\
             </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        );
        (200, answer, true)
    })
}

/// The metadata of an instance with a role, by IMDSv2 only.
pub fn metadata() -> Giver {
    Giver::start(|line, request| {
        if line == "PUT /latest/api/token" {
            return (200, METADATA_TOKEN.to_owned(), false);
        }
        if request.header("x-aws-ec2-metadata-token") != Some(METADATA_TOKEN) {
            return (401, String::new(), false);
        }
        match line.trim_end_matches('/') {
            "GET /latest/meta-data/iam/security-credentials" => (200, "a-role".to_owned(), false),
            "GET /latest/meta-data/iam/security-credentials/a-role" => {
                let document = serde_json::json!({
                    "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
                    "AccessKeyId": SESSION_ACCESS_KEY, "SecretAccessKey": SECRET_KEY, "Token": SESSION_TOKEN,
                    "Expiration": EXPIRATION,
                });
                (200, document.to_string(), true)
            }
            _ => (404, String::new(), false),
        }
    })
}

fn serve(mut client: &TcpStream, answer: Answer, given: &AtomicU64) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let Some(mut request) = Message::read_head(&mut reader)? else { return Ok(()) };
    request.read_body(&mut reader)?;
    let line = request.start.rsplit_once(' ').map_or("", |(line, _)| line).to_owned();
    let (status, body, gives) = answer(&line, &request);
    if gives {
        given.fetch_add(1, Ordering::SeqCst);
    }
    let mut head = format!("HTTP/1.1 {status} \r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    if line.starts_with("PUT /latest") {
        head.push_str("x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n");
    }
    client.write_all(format!("{head}\r\n{body}").as_bytes())
}
