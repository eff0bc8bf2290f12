//! What went wrong at an agent or on the way to it, with the same kind, advice and exit status as if it had happened here.
//!
//! An agent's words go to a terminal: control characters are taken out of them, and they are cut.

use std::error::Error;
use std::io;

use coffer_engine::Advice;
use coffer_proto::agent::v1::OperationError;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::error::{ExitStatus, one_line, status_of};

/// Characters of an agent's message that are shown.
const TEXT_MAX: usize = 1000;

/// A call of an agent, or an operation there, failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("agent {node}: {message}")]
pub(crate) struct AgentError {
    /// The agent's node, or its address.
    pub(crate) node: String,
    /// What happened.
    pub(crate) message: String,
    /// A short name of it, as the agent gave it or of our own.
    pub(crate) kind: String,
    /// What to do about it.
    pub(crate) advice: Advice,
    /// The same call may be made again after a while.
    pub(crate) again: bool,
}

impl AgentError {
    /// An error of our own about an agent.
    pub(crate) fn new(node: &str, kind: &str, advice: Advice, message: impl Into<String>) -> AgentError {
        AgentError { node: node.into(), message: message.into(), kind: kind.into(), advice, again: false }
    }

    /// A call failed.
    pub(crate) fn from_status(node: &str, status: &Status) -> AgentError {
        if let Some(error) = transport(node, status.source(), status.code()) {
            return error;
        }
        let info = status.get_details_error_info();
        let (kind, advice) = meaning(status.code());
        let told = info.as_ref().and_then(|info| advice_of(info.metadata.get("advice")?));
        let kind = info.map_or_else(|| kind.to_owned(), |info| kind_of(&info.reason, kind));
        let advice = told.unwrap_or(advice);
        let again = advice == Advice::Retry && kind != "cancelled";
        AgentError { node: node.into(), message: message(status), kind, advice, again }
    }

    /// No connection came about.
    pub(crate) fn from_connect(node: &str, address: &str, error: &tonic::transport::Error) -> AgentError {
        let mut failed = certificate(node, error).unwrap_or_else(|| unreachable(node, error));
        failed.message = format!("cannot connect to {address}: {}", failed.message);
        failed
    }

    /// The agent ended a connection with this; `None` where it is not about certificates.
    pub(super) fn from_tls(node: &str, error: &rustls::Error) -> Option<AgentError> {
        certificate(node, error)
    }

    /// An operation ended badly.
    pub(crate) fn from_operation(node: &str, error: Option<&OperationError>) -> AgentError {
        let Some(error) = error else {
            return AgentError::new(node, "bug", Advice::Bug, "the operation failed and says nothing of why");
        };
        let (kind, advice) = meaning(Code::from(error.code));
        AgentError {
            node: node.into(),
            message: in_flags(&error.message),
            kind: kind_of(&error.kind, kind),
            advice: advice_of(&error.advice).unwrap_or(advice),
            again: false,
        }
    }

    /// The exit status of a command that fails with this.
    pub(crate) fn status(&self) -> ExitStatus {
        if self.kind == "cancelled" { ExitStatus::Cancelled } else { status_of(self.advice) }
    }

    /// What to do next, where the message does not say so itself.
    pub(crate) fn next_step(&self) -> Option<&'static str> {
        match self.kind.as_str() {
            "agent-unavailable" => Some("check the address, and that the agent runs"),
            "agent-certificate" => {
                Some("check --agent-ca, --agent-cert, --agent-key and --agent-server-name")
            }
            "unauthenticated" => Some("check whose certificate --agent-cert is, and what it may do"),
            "unimplemented" => Some("the agent is of another version, bring it up to date"),
            "interrupted" | "operation-lost" => Some("run the command again with the same --idempotency-key"),
            _ => None,
        }
    }
}

/// An agent's text as it may be shown: one line, without control characters, not too long.
pub(crate) fn plain(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut out: String = text.trim().chars().take(TEXT_MAX).map(shown).collect();
    if text.trim().chars().nth(TEXT_MAX).is_some() {
        out.push('…');
    }
    out
}

/// What agents call the parts of a request, as the command line does. Longer words come before those that they begin with.
const WORDS: [(&str, &str); 14] = [
    ("`repository.key_name`", "--agent-key-name"),
    ("`repository.key`", "--key"),
    ("`repository.credentials_name`", "--agent-credentials-name"),
    ("`repository.s3`", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ("`repository.url`", "--repo"),
    ("`plan.cluster`", "--cluster"),
    ("`read_data_percent`", "--read-data"),
    ("`idempotency_key`", "--idempotency-key"),
    ("`block_bytes`", "--block-size"),
    ("`read_engine`", "--io"),
    ("`compression`", "--compression"),
    ("`changes`", "--changes"),
    ("OVERWRITE", "--overwrite"),
    ("IN_PLACE", "--in-place"),
];

/// An agent's message with the flags of whoever reads it here.
fn in_flags(text: &str) -> String {
    WORDS.iter().fold(plain(text), |text, (word, flag)| text.replace(word, flag))
}

fn message(status: &Status) -> String {
    match in_flags(status.message()) {
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
    let error = AgentError::new(node, "agent-unavailable", Advice::Retry, plain(text));
    AgentError { again: true, ..error }
}

/// One side would not take the other's certificate. No second try changes that.
fn certificate(node: &str, error: &(dyn Error + 'static)) -> Option<AgentError> {
    let tls = tls_error(error)?;
    let message = match tls {
        rustls::Error::AlertReceived(_) => format!("it refused our certificate: {tls}"),
        _ => format!("its certificate is refused: {tls}"),
    };
    Some(AgentError::new(node, "agent-certificate", Advice::Configure, plain(&message)))
}

/// What TLS itself says of certificates somewhere down the line of causes; an I/O error carries its cause inside, not behind it.
pub(crate) fn tls_error(error: &(dyn Error + 'static)) -> Option<rustls::Error> {
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

/// The kind as in JSON: lower case with hyphens, whatever the wire's custom is.
fn kind_of(word: &str, otherwise: &str) -> String {
    let kind = word.to_ascii_lowercase().replace('_', "-");
    let is_kind = (1..=63).contains(&kind.len())
        && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_kind { kind } else { otherwise.to_owned() }
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
        assert_eq!(error.status(), ExitStatus::Damaged);
    }

    #[test]
    fn what_an_agent_calls_a_field_is_called_by_its_flag() {
        let said = "x exists; give OVERWRITE to replace it, or IN_PLACE; send `repository.key` or name `repository.key_name`";
        let error = AgentError::from_status("n", &Status::new(Code::FailedPrecondition, said));
        let shown =
            "x exists; give --overwrite to replace it, or --in-place; send --key or name --agent-key-name";
        assert_eq!(error.message, shown);
    }

    #[test]
    fn without_details_the_code_decides() {
        for (code, status, again) in [
            (Code::InvalidArgument, ExitStatus::Usage, false),
            (Code::NotFound, ExitStatus::NotFound, false),
            (Code::PermissionDenied, ExitStatus::Usage, false),
            (Code::FailedPrecondition, ExitStatus::Refused, false),
            (Code::DataLoss, ExitStatus::Damaged, false),
            (Code::Unavailable, ExitStatus::Failed, true),
            (Code::ResourceExhausted, ExitStatus::Failed, true),
            (Code::Internal, ExitStatus::Failed, false),
            (Code::Cancelled, ExitStatus::Cancelled, false),
        ] {
            let error = AgentError::from_status("n", &Status::new(code, "x"));
            assert_eq!((error.status(), error.again), (status, again), "{code:?}");
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
