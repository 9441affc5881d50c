//! The sums of a session by agent and model.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `agent_session_parts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "agent_session_parts")]
pub struct Model {
    /// Who owns the session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub owner_id: i64,
    /// The id that the client gave the session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub session: String,
    /// The agent; empty for the main one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub agent: String,
    /// The model that was used, else the one that was asked for; empty where there is none.
    #[sea_orm(primary_key, auto_increment = false)]
    pub model: String,
    /// The agent that started it.
    pub parent_agent: Option<String>,
    /// When the first call was admitted.
    pub first_us: i64,
    /// When the last call ended.
    pub last_us: i64,
    /// Calls.
    pub calls: i64,
    /// Calls that count as errors.
    pub errors: i64,
    /// Tokens in.
    pub input_tokens: i64,
    /// Of these from a cache.
    pub cached_tokens: i64,
    /// Of these written to a cache.
    pub cache_written_tokens: i64,
    /// Tokens out.
    pub output_tokens: i64,
    /// Billionths of a dollar, of the calls whose cost is known.
    pub cost_nano: i64,
    /// Calls that used something and whose cost is not known.
    pub unpriced: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
