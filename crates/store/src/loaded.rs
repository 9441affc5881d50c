//! What was loaded of the catalog last; [`catalog`](crate::catalog) brings it up to date.

use std::sync::Arc;

use domain::{Catalog, Revision};
use entity::revision;
use sea_orm::{ConnectionTrait, EntityTrait};

use crate::{Result, StoreError};

/// The newest catalog that was loaded, and from which file.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) generation: u64,
    pub(crate) catalog: Arc<Catalog>,
}

impl Loaded {
    pub(crate) fn nothing() -> Self {
        Self { generation: 0, catalog: Arc::new(Catalog::empty()) }
    }
}

/// The number of the newest change.
pub(crate) async fn revision(db: &impl ConnectionTrait) -> Result<Revision> {
    let row = revision::Entity::find_by_id(1).one(db).await?;
    row.map(|row| Revision(row.revision))
        .ok_or_else(|| StoreError::Unexpected("there is no revision".into()))
}
