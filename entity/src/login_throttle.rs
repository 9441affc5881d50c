//! Failed sign-ins by scope: an account or a network.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `login_throttle`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "login_throttle")]
pub struct Model {
    /// The account or network.
    #[sea_orm(primary_key, auto_increment = false)]
    pub scope: String,
    /// How often in a row.
    pub failures: i64,
    /// When it last did.
    pub last_us: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
