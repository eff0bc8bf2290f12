//! Errors of agents in the words of the command line: its flags, its exit statuses, and what to do next.

use coffer_coordinator::{AgentError, AgentErrorKind};

use crate::exit_status::{ExitStatus, status_of};

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

/// The error with the flags of whoever reads it here.
pub(crate) fn in_flags(error: AgentError) -> AgentError {
    let message = WORDS.iter().fold(error.message, |text, (word, flag)| text.replace(word, flag));
    AgentError { message, ..error }
}

/// The exit status of a command that fails with this.
pub(crate) fn status(error: &AgentError) -> ExitStatus {
    if error.kind == AgentErrorKind::Cancelled { ExitStatus::Cancelled } else { status_of(error.advice) }
}

/// What to do next, where the message does not say so itself.
pub(crate) fn next_step(error: &AgentError) -> Option<&'static str> {
    match error.kind {
        AgentErrorKind::Unavailable => Some("check the address, and that the agent runs"),
        AgentErrorKind::Certificate => {
            Some("check --agent-ca, --agent-cert, --agent-key and --agent-server-name")
        }
        AgentErrorKind::Unauthenticated => {
            Some("check whose certificate --agent-cert is, and what it may do")
        }
        AgentErrorKind::Unimplemented => Some("the agent is of another version, bring it up to date"),
        AgentErrorKind::Interrupted | AgentErrorKind::OperationLost => {
            Some("run the command again with the same --idempotency-key")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use coffer_proto::agent::v1::OperationError;

    use super::*;

    #[test]
    fn what_an_agent_calls_a_field_is_called_by_its_flag() {
        let said = "x exists; give OVERWRITE to replace it, or IN_PLACE; send `repository.key` or name `repository.key_name`";
        let error = OperationError { message: said.into(), ..OperationError::default() };
        let shown =
            "x exists; give --overwrite to replace it, or --in-place; send --key or name --agent-key-name";
        assert_eq!(in_flags(AgentError::from_operation("n", Some(&error))).message, shown);
    }

    #[test]
    fn the_status_is_the_advices_but_for_what_was_stopped() {
        let of = |kind, advice| status(&AgentError::new("n", kind, advice, "x"));
        use coffer_engine::Advice;
        assert_eq!(of(AgentErrorKind::Cancelled, Advice::Retry), ExitStatus::Cancelled);
        assert_eq!(of(AgentErrorKind::Unavailable, Advice::Retry), ExitStatus::Failed);
        assert_eq!(of(AgentErrorKind::Other("damaged".into()), Advice::Corrupt), ExitStatus::Damaged);
        assert_eq!(of(AgentErrorKind::Other("usage".into()), Advice::Configure), ExitStatus::Usage);
    }
}
