//! What a person should look at.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `alerts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "alerts")]
pub struct Model {
    /// Its id; grows.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// What belongs together; one alert of a group is open at a time.
    pub grp: String,
    /// firing, acknowledged or resolved.
    pub state: String,
    /// info, warning or critical.
    pub severity: String,
    /// What it is.
    pub title: String,
    /// More of it, as last told.
    pub words: String,
    /// About which upstream.
    pub upstream_id: Option<i64>,
    /// About which key.
    pub key_id: Option<i64>,
    /// By which rule.
    pub rule_id: Option<i64>,
    /// How often it was raised.
    pub count: i64,
    /// When it was first raised.
    pub first_us: i64,
    /// When it was last raised.
    pub last_us: i64,
    /// Who took it on.
    pub acknowledged_by: Option<String>,
    /// When.
    pub acknowledged_us: Option<i64>,
    /// Who said that it is over.
    pub resolved_by: Option<String>,
    /// When.
    pub resolved_us: Option<i64>,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
