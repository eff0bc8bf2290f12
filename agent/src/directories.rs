//! The agent's own directories: made where they are missing, and closed to others. The check of settings asks the same and makes nothing.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Access, access};

use crate::config::{Config, ConfigError, ListenAddress};

/// Of `state_dir`: names of volumes and of teams lie in it.
const STATE_MODE: u32 = 0o700;
/// Of the directory of a Unix socket, which is closed itself.
const SOCKET_DIRECTORY_MODE: u32 = 0o755;

/// Whether [`make`] will succeed.
///
/// # Errors
/// [`ConfigError::Value`] says which setting is about it and what to do.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    let state = &config.state_dir;
    match fs::metadata(state) {
        Ok(found) => check_state(state, &found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = state.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/"));
            writable(above).map_err(|error| cannot_make("state_dir", state, &error))?;
        }
        Err(error) => return Err(cannot_make("state_dir", state, &error)),
    }
    match socket_directory(config) {
        Some(directory) if !directory.is_dir() => {
            if directory.exists() {
                return Err(cannot_make("listen", directory, &io::ErrorKind::NotADirectory.into()));
            }
            let above = directory.parent().unwrap_or(Path::new("/"));
            let free = match fs::symlink_metadata(directory) {
                Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
                Err(_) => writable(above),
            };
            free.map_err(|error| cannot_make("listen", directory, &error))
        }
        _ => Ok(()),
    }
}

/// Makes `state_dir` (mode 0700), and the directory of a Unix socket if the one above it is there.
///
/// # Errors
/// As of [`check`].
pub fn make(config: &Config) -> Result<(), ConfigError> {
    check(config)?;
    let state = &config.state_dir;
    let failed = |error: io::Error| cannot_make("state_dir", state, &error);
    DirBuilder::new().recursive(true).mode(STATE_MODE).create(state).map_err(failed)?;
    let found = fs::metadata(state).map_err(failed)?;
    if is_open(&found) {
        fs::set_permissions(state, Permissions::from_mode(STATE_MODE)).map_err(failed)?;
    }
    match socket_directory(config) {
        Some(directory) if !directory.is_dir() => DirBuilder::new()
            .mode(SOCKET_DIRECTORY_MODE)
            .create(directory)
            .map_err(|error| cannot_make("listen", directory, &error)),
        _ => Ok(()),
    }
}

fn socket_directory(config: &Config) -> Option<&Path> {
    match &config.listen {
        ListenAddress::Unix(path) => path.parent(),
        ListenAddress::Tcp(_) => None,
    }
}

fn check_state(path: &Path, found: &Metadata) -> Result<(), ConfigError> {
    if !found.is_dir() {
        return Err(value("state_dir", path, "it is no directory"));
    }
    let own = rustix::process::geteuid();
    if is_open(found) && found.uid() != own.as_raw() && !own.is_root() {
        let problem = format!(
            "others may enter it (mode {:04o}), and only its owner can change that; name a directory below it, such as {}, which the agent makes",
            found.mode() & 0o7777,
            path.join("state").display()
        );
        return Err(value("state_dir", path, &problem));
    }
    writable(path).map_err(|error| value("state_dir", path, &format!("it cannot be written: {error}")))
}

fn is_open(found: &Metadata) -> bool {
    found.mode() & 0o077 != 0
}

fn writable(directory: &Path) -> io::Result<()> {
    if !directory.is_dir() {
        let text = format!("there is no directory {}", directory.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
}

fn cannot_make(key: &'static str, path: &Path, error: &io::Error) -> ConfigError {
    let problem = format!(
        "the directory {} cannot be made: {error}; make it (mkdir -p {}), or name another",
        path.display(),
        path.display()
    );
    value(key, path, &problem)
}

fn value(key: &'static str, path: &Path, problem: &str) -> ConfigError {
    ConfigError::Value { key, value: path.display().to_string(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(state: &Path, socket: &Path) -> Config {
        let text = format!(
            "cluster = 'lab'\nrepositories = ['s3://']\nstate_dir = '{}'\nlisten = 'unix:{}'",
            state.display(),
            socket.display()
        );
        Config::parse(&text, &crate::config::Told { node: "n".into(), cluster: None }).unwrap()
    }

    #[test]
    fn state_is_closed_to_others_and_a_sockets_directory_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("open")).unwrap();
        fs::set_permissions(at("open"), Permissions::from_mode(0o755)).unwrap();
        for state in ["open", "new/deep"] {
            let config = config(&at(state), &at("run/agent.sock"));
            check(&config).unwrap();
            make(&config).unwrap();
            assert_eq!(fs::metadata(at(state)).unwrap().mode() & 0o7777, 0o700, "{state}");
        }
        assert!(at("run").is_dir());
    }

    #[test]
    fn check_and_make_agree_on_what_cannot_be() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "").unwrap();
        for (state, socket, word) in [
            ("file", "agent.sock", "no directory"),
            ("file/below", "agent.sock", "state_dir"),
            ("state", "missing/run/agent.sock", "mkdir -p"),
            ("state", "file/agent.sock", "mkdir -p"),
        ] {
            let config = config(&at(state), &at(socket));
            for result in [check(&config), make(&config)] {
                let error = result.err().unwrap_or_else(|| panic!("{state} {socket} passed")).to_string();
                assert!(error.contains(word), "{state} {socket}: {error}");
            }
        }
    }
}
