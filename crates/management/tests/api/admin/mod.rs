//! `/api/admin`

mod alerts;
mod dashboard;
mod edits;
mod imports;
mod key_states;
mod keys;
mod limits;
mod logs;
mod presets;
mod routes;
mod rules;
mod service_keys;
mod tasks;
mod triggers;
mod upstreams;
