//! A server as a child process: started until it listens, killed when dropped, and by the kernel when we die.
//!
//! It must never outlive the test, however that ends.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::proxy::listen_on_own_port;

/// A server that does not listen by then never will; a machine under load is slow.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How often is looked whether it listens.
const LOOK: Duration = Duration::from_millis(10);
/// A port that was free may be taken before the server has it.
const STARTS_MAX: u32 = 5;

/// A running child.
#[derive(Debug)]
pub struct ServerProcess {
    address: SocketAddr,
    id: u32,
    log: PathBuf,
    /// Dropped to end the child.
    alive: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl ServerProcess {
    /// Starts what `command` makes for an address, which writes into `log`, and waits until it listens there.
    ///
    /// # Panics
    /// With its log, if it ends instead.
    #[track_caller]
    pub fn start(log: PathBuf, command: impl Fn(SocketAddr) -> Command) -> Self {
        for _ in 0..STARTS_MAX {
            let address = free_address();
            if let Some(server) = Self::try_start(address, &log, &command(address)) {
                return server;
            }
        }
        panic!("the server does not start; its log:\n{}", std::fs::read_to_string(&log).unwrap_or_default())
    }

    fn try_start(address: SocketAddr, log: &Path, command: &Command) -> Option<Self> {
        let command = dying_with_us(command);
        let (alive, ended) = channel();
        let (report, started) = channel();
        let log_of_child = log.to_path_buf();
        // The kernel's signal comes when the *thread* that started the child ends: so this one stays.
        let keeper = std::thread::spawn(move || keep(command, address, log_of_child, &report, &ended));
        let mut server =
            ServerProcess { address, id: 0, log: log.into(), alive: Some(alive), keeper: Some(keeper) };
        server.id = started.recv().ok().flatten()?;
        Some(server)
    }

    /// Starts it at an address where it listened before.
    ///
    /// # Panics
    /// With its log, if it ends instead.
    #[track_caller]
    pub fn start_at(address: SocketAddr, log: PathBuf, command: impl Fn() -> Command) -> Self {
        for _ in 0..STARTS_MAX {
            if let Some(server) = Self::try_start(address, &log, &command()) {
                return server;
            }
        }
        panic!("the server does not start; its log:\n{}", std::fs::read_to_string(&log).unwrap_or_default())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Runs the child until the sender of `ended` is gone; reports its id if it came to listen.
fn keep(
    mut command: Command,
    address: SocketAddr,
    log: PathBuf,
    report: &Sender<Option<u32>>,
    ended: &Receiver<()>,
) {
    let Ok(mut child) = spawn(&mut command, log) else {
        let _ = report.send(None);
        return;
    };
    let listens = comes_to_listen(&mut child, address);
    let _ = report.send(listens.then(|| child.id()));
    if listens {
        let _ = ended.recv();
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn spawn(command: &mut Command, log: PathBuf) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
}

fn comes_to_listen(child: &mut Child, address: SocketAddr) -> bool {
    let started = Instant::now();
    while started.elapsed() < START_LIMIT {
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        std::thread::sleep(LOOK);
    }
    false
}

/// The same command, killed by the kernel when its parent dies, in an environment that tells it nothing of ours.
fn dying_with_us(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    wrapped.env_clear();
    wrapped.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped
}

/// An address on loopback on which nobody listens just now.
fn free_address() -> SocketAddr {
    // Not one that the kernel could give to somebody else before the server has it.
    listen_on_own_port().local_addr().expect("a listener has an address")
}
