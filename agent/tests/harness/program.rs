//! The program `coffer-agent` as a process with a log.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The program as a process. It is killed if a test ends early.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) log: BufReader<ChildStderr>,
}

impl Program {
    pub(crate) fn start(settings: &Path) -> Program {
        Program::start_with(settings, &[])
    }

    /// As `start`, with these variables in its environment.
    pub(crate) fn start_with(settings: &Path, environment: &[(&str, &str)]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coffer-agent"))
            .args(["--config".as_ref(), settings.as_os_str()])
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Program { child, log }
    }

    /// Reads the log up to a line with `word`.
    pub(crate) fn until(&mut self, word: &str) -> String {
        let mut seen = String::new();
        loop {
            let before = seen.len();
            assert_ne!(self.log.read_line(&mut seen).unwrap(), 0, "no `{word}` in\n{seen}");
            if seen[before..].contains(word) {
                return seen[before..].to_owned();
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}
