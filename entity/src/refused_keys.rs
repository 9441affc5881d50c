//! Calls with service keys that are not accepted, counted together.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `refused_keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "refused_keys")]
pub struct Model {
    /// Its number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The client's address, masked; empty where none is known.
    pub address: String,
    /// The public id of the key; empty where none is known.
    pub key_id: String,
    /// Why it is not accepted.
    pub fault: String,
    /// How many calls.
    pub count: i64,
    /// When the first came.
    pub first_us: i64,
    /// When the last came.
    pub last_us: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
