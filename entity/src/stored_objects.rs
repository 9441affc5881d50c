//! Files, batches, responses: what a provider keeps for the account of a key.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `stored_objects`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "stored_objects")]
pub struct Model {
    /// What the provider calls it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Which upstream keeps it.
    pub upstream_id: i64,
    /// The key that made it.
    pub key_id: i64,
    /// When that was seen.
    pub at_us: i64,
    /// Which instance wrote it.
    pub origin: String,
    /// Grows with each write.
    pub seq: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
