//! The result of `node`.

use coffer_coordinator::plain;
use coffer_proto::agent::v1;
use serde::Serialize;

use super::plain_all;
use crate::human;
use crate::output::Document;
use crate::text::Text;

/// What agents say about themselves.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct NodesDocument(pub(crate) Vec<NodeDocument>);

/// One agent.
#[derive(Debug, Serialize)]
pub(crate) struct NodeDocument {
    node: String,
    version: String,
    read_engine: String,
    draining: bool,
    running: u32,
    queued: u32,
    limits: LimitsDocument,
    missing: Vec<String>,
}

/// Limits in force; a rate of 0 is no limit.
#[derive(Debug, Serialize)]
struct LimitsDocument {
    memory: u64,
    operations_max: u32,
    queued_max: u32,
    read_rate: u64,
    read_request_rate: u64,
    upload_rate: u64,
    threads: u32,
}

impl From<&v1::InfoResponse> for NodeDocument {
    fn from(info: &v1::InfoResponse) -> Self {
        let limits = info.limits.unwrap_or_default();
        NodeDocument {
            node: plain(&info.node),
            version: plain(&info.version),
            read_engine: plain(&info.read_engine),
            draining: info.draining,
            running: info.running,
            queued: info.queued,
            limits: LimitsDocument {
                memory: limits.memory_bytes,
                operations_max: limits.operations_max,
                queued_max: limits.queued_max,
                read_rate: limits.read_bytes_per_second,
                read_request_rate: limits.read_requests_per_second,
                upload_rate: limits.upload_bytes_per_second,
                threads: limits.threads,
            },
            missing: plain_all(&info.missing),
        }
    }
}

impl Document for NodesDocument {
    fn text(&self) -> Text {
        let rate =
            |bytes: u64| if bytes == 0 { "unlimited".into() } else { format!("{}/s", human::size(bytes)) };
        let mut text = Text::default();
        for node in &self.0 {
            let limits = &node.limits;
            let drains = if node.draining { ", takes no more work" } else { "" };
            text.line(format_args!(
                "node {}: version {}, {} running, {} waiting{drains}",
                node.node, node.version, node.running, node.queued
            ));
            text.line(format_args!(
                "limits: {} of memory, {} operations at once, {} threads, reading {}, uploading {}; reads with {}",
                human::size(limits.memory),
                limits.operations_max,
                limits.threads,
                rate(limits.read_rate),
                rate(limits.upload_rate),
                node.read_engine
            ));
            node.missing.iter().for_each(|what| text.line(format_args!("missing: {what}")));
        }
        text
    }
}
