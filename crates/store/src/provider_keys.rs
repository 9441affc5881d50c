//! Provider keys: entered, changed, read, deleted. Their secrets are sealed on the way in.

use crate::*;

impl Store {
    /// Enters a key into the pool of an upstream.
    pub async fn create_provider_key(
        &self,
        by: &Actor,
        new: NewProviderKey,
    ) -> Result<ProviderKeyId> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Enters many keys as one change: all of them, or none. Field paths of faults begin with the
    /// place in the list: `keys[3].name`.
    pub async fn create_provider_keys(
        &self,
        by: &Actor,
        new: Vec<NewProviderKey>,
    ) -> Result<Vec<ProviderKeyId>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Changes what `edit` names and leaves the rest.
    pub async fn edit_provider_key(
        &self,
        by: &Actor,
        id: ProviderKeyId,
        edit: ProviderKeyEdit,
    ) -> Result<Revision> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Deletes a key.
    pub async fn delete_provider_key(&self, by: &Actor, id: ProviderKeyId) -> Result<Revision> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// One key, masked.
    pub async fn provider_key(&self, id: ProviderKeyId) -> Result<ProviderKeyRow> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// A page of keys, of one upstream or of all.
    pub async fn provider_keys(
        &self,
        upstream: Option<UpstreamId>,
        page: Page,
    ) -> Result<Listed<ProviderKeyRow>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }
}
