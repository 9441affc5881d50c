//! How many calls fell into which class of latency, by hour; quantiles come from it.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `latency_statistics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "latency_statistics")]
pub struct Model {
    /// When the hour began.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hour_us: i64,
    /// Who owns the service key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub owner_id: i64,
    /// The upstream; 0 is none.
    #[sea_orm(primary_key, auto_increment = false)]
    pub upstream_id: i64,
    /// The class: a fifth of an octave of microseconds.
    #[sea_orm(primary_key, auto_increment = false)]
    pub class: i32,
    /// Calls.
    pub requests: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
