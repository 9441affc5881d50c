//! What is to happen when calls meet conditions.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// One row of `rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "rules")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// For which upstream; all where none is named.
    pub upstream_id: Option<i64>,
    /// Who owns it; 0 is nobody.
    pub owner_id: i64,
    /// What people call it; unique for the upstream, or among those of all.
    pub name: String,
    /// What a call must be like, as JSON.
    pub conditions: String,
    /// How often that must happen, as JSON.
    pub threshold: Option<String>,
    /// What is done then, a JSON list.
    pub actions: String,
    /// How long what is done lasts.
    pub auto_enable_delay_ms: Option<i64>,
    /// How long it is quiet about the same key after it fired.
    pub cool_down_ms: i64,
    /// Lower is judged first.
    pub priority: i32,
    /// Whether rules after it are left out when it fires.
    pub stops: bool,
    /// Whether it only tells what it would have done.
    pub shadow: bool,
    /// Whether it is judged.
    pub enabled: bool,
    /// Grows with every change.
    pub version: i64,
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
