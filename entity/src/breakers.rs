//! How circuit breakers stand.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `breakers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "breakers")]
pub struct Model {
    /// The upstream.
    #[sea_orm(primary_key, auto_increment = false)]
    pub upstream_id: i64,
    /// One key of its pool; 0 for the upstream itself.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key_id: i64,
    /// One model there; empty for all.
    #[sea_orm(primary_key, auto_increment = false)]
    pub model: String,
    /// closed, open or half_open.
    pub state: String,
    /// Until when it is open.
    pub until_us: Option<i64>,
    /// How often it opened in a row.
    pub openings: i64,
    /// Since when.
    pub at_us: i64,
    /// Why.
    pub words: String,
    /// Which instance wrote it.
    pub origin: String,
    /// Grows with each write.
    pub seq: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
