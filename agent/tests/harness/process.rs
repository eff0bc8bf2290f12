//! The program as a process, with certificates; what it takes of memory, and what lies in it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use tonic::transport::Channel;

use super::certificates::{Authority, Mounted};
use super::client;
use super::memory_group::MemoryGroup;

/// It is killed when a test ends.
pub(crate) struct Program {
    child: Child,
    authority: Authority,
    pub(crate) address: SocketAddr,
    group: Option<MemoryGroup>,
}

impl Program {
    /// Starts it with its files in `directory` and `settings` beside certificates and an address; returns when it listens.
    pub(crate) fn start(directory: &Path, settings: &str) -> Program {
        Program::start_in(directory, settings, None)
    }

    /// As [`Program::start`], as a member of `group`.
    pub(crate) fn start_in(directory: &Path, settings: &str, group: Option<MemoryGroup>) -> Program {
        let authority = Authority::new("authority of a test");
        let tls = directory.join("tls");
        fs::create_dir(&tls).unwrap();
        let files = Mounted::new(&tls, &authority.server("one"), &authority.certificate).files();
        let text = format!(
            "cluster = 'lab'\nlisten = '127.0.0.1:0'\nlog_format = 'json'\nstate_dir = '{}'\n{settings}\n[tls]\ncert = '{}'\nkey = '{}'\nclient_ca = '{}'\ntrust_domain = '{}'\n",
            directory.join("state").display(),
            files.cert.display(),
            files.key.display(),
            files.client_ca.display(),
            files.trust_domain,
        );
        // A key that others can read is none.
        for entry in fs::read_dir(tls.join("..data")).unwrap() {
            let path = entry.unwrap().path();
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let path = directory.join("agent.toml");
        fs::write(&path, text).unwrap();
        let program = env!("CARGO_BIN_EXE_coffer-agent");
        let mut child = group
            .as_ref()
            .map_or_else(|| Command::new(program), |group| group.command(program))
            .args(["--config".as_ref(), path.as_os_str()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (told, listens) = mpsc::channel();
        // Reads to the end: a full pipe would hold the program up.
        std::thread::spawn(move || {
            let mut seen = String::new();
            for line in log.lines().map_while(Result::ok) {
                let address = line.split_once("127.0.0.1:").and_then(|(_, rest)| rest.split('"').next());
                if let Some(port) = address.filter(|_| line.contains("listening")) {
                    // Nobody waits for it any more where the test is over.
                    let _over = told.send(Ok(format!("127.0.0.1:{port}")));
                }
                seen = line;
            }
            let _over = told.send(Err(seen));
        });
        let address = listens.recv().unwrap().expect("it listens").parse().unwrap();
        Program { child, authority, address, group }
    }

    pub(crate) fn tls(&self, role: &str) -> std::sync::Arc<rustls::ClientConfig> {
        client::tls(&self.authority.certificate, Some(&self.authority.role(role)), b"h2")
    }

    pub(crate) async fn channel(&self, role: &str) -> Channel {
        client::channel(self.address, self.tls(role)).await.unwrap()
    }

    /// The most memory that it ever had, bytes: as its group counts, if it is in one.
    pub(crate) fn peak_bytes(&self) -> u64 {
        if let Some(group) = &self.group {
            return group.peak_bytes();
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Where `needle` lies in the memory that the process may write to: the mapping and how often.
    pub(crate) fn find(&self, needle: &[u8]) -> Vec<String> {
        let directory = format!("/proc/{}", self.child.id());
        let maps = fs::read_to_string(format!("{directory}/maps")).unwrap();
        let mut memory = File::open(format!("{directory}/mem")).unwrap();
        let mut found = Vec::new();
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (range, rest) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
            let count = count(&mut memory, start, end, needle);
            if count > 0 {
                let name = rest.split_whitespace().nth(4).unwrap_or("anonymous");
                found.push(format!("{count} in {name} {start:x}+{:x}", end - start));
            }
        }
        found
    }
}

/// Counts `needle` between two addresses. What the kernel does not show, such as pages that nobody touched, holds nothing.
fn count(memory: &mut File, start: u64, end: u64, needle: &[u8]) -> usize {
    const CHUNK: u64 = 4 << 20;
    let mut count = 0;
    let mut at = start;
    while at < end {
        let len = usize::try_from((end - at).min(CHUNK + needle.len() as u64 - 1)).unwrap();
        let mut bytes = vec![0; len];
        let shown = memory.seek(SeekFrom::Start(at)).and_then(|_| memory.read_exact(&mut bytes));
        if shown.is_ok() {
            count += bytes.windows(needle.len()).filter(|window| *window == needle).count();
        }
        at += CHUNK;
    }
    count
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.is_alive() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}
