//! Sums by hour and by who was involved; 0 and the empty text stand for nobody and no model.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `usage_statistics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "usage_statistics")]
pub struct Model {
    /// When the hour began.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hour_us: i64,
    /// The upstream.
    #[sea_orm(primary_key, auto_increment = false)]
    pub upstream_id: i64,
    /// The provider key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider_key_id: i64,
    /// The service key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub service_key_id: i64,
    /// The model used.
    #[sea_orm(primary_key, auto_increment = false)]
    pub model: String,
    /// Who owns the service key.
    pub owner_id: i64,
    /// Calls.
    pub requests: i64,
    /// Of these not answered well.
    pub errors: i64,
    /// Tokens in.
    pub input_tokens: i64,
    /// Of these from a cache.
    pub cached_tokens: i64,
    /// Of these written to a cache.
    pub cache_written_tokens: i64,
    /// Tokens out.
    pub output_tokens: i64,
    /// Of these reasoning.
    pub reasoning_tokens: i64,
    /// Billionths of a dollar, where known.
    pub cost_nano: i64,
    /// All latencies together.
    pub latency_us: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
