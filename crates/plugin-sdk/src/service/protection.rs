//! `Protection`: each call is handed to the plugin with its job.

use coffer_format::ResourceRef;
use coffer_proto::checked::{PluginArtefact, options};
use coffer_proto::plugin::v1::{
    Artefact, CompleteRequest, DeleteRequest, Finished, GetSchemasRequest, GetSchemasResponse,
    PrepareRequest, ProtectRequest, ReleaseRequest, RestoreRequest, ValidateRequest, ValidateResponse, Verb,
    VerifyRequest, protection_server::Protection, restore_request::Message,
};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::Service;
use super::work::UpdateStream;
use crate::failure::{Failure, Reason};
use crate::job::DataStream;
use crate::plugin::Plugin;

#[async_trait]
impl<P: Plugin> Protection for Service<P> {
    type PrepareStream = UpdateStream;
    type ProtectStream = UpdateStream;
    type CompleteStream = UpdateStream;
    type ReleaseStream = UpdateStream;
    type RestoreStream = UpdateStream;
    type VerifyStream = UpdateStream;
    type DeleteStream = UpdateStream;

    async fn get_schemas(
        &self,
        request: Request<GetSchemasRequest>,
    ) -> Result<Response<GetSchemasResponse>, Status> {
        let request = request.into_inner();
        let host = &self.0;
        let schemas = host.catalogue.schemas(&host.plugin, &request.r#type, &request.version)?;
        let text = |verb| schemas.of(verb).map_or_else(String::new, |schema| schema.text().to_owned());
        Ok(Response::new(GetSchemasResponse {
            version: schemas.version.clone(),
            protect: text(Verb::Protect),
            restore: text(Verb::Restore),
            verify: text(Verb::Verify),
            delete: text(Verb::Delete),
        }))
    }

    async fn validate(
        &self,
        request: Request<ValidateRequest>,
    ) -> Result<Response<ValidateResponse>, Status> {
        let request = request.into_inner();
        let verb = request.verb();
        let missing =
            |field: &str| Failure::new(Reason::Invalid, format!("field `{field}` is missing and required"));
        let reference: ResourceRef =
            request.r#ref.ok_or_else(|| missing("ref"))?.try_into().map_err(Failure::from)?;
        let host = &self.0;
        let schemas =
            host.catalogue.schemas(&host.plugin, reference.kind.as_ref(), &request.schema_version)?;
        let schema = schemas.of(verb).ok_or_else(|| missing("verb"))?;
        let given = options("options", request.options).map_err(Failure::from)?;
        let options =
            schema.apply(&given).map_err(|error| Failure::new(Reason::Invalid, error.to_string()))?;
        Ok(Response::new(ValidateResponse { options }))
    }

    async fn prepare(&self, request: Request<PrepareRequest>) -> Result<Response<UpdateStream>, Status> {
        let work = request.into_inner().work;
        self.run("prepare", Verb::Protect, work, |plugin, job| {
            Box::pin(async move { plugin.prepare(job).await.map(|()| Finished::default()) })
        })
    }

    async fn protect(&self, request: Request<ProtectRequest>) -> Result<Response<UpdateStream>, Status> {
        let request = request.into_inner();
        let base = request.base.map(checked).transpose()?;
        self.run("protect", Verb::Protect, request.work, move |plugin, job| {
            Box::pin(async move {
                let artefact = plugin.protect(job, base.as_ref()).await?;
                Ok(Finished { artefact: Some((&artefact).into()), ..Finished::default() })
            })
        })
    }

    async fn complete(&self, request: Request<CompleteRequest>) -> Result<Response<UpdateStream>, Status> {
        let work = request.into_inner().work;
        self.run("complete", Verb::Protect, work, |plugin, job| {
            Box::pin(async move { plugin.complete(job).await.map(|()| Finished::default()) })
        })
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<UpdateStream>, Status> {
        let work = request.into_inner().work;
        self.run("release", Verb::Protect, work, |plugin, job| {
            Box::pin(async move { plugin.release(job).await.map(|()| Finished::default()) })
        })
    }

    async fn restore(
        &self,
        request: Request<Streaming<RestoreRequest>>,
    ) -> Result<Response<UpdateStream>, Status> {
        let mut requests = request.into_inner();
        let Some(RestoreRequest { message: Some(Message::Start(start)) }) = requests.message().await? else {
            return Err(Failure::new(Reason::Invalid, "the first message must be `start`").into());
        };
        let artefact = required(start.artefact)?;
        let protect_options = options("protect_options", start.protect_options).map_err(Failure::from)?;
        self.run("restore", Verb::Restore, start.work, move |plugin, job| {
            Box::pin(async move {
                let mut data = DataStream::new(requests);
                let restored = plugin.restore(job, &artefact, &protect_options, &mut data).await?;
                Ok(Finished { restored: Some(restored), ..Finished::default() })
            })
        })
    }

    async fn verify(&self, request: Request<VerifyRequest>) -> Result<Response<UpdateStream>, Status> {
        let request = request.into_inner();
        let artefact = required(request.artefact)?;
        self.run("verify", Verb::Verify, request.work, move |plugin, job| {
            Box::pin(async move { plugin.verify(job, &artefact).await.map(|()| Finished::default()) })
        })
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<UpdateStream>, Status> {
        let request = request.into_inner();
        let artefact = request.artefact.map(checked).transpose()?;
        self.run("delete", Verb::Delete, request.work, move |plugin, job| {
            Box::pin(async move { plugin.delete(job, artefact.as_ref()).await.map(|()| Finished::default()) })
        })
    }
}

fn required(artefact: Option<Artefact>) -> Result<PluginArtefact, Failure> {
    let missing = || Failure::new(Reason::Invalid, "field `artefact` is missing and required");
    checked(artefact.ok_or_else(missing)?)
}

fn checked(artefact: Artefact) -> Result<PluginArtefact, Failure> {
    Ok(artefact.try_into()?)
}
