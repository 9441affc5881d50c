//! The catalog: read whole once, and then only what changed since.

use crate::*;

impl Store {
    /// The number of the newest change; one cheap query. Another process may have raised it.
    pub async fn revision(&self) -> Result<Revision> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// The catalog at its newest revision. Only what changed since the last call is read; the rest
    /// is shared with the catalog before.
    pub async fn load_catalog(&self) -> Result<Arc<Catalog>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }
}
