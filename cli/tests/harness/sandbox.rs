//! A directory of its own for each test, and the program run in it. Nothing of the caller's environment gets in.

#![allow(dead_code, reason = "every test program uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking; clippy sees no test here")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A directory with images, keys and repositories.
pub(crate) struct Sandbox {
    directory: tempfile::TempDir,
}

/// How a run ended.
pub(crate) struct Outcome {
    pub(crate) words: String,
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Sandbox {
        Sandbox { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Address of a repository in the sandbox.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    /// The program with a clean environment, in the sandbox. `REPO` in a word stands for the address of `repo`.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
        command.current_dir(self.directory.path()).env_remove("COFFER_REPO").env_remove("COFFER_KEY_FILE");
        for name in [
            "COFFER_AGENT",
            "COFFER_AGENT_CA",
            "COFFER_AGENT_CERT",
            "COFFER_AGENT_KEY",
            "COFFER_AGENT_SERVER_NAME",
        ] {
            command.env_remove(name);
        }
        command.env("COLUMNS", "100");
        // No test may ask the network for a region or for credentials.
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.args(words.iter().map(|word| word.replace("REPO", &self.url("repo"))));
        command
    }

    /// Runs the program.
    pub(crate) fn run(&self, words: &[&str]) -> Outcome {
        finish(words, self.command(words).stdin(Stdio::null()).output().unwrap())
    }

    /// Runs the program, which must end with 0.
    pub(crate) fn done(&self, words: &[&str]) -> Outcome {
        self.run(words).ends(0)
    }

    /// Runs the program with `--json`; it must end with 0.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let mut words = words.to_vec();
        words.push("--json");
        self.done(&words).json()
    }

    /// An encrypted repository `repo` with `recovery.key` and `writer.key`.
    pub(crate) fn init(&self) {
        self.done(&["init", "--repo", "REPO", "--key-out", "recovery.key", "--writer-key-out", "writer.key"]);
    }

    /// One backup of plan `web` of cluster `host`, with the writer key.
    pub(crate) fn backup(&self, more: &[&str]) -> Value {
        let mut words =
            vec!["backup", "--repo", "REPO", "--key", "writer.key", "--plan", "web", "--cluster", "host"];
        words.extend(more);
        self.json(&words)
    }

    /// A file with bytes that depend on `seed`, and do not compress.
    pub(crate) fn image(&self, name: &str, len: usize, seed: u64) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, noise(len, seed)).unwrap();
        path
    }

    /// Overwrites a part of a file.
    pub(crate) fn patch(&self, name: &str, offset: u64, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options().write(true).open(self.path(name)).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// All files below a directory, sorted.
    pub(crate) fn files(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.path(name), &mut found);
        found.sort();
        found
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let mut file = std::fs::File::create(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

/// What came of a run.
pub(crate) fn finish(words: &[&str], output: std::process::Output) -> Outcome {
    Outcome {
        words: words.join(" "),
        status: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Outcome {
    /// Fails the test unless the status is this.
    #[track_caller]
    pub(crate) fn ends(self, status: i32) -> Outcome {
        assert_eq!(self.status, status, "coffer {}\n{}\n{}", self.words, self.text(), self.stderr);
        self
    }

    /// Fails the test unless the last line on standard error contains `part`.
    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Outcome {
        assert!(self.last_line().contains(part), "coffer {}: `{part}` not in: {}", self.words, self.stderr);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn last_line(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }

    /// The one document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| {
            panic!("coffer {}: {error}: {}\n{}", self.words, self.text(), self.stderr)
        })
    }
}

/// Bytes that do not compress, the same for the same seed (xorshift64*).
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(len);
    bytes
}

/// Text of a field.
#[track_caller]
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {value}"))
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}
