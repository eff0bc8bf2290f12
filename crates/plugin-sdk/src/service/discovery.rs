//! `Identity` and `Protectables`.

use coffer_format::ResourceRef;
use coffer_proto::plugin::v1::{
    DependentsRequest, DependentsResponse, GetCapabilitiesRequest, GetCapabilitiesResponse, GetInfoRequest,
    GetInfoResponse, ListRequest, ListResponse, ListTypesRequest, ListTypesResponse, ProbeRequest,
    ProbeResponse, ShowRequest, ShowResponse, identity_server::Identity, protectables_server::Protectables,
};
use tonic::{Request, Response, Status, async_trait};

use super::Service;
use crate::failure::{Failure, Reason};
use crate::plugin::{Page, Plugin};

const PAGE_SIZE_DEFAULT: u32 = 100;
const PAGE_SIZE_MAX: u32 = 1000;
const TOKEN_LEN_MAX: usize = 4096;

#[async_trait]
impl<P: Plugin> Identity for Service<P> {
    async fn get_info(&self, _: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        let plugin = &self.0.plugin;
        let (name, version) = (plugin.name().to_owned(), plugin.version().to_owned());
        Ok(Response::new(GetInfoResponse { name, version }))
    }

    async fn get_capabilities(
        &self,
        _: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<GetCapabilitiesResponse>, Status> {
        Ok(Response::new(self.0.plugin.capabilities()))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        let unready_reason = match self.0.plugin.probe().await {
            Ok(()) => String::new(),
            Err(failure) => failure.message,
        };
        Ok(Response::new(ProbeResponse { unready_reason }))
    }
}

#[async_trait]
impl<P: Plugin> Protectables for Service<P> {
    async fn list_types(&self, _: Request<ListTypesRequest>) -> Result<Response<ListTypesResponse>, Status> {
        Ok(Response::new(ListTypesResponse { types: self.0.catalogue.types() }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let request = request.into_inner();
        self.0.catalogue.check_type(&request.r#type)?;
        let page = page(request.page_size, request.page_token)?;
        let listing = self.0.plugin.list(&request.r#type, &page).await?;
        let (resources, missing) = (listing.resources, listing.missing);
        Ok(Response::new(ListResponse { resources, next_page_token: listing.next, missing }))
    }

    async fn show(&self, request: Request<ShowRequest>) -> Result<Response<ShowResponse>, Status> {
        let reference = reference(request.into_inner().r#ref)?;
        self.0.catalogue.check_type(reference.kind.as_ref())?;
        let resource = self.0.plugin.show(&reference).await?;
        Ok(Response::new(ShowResponse { resource: Some(resource) }))
    }

    async fn dependents(
        &self,
        request: Request<DependentsRequest>,
    ) -> Result<Response<DependentsResponse>, Status> {
        let request = request.into_inner();
        let parent = reference(request.parent)?;
        let page = page(request.page_size, request.page_token)?;
        let listing = self.0.plugin.dependents(&parent, &page).await?;
        let (resources, missing) = (listing.resources, listing.missing);
        Ok(Response::new(DependentsResponse { resources, next_page_token: listing.next, missing }))
    }
}

fn reference(message: Option<coffer_proto::plugin::v1::ResourceRef>) -> Result<ResourceRef, Failure> {
    let missing = || Failure::new(Reason::Invalid, "field `ref` is missing and required");
    Ok(ResourceRef::try_from(message.ok_or_else(missing)?)?)
}

fn page(size: u32, token: String) -> Result<Page, Failure> {
    if size > PAGE_SIZE_MAX || token.len() > TOKEN_LEN_MAX {
        let text = format!("a page has {PAGE_SIZE_MAX} resources at most, its token {TOKEN_LEN_MAX} bytes");
        return Err(Failure::new(Reason::Invalid, text));
    }
    let size = if size == 0 { PAGE_SIZE_DEFAULT } else { size };
    Ok(Page { size: size as usize, token })
}
