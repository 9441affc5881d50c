//! What resources were like after each change.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "history")]
pub struct Model {
    /// Of which table.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// Which row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The change that touched it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    /// When that was.
    pub at_us: i64,
    /// Who made the change, as the audit trail names them.
    pub actor: String,
    /// What the audit trail calls the change.
    pub action: String,
    /// The columns of the row but for secret ones, as JSON; none where the change deleted it.
    pub columns: Option<String>,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
