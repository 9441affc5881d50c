//! Every change of the configuration: who made it, when, and why.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `revisions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "revisions")]
pub struct Model {
    /// The number of the change.
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// Who; none is the gateway.
    pub user_id: Option<i64>,
    /// What they were called then.
    pub actor: String,
    /// From where.
    pub ip: Option<String>,
    /// What was done.
    pub action: String,
    /// To which kind of thing; none of changes from before there was this table.
    pub kind: Option<String>,
    /// To which one, where it was one.
    pub object_id: Option<i64>,
    /// What that was called then.
    pub name: Option<String>,
    /// Why, as whoever made it said.
    pub comment: Option<String>,
    /// How many rows of the catalog it touched.
    pub objects: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
