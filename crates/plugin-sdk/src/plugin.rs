//! What an author of a plugin writes: one trait. The server around it checks requests and options, keeps deadlines and sends progress.

use coffer_format::ResourceRef;
use coffer_proto::checked::PluginArtefact;
use coffer_proto::plugin::v1;
use tonic::async_trait;

use crate::failure::{Failure, Reason};
use crate::job::{DataStream, Job};

/// A type of resources.
#[derive(Debug, Clone)]
pub struct TypeInfo {
    /// Such as `OS::Trove::Instance`.
    pub name: &'static str,
    /// Types of which resources of this one can be dependents.
    pub parents: &'static [&'static str],
    /// For people.
    pub display_name: &'static str,
    /// Whether it can be protected itself; one that cannot only holds others.
    pub protectable: bool,
}

/// Schemas of a type, JSON text each.
#[derive(Debug, Clone, Copy)]
pub struct SchemaTexts {
    /// Their version.
    pub version: &'static str,
    /// Options of protect, and of prepare, complete and release with it.
    pub protect: &'static str,
    /// Options of restore.
    pub restore: &'static str,
    /// Options of verify.
    pub verify: &'static str,
    /// Options of delete.
    pub delete: &'static str,
}

/// The schema of a verb without options.
pub const NO_OPTIONS: &str = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{},"additionalProperties":false}"#;

/// Which page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// Most resources of it, 1 to 1000.
    pub size: usize,
    /// Empty for the first; then what the page before gave.
    pub token: String,
}

/// One page of resources.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The resources.
    pub resources: Vec<v1::Resource>,
    /// Token of the next page; empty on the last.
    pub next: String,
    /// What could not be enumerated, and why.
    pub missing: Vec<String>,
}

/// A plugin. Options in a job were held against the schema and have its defaults.
///
/// Work is named by the job's key: a second call with the key finds what the first one made. A call whose caller goes is dropped at its next `await`.
#[async_trait]
pub trait Plugin: Send + Sync + 'static {
    /// A DNS-1123 label.
    fn name(&self) -> &'static str;

    /// Version of the program.
    fn version(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> v1::GetCapabilitiesResponse {
        v1::GetCapabilitiesResponse::default()
    }

    /// Its types, the same each time.
    fn types(&self) -> Vec<TypeInfo>;

    /// Schemas of a protectable type, the newest where `version` is `None`. A version that was given once is given for ever.
    fn schemas(&self, kind: &str, version: Option<&str>) -> Option<SchemaTexts>;

    /// Fails where the service behind it does not answer.
    async fn probe(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// One page of the resources of one of its types.
    async fn list(&self, kind: &str, page: &Page) -> Result<Listing, Failure>;

    /// One resource of one of its types.
    async fn show(&self, reference: &ResourceRef) -> Result<v1::Resource, Failure>;

    /// One page of what is right below a resource, which may be of any type.
    async fn dependents(&self, _parent: &ResourceRef, _page: &Page) -> Result<Listing, Failure> {
        Ok(Listing::default())
    }

    /// Brings a resource into a state in which it can be protected.
    async fn prepare(&self, _job: &Job) -> Result<(), Failure> {
        Ok(())
    }

    /// Makes the artefact; data go through [`Job::send`]. `base` is that of the point that an incremental builds on.
    async fn protect(&self, job: &Job, base: Option<&PluginArtefact>) -> Result<PluginArtefact, Failure>;

    /// After the protect of this resource and of all below it.
    async fn complete(&self, _job: &Job) -> Result<(), Failure> {
        Ok(())
    }

    /// Takes back what prepare did; also where nothing is held.
    async fn release(&self, _job: &Job) -> Result<(), Failure> {
        Ok(())
    }

    /// Makes a resource from an artefact and its data. `protect_options` are those of protect, as they were.
    async fn restore(
        &self,
        job: &Job,
        artefact: &PluginArtefact,
        protect_options: &str,
        data: &mut DataStream,
    ) -> Result<v1::Resource, Failure>;

    /// Fails where the artefact could not be restored now.
    async fn verify(&self, job: &Job, artefact: &PluginArtefact) -> Result<(), Failure>;

    /// Removes an artefact; without one, what the job's key finds. What is gone already is a success.
    async fn delete(&self, job: &Job, artefact: Option<&PluginArtefact>) -> Result<(), Failure>;
}

/// A failure for a type that a plugin does not have.
pub fn unknown_type(kind: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::UnknownType, format!("type {kind} is none of this plugin's"))
}
