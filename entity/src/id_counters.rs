//! The highest id ever given, by table: ids are never given twice.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `id_counters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "id_counters")]
pub struct Model {
    /// The table.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Its highest id.
    pub last: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
