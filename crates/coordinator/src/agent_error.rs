//! What went wrong at an agent or on the way to it, with the same kind and advice as if it had happened here.
//!
//! An agent's words go to a terminal: control characters are taken out of them, and they are cut.

use std::error::Error;
use std::io;

use coffer_engine::{Advice, one_line};
use coffer_proto::agent::v1::OperationError;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Characters of an agent's message that are shown.
const TEXT_MAX: usize = 1000;

/// A call of an agent, or an operation there, failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("agent {node}: {message}")]
pub struct AgentError {
    /// The agent's node, or its address.
    pub node: String,
    /// What happened.
    pub message: String,
    /// What kind of error it is, as the agent said or as we found.
    pub kind: AgentErrorKind,
    /// What to do about it.
    pub advice: Advice,
    /// The same call may be made again after a while.
    pub again: bool,
}

/// Kinds of errors that something is decided by; all others bear the name that the agent gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentErrorKind {
    /// No connection, or it broke.
    Unavailable,
    /// One side refuses the other's certificate.
    Certificate,
    /// The agent's rules do not know this caller.
    Unauthenticated,
    /// The agent does not know the call: it is of another version.
    Unimplemented,
    /// What was asked for is not there.
    NotFound,
    /// Somebody stopped it.
    Cancelled,
    /// The agent ended before the operation did.
    Interrupted,
    /// The agent does not know an operation any more that it had begun.
    OperationLost,
    /// A volume record that an agent returned is not good.
    RecordInvalid,
    /// Something that cannot be.
    Bug,
    /// Any other: lower case with hyphens.
    Other(String),
}

impl AgentErrorKind {
    const NAMED: [(AgentErrorKind, &'static str); 10] = [
        (AgentErrorKind::Unavailable, "agent-unavailable"),
        (AgentErrorKind::Certificate, "agent-certificate"),
        (AgentErrorKind::Unauthenticated, "unauthenticated"),
        (AgentErrorKind::Unimplemented, "unimplemented"),
        (AgentErrorKind::NotFound, "not-found"),
        (AgentErrorKind::Cancelled, "cancelled"),
        (AgentErrorKind::Interrupted, "interrupted"),
        (AgentErrorKind::OperationLost, "operation-lost"),
        (AgentErrorKind::RecordInvalid, "record-invalid"),
        (AgentErrorKind::Bug, "bug"),
    ];

    /// Its name, as in JSON: lower case with hyphens.
    pub fn as_str(&self) -> &str {
        match self {
            AgentErrorKind::Other(name) => name,
            named => Self::NAMED.iter().find(|(kind, _)| kind == named).map_or("bug", |(_, name)| name),
        }
    }

    fn named(name: &str) -> AgentErrorKind {
        let known = Self::NAMED.iter().find(|(_, known)| *known == name);
        known.map_or_else(|| AgentErrorKind::Other(name.to_owned()), |(kind, _)| kind.clone())
    }

    /// The kind that an agent names, whatever the wire's custom is; `otherwise` where that is no name.
    fn told(word: &str, otherwise: &str) -> AgentErrorKind {
        let name = word.to_ascii_lowercase().replace('_', "-");
        let is_name = (1..=63).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        AgentErrorKind::named(if is_name { &name } else { otherwise })
    }
}

impl AgentError {
    /// An error of our own about an agent.
    pub fn new(node: &str, kind: AgentErrorKind, advice: Advice, message: impl Into<String>) -> AgentError {
        AgentError { node: node.into(), message: message.into(), kind, advice, again: false }
    }

    /// A call failed.
    pub fn from_status(node: &str, status: &Status) -> AgentError {
        if let Some(error) = transport(node, status.source(), status.code()) {
            return error;
        }
        let info = status.get_details_error_info();
        let (kind, advice) = meaning(status.code());
        let told = info.as_ref().and_then(|info| advice_of(info.metadata.get("advice")?));
        let kind =
            info.map_or_else(|| AgentErrorKind::named(kind), |info| AgentErrorKind::told(&info.reason, kind));
        let advice = told.unwrap_or(advice);
        let again = advice == Advice::Retry && kind != AgentErrorKind::Cancelled;
        AgentError { node: node.into(), message: message(status), kind, advice, again }
    }

    /// No connection came about.
    pub fn from_connect(node: &str, address: &str, error: &tonic::transport::Error) -> AgentError {
        let mut failed = certificate(node, error).unwrap_or_else(|| unreachable(node, error));
        failed.message = format!("cannot connect to {address}: {}", failed.message);
        failed
    }

    /// The agent ended a connection with this; `None` where it is not about certificates.
    pub(crate) fn from_tls(node: &str, error: &rustls::Error) -> Option<AgentError> {
        certificate(node, error)
    }

