//! How much callers may use.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// One row of `limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "limits")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Who made it; 0 is nobody.
    pub owner_id: i64,
    /// What people call it; may be empty.
    pub name: String,
    /// Whose use counts together.
    pub scope: String,
    /// Who exactly: an id, a network or a model; each where nobody is named.
    pub scope_id: Option<String>,
    /// What is counted.
    pub unit: String,
    /// How it is counted.
    pub algorithm: String,
    /// How much; money in billionths of a dollar.
    pub limit_amount: i64,
    /// Of `token_bucket` and `sliding_window`: how long the window is.
    pub window_ms: Option<i64>,
    /// Of `token_bucket`: how much the bucket holds.
    pub burst: Option<i64>,
    /// Of `calendar`: the period.
    pub period: Option<String>,
    /// Of `calendar`: by the clock of which zone.
    pub timezone: Option<String>,
    /// Of `calendar`: from which part used people are told.
    pub alert_percent: Option<i64>,
    /// Whether it holds.
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
