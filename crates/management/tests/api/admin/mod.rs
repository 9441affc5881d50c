//! `/api/admin`

mod dashboard;
mod keys;
mod logs;
mod routes;
mod service_keys;
mod upstreams;
