//! Keys and credentials for one operation: from its request, or from files that are mounted for its team. They live as long as it runs.

use std::io::Read;
use std::path::{Path, PathBuf};

use coffer_format::{KeyFile, Label};
use coffer_proto::checked::{KeySource, S3Keys, S3Source, SecretName, SecretText};
use coffer_store::StaticCredentials;
use zeroize::Zeroizing;

use crate::closed_file;
use crate::errors::AgentError;

/// Longest mounted file, bytes.
const LEN_MAX: u64 = 1 << 20;
/// Names of a directory that a check looks at.
const CHECKED_MAX: usize = 10_000;

/// The directory with `<team>/keys/NAME` and `<team>/s3/NAME`.
#[derive(Debug, Clone)]
pub struct Mounted {
    directory: Option<PathBuf>,
}

impl Mounted {
    /// Reads files below `directory`; none where it is `None`.
    pub fn new(directory: Option<PathBuf>) -> Self {
        Mounted { directory }
    }

    /// The key of an operation.
    ///
    /// # Errors
    /// [`AgentError::Key`], [`AgentError::Mounted`]; neither holds anything of the key.
    pub fn key(&self, team: &Label, source: &KeySource) -> Result<Option<KeyFile>, AgentError> {
        let text = match source {
            KeySource::None => return Ok(None),
            KeySource::Text(text) => text.clone(),
            KeySource::Named(name) => self.read("key", "keys", team, name)?,
        };
        KeyFile::decode(text.expose()).map(Some).map_err(AgentError::Key)
    }

    /// The credentials of an operation; `None` means the agent's own.
    ///
    /// # Errors
    /// [`AgentError::Mounted`].
    pub fn credentials(
        &self,
        team: &Label,
        source: &S3Source,
    ) -> Result<Option<StaticCredentials>, AgentError> {
        let keys = match source {
            S3Source::Agent => return Ok(None),
            S3Source::Given(keys) => keys.clone(),
            S3Source::Named(name) => {
                let text = self.read("credentials", "s3", team, name)?;
                parse(&text).map_err(|problem| mounted("credentials", team, name, problem))?
            }
        };
        let text = |secret: &SecretText| Zeroizing::new(secret.expose().to_owned());
        Ok(Some(StaticCredentials {
            access_key_id: text(&keys.access_key_id),
            secret_access_key: text(&keys.secret_access_key),
            session_token: keys.session_token.as_ref().map(text),
        }))
    }

    /// Whether all files that are there now could be used. Files that come later are checked when they are read.
    ///
    /// # Errors
    /// [`AgentError::Mounted`] names the first that cannot.
    pub fn check(&self) -> Result<(), AgentError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let names = |path: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).take(CHECKED_MAX).collect()
        };
        std::fs::read_dir(directory).map_err(|error| {
            AgentError::Usage(format!("settings, `credentials_dir` = {}: {error}", directory.display()))
        })?;
        for team in names(directory).iter().filter_map(|name| name.parse::<Label>().ok()) {
            for (what, kind) in [("key", "keys"), ("credentials", "s3")] {
                let place = directory.join(team.as_ref()).join(kind);
                for name in names(&place).iter().filter_map(|name| name.parse::<SecretName>().ok()) {
                    let opened = closed_file::open(&place.join(name.as_ref()), LEN_MAX);
                    opened.map_err(|problem| mounted(what, &team, &name, problem))?;
                }
            }
        }
        Ok(())
    }

    fn read(
        &self,
        what: &'static str,
        kind: &str,
        team: &Label,
        name: &SecretName,
    ) -> Result<SecretText, AgentError> {
        let wrong = |problem: String| mounted(what, team, name, problem);
        let directory = self.directory.as_deref().ok_or_else(|| {
            wrong("this agent has no credentials_dir; send it with the request, or configure one".into())
        })?;
        read_text(&directory.join(team.as_ref()).join(kind).join(name.as_ref())).map_err(wrong)
    }
}

