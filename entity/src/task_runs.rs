//! What tasks did.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `task_runs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "task_runs")]
pub struct Model {
    /// Which task.
    #[sea_orm(primary_key, auto_increment = false)]
    pub task: String,
    /// When it began.
    #[sea_orm(primary_key, auto_increment = false)]
    pub started_us: i64,
    /// When it ended.
    pub ended_us: i64,
    /// ok or failed.
    pub result: String,
    /// What it did, or why it failed.
    pub words: String,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
