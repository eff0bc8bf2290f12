//! What verbs need to call plugins: where they are, what runs wrote down, and resources as words.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use coffer_format::ResourceRef;
use coffer_resources::{Registry, ResourceError, Wish};
use tokio::runtime::{Builder, Runtime};

use crate::error::CliError;

/// Most bytes of a file with options.
const OPTIONS_LEN_MAX: u64 = 64 << 10;

/// Where plugins are.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Plugins")]
pub(crate) struct PluginOptions {
    /// Directory of the plugins' sockets, NAME.sock each
    #[arg(long, value_name = "DIR", env = "COFFER_PLUGIN_DIR", default_value = "/run/coffer/plugins")]
    pub(crate) plugin_dir: PathBuf,
}

/// Where runs with resources write down what they began.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Plugins")]
pub(crate) struct StateOptions {
    /// Directory in which runs with resources write down what they began, with room for the resources' data [default: coffer in $XDG_STATE_HOME, or in ~/.local/state]
    #[arg(long, value_name = "DIR", env = "COFFER_STATE_DIR", hide_env_values = true)]
    state_dir: Option<PathBuf>,
}

impl StateOptions {
    /// The directory.
    pub(crate) fn directory(&self) -> Result<PathBuf, CliError> {
        if let Some(directory) = &self.state_dir {
            return Ok(directory.clone());
        }
        let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = of("XDG_STATE_HOME").or_else(|| Some(of("HOME")?.join(".local/state")));
        let missing = || {
            CliError::Usage("a run with resources writes down what it begins: give --state-dir DIR".into())
        };
        Ok(state.ok_or_else(missing)?.join("coffer"))
    }
}

/// `TYPE/ID` or `TYPE/ID=OPTIONS.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceWord {
    /// The resource.
    pub(crate) reference: ResourceRef,
    /// The file of its options.
    pub(crate) options: Option<PathBuf>,
}

impl FromStr for ResourceWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (reference, options) = match text.rsplit_once('=') {
            Some((_, "")) => return Err("write TYPE/ID=OPTIONS.json or TYPE/ID; the file is missing".into()),
            Some((reference, file)) => (reference, Some(PathBuf::from(file))),
            None => (text, None),
        };
        let reference = reference.parse().map_err(|error: coffer_format::FormatError| error.to_string())?;
        Ok(ResourceWord { reference, options })
    }
}

impl ResourceWord {
    /// The options, `{}` without a file. They are held against the plugin's schema later.
    pub(crate) fn read_options(&self) -> Result<String, CliError> {
        self.options.as_deref().map_or_else(|| Ok("{}".to_owned()), read_options)
    }

    /// With its options, for a run.
    pub(crate) fn wish(&self) -> Result<Wish, CliError> {
        Ok(Wish { reference: self.reference.clone(), options: self.read_options()? })
    }
}

/// Options from a file. They are held against the plugin's schema, not here.
pub(crate) fn read_options(path: &Path) -> Result<String, CliError> {
    let failed = |source| CliError::File { step: "read", path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > OPTIONS_LEN_MAX {
        let text = format!("{} has {length} bytes; options have {OPTIONS_LEN_MAX} at most", path.display());
        return Err(CliError::Usage(text));
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// A runtime for calls of plugins: all work is theirs, and data go to a file.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|source| CliError::File {
        step: "start",
        path: "the plugins' runtime".into(),
        source,
    })
}

/// The plugins of the directory.
pub(crate) fn discover(runtime: &Runtime, options: &PluginOptions) -> Result<Registry, ResourceError> {
    runtime.block_on(Registry::discover(&options.plugin_dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_behind_the_last_equals_sign() {
        let check = |text: &str, reference: &str, options: Option<&str>| {
            let word: ResourceWord = text.parse().expect("a word");
            assert_eq!(
                (word.reference.to_string().as_str(), word.options),
                (reference, options.map(PathBuf::from))
            );
        };
        check("T/1", "T/1", None);
        check("OS::Trove::Instance/a=o.json", "OS::Trove::Instance/a", Some("o.json"));
        check("T/a=b=o.json", "T/a=b", Some("o.json"));
        for wrong in ["", "T", "T/", "T/a=", "/a"] {
            assert!(wrong.parse::<ResourceWord>().is_err(), "{wrong:?} was taken");
        }
    }
}
