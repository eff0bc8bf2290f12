//! One agent: its clients, and its answers with a deadline.

use std::time::Duration;

use coffer_engine::Advice;
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::node_client::NodeClient;
use coffer_proto::agent::v1::operations_client::OperationsClient;
use coffer_proto::agent::v1::volumes_client::VolumesClient;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::agent_error::{AgentError, AgentErrorKind};
use crate::probe::Probe;

/// No call but Watch takes longer; a restart of an agent is waited for by calling again.
const CALL_MAX: Duration = Duration::from_secs(30);
/// Records of 256 volumes with long lineages.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// One agent.
#[derive(Clone)]
pub struct Agent {
    /// Its node: as the caller named it, or as it calls itself, or its address.
    pub node: String,
    pub(crate) link: Result<Channel, AgentError>,
    /// Finds out why connections are closed, where there is TLS.
    pub(crate) probe: Option<Probe>,
}

impl Agent {
    /// The connection, or why there is none.
    fn link(&self) -> Result<Channel, AgentError> {
        // An agent that was away from the start is not waited for.
        self.link.clone().map_err(|error| AgentError { again: false, ..error })
    }

    /// Its calls about operations.
    pub fn operations(&self) -> Result<OperationsClient<Channel>, AgentError> {
        Ok(OperationsClient::new(self.link()?).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Its calls about volumes.
    pub fn volumes(&self) -> Result<VolumesClient<Channel>, AgentError> {
        Ok(VolumesClient::new(self.link()?).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Its calls about itself.
    pub fn info(&self) -> Result<NodeClient<Channel>, AgentError> {
        Ok(NodeClient::new(self.link()?))
    }

    /// The operation with this key, with all that is kept of it: lists leave out results and what a coordinator left.
    pub(crate) async fn by_key(&self, key: &str) -> Result<Option<v1::Operation>, AgentError> {
        let mut client = self.operations()?;
        let request = v1::ListOperationsRequest { idempotency_key: key.to_owned(), ..Default::default() };
        let listed = self.answer(client.list(request)).await?.operations;
        let Some(found) = listed.into_iter().find(|operation| operation.idempotency_key == key) else {
            return Ok(None);
        };
        match self.answer(client.get(v1::GetOperationRequest { id: found.id })).await {
            Ok(operation) => Ok(Some(operation)),
            // It was forgotten in between.
            Err(error) if error.kind == AgentErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits for the answer to a call, but not for ever.
    pub async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, AgentError> {
        answer(&self.node, call).await
    }

    /// What is behind an error of the connection: a certificate that is refused from now on looks like an agent that is away.
    pub(crate) async fn explain(&self, error: AgentError) -> AgentError {
        match &self.probe {
            Some(probe) if error.kind == AgentErrorKind::Unavailable => {
                probe.refusal(&self.node).await.unwrap_or(error)
            }
            _ => error,
        }
    }

    /// An error of ours about this agent.
    pub(crate) fn error(
        &self,
        kind: AgentErrorKind,
        advice: Advice,
        message: impl Into<String>,
    ) -> AgentError {
        AgentError::new(&self.node, kind, advice, message)
    }
}

/// Waits for the answer to a call, but not for ever.
pub(crate) async fn answer<T>(
    node: &str,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, AgentError> {
    let late = || Err(Status::deadline_exceeded(format!("no answer within {} s", CALL_MAX.as_secs())));
    let answer = tokio::time::timeout(CALL_MAX, call).await.unwrap_or_else(|_| late());
    answer.map(Response::into_inner).map_err(|status| AgentError::from_status(node, &status))
}
