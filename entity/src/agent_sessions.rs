//! Sessions of client programs, each with the sums of its calls.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `agent_sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "agent_sessions")]
pub struct Model {
    /// Its number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Who owns the service keys of its calls; sessions of different owners are different ones.
    pub owner_id: i64,
    /// The id that the client gave it.
    pub session: String,
    /// The session that started it.
    pub parent_session: Option<String>,
    /// The service key of its latest call.
    pub service_key_id: i64,
    /// The client program.
    pub client_program: Option<String>,
    /// The version of the program.
    pub client_version: Option<String>,
    /// When the first call was admitted.
    pub first_us: i64,
    /// When the last call ended.
    pub last_us: i64,
    /// Calls.
    pub calls: i64,
    /// Calls of the main agent that were answered well.
    pub turns: i64,
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
