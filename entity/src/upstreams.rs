//! Configured places to send calls.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// One row of `upstreams`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "upstreams")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Who owns it; 0 is nobody.
    pub owner_id: i64,
    /// Its name; unique.
    pub name: String,
    /// The name of the provider.
    pub provider: String,
    /// Where it is.
    pub base_url: String,
    /// What it speaks, a JSON list.
    pub dialects: String,
    /// What it serves, a JSON list; empty means any.
    pub models: String,
    /// Whether calls are sent there.
    pub enabled: bool,
    /// How a key is chosen.
    pub strategy: String,
    /// How many attempts may follow the first.
    pub retry_count: i32,
    /// Time to a ready connection.
    pub connect_timeout_ms: i64,
    /// Time to the first byte of the answer.
    pub first_byte_timeout_ms: i64,
    /// Time between two bytes.
    pub idle_timeout_ms: i64,
    /// Time for everything.
    pub total_timeout_ms: i64,
    /// Where the key goes.
    pub key_placement: String,
    /// Which headers go along.
    pub header_policy: String,
    /// What is done after the policy, a JSON list.
    pub header_rules: String,
    /// Whether bodies are recorded.
    pub record_bodies: bool,
    /// The preset it was made from.
    pub preset: Option<String>,
    /// How paths are joined to the address.
    pub paths: String,
    /// What is in every query, a JSON list.
    pub query: String,
    /// What is known of its models, a JSON list.
    pub model_profiles: String,
    /// Whether streams are asked for their usage.
    pub ask_usage: bool,
    /// How its pool is used: a JSON object.
    pub policy: String,
    /// Labels, as JSON.
    #[serde(default = "crate::no_list")]
    pub tags: String,
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
