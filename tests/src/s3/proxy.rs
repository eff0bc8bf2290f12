//! A bad line between us and a server that speaks plain HTTP: it passes requests on, and does to chosen ones what networks, gateways and
//! servers under load do.
//!
//! What a fault strikes is decided by the kind of request and a count, so that a run can be had again. It must never strike without
//! being told to.

mod fault;
mod refusal;

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{Backlog, listen};

use self::refusal::during;
use super::message::Message;
use fault::{Act, act};
pub use fault::{Fault, Plan, Step, Times};

/// Below those that kernels choose from (Linux: from 32768).
const PORTS: Range<u16> = 16_000..32_000;

/// A proxy in front of one server.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    listener: TcpListener,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    plan: Option<Plan>,
    /// How many plans there were before: what a plan began must not end up in the next one.
    plans: u64,
    struck: u64,
    seen: BTreeMap<Step, u64>,
    connections: BTreeMap<u64, TcpStream>,
    connections_made: u64,
    /// Errors that connections ended with, a plan's doing among them: for a person who asks why a test failed.
    broken: Vec<String>,
    /// Nobody is let in until then; `None` in it means until somebody says so.
    shut: Option<Option<Instant>>,
    /// Whether the listener does not listen. One that is shut down while it does not would hand out dead connections ever after.
    deaf: bool,
    over: bool,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `server`.
    pub fn start(server: SocketAddr) -> Self {
        let listener = listen_on_own_port();
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared { server, listener, state: Mutex::default(), changed: Condvar::new() });
        let acceptor = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&shared)
        });
        Proxy { shared, address, acceptor: Some(acceptor) }
    }

    /// Where it listens, as an endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Strikes by this plan from now on; [`None`] heals the line.
    pub fn set_plan(&self, plan: Option<Plan>) {
        let mut state = self.shared.lock();
        state.plan = plan;
        state.plans += 1;
        state.struck = 0;
        state.shut = None;
        self.shared.changed.notify_all();
    }

    /// How many requests the plan has struck.
    pub fn struck(&self) -> u64 {
        self.shared.lock().struck
    }

    /// Waits until the plan has struck.
    pub fn wait_for_strike(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        let mut state = self.shared.lock();
        while state.struck == 0 {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "what should be struck does not come; what came is {:?}", state.seen);
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Errors that connections ended with, and what kept the line from healing.
    pub fn broken(&self) -> Vec<String> {
        self.shared.lock().broken.clone()
    }

    /// How many requests of each kind came.
    pub fn seen(&self) -> BTreeMap<Step, u64> {
        self.shared.lock().seen.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.over = true;
        self.shared.shut(state, None);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops listening, so that the kernel refuses who comes; the port stays ours.
    fn shut(&self, mut state: MutexGuard<'_, State>, time: Option<Duration>) {
        state.shut = Some(time.map(|time| Instant::now() + time));
        for connection in state.connections.values() {
            reset(connection);
        }
        if !state.deaf {
            // On Linux this ends the listening, also that of a thread which waits in it.
            let _ = nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
            state.deaf = true;
        }
        self.changed.notify_all();
    }

    /// Waits while the door is shut, and listens again; false once it is over.
    fn listen_again(&self) -> bool {
        let mut state = self.lock();
        while !state.over {
            let left =
                state.shut.map(|until| until.map(|until| until.saturating_duration_since(Instant::now())));
            state = match left {
                None | Some(Some(Duration::ZERO)) => {
                    state.shut = None;
                    if let Err(error) = listen(&self.listener, Backlog::MAXCONN) {
                        state.broken.push(format!("listening again: {error}"));
                        return false;
                    }
                    state.deaf = false;
                    return true;
                }
                Some(Some(left)) => {
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                Some(None) => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        false
    }

    /// What to do with a request of this kind, and by which plan.
    fn strike(&self, step: Step) -> (Option<Plan>, u64) {
        let mut state = self.lock();
        *state.seen.entry(step).or_default() += 1;
        let plan = state.plan.filter(|plan| plan.step == step && plan.times.allows(state.struck));
        if plan.is_some() {
            state.struck += 1;
            self.changed.notify_all();
        }
        (plan, state.plans)
    }

    /// Refuses connections as a plan says, if it still holds.
    fn refuse(&self, plan: Option<Plan>, number: u64) {
        let state = self.lock();
        if let Some(plan) = plan.filter(|_| state.plans == number) {
            self.shut(state, plan.times.refused());
        }
    }
}

/// Listens on a port of its own, which it keeps while nobody listens.
///
/// One that the kernel chose would be given back then, and one of those that the kernel chooses from would be given to another.
pub(crate) fn listen_on_own_port() -> TcpListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS.len() {
        let number = std::process::id().wrapping_mul(61).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from(number % PORTS.len() as u32).expect("less than their count");
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
    }
    panic!("no port of {PORTS:?} can be had on loopback");
}

fn accept(shared: &Arc<Shared>) {
    loop {
        match shared.listener.accept() {
            Ok((client, _)) => serve(shared, client),
            Err(_) => {
                if !shared.listen_again() {
                    return;
                }
            }
        }
    }
}

/// Serves one connection on a thread of its own, which ends with it.
fn serve(shared: &Arc<Shared>, client: TcpStream) {
    let _ = client.set_nodelay(true);
    let Ok(copy) = client.try_clone() else { return };
    let number = {
        let mut state = shared.lock();
        state.connections_made += 1;
        let number = state.connections_made;
        state.connections.insert(number, copy);
        number
    };
    let shared = shared.clone();
    std::thread::spawn(move || {
        let ended = pass_requests(&shared, &client);
        let mut state = shared.lock();
        state.connections.remove(&number);
        // The client finds out by itself; a person who asks why is told.
        if let Err(error) = ended {
            state.broken.push(format!("connection {number}: {error}"));
        }
    });
}

fn pass_requests(shared: &Shared, client: &TcpStream) -> io::Result<()> {
    let server =
        TcpStream::connect(shared.server).map_err(|error| during("connecting to the server", error))?;
    server.set_nodelay(true)?;
    let (mut from_client, mut from_server) = (io::BufReader::new(client), io::BufReader::new(&server));
    while let Some(head) = Message::read_head(&mut from_client)? {
        let step = Step::of(&head);
        let (plan, number) = shared.strike(step);
        let fault = plan.map(|plan| plan.fault);
        match act(fault, step, head, (&mut from_client, client), (&mut from_server, &server))? {
            Act::GoOn => {}
            Act::Hang => return hang(client),
            Act::Reset => {
                reset(client);
                return Ok(());
            }
            Act::Refuse => {
                shared.refuse(plan, number);
                return Ok(());
            }
            Act::Close => return Ok(()),
        }
    }
    Ok(())
}

/// Does nothing until the client has had enough.
fn hang(mut client: &TcpStream) -> io::Result<()> {
    io::copy(&mut client, &mut io::sink()).map(drop)
}

/// Breaks a connection so that the other side hears of it as a reset.
fn reset(stream: &TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::Linger, &linger);
    // Wakes who reads from it; closing the last handle makes the reset, where shutting down would send an orderly end first.
    let _ = stream.shutdown(Shutdown::Read);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_line_that_was_broken_twice_heals() {
        let server = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
        let proxy = Proxy::start(server.local_addr().expect("a listener has an address"));
        for _ in 0..2 {
            proxy.shared.shut(proxy.shared.lock(), None);
        }
        assert!(TcpStream::connect(proxy.address).is_err(), "nobody is let in");
        proxy.set_plan(None);
        let until = Instant::now() + Duration::from_secs(60);
        let mut client = loop {
            match TcpStream::connect(proxy.address) {
                Ok(client) => break client,
                Err(error) => assert!(Instant::now() < until, "{error}: {:?}", proxy.broken()),
            }
        };
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("send a request");
        let (mut at_server, _) = server.accept().expect("the proxy connects");
        let mut head = [0; 18];
        at_server.read_exact(&mut head).expect("the request comes through");
        at_server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("answer");
        let mut answer = [0; 12];
        client.read_exact(&mut answer).expect("the answer comes through");
        assert_eq!(&answer, b"HTTP/1.1 204");
    }
}
