//! Enumeration, to the last page. What cannot be enumerated is an error of whoever protects, so it is told apart from what is not there.

use std::collections::{BTreeMap, HashSet};

use coffer_format::ResourceRef;
use coffer_proto::plugin::v1::{DependentsRequest, ListRequest, Resource, ShowRequest};

use super::{PluginClient, PluginError};

const PAGE_SIZE: u32 = 500;
/// Most resources of one list.
const RESOURCES_MAX: usize = 100_000;
/// Most pages of one list.
const PAGES_MAX: usize = 10_000;

/// All resources of a list.
#[derive(Debug, Clone, Default)]
pub struct Enumerated {
    /// Each once, sorted.
    pub resources: BTreeMap<ResourceRef, Resource>,
    /// What could not be enumerated, and why. Not empty: some may be missing.
    pub missing: Vec<String>,
}

/// One page as it came.
struct Answer {
    resources: Vec<Resource>,
    next: String,
    missing: Vec<String>,
}

impl PluginClient {
    /// All resources of a type.
    ///
    /// # Errors
    /// Where a page cannot be had: what was read before it is no list.
    pub async fn list(&self, kind: &str) -> Result<Enumerated, PluginError> {
        let call = format!("list {kind}");
        let page = async |page_token| {
            let request = ListRequest { r#type: kind.to_owned(), page_size: PAGE_SIZE, page_token };
            let answer = self.ask(&call, self.protectables().list(request)).await?;
            Ok(Answer { resources: answer.resources, next: answer.next_page_token, missing: answer.missing })
        };
        self.pages(&call, page).await
    }

    /// All resources right below another.
    ///
    /// # Errors
    /// As [`PluginClient::list`].
    pub async fn dependents(&self, parent: &ResourceRef) -> Result<Enumerated, PluginError> {
        let call = format!("dependents of {parent}");
        let page = async |page_token| {
            let parent = Some(parent.into());
            let request = DependentsRequest { parent, page_size: PAGE_SIZE, page_token };
            let answer = self.ask(&call, self.protectables().dependents(request)).await?;
            Ok(Answer { resources: answer.resources, next: answer.next_page_token, missing: answer.missing })
        };
        self.pages(&call, page).await
    }

    /// One resource.
    ///
    /// # Errors
    /// Where it is not there, or the plugin answers with another.
    pub async fn show(&self, reference: &ResourceRef) -> Result<Resource, PluginError> {
        let call = format!("show {reference}");
        let answer =
            self.ask(&call, self.protectables().show(ShowRequest { r#ref: Some(reference.into()) })).await?;
        let resource = answer.resource.unwrap_or_default();
        let shown = self.reference(&call, &resource)?;
        if shown != *reference {
            return Err(self.broken(&call, format!("{shown} came")));
        }
        Ok(resource)
    }

    async fn pages(
        &self,
        call: &str,
        page: impl AsyncFn(String) -> Result<Answer, PluginError>,
    ) -> Result<Enumerated, PluginError> {
        let mut found = Enumerated::default();
        let mut tokens = HashSet::new();
        let mut token = String::new();
        loop {
            let answer = page(token).await?;
            for resource in answer.resources {
                // The same resource on two pages is one: lists change while they are read.
                found.resources.insert(self.reference(call, &resource)?, resource);
            }
            found.missing.extend(answer.missing);
            if answer.next.is_empty() {
                return Ok(found);
            }
            if found.resources.len() > RESOURCES_MAX || tokens.len() >= PAGES_MAX {
                return Err(
                    self.broken(call, format!("more than {RESOURCES_MAX} resources or {PAGES_MAX} pages"))
                );
            }
            if !tokens.insert(answer.next.clone()) {
                return Err(self.broken(call, "a page token came twice: the list has no end".to_owned()));
            }
            token = answer.next;
        }
    }

    fn reference(&self, call: &str, resource: &Resource) -> Result<ResourceRef, PluginError> {
        let reference = resource.r#ref.clone().unwrap_or_default();
        ResourceRef::try_from(reference).map_err(|error| self.broken(call, error.to_string()))
    }
}
