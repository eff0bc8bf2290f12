//! How messages with secrets are shown: without them.

use std::fmt;

use crate::agent::v1::{Repository, S3Credentials};

impl fmt::Debug for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Repository");
        // An address must not hold a password, but its writer may not know that.
        shown.field("key_name", &self.key_name).field("credentials_name", &self.credentials_name);
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("S3Credentials").finish_non_exhaustive()
    }
}
