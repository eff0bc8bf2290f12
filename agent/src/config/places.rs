//! What settings say of this node's files, held against what is there: roots must not hold what rules the agent. It looks and makes nothing.
//!
//! Directories are compared by what they are, not by what they are called: a link or a bind mount of one is the same one.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Config, ConfigError};

/// A place of the file system, as far as it is there.
#[derive(Debug)]
struct Spot {
    /// Without links; what is not there is as it was written.
    real: PathBuf,
    /// Device and inode of what is there, and of every directory above it.
    chain: Vec<(u64, u64)>,
    /// Device and inode of the place itself, if it is there.
    own: Option<(u64, u64)>,
}

impl Spot {
    fn of(path: &Path) -> io::Result<Spot> {
        let there = path.ancestors().find(|above| fs::symlink_metadata(above).is_ok()).unwrap_or(path);
        let real_there = fs::canonicalize(there)?;
        let own = (there == path).then(|| fs::metadata(&real_there)).transpose()?;
        let chain = real_there.ancestors().map(|above| fs::metadata(above).map(|found| identity(&found)));
        let chain = chain.collect::<io::Result<Vec<_>>>()?;
        let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
        let real = if rest.as_os_str().is_empty() { real_there } else { real_there.join(rest) };
        Ok(Spot { real, chain, own: own.as_ref().map(identity) })
    }

    /// Whether `other` is this place or lies below it.
    fn holds(&self, other: &Spot) -> bool {
        other.real.starts_with(&self.real) || self.own.is_some_and(|own| other.chain.contains(&own))
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// What must not lie in reach of backups and restores.
struct Guarded {
    what: &'static str,
    path: PathBuf,
}

impl Config {
    /// Checks what settings say of the files of this node; `file` is the settings' own.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the key, its value and what to write instead.
    pub fn check_places(&self, file: &Path) -> Result<(), ConfigError> {
        let guarded = self.guarded(file);
        for root in &self.roots {
            let spot = spot("roots", root)?;
            for guarded in &guarded {
                check_apart(root, &spot, guarded)?;
            }
        }
        self.check_teams_apart()?;
        for ca in self.repositories.iter().filter_map(|rule| rule.ca()) {
            check_certificates(ca)?;
        }
        Ok(())
    }

    fn guarded(&self, file: &Path) -> Vec<Guarded> {
        let of = |what: &'static str, path: &Path| Guarded { what, path: path.to_owned() };
        let kubelet = self.kubelet_dir.strip_prefix("/").unwrap_or(&self.kubelet_dir);
        let mut all = vec![
            of("the settings file", file),
            of("state_dir", &self.state_dir),
            of("kubelet's directory", &self.kubelet_dir),
            of("kubelet's directory", &self.host_root.join(kubelet)),
        ];
        all.extend(self.credentials_dir.iter().map(|path| of("credentials_dir", path)));
        if let Some(tls) = &self.tls {
            let files = [("tls.cert", &tls.cert), ("tls.key", &tls.key), ("tls.client_ca", &tls.client_ca)];
            all.extend(files.map(|(what, path)| of(what, path)));
        }
        for rule in &self.repositories {
            all.extend(rule.directory().map(|path| of("the repository", path)));
            all.extend(rule.ca().map(|path| of("repositories.ca", path)));
        }
        all
    }

    /// As `check_teams` does by text, with links and mounts taken into account.
    fn check_teams_apart(&self) -> Result<(), ConfigError> {
        let mut roots = Vec::new();
        for team in &self.teams {
            for root in &team.roots {
                roots.push((&team.name, root, spot("teams.roots", root)?));
            }
        }
        for (team, root, own) in &roots {
            let clash = roots.iter().find(|(other, _, spot)| other != team && own.holds(spot));
            if let Some((other, path, _)) = clash {
                let problem = format!(
                    "team {other}'s {} lies there, too; give each team directories of its own",
                    path.display()
                );
                return Err(value("teams.roots", root, &problem));
            }
            for (other, path) in self.volume_paths().filter(|(other, _)| other != team) {
                if own.holds(&spot("teams.volumes", path)?) {
                    let problem = format!(
                        "it lies below {}, a root of team {team}, and is named for team {other}",
                        root.display()
                    );
                    return Err(value("teams.volumes", path, &problem));
                }
            }
        }
        Ok(())
    }
}

fn check_apart(root: &Path, spot: &Spot, guarded: &Guarded) -> Result<(), ConfigError> {
    let Guarded { what, path } = guarded;
    // A link to a file can be replaced where it lies, whatever it leads to.
    let beside = path.parent().map(Spot::of).and_then(Result::ok);
    let Ok(other) = Spot::of(path) else { return Ok(()) };
    if spot.holds(&other) || beside.is_some_and(|beside| spot.holds(&beside)) {
        let problem = format!(
            "it holds {what} ({}), which operations could read and overwrite; name directories that hold volumes and nothing else",
            path.display()
        );
        return Err(value("roots", root, &problem));
    }
    if other.holds(spot) {
        let problem = format!(
            "it lies in {what} ({}); name directories that hold volumes and nothing else",
            path.display()
        );
        return Err(value("roots", root, &problem));
    }
    Ok(())
}

/// A file of authorities is read again with each store; here it is only looked at.
fn check_certificates(path: &Path) -> Result<(), ConfigError> {
    let problem = match fs::metadata(path) {
        Ok(found) if found.is_file() => return Ok(()),
        Ok(_) => "it is no regular file; name a file of certificates in PEM form".to_owned(),
        Err(error) => format!("it cannot be looked at: {error}"),
    };
    Err(value("repositories.ca", path, &problem))
}

fn spot(key: &'static str, path: &Path) -> Result<Spot, ConfigError> {
    Spot::of(path).map_err(|error| value(key, path, &format!("it cannot be looked at: {error}")))
}

fn value(key: &'static str, path: &Path, problem: &str) -> ConfigError {
    ConfigError::Value { key, value: path.display().to_string(), problem: problem.to_owned() }
}
