//! Bodies of calls, apart from the log; capped and masked before they come here.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `recorded_bodies`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "recorded_bodies")]
pub struct Model {
    /// Of which log entry.
    #[sea_orm(primary_key, auto_increment = false)]
    pub log_id: Uuid,
    /// Whether it is the answer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub answer: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether there was more.
    pub cut: bool,
    /// When it came here.
    pub stored_us: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
