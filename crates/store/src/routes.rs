//! Routes: made, changed, read, deleted.

use crate::*;

impl Store {
    /// Makes a route.
    pub async fn create_route(&self, by: &Actor, new: NewRoute) -> Result<RouteId> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Changes what `edit` names and leaves the rest.
    pub async fn edit_route(&self, by: &Actor, id: RouteId, edit: RouteEdit) -> Result<Revision> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Deletes a route.
    pub async fn delete_route(&self, by: &Actor, id: RouteId) -> Result<Revision> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// One route with its targets.
    pub async fn route(&self, id: RouteId) -> Result<RouteRow> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// A page of routes.
    pub async fn routes(&self, page: Page) -> Result<Listed<RouteRow>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }
}
