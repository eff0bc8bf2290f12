//! Options of all verbs of `cat`.

use clap::Args;

use crate::options::{KeyOptions, RepositoryOptions};

/// Options of all verbs of `cat`.
#[derive(Args, Debug)]
pub(crate) struct CatOptions {
    #[command(flatten)]
    pub(crate) repository: RepositoryOptions,
    #[command(flatten)]
    pub(crate) key: KeyOptions,
}
