//! The tables as SeaORM sees them: one file per table, one struct per row.
//!
//! Columns that end in `_us` are moments in microseconds since 1970, UTC; money is in billionths of
//! a dollar (`_nano`). Both are plain integers, the same in SQLite and in PostgreSQL.

pub mod agent_session_parts;
pub mod agent_sessions;
pub mod alerts;
pub mod audit;
pub mod breakers;
pub mod history;
pub mod id_counters;
pub mod journal_positions;
pub mod key_standings;
pub mod key_transitions;
pub mod limits;
pub mod login_throttle;
pub mod master_key_check;
pub mod provider_keys;
pub mod recorded_bodies;
pub mod refresh_tokens;
pub mod refused_keys;
pub mod request_logs;
pub mod revision;
pub mod revisions;
pub mod roles;
pub mod route_targets;
pub mod routes;
pub mod rule_triggers;
pub mod rules;
pub mod service_keys;
pub mod sessions;
pub mod setup_token;
pub mod statistics_names;
pub mod stored_objects;
pub mod task_runs;
pub mod task_state;
pub mod tombstones;
pub mod upstreams;
pub mod users;

/// The list of a column that older versions in the history do not have.
fn no_list() -> String {
    "[]".to_owned()
}
