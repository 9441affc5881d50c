//! Upstreams: made, changed, read, deleted.

use crate::*;

impl Store {
    /// Makes an upstream.
    pub async fn create_upstream(&self, by: &Actor, new: NewUpstream) -> Result<UpstreamId> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Changes what `edit` names and leaves the rest.
    pub async fn edit_upstream(
        &self,
        by: &Actor,
        id: UpstreamId,
        edit: UpstreamEdit,
    ) -> Result<Revision> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Deletes an upstream and its key pool; refused while a route has it as a target.
    pub async fn delete_upstream(&self, by: &Actor, id: UpstreamId) -> Result<Revision> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// One upstream.
    pub async fn upstream(&self, id: UpstreamId) -> Result<UpstreamRow> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// A page of upstreams.
    pub async fn upstreams(&self, page: Page) -> Result<Listed<UpstreamRow>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }
}
