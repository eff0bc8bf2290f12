//! A node with an agent: its certificates, its settings, and the process, which can be killed and started again.
//!
//! Everything lies in one directory; the agent never outlives its value.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::process::Program;
use crate::s3::process::ServerProcess;
use crate::s3::proxy::listen_on_own_port;

/// The trust domain of all identities.
const DOMAIN: &str = "test.example";

/// A node.
#[derive(Debug)]
pub struct Node {
    directory: PathBuf,
    program: PathBuf,
    listen: SocketAddr,
    metrics: SocketAddr,
    process: Option<ServerProcess>,
}

impl Node {
    /// Makes certificates and settings in `directory`, and starts the agent. `settings` is TOML: keys but for addresses, state and TLS, then `[[teams]]`.
    #[track_caller]
    pub fn start(program: &str, directory: &Path, settings: &str) -> Self {
        std::fs::create_dir_all(directory.join("state")).expect("make a directory");
        make_certificates(directory);
        let (listen, metrics) = (free_address(), free_address());
        let shown = directory.display();
        let (keys, tables) = settings.split_at(settings.find("[[").unwrap_or(settings.len()));
        let text = format!(
            "listen = \"{listen}\"\nmetrics_listen = \"{metrics}\"\nstate_dir = \"{shown}/state\"\n{keys}\n[tls]\ncert = \"{shown}/agent.crt\"\n\
             key = \"{shown}/agent.key\"\nclient_ca = \"{shown}/ca.crt\"\ntrust_domain = \"{DOMAIN}\"\n{tables}\n"
        );
        std::fs::write(directory.join("agent.toml"), text).expect("write settings");
        let mut node =
            Node { directory: directory.into(), program: program.into(), listen, metrics, process: None };
        node.start_again();
        node
    }

    /// Starts the agent where it was.
    #[track_caller]
    pub fn start_again(&mut self) {
        let config = self.directory.join("agent.toml");
        let process = ServerProcess::start_at(self.listen, self.directory.join("log"), || {
            let mut command = Command::new(&self.program);
            command.arg("--config").arg(&config);
            command
        });
        self.process = Some(process);
    }

    /// Kills the agent with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Puts other settings in place of some; the agent reads them when it starts.
    #[track_caller]
    pub fn change_settings(&self, old: &str, new: &str) {
        let path = self.directory.join("agent.toml");
        let text = std::fs::read_to_string(&path).expect("read settings");
        assert!(text.contains(old), "no {old} in {text}");
        std::fs::write(path, text.replace(old, new)).expect("write settings");
    }

    /// The agent's process id.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("the agent runs").id()
    }

    /// What the agent has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Where metrics are served.
    pub fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// The node's directory, with `ca.crt` and for each caller NAME `NAME.crt` and `NAME.key`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A command of `coffer` through the agent, as the caller `controller`, `default`, `bank` or `scraper`.
    pub fn command(&self, coffer: &Program, caller: &str, words: &[&str]) -> Command {
        let mut command = coffer.command(words);
        let file = |name: String| self.directory.join(name);
        command.env("COFFER_AGENT", format!("https://{}", self.listen));
        command.env("COFFER_AGENT_CA", file("ca.crt".into()));
        command.env("COFFER_AGENT_CERT", file(format!("{caller}.crt")));
        command.env("COFFER_AGENT_KEY", file(format!("{caller}.key")));
        command
    }
}

fn free_address() -> SocketAddr {
    // Not one that the kernel could give to somebody else before the server has it.
    listen_on_own_port().local_addr().expect("a listener has an address")
}

/// One authority; the agent's certificate for 127.0.0.1; one for each caller.
fn make_certificates(directory: &Path) {
    let write =
        |name: &str, text: String| std::fs::write(directory.join(name), text).expect("write a certificate");
    let key = KeyPair::generate().expect("make a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names are fine");
    authority.distinguished_name.push(DnType::CommonName, "authority of a test");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    write("ca.crt", authority.self_signed(&key).expect("sign an authority").pem());
    let issuer = Issuer::new(authority, key);
    let make = |name: &str, names: Vec<String>, uri: Option<String>, usage: ExtendedKeyUsagePurpose| {
        let key = KeyPair::generate().expect("make a key");
        let mut params = CertificateParams::new(names).expect("these are names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        params.subject_alt_names.extend(uri.map(|uri| SanType::URI(uri.try_into().expect("a URI is ASCII"))));
        write(&format!("{name}.crt"), params.signed_by(&key, &issuer).expect("sign a certificate").pem());
        write(&format!("{name}.key"), key.serialize_pem());
        let closed = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(directory.join(format!("{name}.key")), closed)
            .expect("close a key to others");
    };
    make("agent", vec!["127.0.0.1".into(), "localhost".into()], None, ExtendedKeyUsagePurpose::ServerAuth);
    for (name, path) in [
        ("controller", "controller"),
        ("default", "team/default"),
        ("bank", "team/bank"),
        ("scraper", "scraper"),
    ] {
        let uri = format!("spiffe://{DOMAIN}/coffer/{path}");
        make(name, Vec::new(), Some(uri), ExtendedKeyUsagePurpose::ClientAuth);
    }
}
