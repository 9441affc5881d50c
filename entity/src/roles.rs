//! The roles and what they allow. Those that are built in are written from the code at every start.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// One row of `roles`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "roles")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Its id; those up to 100 are of roles that are built in.
    pub id: i64,
    /// Whom it is for.
    pub description: String,
    /// The names of its permissions, a JSON list.
    pub permissions: String,
    /// Whose resources the permissions concern: `own` or `all`.
    pub data_scope: String,
    /// When it was made.
    pub created_us: i64,
    /// When it was last changed.
    pub updated_us: i64,
    /// The change that last touched it.
    pub revision: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
