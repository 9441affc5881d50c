//! The one token with which the first user is made.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `setup_token`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "setup_token")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The digest of the token.
    #[serde(skip)]
    pub digest: Vec<u8>,
    /// From when on it is no longer accepted.
    pub expires_us: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
