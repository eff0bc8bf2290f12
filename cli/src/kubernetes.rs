//! What Kubernetes knows of a node's volumes and the node's agent cannot: a hostPath volume has no directory of kubelet's, so only the API
//! names its PersistentVolume and its pods.
//!
//! Two resources are listed, nothing is ever changed. Agents never do this: whoever calls uses rights of his own.
//!
//! # Map
//! - `access`: from a kubeconfig, or a pod's service account, to a client.
//! - `list`, `wire`: pages of lists; what is read of them.
//! - `facts`: plain data of what was read.
//! - `join`: what agents and Kubernetes say, put together. Pure.
//! - `failure`: errors, with what to do next.

mod access;
mod facts;
mod failure;
mod join;
mod list;
mod wire;

pub(crate) use self::failure::KubernetesError;
pub(crate) use self::join::{fits, join};
pub(crate) use self::list::read;
