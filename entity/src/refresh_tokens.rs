//! The digests of refresh tokens, also of spent ones, to notice copies.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `refresh_tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_tokens")]
pub struct Model {
    /// The digest of the token.
    #[sea_orm(primary_key, auto_increment = false)]
    #[serde(skip)]
    pub digest: Vec<u8>,
    /// The session it belongs to.
    pub session_id: Uuid,
    /// From when on it is no longer accepted.
    pub expires_us: i64,
    /// When it was spent.
    pub spent_us: Option<i64>,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
