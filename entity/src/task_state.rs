//! When tasks run, and who runs them.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `task_state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "task_state")]
pub struct Model {
    /// Which task, or which lease.
    #[sea_orm(primary_key, auto_increment = false)]
    pub task: String,
    /// When it runs, as a cron expression; none for a lease.
    pub schedule: Option<String>,
    /// By the clock of which zone.
    pub timezone: Option<String>,
    /// When it runs next.
    pub next_us: Option<i64>,
    /// The last time for which it ran.
    pub last_due_us: Option<i64>,
    /// When somebody asked for a run that has not begun.
    pub requested_us: Option<i64>,
    /// Which instance holds the lease.
    pub holder: Option<String>,
    /// Until when.
    pub lease_until_us: Option<i64>,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
