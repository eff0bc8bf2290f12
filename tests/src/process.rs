//! Runs the program as a process, always with a time limit, and kills it when asked to. Must never leave a process running.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::moment::{Moment, Watch};

/// A command that takes longer hangs.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// How long to wait for events before looking whether the process is over.
const WATCH_STEP: Duration = Duration::from_millis(2);

/// What became of a process.
#[derive(Debug)]
pub struct Outcome {
    /// The command.
    pub words: String,
    /// Its exit status; `None` if it was killed while it ran.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub duration: Duration,
    /// Events seen in the watched directories.
    pub events: u64,
}

impl Outcome {
    /// Whether it was killed before it had ended.
    pub fn is_killed(&self) -> bool {
        self.status.is_none()
    }

    /// Panics with all that it said unless it ended with `status`.
    #[track_caller]
    pub fn expect_status(self, status: i32) -> Self {
        assert!(self.status == Some(status), "expected exit status {status}\n{}", self.story());
        self
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON: {error}\n{}", self.story()))
    }

    /// Everything about it, for a message.
    pub fn story(&self) -> String {
        format!("{}\nstatus {:?}\nstdout: {}\nstderr: {}", self.words, self.status, self.stdout, self.stderr)
    }
}

/// The program under test.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
}

impl Program {
    /// The program at `built`, or the one that `COFFER_BIN` names.
    pub fn new(built: &str) -> Self {
        Self { path: std::env::var_os("COFFER_BIN").map_or_else(|| built.into(), PathBuf::from) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command of it, in an environment that tells it nothing else.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(words);
        let tells = |name: &str| {
            name.starts_with("AWS_")
                || name.starts_with("COFFER_")
                || name.to_ascii_uppercase().ends_with("_PROXY")
        };
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(tells) {
                command.env_remove(name);
            }
        }
        command
    }
}

/// Runs `command` to its end.
#[track_caller]
pub fn run(command: Command) -> Outcome {
    run_until(command, &Moment::Never)
}

/// Runs `command` to its end or until `moment`, when it is killed with all its children.
#[track_caller]
pub fn run_until(command: Command, moment: &Moment<'_>) -> Outcome {
    let mut running = Running::start(command, moment);
    let is_over = running.wait(moment);
    let timed_out = !is_over && running.started.elapsed() >= TIME_LIMIT;
    let outcome = running.finish(is_over);
    assert!(!timed_out, "took longer than {TIME_LIMIT:?}\n{}", outcome.story());
    outcome
}

struct Running {
    words: String,
    child: Child,
    streams: [JoinHandle<String>; 2],
    ended: Receiver<()>,
    started: Instant,
    watch: Option<Watch>,
    events: u64,
}

impl Running {
    fn start(mut command: Command, moment: &Moment<'_>) -> Self {
        let words = format!("{command:?}");
        let watch = moment.watch();
        // A group of its own, so that a program in between is killed with what it runs.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let started = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {words}: {error}"));
        let (sender, ended) = channel();
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let streams = [reader(stdout, sender.clone()), reader(stderr, sender)];
        Self { words, child, streams, ended, started, watch, events: 0 }
    }

    /// Waits for the end or the moment; whether it is the end.
    fn wait(&mut self, moment: &Moment<'_>) -> bool {
        let limit = match moment {
            Moment::After(delay) => *delay,
            Moment::Never | Moment::Event { .. } => TIME_LIMIT,
        };
        let event_max = match moment {
            Moment::Event { number: Some(number), .. } => *number,
            _ => u64::MAX,
        };
        let Some(watch) = &mut self.watch else {
            return self.ended.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected);
        };
        while self.started.elapsed() < limit {
            self.events += watch.wait(WATCH_STEP);
            if self.events >= event_max {
                return false;
            }
            if self.ended.recv_timeout(Duration::ZERO) == Err(RecvTimeoutError::Disconnected) {
                self.events += watch.wait(Duration::ZERO);
                return true;
            }
        }
        false
    }

    fn finish(mut self, is_over: bool) -> Outcome {
        if !is_over {
            let group = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id fits"));
            // It may have ended by itself just now; it is not waited for yet, so the id is still its own.
            let _ = killpg(group, Signal::SIGKILL);
        }
        let status = self.child.wait().unwrap_or_else(|error| panic!("wait for {}: {error}", self.words));
        let duration = self.started.elapsed();
        let [stdout, stderr] = self.streams.map(|stream| stream.join().expect("a reader does not panic"));
        if is_over {
            assert!(status.signal().is_none(), "died of {status}: {}\n{stderr}", self.words);
        }
        Outcome { words: self.words, status: status.code(), stdout, stderr, duration, events: self.events }
    }
}

/// Reads a stream to its end; `_ended` is dropped with it.
fn reader(mut stream: impl Read + Send + 'static, ended: Sender<()>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What a killed process said is of no matter.
        let _ = stream.read_to_end(&mut bytes);
        drop(ended);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
