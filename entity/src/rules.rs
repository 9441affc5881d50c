//! What is to happen to a key when an answer meets conditions.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "rules")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// For which upstream.
    pub upstream_id: i64,
    /// Who owns it; 0 is nobody.
    pub owner_id: i64,
    /// What people call it; unique for the upstream.
    pub name: String,
    /// What an answer must be like: a JSON list of `{type, operator, value}`.
    pub conditions: String,
    /// What is done then, a JSON list.
    pub actions: String,
    /// After how many hours a key comes back by itself.
    pub auto_enable_delay_hours: Option<i64>,
    /// Whether it is judged.
    pub enabled: bool,
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
