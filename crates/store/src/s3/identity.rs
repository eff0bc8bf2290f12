//! Credentials on their way to the SDK: looked at before they are used, and told from those before them.
//!
//! Nothing here may show one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};

/// Credentials that no request can carry.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {what} has {fault} in it, which none has: look how it was copied (a file's last line end, a blank before or after it); no \
     request was made"
)]
pub(super) struct Unusable {
    what: &'static str,
    fault: &'static str,
}

/// Tells credentials from others, and nothing else about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u64);

/// Asks another provider and looks at what it gives.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    inner: SharedCredentialsProvider,
    given: Arc<Mutex<Option<Mark>>>,
}

impl Checked {
    pub(super) fn new(inner: SharedCredentialsProvider) -> Self {
        Checked { inner, given: Arc::default() }
    }

    /// What was given last.
    pub(super) fn given(&self) -> Option<Mark> {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self) -> provider::Result {
        let credentials = self.inner.provide_credentials().await?;
        check(&credentials).map_err(CredentialsError::invalid_configuration)?;
        let mut hasher = DefaultHasher::new();
        let (id, token) = (credentials.access_key_id(), credentials.session_token());
        (id, credentials.secret_access_key(), token).hash(&mut hasher);
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Some(Mark(hasher.finish()));
        Ok(credentials)
    }
}

impl ProvideCredentials for Checked {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.inner.fallback_on_interrupt()
    }
}

/// Headers carry them: signs outside of visible ASCII cannot be sent, and none of them has any.
fn check(credentials: &Credentials) -> Result<(), Unusable> {
    let parts = [
        ("access key id", Some(credentials.access_key_id())),
        ("secret access key", Some(credentials.secret_access_key())),
        ("session token", credentials.session_token()),
    ];
    for (what, text) in parts {
        if let Some(fault) = text.and_then(fault_of) {
            return Err(Unusable { what, fault });
        }
    }
    Ok(())
}

fn fault_of(text: &str) -> Option<&'static str> {
    let bad = text.chars().find(|sign| !sign.is_ascii_graphic())?;
    Some(match bad {
        '\n' | '\r' => "a line end",
        ' ' | '\t' => "a blank",
        bad if bad.is_control() => "a control character",
        _ => "a sign that is not ASCII",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_request_can_carry_is_named_and_not_shown() {
        let check = |id: &str, secret: &str, token: Option<&str>, expected: &[&str]| {
            let credentials = Credentials::new(id, secret, token.map(Into::into), None, "tests");
            let error = super::check(&credentials).expect_err(id).to_string();
            assert!(expected.iter().all(|part| error.contains(part)), "{error}");
            assert!(!error.contains("4711"), "{error}");
        };
        check("4711\n", "4711", None, &["access key id", "a line end"]);
        check(" 4711", "4711", None, &["access key id", "a blank"]);
        check("4711", "4711\r", None, &["secret access key", "a line end"]);
        check("4711", "4711", Some("47 11"), &["session token", "a blank"]);
        check("4711", "4711\u{7f}", None, &["secret access key", "a control character"]);
        check("4711", "4711ü", None, &["secret access key", "not ASCII"]);
        let fine = Credentials::new("AKIA/+=", "a/b+c=", Some("x==".into()), None, "tests");
        super::check(&fine).expect("they can be sent");
    }
}
