//! Service keys: made, changed, read, deleted. Only digests come here.

use crate::*;

impl Store {
    /// Stores a service key that was just minted.
    pub async fn create_service_key(&self, by: &Actor, new: NewServiceKey) -> Result<ServiceKeyId> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Changes what `edit` names and leaves the rest.
    pub async fn edit_service_key(
        &self,
        by: &Actor,
        id: ServiceKeyId,
        edit: ServiceKeyEdit,
    ) -> Result<Revision> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Deletes a service key: it is refused from the next revision on.
    pub async fn delete_service_key(&self, by: &Actor, id: ServiceKeyId) -> Result<Revision> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// One service key.
    pub async fn service_key(&self, id: ServiceKeyId) -> Result<ServiceKeyRow> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// A page of service keys.
    pub async fn service_keys(&self, page: Page) -> Result<Listed<ServiceKeyRow>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }
}
