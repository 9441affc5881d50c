//! What was deleted, and by which change, so that it can be taken out of a loaded catalog.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `tombstones`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "tombstones")]
pub struct Model {
    /// Of which table.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// Which row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The change that deleted it.
    pub revision: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
