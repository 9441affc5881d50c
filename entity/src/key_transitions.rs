//! Steps of provider keys from one status to another.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `key_transitions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "key_transitions")]
pub struct Model {
    /// Its id; grows.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The key.
    pub key_id: i64,
    /// Whose pool it is in.
    pub upstream_id: i64,
    /// For which model only.
    pub model: Option<String>,
    /// How it stood before.
    pub from_state: String,
    /// How it stands since.
    pub to_state: String,
    /// Until when, where that ends by itself.
    pub until_us: Option<i64>,
    /// Why.
    pub reason: String,
    /// What it was concluded from, as JSON.
    pub evidence: String,
    /// Who did it.
    pub actor: String,
    /// When.
    pub at_us: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
