//! A Keystone and a Trove in the process: answers as the real ones gave them, with one fault at one call where a test wants it.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const PROJECT: &str = "3d7c643d5ac24fe387670c5032a656cc";
pub(crate) const INSTANCE: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// Calls that a fault can hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Authenticate,
    ListInstances,
    ShowInstance,
    CreateInstance,
    ListBackups,
    ShowBackup,
    CreateBackup,
    DeleteBackup,
    ShowNewInstance,
}

impl Call {
    pub(crate) const ALL: [Call; 9] = [
        Call::Authenticate,
        Call::ListInstances,
        Call::ShowInstance,
        Call::CreateInstance,
        Call::ListBackups,
        Call::ShowBackup,
        Call::CreateBackup,
        Call::DeleteBackup,
        Call::ShowNewInstance,
    ];
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection ends, nothing was done.
    CloseBefore,
    /// It was done, and the connection ends.
    CloseAfter,
    /// A status, nothing was done.
    Status(u16),
    /// It was done, and the answer is a failure of the server.
    DoneThen500,
    /// It was done, and the answer breaks off.
    Truncated,
    /// It was done, and the answer is a page for people.
    Page,
    /// It was done, and the answer is empty.
    Empty,
    /// It was done, and the answer is no HTTP.
    Garbage,
}

impl Fault {
    pub(crate) const ALL: [Fault; 13] = [
        Fault::CloseBefore,
        Fault::CloseAfter,
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(503),
        Fault::Status(429),
        Fault::Status(401),
        Fault::Status(413),
        Fault::DoneThen500,
        Fault::Truncated,
        Fault::Page,
        Fault::Empty,
        Fault::Garbage,
    ];

    fn is_done(self) -> bool {
        !matches!(self, Fault::CloseBefore | Fault::Status(_))
    }
}

/// What the cloud holds.
#[derive(Default)]
pub(crate) struct Cloud {
    pub(crate) instances: Vec<Value>,
    pub(crate) backups: Vec<Value>,
    /// Backups and instances that were ever made.
    pub(crate) made: Vec<String>,
    pub(crate) fault: Option<(Call, Fault)>,
    pub(crate) calls: Vec<Call>,
    tokens: u32,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) cloud: Arc<Mutex<Cloud>>,
    pub(crate) address: String,
}

