//! Every function of the store, on a real SQLite file and on a real PostgreSQL.
//!
//! One binary, so that one server serves all tests; each test has a database of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agent_sessions;
mod arrived;
mod audit;
mod catalog;
mod edits;
mod faults;
mod fixture;
mod history;
mod keys;
mod lists;
mod log_filters;
mod logs;
mod opening;
mod pools;
mod refused_keys;
mod retention;
mod roles;
mod routes;
mod rules;
mod running;
mod seeds;
mod sessions;
mod statistics;
mod tasks;
mod upstreams;
mod users;
