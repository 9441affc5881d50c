//! Open and ended sessions of the management plane.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// Its id; access tokens carry it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub user_id: i64,
    /// The user's epoch when it was opened.
    pub epoch: i64,
    /// The address from which it was opened.
    pub address: Option<String>,
    /// What opened it, as its `User-Agent` says.
    pub client: Option<String>,
    /// When it was opened.
    pub opened_us: i64,
    /// When it was last used, to the minute; 0 where nothing is known of it.
    pub seen_us: i64,
    /// When its last refresh token expires.
    pub expires_us: i64,
    /// When it was ended before that.
    pub ended_us: Option<i64>,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
