//! The real servers: versitygw over plain HTTP and MinIO over TLS, each with a data directory of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::certificates::Certificates;
use super::process::ServerProcess;
use super::{ACCESS_KEY, Endpoint, REGION, SECRET_KEY, directory};

/// The bucket that every server has from the start.
pub const BUCKET: &str = "bucket";

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: ServerProcess,
    endpoint: Endpoint,
    data: PathBuf,
    // The last field: its files go after the process.
    _directory: Arc<TempDir>,
}

impl Server {
    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// The directory that holds its buckets.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// Starts Versity's gateway over a directory below `tmp`, which must be on a file system with extended attributes.
#[track_caller]
pub fn versitygw(tmp: &Path) -> Server {
    let program = tool("versitygw");
    let directory = directory(tmp, "versitygw-");
    let (data, iam) = (directory.path().join("objects"), directory.path().join("iam"));
    std::fs::create_dir_all(data.join(BUCKET)).expect("make a bucket");
    std::fs::create_dir(&iam).expect("make a directory");
    let process = ServerProcess::start(directory.path().join("log"), |address| {
        let mut command = Command::new(&program);
        command.env("ROOT_ACCESS_KEY", ACCESS_KEY).env("ROOT_SECRET_KEY", SECRET_KEY);
        command.args(["--port", &address.to_string(), "--region", REGION, "--keep-alive", "--quiet"]);
        command.arg("--iam-dir").arg(&iam).arg("--iam-cache-disable").arg("posix").arg(&data);
        command
    });
    let endpoint = Endpoint { url: format!("http://{}", process.address()), ca: None };
    Server { process, endpoint, data, _directory: directory }
}

/// Makes a user of versitygw, without rights yet.
#[track_caller]
pub fn make_user(server: &Server, access: &str, secret: &str) {
    let mut command = Command::new(tool("versitygw"));
    command.args(["admin", "--access", ACCESS_KEY, "--secret", SECRET_KEY]);
    command.args(["--endpoint-url", &server.endpoint.url, "create-user"]);
    command.args(["--access", access, "--secret", secret, "--role", "user"]);
    let output = command.output().expect("run versitygw");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts MinIO with a certificate of an authority that only its [`Endpoint::ca`] names.
#[track_caller]
pub fn minio(tmp: &Path) -> Server {
    let program = tool("minio");
    let directory = directory(tmp, "minio-");
    let (data, keys) = (directory.path().join("data"), directory.path().join("certificates"));
    for made in [&data, &keys] {
        std::fs::create_dir(made).expect("make a directory");
    }
    let certificates = Certificates::make(&keys);
    let process = ServerProcess::start(directory.path().join("log"), |address| {
        let mut command = Command::new(&program);
        command.env("MINIO_ROOT_USER", ACCESS_KEY).env("MINIO_ROOT_PASSWORD", SECRET_KEY);
        command.env("MINIO_REGION", REGION).env("HOME", directory.path());
        for (name, value) in [("BROWSER", "off"), ("UPDATE", "off"), ("CALLHOME_ENABLE", "off")] {
            command.env(format!("MINIO_{name}"), value);
        }
        command.args(["server", "--quiet", "--address", &address.to_string(), "--certs-dir"]);
        command.arg(&certificates.directory).arg(&data);
        command
    });
    // A directory of its drive is a bucket; before the drive was formatted, it would be somebody's data.
    std::fs::create_dir(data.join(BUCKET)).expect("make a bucket");
    let url = format!("https://localhost:{}", process.address().port());
    let endpoint = Endpoint { url, ca: Some(certificates.authority) };
    Server { process, endpoint, data, _directory: directory }
}

/// A program that `scripts/setup-servers.sh` made.
#[track_caller]
fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin").join(name);
    assert!(
        path.is_file(),
        "there is no {}: run scripts/setup-servers.sh, which builds it (scripts/test.sh does so by itself)",
        path.display()
    );
    path
}