impl Server {
    pub(crate) async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let cloud = Cloud { instances: vec![instance(INSTANCE, "orders")], ..Cloud::default() };
        let server = Server { cloud: Arc::new(Mutex::new(cloud)), address };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                tokio::spawn(async move {
                    let _ended = server.serve(stream).await;
                });
            }
        });
        server
    }

    /// One request for each connection.
    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let (method, target, body) = read(&mut stream).await?;
        let answer = self.answer(&method, &target, &body);
        if let Some(bytes) = answer {
            stream.write_all(&bytes).await?;
        }
        stream.shutdown().await
    }

    fn answer(&self, method: &str, target: &str, body: &Value) -> Option<Vec<u8>> {
        let mut cloud = self.cloud.lock().expect("no test panics with the cloud in hand");
        let path =
            target.split('?').next().unwrap_or_default().trim_start_matches(&format!("/v1.0/{PROJECT}"));
        let call = call(method, path)?;
        cloud.calls.push(call);
        let fault = cloud.fault.filter(|(at, _)| *at == call).map(|(_, fault)| fault);
        if fault.is_some() {
            cloud.fault = None;
        }
        let (status, answer) = match fault {
            Some(fault) if !fault.is_done() => (0, Value::Null),
            _ => cloud.act(call, path, target, body, &self.address),
        };
        let whole = http(status, &answer.to_string(), &format!("token-{}", cloud.tokens));
        match fault {
            None => Some(whole),
            Some(Fault::CloseBefore | Fault::CloseAfter) => None,
            Some(Fault::Status(status)) => {
                Some(http(status, r#"{"fault":{"code":0,"message":"by the test"}}"#, ""))
            }
            Some(Fault::DoneThen500) => Some(http(500, "{}", "")),
            Some(Fault::Truncated) => Some(whole[..whole.len() - 5].to_vec()),
            Some(Fault::Page) => Some(http(200, "<html>welcome</html>", "")),
            Some(Fault::Empty) => Some(http(200, "", "")),
            Some(Fault::Garbage) => Some(b"\x16\x03\x01 this is no HTTP\r\n\r\n".to_vec()),
        }
    }
}

impl Cloud {
    fn act(&mut self, call: Call, path: &str, target: &str, body: &Value, address: &str) -> (u16, Value) {
        let id = path.rsplit('/').next().unwrap_or_default();
        match call {
            Call::Authenticate => {
                self.tokens += 1;
                (201, token(address))
            }
            Call::ListInstances => (200, json!({ "instances": self.instances })),
            Call::ShowInstance | Call::ShowNewInstance => one("instance", &self.instances, id),
            Call::CreateInstance => {
                let name = body["instance"]["name"].as_str().unwrap_or_default().to_owned();
                let made = instance(&format!("new-{}", self.instances.len()), &name);
                self.made.push(format!("instance {name}"));
                self.instances.push(made.clone());
                (200, json!({ "instance": made }))
            }
            Call::ListBackups => self.list_backups(target),
            Call::ShowBackup => {
                if let Some(backup) = self.backups.iter_mut().find(|backup| backup["id"] == id) {
                    backup["status"] = "COMPLETED".into();
                }
                one("backup", &self.backups, id)
            }
            Call::CreateBackup => {
                let asked = &body["backup"];
                let name = asked["name"].as_str().unwrap_or_default().to_owned();
                let id = format!("backup-{}", self.made.len());
                let backup = json!({
                    "id": id, "name": name, "description": asked["description"], "instance_id": asked["instance"],
                    "parent_id": asked["parent_id"], "status": "NEW", "size": 0.14, "datastore": {"type": "mysql", "version": "8.0"},
                });
                self.made.push(format!("backup {name}"));
                self.backups.push(backup.clone());
                (202, json!({ "backup": backup }))
            }
            Call::DeleteBackup => {
                self.backups.retain(|backup| backup["id"] != id && backup["parent_id"] != id);
                (202, Value::Null)
            }
        }
    }

    /// Pages of two, by offset, with addresses that nobody must follow.
    fn list_backups(&self, target: &str) -> (u16, Value) {
        let marker = target.split_once("marker=").and_then(|(_, rest)| rest.split('&').next()?.parse().ok());
        let start: usize = marker.unwrap_or(0);
        let page: Vec<&Value> = self.backups.iter().skip(start).take(2).collect();
        let mut answer = json!({ "backups": page });
        if start + 2 < self.backups.len() {
            let href = format!("https://169.254.169.254/v1.0/p/backups?marker={}", start + 2);
            answer["links"] = json!([{ "rel": "next", "href": href }]);
        }
        (200, answer)
    }
}

fn call(method: &str, path: &str) -> Option<Call> {
    Some(match (method, path.split('/').collect::<Vec<_>>().as_slice()) {
        ("POST", ["", "v3", "auth", "tokens"]) => Call::Authenticate,
        ("GET", ["", "instances"]) => Call::ListInstances,
        ("GET", ["", "instances", INSTANCE]) => Call::ShowInstance,
        ("GET", ["", "instances", _]) => Call::ShowNewInstance,
        ("POST", ["", "instances"]) => Call::CreateInstance,
        ("GET", ["", "backups"]) => Call::ListBackups,
        ("GET", ["", "backups", _]) => Call::ShowBackup,
        ("POST", ["", "backups"]) => Call::CreateBackup,
        ("DELETE", ["", "backups", _]) => Call::DeleteBackup,
        _ => return None,
    })
}

fn one(kind: &str, all: &[Value], id: &str) -> (u16, Value) {
    match all.iter().find(|found| found["id"] == id) {
        Some(found) => (200, json!({ kind: found })),
        None => (404, json!({"itemNotFound": {"code": 404, "message": "not there"}})),
    }
}

fn instance(id: &str, name: &str) -> Value {
    json!({
        "id": id, "name": name, "status": "ACTIVE", "flavor": {"id": "1", "links": []}, "volume": {"size": 2},
        "datastore": {"type": "mysql", "version": "8.0"}, "region": "RegionOne",
    })
}

fn token(address: &str) -> Value {
    let url = format!("{address}/v1.0/{PROJECT}");
    json!({"token": {
        "project": {"id": PROJECT, "name": "team-a"},
        "catalog": [{"type": "database", "endpoints": [{"interface": "public", "region_id": "RegionOne", "url": url}]}],
    }})
}

fn http(status: u16, body: &str, token: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nX-Subject-Token: {token}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

async fn read(stream: &mut TcpStream) -> std::io::Result<(String, String, Value)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    while bytes.len() < end + length.unwrap_or(0) {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut words = head.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    Ok((method, target, serde_json::from_slice(&bytes[end..]).unwrap_or_default()))
}
