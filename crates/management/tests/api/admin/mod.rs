//! `/api/admin`

mod dashboard;
mod keys;
mod logs;
mod presets;
mod routes;
mod service_keys;
mod upstreams;
