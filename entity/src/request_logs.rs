//! What every admitted call did.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `request_logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "request_logs")]
pub struct Model {
    /// Made at admission (UUIDv7).
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The `x-request-id` of the answer.
    pub request_id: String,
    /// When the call was admitted.
    pub started_us: i64,
    /// The service key.
    pub service_key_id: i64,
    /// Its name then.
    pub service_key_name: String,
    /// Who owns that key.
    pub owner_id: i64,
    /// Where the answer came from.
    pub upstream_id: Option<i64>,
    /// Its name then.
    pub upstream_name: Option<String>,
    /// The provider key.
    pub provider_key_id: Option<i64>,
    /// Its name then.
    pub provider_key_name: Option<String>,
    /// The model that was asked for.
    pub model_asked: Option<String>,
    /// The model that the provider was asked for.
    pub model_used: Option<String>,
    /// What the client spoke.
    pub dialect: Option<String>,
    /// The HTTP method.
    pub method: String,
    /// The path without query.
    pub path: String,
    /// The status; 0 where none went out.
    pub status: i32,
    /// How the call ended.
    pub outcome: String,
    /// Whether it counts as an error.
    pub failed: bool,
    /// Body bytes in.
    pub bytes_in: i64,
    /// Body bytes out.
    pub bytes_out: i64,
    /// From admission to the end.
    pub latency_us: i64,
    /// From admission to the first byte.
    pub first_byte_us: Option<i64>,
    /// Whether it was an event stream.
    pub streamed: bool,
    /// Tokens in.
    pub input_tokens: i64,
    /// Of these from a cache.
    pub cached_tokens: i64,
    /// Of these written to a cache.
    pub cache_written_tokens: i64,
    /// Of these audio.
    pub input_audio_tokens: i64,
    /// Tokens out.
    pub output_tokens: i64,
    /// Of these reasoning.
    pub reasoning_tokens: i64,
    /// Of these audio.
    pub output_audio_tokens: i64,
    /// Who counted.
    pub usage_source: String,
    /// Billionths of a dollar.
    pub cost_nano: Option<i64>,
    /// Every try, a JSON list; an only one that repeats the entry in a short form.
    pub attempts: String,
    /// What went wrong.
    pub error: Option<String>,
    /// From where, masked.
    pub client_ip: Option<String>,
    /// Who could have answered, a JSON list; `1` for the upstream alone.
    pub decision: String,
    /// When it came here.
    pub stored_us: i64,
    /// What rules marked it with, a JSON list.
    pub tags: String,
    /// How long it waited in line.
    pub waited_us: i64,
    /// Its place in the order of arrival; 0 for entries from before there was one.
    pub arrival: i64,
    /// The client's session.
    pub session: Option<String>,
    /// The session that started it.
    pub parent_session: Option<String>,
    /// The agent within the session.
    pub agent: Option<String>,
    /// The agent that started it.
    pub parent_agent: Option<String>,
    /// The client program.
    pub client_program: Option<String>,
    /// Its version.
    pub client_version: Option<String>,
    /// The model that answered; empty for `model_used`.
    pub model_served: Option<String>,
    /// The service tier that was applied.
    pub service_tier: Option<String>,
    /// The provider's id of the last attempt that has one.
    pub provider_request_id: Option<String>,
    /// The provider's usage numbers, a JSON object.
    pub usage_reported: Option<String>,
    /// The configuration revision whose prices were used.
    pub price_version: Option<i64>,
    /// Characters spoken; none where there were none.
    pub characters: Option<i64>,
    /// Images made; none where there were none.
    pub images: Option<i64>,
    /// Milliseconds of audio or video; none where there were none.
    pub duration_ms: Option<i64>,
    /// The caller's own tags, a JSON object of texts; none where there are none.
    pub metadata: Option<String>,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
