//! How far each journal was moved in.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `journal_positions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "journal_positions")]
pub struct Model {
    /// Which journal.
    #[sea_orm(primary_key, auto_increment = false)]
    pub journal: String,
    /// The segment file.
    pub segment: i64,
    /// The first byte that was not moved.
    pub position: i64,
    /// When it was last moved.
    pub updated_us: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
