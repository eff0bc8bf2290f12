//! The plugin: types, schemas, and which part does which call.

use coffer_plugin_sdk::{
    DataStream, Failure, Job, Listing, NO_OPTIONS, Page, Plugin, PluginArtefact, ResourceRef, SchemaTexts,
    TypeInfo, async_trait, unknown_type, v1,
};

use crate::trove_plugin::{INSTANCE, PROJECT, TrovePlugin};
use crate::{discovery, protect, restore};

const PROTECT: &str = include_str!("../schemas/1/protect.json");
const RESTORE: &str = include_str!("../schemas/1/restore.json");

#[async_trait]
impl Plugin for TrovePlugin {
    fn name(&self) -> &'static str {
        "trove"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn capabilities(&self) -> v1::GetCapabilitiesResponse {
        v1::GetCapabilitiesResponse { data: false, incremental: true }
    }

    fn types(&self) -> Vec<TypeInfo> {
        vec![
            TypeInfo { name: PROJECT, parents: &[], display_name: "Project", protectable: false },
            TypeInfo {
                name: INSTANCE,
                parents: &[PROJECT],
                display_name: "Database instance",
                protectable: true,
            },
        ]
    }

    fn schemas(&self, kind: &str, version: Option<&str>) -> Option<SchemaTexts> {
        let is_known = kind == INSTANCE && matches!(version, None | Some("1"));
        is_known.then_some(SchemaTexts {
            version: "1",
            protect: PROTECT,
            restore: RESTORE,
            verify: NO_OPTIONS,
            delete: NO_OPTIONS,
        })
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.trove.instances().await.map(drop)
    }

    async fn list(&self, kind: &str, page: &Page) -> Result<Listing, Failure> {
        match kind {
            PROJECT => discovery::projects(&self.trove).await,
            INSTANCE => discovery::instances(&self.trove, page).await,
            other => Err(unknown_type(other)),
        }
    }

    async fn show(&self, reference: &ResourceRef) -> Result<v1::Resource, Failure> {
        match reference.kind.as_ref() {
            PROJECT => discovery::project(&self.trove, reference).await,
            INSTANCE => discovery::instance(&self.trove, reference).await,
            other => Err(unknown_type(other)),
        }
    }

    async fn dependents(&self, parent: &ResourceRef, page: &Page) -> Result<Listing, Failure> {
        if parent.kind.as_ref() != PROJECT {
            return Ok(Listing::default());
        }
        discovery::project(&self.trove, parent).await?;
        discovery::instances(&self.trove, page).await
    }

    async fn prepare(&self, job: &Job) -> Result<(), Failure> {
        protect::wait_for_instance(self, job).await.map(drop)
    }

    async fn protect(&self, job: &Job, base: Option<&PluginArtefact>) -> Result<PluginArtefact, Failure> {
        protect::protect(self, job, base).await
    }

    async fn restore(
        &self,
        job: &Job,
        artefact: &PluginArtefact,
        protect_options: &str,
        _data: &mut DataStream,
    ) -> Result<v1::Resource, Failure> {
        restore::restore(self, job, artefact, protect_options).await
    }

    async fn verify(&self, _job: &Job, artefact: &PluginArtefact) -> Result<(), Failure> {
        restore::verify(self, artefact).await
    }

    async fn delete(&self, job: &Job, artefact: Option<&PluginArtefact>) -> Result<(), Failure> {
        protect::delete(self, job, artefact).await
    }
}