/// Reads a regular file that is closed to others. A pipe is not waited for, and nothing is read that never ends.
fn read_text(path: &Path) -> Result<SecretText, String> {
    let (file, len) = closed_file::open(path, LEN_MAX)?;
    // Room for all of it: a buffer that grows would leave copies behind. `SecretText` takes the memory over as it is, and wipes it.
    let mut text = String::with_capacity(len + 1);
    let read = file.take(LEN_MAX).read_to_string(&mut text);
    let text = SecretText::new(text);
    read.map(|_| text).map_err(|error| error.to_string())
}

/// Lines `name = value` or `name: value`.
fn parse(text: &SecretText) -> Result<S3Keys, String> {
    let find = |wanted: &str| {
        let mut values = text.expose().lines().filter_map(|line| {
            let (name, value) = line.split_once(['=', ':'])?;
            (name.trim() == wanted).then(|| SecretText::new(value.trim().to_owned()))
        });
        values.next_back()
    };
    let keys = S3Keys {
        access_key_id: find("access_key_id").ok_or("it has no line access_key_id = …")?,
        secret_access_key: find("secret_access_key").ok_or("it has no line secret_access_key = …")?,
        session_token: find("session_token"),
    };
    keys.check().map_err(|(field, problem)| format!("{field} {problem}"))?;
    Ok(keys)
}

fn mounted(what: &'static str, team: &Label, name: &SecretName, problem: String) -> AgentError {
    AgentError::Mounted { what, name: name.to_string(), team: team.to_string(), problem }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_closed_regular_files_are_secrets_and_a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let keys = directory.path().join("shop/keys");
        std::fs::create_dir_all(&keys).unwrap();
        let mounted = Mounted::new(Some(directory.path().into()));
        mounted.check().unwrap();
        let team = "shop".parse().unwrap();
        nix::unistd::mkfifo(&keys.join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let source = KeySource::Named(name("pipe"));
        let error = mounted.key(&team, &source).unwrap_err().to_string();
        assert!(error.contains("no regular file"), "{error}");
        assert!(mounted.check().unwrap_err().to_string().contains("pipe"));
        std::fs::remove_file(keys.join("pipe")).unwrap();
        std::fs::write(keys.join("open"), "4711").unwrap();
        std::fs::set_permissions(keys.join("open"), std::fs::Permissions::from_mode(0o640)).unwrap();
        mounted.check().unwrap();
        std::fs::set_permissions(keys.join("open"), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(mounted.check().unwrap_err().to_string().contains("0644"));
        assert!(Mounted::new(Some("/no/such/directory".into())).check().is_err());
    }

    fn name(text: &str) -> SecretName {
        text.parse().unwrap()
    }

    #[test]
    fn mounted_files_are_the_teams_own_and_errors_hold_nothing_of_them() {
        let directory = tempfile::tempdir().unwrap();
        let (shop, other): (Label, Label) = ("shop".parse().unwrap(), "other".parse().unwrap());
        std::fs::create_dir_all(directory.path().join("shop/s3")).unwrap();
        std::fs::create_dir_all(directory.path().join("shop/keys")).unwrap();
        std::fs::write(
            directory.path().join("shop/s3/main"),
            "access_key_id = AK\nsecret_access_key: S4711=\n",
        )
        .unwrap();
        std::fs::write(directory.path().join("shop/keys/bad"), "4711").unwrap();
        let mounted = Mounted::new(Some(directory.path().into()));
        for file in ["shop/s3/main", "shop/keys/bad"] {
            let path = directory.path().join(file);
            assert!(read_text(&path).unwrap_err().contains("chmod 0600"), "{file} is open to others");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let found = mounted.credentials(&shop, &S3Source::Named(name("main"))).unwrap().unwrap();
        assert_eq!((found.access_key_id.as_str(), found.secret_access_key.as_str()), ("AK", "S4711="));
        assert!(found.session_token.is_none());
        let errors = [
            mounted.credentials(&other, &S3Source::Named(name("main"))).unwrap_err(),
            mounted.key(&shop, &KeySource::Named(name("bad"))).unwrap_err(),
            mounted.key(&shop, &KeySource::Named(name("none"))).unwrap_err(),
            Mounted::new(None).key(&shop, &KeySource::Named(name("bad"))).unwrap_err(),
        ];
        for error in errors {
            assert!(!coffer_engine::one_line(&error).contains("4711"), "{error}");
        }
    }
}
