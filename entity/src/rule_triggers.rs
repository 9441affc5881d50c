//! Rules that fired, or would have.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `rule_triggers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "rule_triggers")]
pub struct Model {
    /// Its id; grows.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The rule.
    pub rule_id: i64,
    /// In which form.
    pub rule_version: i64,
    /// About a call to which upstream.
    pub upstream_id: i64,
    /// With which key.
    pub key_id: Option<i64>,
    /// For which model.
    pub model: Option<String>,
    /// The log entry of the call.
    pub log_id: Uuid,
    /// When.
    pub at_us: i64,
    /// Whether it only tells what it would have done.
    pub shadow: bool,
    /// What was done, a JSON list.
    pub actions: String,
    /// Until when that lasts, where it ends by itself.
    pub until_us: Option<i64>,
    /// What it was concluded from, as JSON.
    pub evidence: String,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
