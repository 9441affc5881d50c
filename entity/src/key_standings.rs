//! How provider keys stand, for all models or for one.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `key_standings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "key_standings")]
pub struct Model {
    /// The key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key_id: i64,
    /// For which model; empty for all.
    #[sea_orm(primary_key, auto_increment = false)]
    pub model: String,
    /// Whose pool it is in.
    pub upstream_id: i64,
    /// How it stands.
    pub state: String,
    /// Until when, where that ends by itself.
    pub until_us: Option<i64>,
    /// Why.
    pub reason: String,
    /// What it was concluded from, as JSON.
    pub evidence: String,
    /// Since when.
    pub since_us: i64,
    /// Failures in a row that led here.
    pub strikes: i64,
    /// Which instance wrote it.
    pub origin: String,
    /// Grows with each write.
    pub seq: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