    /// An operation ended badly.
    pub fn from_operation(node: &str, error: Option<&OperationError>) -> AgentError {
        let Some(error) = error else {
            return AgentError::new(
                node,
                AgentErrorKind::Bug,
                Advice::Bug,
                "the operation failed and says nothing of why",
            );
        };
        let (kind, advice) = meaning(Code::from(error.code));
        AgentError {
            node: node.into(),
            message: plain(&error.message),
            kind: AgentErrorKind::told(&error.kind, kind),
            advice: advice_of(&error.advice).unwrap_or(advice),
            again: false,
        }
    }
}

/// An agent's text as it may be shown: one line, without control characters, not too long.
pub fn plain(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut out: String = text.trim().chars().take(TEXT_MAX).map(shown).collect();
    if text.trim().chars().nth(TEXT_MAX).is_some() {
        out.push('…');
    }
    out
}

fn message(status: &Status) -> String {
    match plain(status.message()) {
        text if text.is_empty() => format!("{:?} without a word of why", status.code()),
        text => text,
    }
}

/// An error of the connection rather than of the agent.
fn transport(node: &str, cause: Option<&(dyn Error + 'static)>, code: Code) -> Option<AgentError> {
    let cause = cause?;
    certificate(node, cause).or_else(|| (code != Code::DeadlineExceeded).then(|| unreachable(node, cause)))
}

fn unreachable(node: &str, cause: &(dyn Error + 'static)) -> AgentError {
    let text = one_line(cause);
    let text = text.strip_prefix("transport error: ").unwrap_or(&text);
    let error = AgentError::new(node, AgentErrorKind::Unavailable, Advice::Retry, plain(text));
    AgentError { again: true, ..error }
}

/// One side would not take the other's certificate. No second try changes that.
fn certificate(node: &str, error: &(dyn Error + 'static)) -> Option<AgentError> {
    let tls = certificate_error(error)?;
    let message = match tls {
        rustls::Error::AlertReceived(_) => format!("it refused our certificate: {tls}"),
        _ => format!("its certificate is refused: {tls}"),
    };
    Some(AgentError::new(node, AgentErrorKind::Certificate, Advice::Configure, plain(&message)))
}

/// What TLS itself says of certificates somewhere down the line of causes; an I/O error carries its cause inside, not behind it.
pub fn certificate_error(error: &(dyn Error + 'static)) -> Option<rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return is_certificate(tls).then(|| tls.clone());
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

fn is_certificate(error: &rustls::Error) -> bool {
    use rustls::{AlertDescription as Alert, Error as Tls};
    match error {
        Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented | Tls::UnsupportedNameType => true,
        Tls::AlertReceived(alert) => matches!(
            alert,
            Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::DecryptError
                | Alert::CertificateRequired
                | Alert::HandshakeFailure
        ),
        _ => false,
    }
}

fn meaning(code: Code) -> (&'static str, Advice) {
    match code {
        Code::InvalidArgument | Code::OutOfRange => ("usage", Advice::Configure),
        Code::NotFound => ("not-found", Advice::NotFound),
        Code::PermissionDenied => ("permission-denied", Advice::Configure),
        Code::Unauthenticated => ("unauthenticated", Advice::Configure),
        Code::Unimplemented => ("unimplemented", Advice::Configure),
        Code::FailedPrecondition | Code::AlreadyExists => ("refused", Advice::Refused),
        Code::DataLoss => ("damaged", Advice::Corrupt),
        Code::ResourceExhausted => ("busy", Advice::Retry),
        Code::Unavailable => ("agent-unavailable", Advice::Retry),
        Code::DeadlineExceeded => ("timeout", Advice::Retry),
        Code::Aborted => ("aborted", Advice::Retry),
        Code::Cancelled => ("cancelled", Advice::Retry),
        Code::Ok | Code::Unknown | Code::Internal => ("bug", Advice::Bug),
    }
}

/// The closed set of words for advice, as in JSON.
fn advice_of(word: &str) -> Option<Advice> {
    let all = [
        Advice::Retry,
        Advice::Configure,
        Advice::Corrupt,
        Advice::Fenced,
        Advice::Bug,
        Advice::NotFound,
        Advice::Refused,
    ];
    all.into_iter().find(|advice| advice.as_str() == word)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn an_agents_error_keeps_kind_and_advice() {
        let metadata = HashMap::from([("advice".to_owned(), "corrupt".to_owned())]);
        let details = ErrorDetails::with_error_info("DAMAGED", "coffer.dev", metadata);
        let status = Status::with_error_details(Code::DataLoss, "pack 3\x1b[31m is\nbroken", details);
        let error = AgentError::from_status("n", &status);
        assert_eq!(error.to_string(), "agent n: pack 3 [31m is broken");
        assert_eq!((error.kind.as_str(), error.advice, error.again), ("damaged", Advice::Corrupt, false));
    }

    #[test]
    fn without_details_the_code_decides() {
        for (code, advice, again) in [
            (Code::InvalidArgument, Advice::Configure, false),
            (Code::NotFound, Advice::NotFound, false),
            (Code::PermissionDenied, Advice::Configure, false),
            (Code::FailedPrecondition, Advice::Refused, false),
            (Code::DataLoss, Advice::Corrupt, false),
            (Code::Unavailable, Advice::Retry, true),
            (Code::ResourceExhausted, Advice::Retry, true),
            (Code::Internal, Advice::Bug, false),
            (Code::Cancelled, Advice::Retry, false),
        ] {
            let error = AgentError::from_status("n", &Status::new(code, "x"));
            assert_eq!((error.advice, error.again), (advice, again), "{code:?}");
        }
    }

    #[test]
    fn hostile_words_are_cut_and_odd_kinds_are_not_taken() {
        let error = OperationError {
            code: Code::NotFound as i32,
            kind: "a b\"".into(),
            message: "x".repeat(5000),
            advice: "format-the-disk".into(),
        };
        let error = AgentError::from_operation("n", Some(&error));
        assert_eq!((error.kind.as_str(), error.advice), ("not-found", Advice::NotFound));
        assert_eq!(error.message.chars().count(), TEXT_MAX + 1);
    }

    #[test]
    fn a_certificate_is_found_below_an_io_error() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let outer = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        assert!(certificate("n", &outer).is_some_and(|error| error.message.contains("UnknownIssuer")));
        assert!(certificate("n", &io::Error::other("gone")).is_none());
    }
}
